"""`models: auto`: a race of families within one budget.

First every family gets one trial with its defaults, cheapest first. Then rounds: the families are ranked by
their best value, the lower half is stopped, and the others go on with their own search, until one or two
are left, which share what remains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.families._space import Space
from tasks.families.auto import candidates
from tasks.metrics import better
from tasks.tune.objective import Objective
from tasks.tune.search import Budget, Found, search, start_crew
from tasks.tune.study import FOLDER, open_study
from tasks.tune.worker import Worker

FIRST = 0.4  # share of the seconds for the first trial of every family
FEWEST = 4  # trials a family gets in a round


def search_families(
    objective: Objective,
    budget: Budget,
    key: Callable[[str, Space], str],
    overrides: dict[str, Any],
    *,
    pruner: str = "none",
    seed: int = 0,
    starts: list[dict[str, Any]] | None = None,
    folder: Path = FOLDER,
    log: Callable[[str], None] = lambda line: None,
) -> Found:
    """Race the families that suit the problem; the parameters found name the winner as ``family``."""
    if overrides:
        raise RefitError("models.auto.space: auto has no space of its own; name the family in models instead")
    rows, columns = objective.folds[0][0].shape
    names = list(candidates(objective.kind, rows))
    founds: dict[str, Found] = {}

    file = key("auto", {})
    crew: list[Worker] = []

    def go_on(name: str, trials: int, until: float) -> None:
        for worker in crew:  # one that was ended for its slowness starts again
            worker.wait()
        now = time.monotonic()
        if until - now < 0.5:
            return
        space = find_family(name).space(objective.kind, rows, columns)
        own = replace(objective, family=name, _prepared={})
        part = replace(budget, trials=trials, seconds=until - now, until=until)
        try:
            founds[name] = search(
                own,
                space,
                part,
                key(name, space),
                pruner=pruner,
                seed=seed,
                crew=crew,
                folder=folder,
                file=file,
                log=lambda line: log(f"{name}: {line}"),
            )
        except RefitError as error:
            log(f"{name}: left out: {error}")

    try:
        with open_study(file, ["maximize"], folder, file):
            pass  # makes the file, which takes a second that no family shall pay for
        for worker in start_crew(objective, budget, crew):
            worker.wait()
        end = time.monotonic() + budget.seconds
        first = time.monotonic() + FIRST * budget.seconds
        for name in names:
            # Up to half of what is left of the first round: a quick family leaves more to the slow ones.
            share = max(0.5 * (first - time.monotonic()), 0.1 * budget.seconds)
            if not founds:  # there must be an answer at all
                share = end - time.monotonic()
            if founds and time.monotonic() > first:
                log(f"{name}: not tried, the first round's time is over")
                continue
            go_on(name, 1, time.monotonic() + share)
        if not founds:
            raise RefitError(
                f"models.auto.seconds: {budget.seconds:g} s did not suffice for one fit of any family on {rows:,} rows. "
                "Raise tuning.seconds, or lower tuning.rows."
            )
        racing, trials = _ranked(founds, objective.metric), FEWEST
        while time.monotonic() < end and trials <= budget.trials:
            racing = racing[: max(1, (len(racing) + 1) // 2)]
            log(f"going on with {', '.join(racing)}")
            last = len(racing) == 1
            trials = budget.trials if last else min(trials, budget.trials)
            left = end - time.monotonic()
            for place, name in enumerate(racing):
                part = left * (1.0 if last else 0.5) / len(racing)
                go_on(name, trials, end if last and place == 0 else time.monotonic() + part)
            racing = [n for n in _ranked(founds, objective.metric) if n in racing]
            if last:
                break
            trials *= 2
    finally:
        for worker in crew:
            worker.end()
    winner = _ranked(founds, objective.metric)[0]
    best = founds[winner]
    log(f"chose {winner}")
    merged = [{**t, "family": name} for name, found in founds.items() for t in found.trials]
    numbered = [{**t, "number": i} for i, t in enumerate(merged)]
    reused = sum(f.reused for f in founds.values())
    return Found({"family": winner, **best.params}, best.value, numbered, best.importance, reused)


def _ranked(founds: dict[str, Found], metric: str) -> list[str]:
    """Names from best to worst; of equals the one tried first."""
    out: list[str] = []
    for name in founds:
        place = next((i for i, o in enumerate(out) if better(metric, founds[name].value, founds[o].value)), len(out))
        out.insert(place, name)
    return out
