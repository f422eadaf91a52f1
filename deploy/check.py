"""Boot a package as it will be served, and compare its answers with the pipeline's own, before it is promoted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict

from pydantic import JsonValue

from deploy.launch import ask, running, serving
from tasks.artifacts import Golden, GoldenRow, Manifest, Schema
from tasks.bundle.manifest import examine
from tasks.errors import RefitError, shortened
from tasks.kinds import find_kind


class CheckResult(TypedDict):
    """What a check found: golden rows that agreed, malformed requests that were refused, seconds, and the package's identity."""

    rows: int
    refused: int
    seconds_to_ready: float
    seconds: float
    package: str


Asked = tuple[int, JsonValue]
Ask = Callable[[str, bytes], Asked]
EARLY = "1900-01-01T00:00:00Z"  # no request is earlier


def check(package: str | Path, timeout: float = 60, version: str = "check") -> CheckResult:
    """Start the package on a free loopback port, send its golden rows and malformed ones, and stop it.

    Parameters
    ----------
    package
        The package's folder.
    timeout
        Seconds until the service must be ready.

    Returns
    -------
    What agreed to the last bit and what was refused, in numbers.

    Raises
    ------
    RefitError
        With the reason: a damaged package, a service that does not start, an answer that differs.
    """
    package = Path(package)
    examined = examine(package)
    manifest = examined.about
    golden, schema = Golden.read(package).rows, Schema.read(package)
    began = time.perf_counter()
    try:
        # what it is asked here is no request of anybody's, to be kept
        with running(serving(package, version, examined.identity), timeout, {"REFIT_JOURNAL": ""}) as address:
            up = time.perf_counter()
            compare(manifest, golden, partial(ask, address))
            refused = refuse(golden, schema, partial(ask, address))
            refused += refuse_early(manifest, golden, schema, partial(ask, address))
    except OSError as error:
        raise RefitError(f"{package}: the service stopped answering during its check ({error})") from None
    return {
        "rows": len(golden),
        "refused": refused,
        "seconds_to_ready": round(up - began, 3),
        "seconds": round(time.perf_counter() - began, 3),
        "package": examined.identity,
    }


def compare(manifest: Manifest, golden: list[GoldenRow], ask: Ask) -> None:
    """Send the golden rows one by one and as a batch; every answer must be the pipeline's own, to the last bit."""
    for i, row in enumerate(golden):
        status, answer = ask("/predict", _json(row.input))
        _same(manifest, i, row, status, answer)
    status, answer = ask("/predict_batch", _json([row.input for row in golden]))
    if status != 200 or not isinstance(answer, list) or len(answer) != len(golden):
        raise RefitError(f"/predict_batch with {len(golden)} golden rows: {_what(status, answer)}")
    for i, row in enumerate(golden):
        together = row.model_copy(update={"scores": row.batch_scores, "decision": row.batch_decision})
        _same(manifest, i, together, 200, answer[i])


def _same(manifest: Manifest, i: int, row: GoldenRow, status: int, found: JsonValue) -> None:
    if status != 200 or not isinstance(found, dict):
        raise RefitError(f"golden row {i}: {_what(status, found)}")
    problem = find_kind(manifest.kind)
    wanted = problem.answer(row.scores, row.decision, tuple(manifest.classes))
    wanted |= problem.fixed(manifest.threshold)
    for name, value in wanted.items():
        if found.get(name) != value:  # floats went through repr and back, which keeps their bits
            raise RefitError(
                f"golden row {i}: the served package answers {name} {found.get(name)!r} and the pipeline {value!r}. "
                "What was evaluated is not what would be served, so it is not promoted."
            )
    said = found.get("warnings")
    silent = [text for text in row.warnings if not isinstance(said, list) or text not in said]
    if silent:
        raise RefitError(f"golden row {i}: the served package does not warn that {silent[0]}")


def refuse(golden: list[GoldenRow], schema: Schema, ask: Ask) -> int:
    """Send malformed requests; each must get a 4xx that names what is wrong. Returns how many were sent."""
    row = golden[0].input
    wrong: dict[str, tuple[bytes, str | None]] = {
        "no JSON": (b"{", None),
        "not UTF-8": (b'{"\xff": 1}', None),
        "not an object": (b"[1]", None),
        "an unknown field": (_json({**row, "no such field": 1}), "no such field"),
    }
    for field in schema.fields:
        name = field.name
        if field.required:
            wrong[f"{name} missing"] = (_json({k: v for k, v in row.items() if k != name}), name)
        wrong[f"{name} a list"] = (_json({**row, name: []}), name)
    for what, (body, at) in wrong.items():
        status, answer = ask("/predict", body)
        errors = answer.get("errors", []) if isinstance(answer, dict) else []
        told = [e.get("field") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
        named = at in told if at else bool(told)
        if not 400 <= status < 500 or not named:
            raise RefitError(f"malformed input ({what}) must get a 4xx that names it, and got {_what(status, answer)}")
    return len(wrong)


def refuse_early(manifest: Manifest, golden: list[GoldenRow], schema: Schema, ask: Ask) -> int:
    """Send a row from before ``answers_from``, where the package has one: it must get a 422. Returns how many were sent."""
    if (manifest.answers_from or EARLY) <= "1910":  # it answers rows of any time that a request may have
        return 0
    row, times = golden[0].input, [f.name for f in schema.fields if f.kind == "datetime"]
    early = row | {name: EARLY for name in times if row.get(name) is not None}
    status, answer = ask("/predict", _json(early))
    if status != 422 or "answers_from" not in json.dumps(answer):
        raise RefitError(f"a row from before answers_from must get a 422 that says so, and got {_what(status, answer)}")
    return 1


def _json(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _what(status: int, answer: object) -> str:
    return f"status {status}, {shortened(json.dumps(answer, ensure_ascii=False), 300)}"
