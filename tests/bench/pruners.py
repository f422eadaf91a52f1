"""What a pruner gains: the best value found in the same seconds, and in the same number of trials.

``python -m tests.bench.pruners [--quick] [--sets NAME ...] [--families NAME ...] [--seeds N]`` prints JSON. Each pruner has the
product's own search (its sampler, its worker process, one holdout) on the same rows with the same seed. Without a pruner
the search takes the default number of trials; the others have as many processor seconds (the sampler's own included),
with up to three times the trials. Seconds are the processor's, since wall time measures the neighbours.

``same_seconds``, ``same_trials``
    The best validation value, against the one without a pruner: a share of it, above 0 is better. A pruned trial is a trial.
``test``
    The same of the test rows, by the parameters found in the same seconds.
``better``, ``worse``
    Runs in which the best validation value found in the same seconds was better, or worse.
``seconds_saved``
    Share of the processor seconds that the same number of trials saves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np
import psutil

from tasks.families import find_family
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.metrics import higher_is_better, measure
from tasks.models import fit_family
from tasks.params import Tuning
from tasks.tune.objective import Objective
from tasks.tune.search import Budget, Search, search
from tasks.tune.worker import Worker
from tests.bench._tables import load, split
from tests.bench.quality import METRICS

SETS = ("fair", "anes96", "randhie")
FAMILIES = ("xgboost", "mlp")
PRUNERS = ("none", "median", "halving", "hyperband")


class Table:
    """One set's rows, and a worker that fits one family on them."""

    def __init__(self, name: str, family: str, seed: int, folder: Path) -> None:
        X, y, self.kind = load(name, seed)
        parts = split(y, self.kind, seed)
        rows = {part: np.flatnonzero(parts == part) for part in ("train", "valid", "test")}
        self.parts = {part: (X.iloc[at].reset_index(drop=True), y[at]) for part, at in rows.items()}
        self.kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
        self.classes = 0 if self.kind == "regression" else int(y.max()) + 1
        self.metric, self.family, self.seed, self.folder = METRICS[self.kind], family, seed, folder
        fold = Fold(*self.parts["train"], *self.parts["valid"])
        self.one = Objective(family, Setup(self.kind, self.classes, self.kinds, seed=seed), self.metric, [fold])
        self.sign = 1.0 if higher_is_better(self.metric) else -1.0
        self.space = find_family(family).space(self.kind, *fold[0].shape)
        self.worker = Worker(self.one, 1)
        self.worker.wait()
        self.worker.least_seconds({}, 60)  # loads the libraries

    def spent(self) -> float:
        """Processor seconds of the search and of its worker so far."""
        return sum(psutil.Process(self.worker.process.pid).cpu_times()[:2]) + time.process_time()

    def run(self, pruner: str, trials: int, seconds: float = np.inf) -> list[tuple[int, float, float, dict[str, Any]]]:
        """Number, seconds at its end, value and parameters of each trial that was not pruned."""
        begun, marks = self.spent(), {}

        class Enough(Exception):
            """The seconds are used up."""

        def mark(line: str) -> None:
            number = int(line.split()[1].rstrip(":")) - 1
            marks[number] = self.spent() - begun
            if marks[number] > seconds:
                raise Enough

        crew, sampler = [self.worker], Tuning().sampler
        key = f"{pruner}-{trials}"
        with contextlib.suppress(Enough):
            how = Search(self.space, Budget(trials, 3600), sampler, pruner)
            search(self.one, how, key, folder=self.folder, crew=crew, log=mark)
        how = Search(self.space, Budget(1, 3600), sampler, pruner)
        done = search(self.one, how, key, folder=self.folder, crew=crew).trials  # only reads
        return [
            (t["number"], marks[t["number"]], self.sign * t["value"], t["params"])
            for t in done
            if t["state"] == "complete" and t["number"] in marks
        ]

    def test(self, params: dict[str, Any]) -> float:
        """The test rows' value, higher is better, by a model with these parameters."""
        model = fit_family(self.family, params, Fold(*self.parts["train"], *self.parts["valid"]), self.one.setup)
        X, y = self.parts["test"]
        return self.sign * float(measure(self.metric, y, model.predict(X), self.kind))


def compare(table: Table, trials: int) -> dict[str, Any]:
    """All pruners on one table."""
    whole = table.run("none", trials)
    seconds = whole[-1][1]
    plain, out = max(whole, key=lambda t: t[2]), {}
    scale, held = abs(plain[2]), table.test(plain[3])
    for pruner in PRUNERS[1:]:
        found = table.run(pruner, 3 * trials, seconds)
        timely = max((t for t in found if t[1] <= seconds), key=lambda t: t[2])
        few = [t for t in found if t[0] < trials]
        after = [t[1] for t in found if t[0] >= trials - 1]
        out[pruner] = {
            "same_seconds": (timely[2] - plain[2]) / scale,
            "same_trials": (max(t[2] for t in few) - plain[2]) / scale,
            "test": (table.test(timely[3]) - held) / abs(held),
            "trials": found[-1][0] + 1,
            "seconds_saved": max(0.0, 1 - after[0] / seconds) if after else 0.0,
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    names, families, seeds, trials = (
        (("anes96",), ("xgboost",), 1, 8) if args.quick else (args.sets, args.families, args.seeds, Tuning().trials)
    )
    runs: list[dict[str, Any]] = []
    for name in names:
        for family in families:
            for seed in range(seeds):
                with tempfile.TemporaryDirectory() as folder:
                    table = Table(name, family, seed, Path(folder))
                    try:
                        found = compare(table, trials)
                    finally:
                        table.worker.end()
                runs += [{"set": name, "family": family, "seed": seed, "pruner": p, **f} for p, f in found.items()]
                print(json.dumps(runs[-3:]), file=sys.stderr, flush=True)
    summary = {}
    for pruner in PRUNERS[1:]:
        own = [r for r in runs if r["pruner"] == pruner]
        mean = {
            k: float(np.mean([r[k] for r in own])) for k in ("same_seconds", "same_trials", "test", "seconds_saved")
        }
        gains = [r["same_seconds"] for r in own]
        summary[pruner] = mean | {"better": sum(g > 0 for g in gains), "worse": sum(g < 0 for g in gains)}
    count = len(runs) // 3
    print(json.dumps({**summary, "tables": count, "trials": trials, "sampler": Tuning().sampler, "runs": runs}))


if __name__ == "__main__":
    main()
