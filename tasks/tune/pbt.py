"""Population-based training of the network (Jaderberg et al., 2017).

A population trains in turns. After each turn the worst quarter takes the weights of the best quarter, and
its parameters, slightly changed. A turn of a member is a trial of the study; its weights wait on disk in
between, so that a killed search goes on with the turn it was in.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from tasks.errors import RefitError
from tasks.families._space import Choice, Number, Space, defaults
from tasks.metrics import higher_is_better
from tasks.tune.objective import Objective
from tasks.tune.samplers import draw, seed_of
from tasks.tune.search import Budget, Found, _described, _short
from tasks.tune.study import FOLDER, distributions, inside, open_study, seconds_spent
from tasks.tune.worker import Worker

# What may change while weights are kept; the shape of the network may not.
CHANGEABLE = ("lr", "weight_decay")
EPOCHS = 2  # a turn


def evolve(
    objective: Objective,
    space: Space,
    budget: Budget,
    key: str,
    *,
    seed: int = 0,
    starts: list[dict[str, Any]] | None = None,
    folder: Path = FOLDER,
    log: Callable[[str], None] = lambda line: None,
) -> Found:
    """Train a population; ``budget.trials`` are turns of members in all.

    The parameters found are those of the best member's last turn, with ``epochs`` set to what it trained for,
    so that the final fit repeats its length.
    """
    if objective.family != "mlp":
        raise RefitError(
            f"tuning.sampler: pbt changes a network while it trains, and models has {objective.family!r}; "
            "use it with mlp alone, or another sampler"
        )
    if budget.trials < 4:
        raise RefitError(f"models.mlp.trials: pbt needs at least 4 (members and turns), found {budget.trials}")
    size = int(min(8, max(2, round(math.sqrt(budget.trials)))))
    sign = -1.0 if higher_is_better(objective.metric) else 1.0
    states = (folder / f"{key}-weights").absolute()
    worker = Worker(objective, budget.threads)
    try:
        with open_study(key, ["maximize" if sign < 0 else "minimize"], folder) as study:
            reused = len(_turns(study))
            worker.wait()
            deadline = time.monotonic() + budget.seconds - seconds_spent(study)
            while len(_turns(study)) < budget.trials and time.monotonic() < deadline:
                done = _turns(study)
                params, parent = next_member(space, done, size, sign, seed, starts or [])
                trial = _ask(study, space, params, parent, len(done))
                how = params | {
                    "epochs": EPOCHS * (trial.number // size + 1),
                    "schedule": "constant",
                    "patience": 10_000,
                    "checkpoint": str(states / f"{trial.number}.safetensors"),
                }
                _inherit(states, parent, trial.number)
                worker.fit(how, deadline, watched=False)
                what, content = worker.pipe.recv()
                if what != "done":
                    study.tell(trial, state=TrialState.FAIL)
                    raise RefitError(f"models.mlp: {content}")
                study.tell(trial, content[0])
                log(f"turn {trial.number // size + 1} of member {trial.number % size + 1}: "
                    f"{objective.metric} {content[0]:.5g} with {_short(params)}")  # fmt: skip
            done = _turns(study)
            if not done:
                raise RefitError(
                    f"models.mlp.seconds: {budget.seconds:g} s did not suffice for one turn; raise it, or lower tuning.rows"
                )
            best = min(done, key=lambda t: (sign * t.values[0], t.number))
            params = dict(best.params) | {"epochs": EPOCHS * (best.number // size + 1), "schedule": "constant"}
            if len(done) >= budget.trials:
                shutil.rmtree(states, ignore_errors=True)
            return Found(params, best.values[0], [_described(t) for t in done], {}, reused)
    finally:
        worker.end()


def next_member(
    space: Space, done: list[FrozenTrial], size: int, sign: float, seed: int, starts: list[dict[str, Any]]
) -> tuple[dict[str, Any], int | None]:
    """Parameters of the next turn, and the trial whose weights it takes (None in the first turn)."""
    number = len(done)
    rng = np.random.default_rng(seed_of(seed, number))
    if number < size:
        first = [defaults(space) | inside(space, s) for s in starts] + [defaults(space)]
        return (first[number] if number < len(first) else draw(space, rng)), None
    turn = number // size
    last = sorted(done[(turn - 1) * size : turn * size], key=lambda t: (sign * t.values[0], t.number))
    own = done[number - size]
    quarter = max(1, size // 4)
    if own in last[-quarter:] and size > 1:
        parent = last[int(rng.integers(quarter))]
        return changed(space, dict(parent.params), rng), parent.number
    return dict(own.params), own.number


def changed(space: Space, params: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Multiply what may change by 0.8 or 1.25, within the space."""
    for name in CHANGEABLE:
        dim = space.get(name)
        if name in params and isinstance(dim, Number):
            params[name] = float(np.clip(params[name] * rng.choice([0.8, 1.25]), dim.low, dim.high))
        elif isinstance(dim, Choice):
            params[name] = dim.options[int(rng.integers(len(dim.options)))]
    return params


def _turns(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _ask(
    study: optuna.Study, space: Space, params: dict[str, Any], parent: int | None, number: int
) -> optuna.trial.Trial:
    """The next trial; one that was interrupted keeps its number."""
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(params, user_attrs={"parent": parent})
    trial = study.ask(distributions(space))
    if trial.number != number:
        raise RefitError(f"the study of this search is damaged; remove {FOLDER} and tune again")
    return trial


def _inherit(states: Path, parent: int | None, number: int) -> None:
    """Start from the parent's weights, whatever an interrupted turn has left."""
    states.mkdir(parents=True, exist_ok=True)
    own = states / f"{number}.safetensors"
    own.unlink(missing_ok=True)
    if parent is not None:
        beside = states / f"{number}.copy"
        shutil.copyfile(states / f"{parent}.safetensors", beside)
        beside.replace(own)
