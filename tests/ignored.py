"""`python -m tests.ignored [KEY ...]`: would the test that a key names notice if the code ignored the key?

For each key of ``tests/test_keys.py`` (or those that begin with KEY) the code is made to see the default, whatever
``params.yaml`` says (of a key without a default the first value that it met, whatever others say), and the named test runs
in a process of its own. It should fail, and pass without that. Tests whose work is done by other processes (flows,
services) cannot be asked so and are left out. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tasks.params import Params
from tests.projects import ROOT
from tests.test_keys import TABLE, models_in

# Tests whose work is done by other processes.
ELSEWHERE = ("flows/test_server", "flows/test_drift", "flows/test_schedule", "test_readme", "deploy/test_leaving")
# Of such keys a quick test that works here, beside the one that shows the whole.
HERE = {
    "problem.name": "flows/test_effects_rules:a_result_is_named_by_its_outputs_and_the_models_name",
    "promotion.approval": "flows/test_cli:who_asks_for_a_persons_approval_is_told_without_a_server",
    "monitoring.alarm": "flows/test_cli:a_run_that_found_drift_ends_with_a_status_of_its_own",
    "orchestration.pools": "flows/test_pools:a_stage_whose_worker_died_goes_to_another",
    "orchestration.no_gpu": "flows/test_pools:without_a_worker_a_stage_waits_or_runs_here_as_it_is_told",
    "orchestration.exchange": "flows/test_pools:a_stage_that_reads_outside_of_the_folder_runs_here_and_says_so",
}


def places(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel], str, Any]]:
    """Each key with the model that holds it, its name there, and its default."""
    for name, field in model.model_fields.items():
        here, inner = f"{path}{field.alias or name}", list(models_in(field.annotation))
        if not inner:
            yield here, model, name, field.get_default(call_default_factory=True)
        for one in inner:
            yield from places(one, f"{here}.")


def blind(model: type[BaseModel], name: str, default: Any) -> None:
    """Let the code see the default of a model's key only, as an attribute and in what the model gives as data."""
    whole, first = model.model_dump, {}

    def seen(self: BaseModel) -> Any:
        return first.setdefault(name, self.__dict__[name]) if default is PydanticUndefined else default

    def dumped(self: BaseModel, **how: Any) -> dict[str, Any]:
        found = whole(self, **how)
        return found | ({name: seen(self)} if name in found else {})

    setattr(model, name, property(seen, lambda self, value: None))
    model.model_dump = dumped  # type: ignore[method-assign, assignment]


def passes(mark: str, ignored: tuple[type[BaseModel], str, Any] | None = None) -> bool:
    """Whether a test passes, where the code sees ``ignored``, a model's key, as its default only."""
    file, _, test = mark.partition(":")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if ignored is not None:
                blind(*ignored)
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            code = pytest.main([str(ROOT / f"tests/{file}.py"), "-qx", "-p", "no:cacheprovider", "-k", f"test_{test}"])
        finally:
            os._exit(int(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    told: dict[str, list[str]] = {"noticed": [], "not noticed": [], "fails anyway": [], "left out": []}
    for key, model, name, default in places(Params):
        if len(sys.argv) > 1 and not key.startswith(tuple(sys.argv[1:])):
            continue
        mark = HERE.get(key, TABLE[key])
        if mark.startswith(ELSEWHERE):
            word = "left out"
        elif passes(mark, (model, name, default)):
            word = "not noticed"
        else:
            word = "noticed" if passes(mark) else "fails anyway"
        told[word].append(key)
        print(f"{word}: {key} ({mark})", flush=True)
    counts = {word.replace(" ", "_"): len(keys) for word, keys in told.items()}
    print(json.dumps(counts | {"ignored": told["not noticed"], "broken": told["fails anyway"]}))


if __name__ == "__main__":
    main()
