"""`refit run` with two stages at a time against one at a time, and against `make -j2` on the same DAG.

``python -m tests.bench.parallel [--quick]``. A user's case: families whose searches and fits take unequally long, each stage
with the threads that it takes by itself, so that two stages share the cores. Full: this project's own pipeline on the flights; quick: a
table of 20,000 flights by ``refit init`` with three families. All seconds are of the wall, from the command to its end;
`refit run` also starts Prefect, records, registers, checks and promotes, which make does not. Each way has a project of its own and must leave
the same model and scores. The last line is one JSON object:

``ratio``       seconds with ``orchestration.parallel: 2`` over those with 1 (below 1: two at a time is quicker)
``over_make``   `refit run`, two at a time, over `make -j2`
``seconds``, ``cpu_seconds``  of each way
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench._flights import emit
from tests.bench._runs import RUN, copied, flights, made, make, newcomer, seconds
from tests.bench._tables import load
from tests.projects import edit

MODELS = {"logistic": {"trials": 1}, "gradient_boosting": {"trials": 2}, "xgboost": {"trials": 3}}
WAYS = {"refit_1": 1, "refit_2": 2, "make_2": 2}


def table(root: Path) -> None:
    X, y, _ = load("flights")
    newcomer(root, X.assign(late=y.astype(int)), "late", MODELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        (table if quick else flights)(Path(name) / "project")
        spent, left = {}, []
        for way, root in copied(Path(name) / "project", WAYS).items():
            edit(root / "params.yaml", orchestration__parallel=WAYS[way])
            spent[way] = seconds(RUN if way.startswith("refit") else make(root, WAYS[way]), root)
            left.append(made(root))
        assert all(found == left[0] for found in left), "the ways did not leave the same model and scores"
    emit(
        {
            "ratio": round(spent["refit_2"].wall / spent["refit_1"].wall, 2),
            "over_make": round(spent["refit_2"].wall / spent["make_2"].wall, 2),
            "seconds": {way: round(s.wall, 1) for way, s in spent.items()},
            "cpu_seconds": {way: round(s.cpu, 1) for way, s in spent.items()},
        }
    )


if __name__ == "__main__":
    main()
