"""Ways to choose the next trial. All are seeded anew for each trial from (seed, number), so that a search
that was interrupted goes on exactly as it would have.

Optuna has random, TPE, Gaussian process and NSGA-II. Grid, hill climbing, CMA-ES and the ensemble of
strategies are functions of the finished trials, which is what makes them resumable. The Gaussian process is the
default; with the tens of trials that retraining affords, and from the same defaults, it is about level with TPE
(``python -m tests.bench.tuning``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tasks.fitting.space import Number, OneOf, Setting, Settings, Space, as_float, defaults

Tried = Sequence[tuple[Settings, float]]  # parameters and value, lower is better
OURS = ("grid", "hill_climbing", "cmaes", "strategies")


def seed_of(seed: int, number: int) -> int:
    """The seed of one trial."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def optuna_sampler(name: str, seed: int, number: int, trials: int) -> optuna.samplers.BaseSampler:
    """A fresh Optuna sampler for trial ``number``."""
    own = seed_of(seed, number)
    start = max(3, min(10, trials // 4))  # random trials before a model is trusted
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=own, n_startup_trials=start, multivariate=True, group=False)
    if name == "gp":  # with noise: near points differ by the luck of the held-out rows
        return optuna.samplers.GPSampler(seed=own, n_startup_trials=min(start, 5))
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=own, population_size=max(4, min(20, trials // 3)))
    return optuna.samplers.RandomSampler(seed=own)


def gp_step(study: optuna.Study, space: dict[str, BaseDistribution], seed: int, number: int, trials: int) -> Settings:
    """Parameters of trial ``number`` by a Gaussian process.

    It is asked on a copy of the study in memory, where pruned trials have the worst value of the complete ones.
    Optuna's would leave them out and try their neighbours; and the value at which they were stopped is not
    comparable with those of whole fits.
    """
    copy = optuna.create_study(directions=study.directions, sampler=optuna_sampler("gp", seed, number, trials))
    known = study.get_trials(deepcopy=False)
    whole = [t.values[0] for t in known if t.state == TrialState.COMPLETE]
    for trial in known:
        if trial.state in (TrialState.COMPLETE, TrialState.RUNNING):
            copy.add_trial(trial)
        elif trial.state == TrialState.PRUNED and whole:
            worst = min(whole) if study.directions[0] == StudyDirection.MAXIMIZE else max(whole)
            made = optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=worst)
            copy.add_trial(made)
    return dict(copy.ask(space).params)


def suggest(name: str, space: Space, tried: Tried, seed: int, number: int, trials: int) -> Settings | None:
    """Parameters of trial ``number`` by one of :data:`OURS`; None where a grid is used up."""
    rng = np.random.default_rng(seed_of(seed, number))
    if name == "grid":
        points = grid(space, trials)
        return points[number] if number < len(points) else None
    if name == "hill_climbing":
        return climb(space, tried, rng)
    if name == "cmaes":
        return cmaes_step(space, tried, seed)
    turn = ("random", "grid", "hill_climbing")[number % 3]
    if turn == "grid" and number // 3 < len(points := grid(space, max(trials // 3, 1))):
        return points[number // 3]
    return climb(space, tried, rng) if turn == "hill_climbing" else draw(space, rng)


def draw(space: Space, rng: np.random.Generator) -> Settings:
    """A uniform draw (uniform in the logarithm where the dimension says so)."""
    return {name: _at(dim, float(rng.random())) for name, dim in space.items()}


def grid(space: Space, trials: int) -> list[Settings]:
    """As fine a grid as fits ``trials`` points (at least two values a number), coarsest dimensions last.

    The points nearest to the defaults come first, so that a cut grid is still a sensible one.
    """
    points = 2
    while points < 25 and math.prod(len(d.grid(points + 1)) for d in space.values()) <= trials:
        points += 1
    names = list(space)
    found: list[Settings] = [
        dict(zip(names, combo, strict=True)) for combo in itertools.product(*(space[n].grid(points) for n in names))
    ]
    start = _place(space, defaults(space))
    return sorted(found, key=lambda p: float(np.abs(_place(space, p) - start).sum()))


def climb(space: Space, tried: Tried, rng: np.random.Generator) -> Settings:
    """A step from the best point so far; steps halve when five in a row did not improve, then a restart."""
    if not tried:
        return defaults(space)
    values = [value for _, value in tried]
    best = int(np.argmin(values))
    stuck = len(values) - 1 - best
    if stuck and stuck % 15 == 0:
        return draw(space, rng)
    step = 0.25 * 0.5 ** (stuck // 5 % 3)
    here = _place(space, tried[best][0])
    moved = {}
    chosen = rng.random(len(space)) < max(0.4, 1 / len(space))
    if not chosen.any():
        chosen[rng.integers(len(space))] = True
    for j, (name, dim) in enumerate(space.items()):
        where = float(here[j])
        if chosen[j]:
            if isinstance(dim, OneOf):
                where = float(rng.random())
            else:
                where = float(np.clip(where + rng.normal(0, step), 0, 1))
        moved[name] = _at(dim, where)
    return moved


def cmaes_step(space: Space, tried: Tried, seed: int) -> Settings:
    """The next point of CMA-ES (cmaes), found by replaying it on the trials so far.

    A replay needs no state on disk: the same trials lead to the same strategy.
    """
    from cmaes import CMA

    width = len(space)
    if width == 1:  # CMA-ES needs two dimensions
        return climb(space, tried, np.random.default_rng(seed_of(seed, len(tried))))
    strategy = CMA(
        mean=_place(space, defaults(space)), sigma=0.25, bounds=np.tile([0.0, 1.0], (width, 1)), seed=seed % 2**31
    )
    told: list[tuple[np.ndarray, float]] = []
    for _, value in tried:
        told.append((strategy.ask(), value))
        if len(told) == strategy.population_size:
            strategy.tell(told)
            told = []
    place = strategy.ask()
    return {name: _at(dim, float(x)) for (name, dim), x in zip(space.items(), place, strict=True)}


def _at(dim: Number | OneOf, x: float) -> Setting:
    """The value at place ``x`` in [0, 1] of a dimension."""
    if isinstance(dim, OneOf):
        return dim.options[min(int(x * len(dim.options)), len(dim.options) - 1)]
    if dim.log:
        value = dim.low * (dim.high / dim.low) ** x
    else:
        value = dim.low + (dim.high - dim.low) * x
    value = min(max(value, dim.low), dim.high)
    return round(value) if dim.whole else value


def _place(space: Space, params: Settings) -> np.ndarray:
    """Parameters as places in [0, 1]; what is missing stands at its default."""
    places = []
    for name, dim in space.items():
        value = params.get(name, dim.default)
        if isinstance(dim, OneOf):
            places.append((dim.options.index(value) + 0.5) / len(dim.options))
        elif dim.high == dim.low:
            places.append(0.5)
        elif dim.log:
            places.append(math.log(as_float(value) / dim.low) / math.log(dim.high / dim.low))
        else:
            places.append((as_float(value) - dim.low) / (dim.high - dim.low))
    return np.clip(np.asarray(places), 0.0, 1.0)
