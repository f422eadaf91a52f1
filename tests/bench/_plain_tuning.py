"""The rivals of the stage ``tune``: Optuna, or FLAML's CFO, in a few lines, on the stage's own folds and objective.

``python -m tests.bench._plain_tuning FAMILY SAMPLER [PYTHON_WITH_FLAML]`` in a project that has its features. As the stage does,
it begins with the family's defaults and takes ``tuning.trials`` trials. The last line is ``{"values", "params"}``: of each
trial, and the best one's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)

# isort: split
import optuna

from tasks.families import find_family
from tasks.fitting.rows import read_rows
from tasks.fitting.setup import Setup
from tasks.fitting.space import OneOf, Space, defaults
from tasks.metrics import higher_is_better
from tasks.params import load
from tasks.tune.folds import make_folds
from tasks.tune.messages import Attempt
from tasks.tune.objective import Objective

Tried = list[tuple[dict[str, Any], float]]


def by_optuna(name: str, one: Objective, space: Space, trials: int, seed: int) -> Tried:
    """``tpe``, of all parameters together, which is its stronger form, or ``gp``; after as few random trials as ours."""
    samplers: dict[str, Any] = {
        "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, n_startup_trials=5, seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(n_startup_trials=5, seed=seed),
    }
    tried: Tried = []

    def objective(trial: optuna.Trial) -> float:
        params: dict[str, Any] = {}
        for key, dim in space.items():
            if isinstance(dim, OneOf):
                params[key] = trial.suggest_categorical(key, dim.options)
            elif dim.whole:
                params[key] = trial.suggest_int(key, int(dim.low), int(dim.high), log=dim.log)
            else:
                params[key] = trial.suggest_float(key, dim.low, dim.high, log=dim.log)
        tried.append((params, one.value(Attempt(params))[0]))
        return tried[-1][1]

    direction = "maximize" if higher_is_better(one.metric) else "minimize"
    study = optuna.create_study(direction=direction, sampler=samplers[name]())
    study.enqueue_trial(defaults(space))
    study.optimize(objective, n_trials=trials)
    return tried


def by_flaml(python: str, one: Objective, space: Space, trials: int, seed: int) -> Tried:
    sign, tried = -1.0 if higher_is_better(one.metric) else 1.0, Tried()
    script = Path(__file__).with_name("_flaml_tune.py")
    with subprocess.Popen(
        [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"space": {k: asdict(d) for k, d in space.items()}, "start": defaults(space), "trials": trials}
        process.stdin.write(json.dumps(asked | {"seed": seed}) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            params = json.loads(line)
            tried.append((params, one.value(Attempt(params))[0]))
            process.stdin.write(f"{sign * tried[-1][1]!r}\n")
            process.stdin.flush()
    assert len(tried) == trials, f"FLAML asked for {len(tried)} of {trials} trials"
    return tried


def main() -> None:
    family, sampler = sys.argv[1:3]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    given, rows = load(), read_rows()
    folds = make_folds(rows, given.tuning, given.seed)
    one = Objective(
        family, Setup(rows.kind, len(rows.classes), rows.kinds, seed=given.seed), given.problem.metric, folds
    )
    space = find_family(family).space(rows.kind, *folds[0][0].shape)
    common = (one, space, given.tuning.trials, given.seed)
    tried = by_flaml(sys.argv[3], *common) if sampler == "cfo" else by_optuna(sampler, *common)
    best = (max if higher_is_better(one.metric) else min)(tried, key=lambda t: t[1])
    print(json.dumps({"values": [value for _, value in tried], "params": best[0]}))


if __name__ == "__main__":
    main()
