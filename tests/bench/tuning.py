"""How soon a good score is found, and what pruning saves.

``python -m tests.bench.tuning [--quick]`` prints JSON:

``trials_ratio``
    For each set, the trials that TPE needs to reach the score that random search has after N trials, over N;
    the mean over seeds, then over sets.
``trial_seconds_saved``
    Share of the trial-seconds that pruning saves on the same parameters, with ``score_change`` of the best
    trial (positive: better), averaged the same way.
"""

from __future__ import annotations

import argparse
import json
import time

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np
import optuna

from tasks.families import Stopped, find_family
from tasks.metrics import higher_is_better
from tasks.tune.objective import Objective
from tasks.tune.samplers import optuna_sampler
from tasks.tune.search import make_pruner
from tasks.tune.study import distributions
from tests.bench._tables import load, split

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def objective(name: str, seed: int) -> Objective:
    X, y, kind = load(name, seed)
    parts = split(y, kind, seed)
    fold = []
    for part in ("train", "valid"):
        fold += [X[parts == part].reset_index(drop=True), y[parts == part]]
    kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    classes = 0 if kind == "regression" else int(y.max()) + 1
    return Objective("xgboost", kind, classes, METRICS[kind], [tuple(fold)], kinds, seed=seed)  # type: ignore[list-item]


def trials(
    one: Objective, sampler: str, count: int, seed: int, pruner: str = "none"
) -> tuple[list[float], list[float]]:
    """Losses (lower is better; the last seen one of a pruned trial) and seconds, trial by trial."""
    sign = -1.0 if higher_is_better(one.metric) else 1.0
    n, p = one.folds[0][0].shape
    space = distributions(find_family("xgboost").space(one.kind, n, p))
    study = optuna.create_study(direction="minimize", pruner=make_pruner(pruner))
    losses, seconds = [], []
    for number in range(count):
        study.sampler = optuna_sampler(sampler, seed, number, count)
        trial = study.ask(space)

        def watch(step: int, value: float, trial: optuna.Trial = trial) -> bool:
            trial.report(sign * value, step)
            return trial.should_prune()

        begun = time.perf_counter()
        try:
            loss = sign * one.value(trial.params, watch if pruner != "none" else None)[0]
            study.tell(trial, loss)
        except Stopped:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            loss = np.inf
        seconds.append(time.perf_counter() - begun)
        losses.append(loss)
    return losses, seconds


def reached(losses: list[float], goal: float) -> int:
    """Trials until ``goal`` is reached; one more than there are if never."""
    return next((i for i, loss in enumerate(losses, start=1) if loss <= goal), len(losses) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    names, seeds, count = (("fair",), 1, 12) if quick else (("fair", "diabetes", "digits"), 3, 45)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for name in names:
        for seed in range(seeds):
            one = objective(name, seed)
            blind, plain_seconds = trials(one, "random", count, seed)
            modelled, _ = trials(one, "tpe", count, seed + 1000)
            pruned, pruned_seconds = trials(one, "random", count, seed, "halving")
            rows.append(
                {
                    "set": name,
                    "seed": seed,
                    "trials_ratio": reached(modelled, min(blind)) / count,
                    "trial_seconds_saved": 1 - sum(pruned_seconds) / sum(plain_seconds),
                    "score_change": (min(blind) - min(pruned)) / max(abs(min(blind)), 1e-12),
                }
            )
    summary = {k: float(np.mean([r[k] for r in rows])) for k in ("trials_ratio", "trial_seconds_saved", "score_change")}
    print(json.dumps({**summary, "trials": count, "runs": rows}, indent=2))


if __name__ == "__main__":
    main()
