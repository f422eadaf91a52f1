"""How soon a good score is found, and what pruning saves.

``python -m tests.bench.tuning [--quick] [--sets NAME ...] [--seeds N]`` prints JSON. Everything runs through the product's own search, worker
process and study; the goal of a run is the best score that random search (without the defaults) has after N trials
on the same rows. Figures are means over seeds, each with its own split of the rows, then over sets.

``trials_ratio``
    Trials that the default sampler needs to reach the goal, beginning as always with the defaults, over N.
    Where half of N did not suffice, (N + 1) / N is counted. ``without_defaults`` is the same beginning with a random
    draw instead, and ``from_defaults`` the share of runs in which the defaults alone reached the goal.
``time_ratio``
    The same with pruning on, in seconds (the sampler's own included) over those of random search without pruning.
    All seconds are of the processor: on a shared machine, wall time measures the neighbours.
``trial_seconds_saved``
    Share of the trial-seconds that pruning saves on the same parameters, with ``score_change`` of the best
    trial relative to the unpruned one (negative: pruning lost something).
"""

from __future__ import annotations

import argparse
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
from optuna.trial import TrialState
from sklearn.model_selection import KFold, StratifiedKFold

from tasks.families import find_family
from tasks.metrics import higher_is_better
from tasks.params import Tuning
from tasks.tune.objective import Objective
from tasks.tune.samplers import draw
from tasks.tune.search import Budget, search
from tasks.tune.study import finished, open_study
from tasks.tune.worker import Worker
from tests.bench._tables import load, split

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
SETS = ("fair", "anes96", "randhie")  # one real set per kind
PRUNER = "halving"


def objective(name: str, seed: int) -> Objective:
    """XGBoost on three folds of a set's train and valid rows; test is left alone.

    On one holdout the best of 60 random draws is a lucky one on noisy rows, which says little of a search.
    """
    X, y, kind = load(name, seed)
    parts = split(y, kind, seed)
    at = np.flatnonzero(parts != "test")
    cut = (KFold if kind == "regression" else StratifiedKFold)(3, shuffle=True, random_state=seed)
    pairs = [(at[a], at[b]) for a, b in cut.split(at, y[at])]
    folds = [(X.iloc[a].reset_index(drop=True), y[a], X.iloc[b].reset_index(drop=True), y[b]) for a, b in pairs]
    kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    classes = 0 if kind == "regression" else int(y.max()) + 1
    return Objective("xgboost", kind, classes, METRICS[kind], folds, kinds, seed=seed)


class Runs:
    """Searches on one objective, in one worker process."""

    def __init__(self, name: str, seed: int, trials: int, folder: Path) -> None:
        self.one, self.seed, self.trials, self.folder = objective(name, seed), seed, trials, folder
        n, p = self.one.folds[0][0].shape
        self.space = find_family("xgboost").space(self.one.kind, n, p)
        self.worker = Worker(self.one, 1)
        self.sign = -1.0 if higher_is_better(self.one.metric) else 1.0

    def run(self, key: str, trials: int, seed: int, *, first: bool, **how: Any) -> tuple[np.ndarray, np.ndarray, float]:
        """Losses (lower is better; infinite for pruned trials), seconds until each, and those of the fits alone.

        ``first``: begin with the defaults, as the product does; else with a random draw.
        """
        directions: list[Any] = ["maximize" if self.sign < 0 else "minimize"]
        if not first:
            with open_study(key, directions, self.folder) as study:
                study.enqueue_trial(draw(self.space, np.random.default_rng([seed, 99])))
        self.worker.wait()
        fits, own, seconds = self.fits(), time.process_time(), np.full(trials, np.nan)

        def mark(line: str) -> None:
            number = int(line.split()[1].rstrip(":")) - 1
            seconds[number] = self.fits() - fits + time.process_time() - own

        budget = Budget(trials, 3600)
        search(self.one, self.space, budget, key, seed=seed, crew=[self.worker], folder=self.folder, log=mark, **how)
        with open_study(key, directions, self.folder) as study:
            done = finished(study)
        losses = [self.sign * t.values[0] if t.state == TrialState.COMPLETE else np.inf for t in done]
        return np.array(losses), seconds, self.fits() - fits

    def fits(self) -> float:
        """Processor seconds of the worker so far."""
        return sum(psutil.Process(self.worker.process.pid).cpu_times()[:2])

    def measure(self) -> dict[str, float]:
        half, own = self.trials // 2, Tuning().sampler
        blind, spent, fits = self.run("random", self.trials, self.seed + 500, first=False, sampler="random")
        pruned, _, less = self.run("pruned", self.trials, self.seed + 500, first=False, sampler="random", pruner=PRUNER)
        product, _, _ = self.run("product", half, self.seed, first=True, sampler=own)
        bare, _, _ = self.run("bare", half, self.seed, first=False, sampler=own)
        quick, until, _ = self.run("quick", self.trials, self.seed, first=True, sampler=own, pruner=PRUNER)
        goal = float(blind.min())
        there, whole = np.flatnonzero(quick <= goal), float(spent[-1])
        return {
            "trials_ratio": reached(product, goal, self.trials) / self.trials,
            "without_defaults": reached(bare, goal, self.trials) / self.trials,
            "from_defaults": float(product[0] <= goal),
            "time_ratio": float(until[there[0]]) / whole if len(there) else max(1.0, float(np.nanmax(until)) / whole),
            "trial_seconds_saved": 1 - less / fits,
            "score_change": (goal - float(pruned.min())) / max(abs(goal), 1e-12),
        }


def reached(losses: np.ndarray, goal: float, trials: int) -> int:
    """Trials until ``goal`` is reached; one more than ``trials`` if never."""
    hit = np.flatnonzero(losses <= goal)
    return int(hit[0]) + 1 if len(hit) else trials + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    names, seeds, trials = (("fair",), 1, 18) if args.quick else (args.sets, args.seeds, 60)
    rows: list[dict[str, Any]] = []
    for name in names:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                runs = Runs(name, seed, trials, Path(folder))
                try:
                    rows.append({"set": name, "seed": seed, **runs.measure()})
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                finally:
                    runs.worker.end()
    figures = [k for k in rows[0] if k not in ("set", "seed")]
    sets = {n: {k: float(np.mean([r[k] for r in rows if r["set"] == n])) for k in figures} for n in names}
    summary = {k: float(np.mean([s[k] for s in sets.values()])) for k in figures}
    print(json.dumps({**summary, "trials": trials, "sampler": Tuning().sampler, "sets": sets, "runs": rows}))


if __name__ == "__main__":
    main()
