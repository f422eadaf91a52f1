"""The search: ask for parameters, have a worker fit them, tell the value, until trials or seconds are used up."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from tasks.artifacts import GoalChoice, GoalRule, Trial
from tasks.errors import RefitError
from tasks.fitting.base import Log
from tasks.fitting.space import Settings, Space, defaults
from tasks.goals import Point, choose, record
from tasks.metrics import higher_is_better
from tasks.tune import samplers
from tasks.tune.messages import Attempt, Done, FitFailed, Step, UserMistake
from tasks.tune.objective import Objective
from tasks.tune.pruners import first_look, should_stop
from tasks.tune.study import (
    BEAT,
    FOLDER,
    beat,
    distributions,
    finished,
    inside,
    lost,
    open_study,
    record_steps,
    requeue,
    seconds_spent,
    turn,
)
from tasks.tune.worker import Worker

SURELY = 3  # a guess must exceed the budget so many times before it counts
GRACE = 0.03  # share of the budget that a fit may run over before its process is ended


@dataclass(frozen=True)
class Budget:
    """How much may be spent: whichever comes first."""

    trials: int
    seconds: float
    workers: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Attributes
    ----------
    sampler, pruner : as in ``tuning`` of params.
    goals : how to choose where the objective measures costs too (:mod:`tasks.goals`).
    starts : parameters to try first (a champion's), before the defaults.
    """

    space: Space
    budget: Budget
    sampler: str = "gp"
    pruner: str = "none"
    goals: GoalRule | None = None
    starts: Sequence[Settings] = ()


@dataclass
class SearchResult:
    """The outcome of a search."""

    params: Settings
    value: float
    trials: list[Trial]
    importance: dict[str, float] = field(default_factory=dict)
    reused: int = 0
    goals: GoalChoice | None = None  # the front and the choice from it, where there are several


def search(
    objective: Objective,
    how: Search,
    key: str,
    *,
    folder: Path = FOLDER,
    crew: list[Worker] | None = None,
    log: Log = lambda line: None,
) -> SearchResult:
    """Find the best parameters within the budget.

    Parameters
    ----------
    key : the study's name; trials already finished under it count, and are not repeated.
    folder : where the study is kept; see :func:`~tasks.tune.study.open_study`.
    crew : worker processes with the same rows, to use and leave running; else own ones are started.

    Raises
    ------
    RefitError
        If no trial finished: the budget is too small for one fit, or every fit failed.
    """
    own: list[Worker] = []
    directions: list[Literal["minimize", "maximize"]] = [
        "maximize" if higher_is_better(objective.metric) else "minimize"
    ]
    directions += ["minimize"] * len(objective.costs)
    try:
        if crew is None:
            crew = own = start_crew(objective, how.budget, own)
        with open_study(key, directions, folder) as study:
            reused = len(finished(study))
            with turn(study, folder):
                if not study.get_trials(deepcopy=False):
                    _enqueue(study, how)
            # Seconds are for trials; starting Python and sending the rows is not the search's fault.
            for worker in crew:
                worker.wait()
            deadline = time.monotonic() + how.budget.seconds - seconds_spent(study) / how.budget.workers
            if own and not reused:
                check_budget(own[0], objective, defaults(how.space), how.budget)
            run = _SearchRun(study, objective, how, deadline, folder, log)
            run.until_done(crew)
            return run.found(reused)
    finally:
        for worker in own:
            worker.end()


def check_budget(worker: Worker, objective: Objective, params: Settings, budget: Budget) -> None:
    """Refuse a budget that is surely too small for one fit, before it is spent.

    Raises
    ------
    RefitError
        If the guess at one fit's least time is several times the budget.
    """
    seconds = worker.least_seconds(params, max(10.0, 0.5 * budget.seconds))
    if seconds > SURELY * budget.seconds:
        about = "far longer" if math.isinf(seconds) else f"about {seconds:.2g} s"
        raise RefitError(too_small(objective, budget, "would", f", which takes {about}"))


def too_small(objective: Objective, budget: Budget, verb: str, more: str = "") -> str:
    """That a budget does not suffice for one fit, in words."""
    name, rows = objective.family, len(objective.folds[0][0])
    return (
        f"models.{name}.seconds: {budget.seconds:g} s {verb} not suffice for one fit of {name} on {rows:,} rows{more}. "
        f"Raise tuning.seconds or models.{name}.seconds, or lower tuning.rows."
    )


def start_crew(objective: Objective, budget: Budget, crew: list[Worker]) -> list[Worker]:
    """Fill ``crew`` with worker processes that share the threads."""
    for _ in range(min(budget.workers, budget.trials)):
        crew.append(Worker(objective, max(1, budget.threads // budget.workers)))
    return crew


def _enqueue(study: optuna.Study, how: Search) -> None:
    """Queue the champion's parameters and the defaults, unless the sampler must see its own points only."""
    if how.sampler in ("grid", "cmaes"):
        return
    first: list[Settings] = []
    for params in [defaults(how.space) | inside(how.space, s) for s in how.starts] + [defaults(how.space)]:
        if params not in first:
            first.append(params)
    for params in first:
        study.enqueue_trial(params)


class _SearchRun:
    """One process's part in a study."""

    def __init__(
        self,
        study: optuna.Study,
        objective: Objective,
        how: Search,
        deadline: float,
        folder: Path,
        log: Log,
    ) -> None:
        self.study, self.objective, self.how, self.folder = study, objective, how, folder
        self.deadline, self.log, self.seed = deadline, log, objective.setup.seed
        self.sign = -1.0 if higher_is_better(objective.metric) else 1.0
        self.distributions = distributions(how.space)
        self.failures: list[str] = []
        self.next_beat = 0.0
        self.steps: dict[int, dict[int, float]] = {}  # values of running trials, lower is better
        self.others: dict[int, dict[int, float]] = {}  # of finished ones
        self.first: int | None = None  # the pruner's first step; unknown before there is a whole trial

    def until_done(self, crew: list[Worker]) -> None:
        """Keep the crew busy; then wait for other processes' trials, so that all report the same best one."""
        limit = self.deadline + GRACE * self.how.budget.seconds
        while True:
            self._keep_alive([w.trial for w in crew if w.trial is not None])
            for worker in crew:
                if worker.trial is None:
                    self._begin(worker)
            busy = [w for w in crew if w.trial is not None]
            if not busy:
                if time.monotonic() >= self.deadline or not self._count(TrialState.RUNNING):
                    return
                time.sleep(0.2)
                continue
            until = min(limit, self.next_beat) - time.monotonic()
            ready = wait([w.pipe for w in busy], timeout=max(0.0, until))
            for worker in busy:
                if worker.pipe in ready:
                    self._hear(worker)
                elif time.monotonic() >= limit:
                    self._fail(worker, "out of time")
                    worker.kill()

    def _keep_alive(self, own: list[optuna.Trial]) -> None:
        """A sign of life of own trials; trials of workers that give none any more go back in the queue."""
        if time.monotonic() < self.next_beat:
            return
        self.next_beat = time.monotonic() + BEAT
        beat(self.study, own)
        if self._count(TrialState.RUNNING) > len(own):
            with turn(self.study, self.folder):
                requeue(self.study, lost(self.study))

    def _count(self, *states: TrialState) -> int:
        return len(self.study.get_trials(deepcopy=False, states=states))

    def _begin(self, worker: Worker) -> None:
        """Take the next trial, if there is to be one."""
        if time.monotonic() >= self.deadline or len(self.failures) >= 5:
            return
        with turn(self.study, self.folder):
            if not self._more():
                return
            worker.trial = self.study.ask(self.distributions)
            beat(self.study, [worker.trial])
        if self.how.pruner != "none":
            self._look()
        attempt = Attempt(dict(worker.trial.params), self.objective.family)
        worker.fit(attempt, self.deadline, self.how.pruner != "none")

    def _more(self) -> bool:
        """Whether another trial is to be taken; it is ready to be asked for then."""
        if not self.how.space and finished(self.study):
            return False  # nothing to vary
        taken = self._count(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        if taken >= self.how.budget.trials:
            return False
        trials = self.how.budget.trials
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:  # one that was killed before it had its parameters draws those of its own number
            if self.how.sampler not in (*samplers.OURS, "gp"):
                number = min(trial.number for trial in waiting)
                self.study.sampler = samplers.optuna_sampler(self.how.sampler, self.seed, number, trials)
            return True
        number = len(self.study.get_trials(deepcopy=False))
        if self.how.sampler in samplers.OURS:
            params = samplers.suggest(self.how.sampler, self.how.space, self._tried(), self.seed, number, trials)
            if params is None:
                return False  # the grid is used up
            self.study.enqueue_trial(params)
        elif self.how.sampler == "gp":
            self.study.enqueue_trial(samplers.gp_step(self.study, self.distributions, self.seed, number, trials))
        else:
            self.study.sampler = samplers.optuna_sampler(self.how.sampler, self.seed, number, trials)
        return True

    def _tried(self) -> samplers.Tried:
        pairs = [(t.params, _value(t)) for t in finished(self.study)]
        return [(params, self.sign * value) for params, value in pairs if value is not None]

    def _hear(self, worker: Worker) -> None:
        match worker.hear():
            case Step(number, value):
                assert worker.trial is not None
                if math.isfinite(value):
                    self.steps.setdefault(worker.trial.number, {})[number] = self.sign * value
                worker.answer(math.isfinite(value) and self._should_stop(worker.trial.number))
            case UserMistake(reason):
                self._fail(worker, reason)
                raise RefitError(reason)
            case FitFailed(reason):
                self._fail(worker, reason)
            case Done(values):
                trial = worker.put_down()
                if self._tell(trial, values, TrialState.COMPLETE):
                    costs = zip(self.objective.costs, values[1:], strict=True)
                    told = [f"{self.objective.metric} {values[0]:.5g}", *(f"{name} {cost:.3g}" for name, cost in costs)]
                    self.log(f"trial {trial.number + 1}: {', '.join(told)} with {short(trial.params)}")
            case _:
                self._tell(worker.put_down(), None, TrialState.PRUNED)

    def _limit(self, trial: optuna.Trial, values: list[float] | None) -> None:
        """Tell the sampler how far a trial is beyond the limits."""
        for name, cost in zip(self.objective.costs, (values or [])[1:], strict=False):
            most = self.how.goals and self.how.goals.costs[name].at_most
            if most:
                trial.set_constraint(name, cost - most)

    def _look(self) -> None:
        """Read what the pruner compares with; once a trial, since reading takes longer than some steps."""
        for trial in finished(self.study):
            known = {step: self.sign * value for step, value in trial.intermediate_values.items()}
            self.others[trial.number] = known
            if self.first is None and trial.state == TrialState.COMPLETE and known:
                self.first = first_look(max(known))

    def _should_stop(self, number: int) -> bool:
        """The pruner's word on a trial that has just told a step."""
        if self.first is None:
            return False
        others = {n: steps for n, steps in (self.others | self.steps).items() if n != number}
        return should_stop(self.how.pruner, number, self.steps[number], others, self.first)

    def _tell(self, trial: optuna.Trial, values: list[float] | None, state: TrialState) -> bool:
        """False if this process was taken for dead, and another has the trial by now."""
        steps = self.steps.pop(trial.number, {})
        try:
            if steps:
                record_steps(self.study, trial, {s: self.sign * v for s, v in steps.items()})
            self._limit(trial, values)
            self.study.tell(trial, values, state=state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if trial.storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
                raise
            self.log(f"trial {trial.number + 1}: another worker took it over meanwhile")
            return False
        return True

    def _fail(self, worker: Worker, reason: str) -> None:
        trial = worker.put_down()
        trial.set_user_attr("reason", reason[:200])
        self._tell(trial, None, TrialState.FAIL)
        self.failures.append(reason)
        self.log(f"trial {trial.number + 1}: not finished, {reason}")

    def found(self, reused: int) -> SearchResult:
        complete = [t for t in finished(self.study) if t.state == TrialState.COMPLETE]
        if not complete:
            if set(self.failures) <= {"out of time"}:
                raise RefitError(too_small(self.objective, self.how.budget, "did"))
            raise RefitError(f"models.{self.objective.family}: no trial could be fitted: {self.failures[0]}")
        # Of trials with the same value the first counts, whatever order they finished in.
        best = min(complete, key=lambda t: (self.sign * t.values[0], t.number))
        chosen: GoalChoice | None = None
        names, metric = self.objective.costs, self.objective.metric
        if self.how.goals:
            points = [
                Point(f"trial {t.number + 1}", t.values[0], dict(zip(names, t.values[1:], strict=True)))
                for t in complete
            ]
            place, reason = choose(points, self.how.goals, metric)
            best, chosen = complete[place], record(points, self.how.goals, place, reason, metric)
            self.log(reason)
        trials = [described(t, names) for t in self.study.get_trials(deepcopy=False) if t.state in _REPORTED]
        return SearchResult(dict(best.params), best.values[0], trials, self._importance(complete), reused, chosen)

    def _importance(self, complete: list[FrozenTrial]) -> dict[str, float]:
        """Share of the values' variance that each parameter explains (PED-ANOVA); empty for few trials."""
        values = {t.values[0] for t in complete}
        if len(complete) < 8 or len(values) < 2 or len(self.how.space) < 2:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            found = optuna.importance.get_param_importances(
                self.study, evaluator=evaluator, target=lambda t: self.sign * t.values[0]
            )
        except (RuntimeError, ValueError):
            return {}
        return {k: round(float(v), 6) for k, v in sorted(found.items())}


_REPORTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def _value(trial: FrozenTrial) -> float | None:
    if trial.values:
        return trial.values[0]
    return trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None


def described(trial: FrozenTrial, costs: tuple[str, ...] = (), parent: int | None = None) -> Trial:
    """A trial as ``trials.json`` has it; of a population with its ``parent``."""
    more: dict[str, Any] = dict(zip(costs, (trial.values or [])[1:], strict=False))
    return Trial(
        number=trial.number,
        params=dict(sorted(trial.params.items())),
        value=_value(trial),
        state=trial.state.name.lower(),
        intermediate={str(k): v for k, v in sorted(trial.intermediate_values.items())},
        **more if parent is None else {**more, "parent": parent},
    )


def short(params: Settings) -> str:
    """Parameters in a line."""
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())
