"""Population-based training beside TPE and random search: four families, the same seconds for each.

``python -m tests.bench.population [--quick] [--seconds N] [--tables NAME ...]``. Every search runs through the product's own
worker processes (two of one thread each) and begins with the family's defaults. Seconds count from when the workers
are ready, with their libraries and rows. By table and family, for each way: ``curve`` (seconds, best value on validation rows so far), ``valid`` at
the end, ``test`` of the model that comes out of it (of TPE and random one more fit with the parameters found, whose
time is not counted; of pbt the winner itself), ``trials``. ``served``: the winner, stored and loaded again, gives the bits that it was
judged by. ``won``: on how many of the pairs pbt's value on test rows is better. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.metrics import higher_is_better, measure
from tasks.models import Model, load_model, save_model
from tasks.tune.objective import Objective
from tasks.tune.pbt import evolve
from tasks.tune.search import Budget, Search, SearchResult, search
from tasks.tune.worker import Worker
from tests.bench._flights import emit
from tests.bench._tables import load, split

FAMILIES = ("mlp", "xgboost", "lightgbm", "gradient_boosting")
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
TURNS = 64  # of eight members, eight each
MANY = 10_000  # trials: seconds end the search


class Clock:
    """A search's log as its curve: seconds, and the best value so far."""

    def __init__(self, metric: str) -> None:
        self.metric, self.begun, self.best = metric, time.monotonic(), None
        self.curve: list[tuple[float, float]] = []

    def __call__(self, line: str) -> None:
        words = line.split()
        if self.metric not in words:
            return
        value = float(words[words.index(self.metric) + 1])
        better = max if higher_is_better(self.metric) else min
        if self.best is None or better(value, self.best) != self.best:
            self.best = value
            self.curve.append((round(time.monotonic() - self.begun, 2), value))


def examine(name: str, family: str, seconds: float, rows: int) -> dict[str, Any]:
    """One family on one table, searched in three ways."""
    X, y, kind = load(name)
    at = np.arange(0, len(y), max(1, len(y) // rows))
    X, y = X.iloc[at].reset_index(drop=True), y[at]
    part = split(y, kind, 0)
    train, valid, test = ((X[part == p].reset_index(drop=True), y[part == p]) for p in ("train", "valid", "test"))
    kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    classes, metric = (0 if kind == "regression" else int(y.max()) + 1), METRICS[kind]
    one = Objective(family, Setup(kind, classes, kinds, seed=0), metric, [Fold(*train, *valid)])
    space = find_family(family).space(kind, *train[0].shape)
    out: dict[str, Any] = {"metric": metric}
    crew = [Worker(one, 1), Worker(one, 1)]
    here = replace(one, _prepared={})  # what this process encodes and fits must not be sent to a worker
    with tempfile.TemporaryDirectory() as folder:
        for way in ("pbt", "tpe", "random"):
            # Libraries are loaded and rows encoded before any clock runs, also in a process that had to be ended.
            warm = Budget(2, 600, workers=2)
            search(one, Search(space, warm, "random"), f"warm {way}", crew=crew, folder=Path(folder))
            budget = Budget(TURNS if way == "pbt" else MANY, seconds, workers=2, threads=2)
            common: dict[str, Any]
            clock, common = Clock(metric), {"folder": Path(folder), "crew": crew}
            found: SearchResult
            try:
                if way == "pbt":
                    found = winner = evolve(one, Search(space, budget), way, log=clock, **common)
                    fitted = winner.fitted
                else:
                    found = search(one, Search(space, budget, way), way, log=clock, **common)
                    fitted = here.prepared(family, 0).fit(found.params)
            except RefitError as error:  # no time for a single fit: a busy machine
                out[way] = {"valid": None, "test": None, "trials": 0, "curve": [], "why": str(error)}
                continue
            assert fitted is not None
            model = Model(family, kind, classes, here.prepared(family, 0).encoder, fitted)
            scores = model.predict(test[0])
            out[way] = {
                "valid": found.value,
                "test": measure(metric, test[1], scores, kind),
                "trials": len(found.trials),
                "curve": clock.curve,
            }
            if way == "pbt":
                save_model(model, Path(folder) / "model")
                again = load_model(Path(folder) / "model")
                judged = measure(metric, valid[1], again.predict(valid[0]), kind)
                out["served"] = again.predict(test[0]).tobytes() == scores.tobytes() and judged == found.value
                out["turns"] = found.params["turns"]
    for worker in crew:
        worker.end()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one table, 3,000 rows, eight seconds a search")
    parser.add_argument("--seconds", type=float, help="of each search (quick: 8, else 30)")
    parser.add_argument("--tables", nargs="+", default=None)
    args = parser.parse_args()
    names = args.tables or (["flights"] if args.quick else ["flights", "fair", "randhie"])
    seconds = args.seconds or (8 if args.quick else 30)
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        for family in FAMILIES:
            found = examine(name, family, seconds, 3000 if args.quick else 12_000)
            results.setdefault(name, {})[family] = found
            said = ", ".join(
                f"{way} {found[way]['valid']} (test {found[way]['test']}, {found[way]['trials']} trials)"
                for way in ("pbt", "tpe", "random")
            )
            print(f"{name}, {family}, {found['metric']}: {said}", file=sys.stderr, flush=True)
            print(f"  pbt's curve: {found['pbt']['curve']}", file=sys.stderr, flush=True)
    each = [found for by in results.values() for found in by.values()]

    def won(against: str) -> int:
        both = [f for f in each if f["pbt"]["trials"] and f[against]["trials"]]
        sign = [1 if higher_is_better(found["metric"]) else -1 for found in both]
        return sum(s * (f["pbt"]["test"] - f[against]["test"]) > 0 for s, f in zip(sign, both, strict=True))

    emit(
        {
            "seconds": seconds,
            "of": len(each),
            "won": {"tpe": won("tpe"), "random": won("random")},
            "served": all(found["served"] for found in each if "served" in found),
            "tables": results,
        }
    )


if __name__ == "__main__":
    main()
