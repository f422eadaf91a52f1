"""The limits of ``tuning.goals`` hold for what is packaged: the last fit, on more rows than a trial had, is measured again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.artifacts import Best, LastFit, Sized, Trial
from tasks.errors import RefitError
from tasks.fitting.base import Log
from tasks.fitting.space import Settings
from tasks.goals import Point, choose
from tasks.models import Model
from tasks.models.costs import size
from tasks.models.large import Trained


@dataclass(frozen=True)
class WithinLimits:
    """The last fit, its parameters, and what ``candidate.json`` says of goals (None: there are none)."""

    found: Trained
    params: Settings
    goals: LastFit | None = None


def fit_within(
    best: Best,
    trials: list[Trial],
    fit: Callable[[Settings], Trained],
    log: Log,
    measured: Callable[[Model], float] = size,
) -> WithinLimits:
    """Fit the trial that tuning chose; where its model is larger than ``size_kb`` may be, the next of the front.

    The next one is what the rule chooses of those that are left. A size is exact, so it can decide here; a latency depends
    on the machine, and is told (:func:`tasks.train.__main__.main`).

    Parameters
    ----------
    best, trials : what tuning wrote. fit : a fit on all training rows, by parameters.
    measured : kB of a model.

    Raises
    ------
    RefitError
        If no trial of the front keeps the limit on all rows.
    """
    goals = best.goals
    if not goals:
        return WithinLimits(fit(best.params), best.params)
    limit = goals.rule.costs.get("size_kb")
    most = limit.at_most if limit else None
    varied = {one.name: one.params for one in trials}
    left = {p.name: Point(p.name, p.value, p.costs) for p in goals.front}
    name = next(p.name for p in goals.front if p.chosen)
    gone: list[Sized] = []
    while True:
        params = best.params | varied.get(name, {})
        found = fit(params)
        kb = measured(found.model)
        if most is None or kb <= most:
            return WithinLimits(found, params, LastFit(trial=name, size_kb=round(kb, 3), gone=gone))
        gone.append(Sized(trial=name, size_kb=round(kb, 3)))
        log(f"{best.family}: {name}, fitted on all rows, has {kb:.0f} kB, and tuning.goals allows {most:g}")
        del left[name]
        try:
            place, why = choose(list(left.values()), goals.rule, best.metric) if left else (None, "")
        except RefitError:
            place = None
        if place is None:
            smallest = min(gone, key=lambda one: one.size_kb)
            raise RefitError(
                f"tuning.goals.size_kb.at_most: {most:g} kB, and on all rows no trial of {best.family} keeps it; the smallest "
                f"of {len(gone)} fits is {smallest.trial} with {smallest.size_kb:.0f} kB. Raise it, narrow the space to "
                "smaller models, or leave tuning.rows unset, so that trials are as large as the last fit."
            )
        name = list(left)[place]
        log(f"{best.family}: instead, {why}")
