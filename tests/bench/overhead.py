"""What orchestration costs: `refit run` against its stages' own commands by a shell script, and against `dvc repro`.

``python -m tests.bench.overhead [--quick]``. All seconds are of the wall, from the command to its end: Prefect's temporary server and
all effects (tracking, registration, the package's check, promotion), which the others do not have, are in. Each way has a project of its own, runs one
stage at a time, and must leave the same model and scores. Then each is run again with nothing to do. The last line is one
JSON object:

``ratio``, ``ratio_dvc``   seconds of `refit run` over the script's, and over those of `dvc repro`
``cpu_ratio``, …           the same of processor seconds, on which other work on the machine has less influence
``seconds``, …             of each way, and ``again`` with nothing to do (a script knows no such thing)
``stages``, ``effects``    how many stages, and the seconds of the effects in `refit run`

Full: this project's own pipeline on the flights; quick: iris with one family, so that there is as little work as can be.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench._flights import emit
from tests.bench._runs import REPRO, RUN, copied, effects, flights, made, newcomer, script, seconds

MODELS = {"logistic": {"trials": 2}}


def iris(root: Path) -> None:
    from sklearn.datasets import load_iris

    newcomer(root, load_iris(as_frame=True).frame, "target", MODELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        (iris if quick else flights)(Path(name) / "project")
        roots = copied(Path(name) / "project", ("script", "refit", "dvc"))
        commands = {"script": script(roots["script"]), "refit": RUN, "dvc": REPRO}
        first = {way: seconds(commands[way], root) for way, root in roots.items()}
        same = [made(root) for root in roots.values()]
        assert same[0] == same[1] == same[2], "the ways did not leave the same model and scores"
        own = effects(roots["refit"])
        again = {way: seconds(commands[way], roots[way]) for way in ("refit", "dvc")}
        stages = (roots["script"] / "run.sh").read_text().count("python -m tasks.")
    emit(
        {
            "ratio": round(first["refit"].wall / first["script"].wall, 2),
            "ratio_dvc": round(first["refit"].wall / first["dvc"].wall, 2),
            "cpu_ratio": round(first["refit"].cpu / first["script"].cpu, 2),
            "cpu_ratio_dvc": round(first["refit"].cpu / first["dvc"].cpu, 2),
            "seconds": {way: round(spent.wall, 1) for way, spent in first.items()},
            "cpu_seconds": {way: round(spent.cpu, 1) for way, spent in first.items()},
            "again": {way: round(spent.wall, 1) for way, spent in again.items()},
            "stages": stages,
            "effects": round(own, 1),
        }
    )


if __name__ == "__main__":
    main()
