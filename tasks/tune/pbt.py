"""Population-based training (Jaderberg et al., 2017).

A population trains in turns. After each turn the worst quarter takes the state of a member of the best quarter, and its
parameters, slightly changed. A turn of a member is a trial of the study; its state waits on disk in between, so that a
killed search goes on with the turns it was in. What the search finds is a trained model: that of the best turn, with the
parameters of all turns that led to it.
"""

from __future__ import annotations

import fcntl
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.base import Fitted, Log, Turn
from tasks.fitting.space import Number, OneOf, Settings, Space, as_float, defaults
from tasks.metrics import higher_is_better
from tasks.models.turns import THREADS, changeable, goes_on, read_turn, replay
from tasks.tune.messages import Attempt, Died, Done, FitFailed, UserMistake
from tasks.tune.objective import Objective
from tasks.tune.samplers import draw, seed_of
from tasks.tune.search import GRACE, Search, SearchResult, described, short, too_small
from tasks.tune.study import FOLDER, beat, distributions, inside, open_study, requeue, seconds_spent
from tasks.tune.worker import Worker

TRIES = 3  # of a turn whose process died
TOLD = (TrialState.COMPLETE, TrialState.FAIL)


@dataclass(kw_only=True)
class PopulationResult(SearchResult):
    """What a population found: ``params`` hold the ``turns`` that made ``fitted``."""

    fitted: Fitted


def evolve(
    objective: Objective,
    how: Search,
    key: str,
    *,
    folder: Path = FOLDER,
    crew: list[Worker] | None = None,
    log: Log = lambda line: None,
) -> PopulationResult:
    """Train a population; the budget's trials are turns of members in all.

    Members of a turn train side by side in the budget's ``workers`` processes, each on one thread, and the next turn begins
    when all are there: so the outcome is the same for any number of workers. ``key``, ``folder`` and
    ``crew`` (of one thread each) are those of :func:`~tasks.tune.search.search`.

    Raises
    ------
    RefitError
        If time did not suffice for a turn, or no member could be trained.
    """
    population, budget = _Population(objective, how), how.budget
    key = f"{key}-{population.size}"  # another number of members is another search
    states = (folder / f"{key}-states").absolute()
    population.states, population.log = states, log
    own: list[Worker] = []
    if crew is None:
        crew = own = [Worker(objective, THREADS) for _ in range(min(budget.workers, population.size))]
    try:
        with _alone(folder, key), open_study(key, [population.direction], folder, shared=False) as study:
            population.study = study
            reused = len(population.told())
            for worker in crew:
                worker.wait()
            population.deadline = time.monotonic() + budget.seconds - seconds_spent(study) / budget.workers
            population.run(crew)
            return population.found(reused)
    finally:
        for worker in own:
            worker.end()


class _Population:
    """The members, and where they stand."""

    study: optuna.Study
    states: Path
    log: Log
    deadline: float

    def __init__(self, objective: Objective, how: Search) -> None:
        self.objective, self.space, self.budget, self.starts = objective, how.space, how.budget, how.starts
        family = find_family(objective.family)
        assert goes_on(family)  # as is checked before any stage
        self.family = family
        self.size = members(how.budget.trials)
        self.sign = -1.0 if higher_is_better(objective.metric) else 1.0
        self.direction: Literal["maximize", "minimize"] = "maximize" if self.sign < 0 else "minimize"
        self.died: dict[int, int] = {}  # by trial, how often its process died
        self.next_beat = 0.0

    def told(self) -> dict[int, FrozenTrial]:
        """Turns that are over, by number; a failed one has no value."""
        return {t.number: t for t in self.study.get_trials(deepcopy=False, states=TOLD)}

    def run(self, crew: list[Worker]) -> None:
        """Turn by turn, until trials or time are used up."""
        for first in range(0, self.budget.trials, self.size):
            told = self.told()
            numbers = range(first, min(first + self.size, self.budget.trials))
            self._turn(crew, [n for n in numbers if n not in told], told)
            if not set(numbers) <= set(self.told()):
                return  # time is up
            self._forget(first)

    def _turn(self, crew: list[Worker], todo: list[int], told: dict[int, FrozenTrial]) -> None:
        """One turn of the members ``todo``, as far as time allows."""
        limit = self.deadline + GRACE * self.budget.seconds
        while True:
            for worker in crew:
                if worker.trial is None and todo and time.monotonic() < self.deadline:
                    self._begin(worker, todo.pop(0), told)
            busy = [w for w in crew if w.trial is not None]
            if not busy:
                return
            if time.monotonic() >= self.next_beat:
                self.next_beat = time.monotonic() + 5
                beat(self.study, [w.trial for w in busy if w.trial is not None])
            until = min(limit, self.next_beat) - time.monotonic()
            ready = wait([w.pipe for w in busy], timeout=max(0.0, until))
            for worker in busy:
                if worker.pipe in ready:
                    again = self._hear(worker)
                    if again is not None:
                        todo[:] = sorted([*todo, again])  # Optuna gives the lowest number that waits
                elif time.monotonic() >= limit:
                    requeue(self.study, [worker.put_down()._trial_id])
                    worker.kill()

    def _begin(self, worker: Worker, number: int, told: dict[int, FrozenTrial]) -> None:
        """Give a turn to a worker. One that was interrupted keeps its number, its parameters and its beginning."""
        if not any(t.number == number for t in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))):
            params, parent = next_member(self.space, told, number, self._ways())
            self.study.enqueue_trial(params, user_attrs={"parent": parent})
        worker.trial = self.study.ask(distributions(self.space))
        parent = worker.trial.user_attrs["parent"]
        before = None if parent is None else self._state(parent)
        if worker.trial.number != number or (before is not None and not before.is_dir()):
            raise RefitError(f"the study of this search is damaged; remove {self.states.parent} and tune again")
        turn = Turn(number // self.size, before, self._state(number))
        worker.fit(Attempt(dict(worker.trial.params), turn=turn), self.deadline, watched=False)

    def _ways(self) -> Ways:
        return Ways(self.size, self.sign, self.objective.setup.seed, self.starts, changeable(self.family, self.space))

    def _hear(self, worker: Worker) -> int | None:
        """A worker's message; the number of the turn where it has to be taken again."""
        trial, answer = worker.put_down(), worker.hear()
        who = self._who(trial.number)
        if isinstance(answer, Died):
            self.died[trial.number] = self.died.get(trial.number, 0) + 1
            if self.died[trial.number] < TRIES:
                requeue(self.study, [trial._trial_id])
                self.log(f"{who}: its process died; the turn begins again")
                return trial.number
        match answer:
            case UserMistake(reason):
                requeue(self.study, [trial._trial_id])
                raise RefitError(reason)
            case FitFailed(reason):
                trial.set_user_attr("reason", reason[:200])
                self.study.tell(trial, state=TrialState.FAIL)
                self.log(f"{who}: failed, {reason}")
            case Done([value]):
                self.study.tell(trial, value)
                self.log(f"{who}: {self.objective.metric} {value:.5g} with {short(trial.params)}")
            case _:  # time was up in the middle; a later run with more of it takes the whole turn
                requeue(self.study, [trial._trial_id])
        return None

    def _who(self, number: int) -> str:
        return f"turn {number // self.size + 1} of member {number % self.size + 1}"

    def _state(self, number: int) -> Path:
        return self.states / str(number)

    def _forget(self, first: int) -> None:
        """Keep the states of the newest turn, and of the best so far."""
        best = _best(self.told(), self.sign)
        for path in self.states.iterdir() if self.states.is_dir() else ():
            number = int(path.name) if path.name.isdigit() else -1
            if number < first and (best is None or number != best.number):
                shutil.rmtree(path, ignore_errors=True)

    def found(self, reused: int) -> PopulationResult:
        told = self.told()
        best = _best(told, self.sign)
        if best is None:
            reasons = [t.user_attrs.get("reason", "") for t in told.values()]
            if not reasons:
                raise RefitError(too_small(self.objective, self.budget, "did"))
            raise RefitError(f"models.{self.family.NAME}: no member could be trained: {reasons[0]}")
        changing = changeable(self.family, best.params)
        line: list[FrozenTrial] = []
        at: int | None = best.number
        while at is not None:
            line.append(told[at])
            at = told[at].user_attrs["parent"]
        turns = [{name: t.params[name] for name in changing} for t in reversed(line)]
        params = dict(best.params) | {"turns": turns}
        if self._state(best.number).is_dir():
            setup = self.objective.setup
            fitted = read_turn(self._state(best.number), setup.kind, setup.classes)
        else:  # a finished search whose states were removed
            job = self.objective.prepared(self.family.NAME, 0).job()
            fitted = replay(self.family, self.objective.fixed | params, job)
        trials = [described(told[n], parent=told[n].user_attrs["parent"]) for n in sorted(told)]
        return PopulationResult(params=params, value=best.values[0], trials=trials, reused=reused, fitted=fitted)


def members(trials: int) -> int:
    """Members of a population that takes ``trials`` turns in all: as many as each takes turns, at most 8.

    >>> members(4), members(20), members(400)
    (2, 4, 8)
    """
    return int(min(8, max(2, round(math.sqrt(trials)))))


@dataclass(frozen=True)
class Ways:
    """What a population goes by: members, sign (-1: more is better), seed, first parameters, and what may change."""

    size: int
    sign: float
    seed: int
    starts: Sequence[Settings]
    changing: list[str]


def next_member(space: Space, told: dict[int, FrozenTrial], number: int, how: Ways) -> tuple[Settings, int | None]:
    """Parameters of a turn, and the trial whose state it goes on from (None in the first turn)."""
    rng = np.random.default_rng(seed_of(how.seed, number))
    if number < how.size:
        first = [defaults(space) | inside(space, s) for s in how.starts] + [defaults(space)]
        return (first[number] if number < len(first) else draw(space, rng)), None
    turn = number // how.size
    before = {n: told[n] for n in range((turn - 1) * how.size, turn * how.size)}
    well = sorted((n for n, t in before.items() if t.values), key=lambda n: (how.sign * before[n].values[0], n))
    if not well:
        raise RefitError(f"no member could be trained: {next(iter(before.values())).user_attrs.get('reason', '')}")
    quarter = max(1, how.size // 4)
    own = number - how.size
    if own in well and (own not in well[-quarter:] or len(well) == 1):
        return dict(before[own].params), own
    parent = well[int(rng.integers(min(quarter, len(well))))]
    return changed(space, dict(before[parent].params), how.changing, rng), parent


def changed(space: Space, params: Settings, changing: list[str], rng: np.random.Generator) -> Settings:
    """Multiply the numbers ``changing`` by 0.8 or 1.25 within the space; draw choices anew."""
    for name in changing:
        dim = space[name]
        if isinstance(dim, OneOf):
            params[name] = dim.options[int(rng.integers(len(dim.options)))]
            continue
        assert isinstance(dim, Number)
        old, factor = as_float(params[name]), float(rng.choice([0.8, 1.25]))
        new = float(np.clip(old * factor, dim.low, dim.high))
        if dim.whole:  # a small number must move as well
            new = int(np.clip(max(round(new), old + 1) if factor > 1 else min(round(new), old - 1), dim.low, dim.high))
        params[name] = new
    return params


def _best(told: dict[int, FrozenTrial], sign: float) -> FrozenTrial | None:
    well = [t for t in told.values() if t.values]
    return min(well, key=lambda t: (sign * t.values[0], t.number)) if well else None


@contextmanager
def _alone(folder: Path, key: str) -> Iterator[None]:
    """Wait until no other process is at this population: its states lie in one place."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{key}.population", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
