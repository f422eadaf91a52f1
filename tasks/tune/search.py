"""The search: ask for parameters, have a worker fit them, tell the value, until trials or seconds are used up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from tasks.artifacts import GoalChoice, GoalRule, Trial
from tasks.errors import RefitError
from tasks.families._space import Space, defaults
from tasks.goals import Point, choose, record
from tasks.metrics import higher_is_better
from tasks.tune import samplers
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


@dataclass
class Found:
    """The outcome of a search."""

    params: dict[str, Any]
    value: float
    trials: list[Trial]
    importance: dict[str, float] = field(default_factory=dict)
    reused: int = 0
    goals: GoalChoice | None = None  # the front and the choice from it, where there are several


def search(
    objective: Objective,
    space: Space,
    budget: Budget,
    key: str,
    *,
    sampler: str = "gp",
    pruner: str = "none",
    goals: GoalRule | None = None,
    seed: int = 0,
    starts: list[dict[str, Any]] | None = None,
    folder: Path = FOLDER,
    crew: list[Worker] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Found:
    """Find the best parameters within ``budget``.

    Parameters
    ----------
    key : the study's name; trials already finished under it count, and are not repeated.
    starts : parameters to try first (a champion's), before the defaults.
    sampler, pruner : as in ``tuning`` of params.
    goals : how to choose where ``objective`` measures costs too (:mod:`tasks.goals`).
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
            crew = own = start_crew(objective, budget, own)
        with open_study(key, directions, folder) as study:
            reused = len(finished(study))
            with turn(study, folder):
                if not study.get_trials(deepcopy=False):
                    _enqueue(study, space, starts or [], sampler)
            # Seconds are for trials; starting Python and sending the rows is not the search's fault.
            for worker in crew:
                worker.wait()
            deadline = time.monotonic() + budget.seconds - seconds_spent(study) / budget.workers
            if own and not reused:
                check_budget(own[0], objective, defaults(space), budget)
            run = _Run(study, objective, space, budget, sampler, pruner, goals, seed, deadline, folder, log)
            run.until_done(crew)
            return run.found(reused)
    finally:
        for worker in own:
            worker.end()


def check_budget(worker: Worker, objective: Objective, params: dict[str, Any], budget: Budget) -> None:
    """Refuse a budget that is surely too small for one fit, before it is spent.

    Raises
    ------
    RefitError
        If the guess at one fit's least time is several times the budget.
    """
    seconds = worker.least_seconds(params, max(10.0, 0.5 * budget.seconds))
    if seconds > SURELY * budget.seconds:
        about = "far longer" if math.isinf(seconds) else f"about {seconds:.2g} s"
        raise RefitError(_too_small(objective, budget, "would", f", which takes {about}"))


def _too_small(objective: Objective, budget: Budget, verb: str, more: str = "") -> str:
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


def _enqueue(study: optuna.Study, space: Space, starts: list[dict[str, Any]], sampler: str) -> None:
    """Queue the champion's parameters and the defaults, unless the sampler must see its own points only."""
    if sampler in ("grid", "cmaes"):
        return
    first: list[dict[str, Any]] = []
    for params in [defaults(space) | inside(space, s) for s in starts] + [defaults(space)]:
        if params not in first:
            first.append(params)
    for params in first:
        study.enqueue_trial(params)


class _Run:
    """One process's part in a study."""

    def __init__(
        self,
        study: optuna.Study,
        objective: Objective,
        space: Space,
        budget: Budget,
        sampler: str,
        pruner: str,
        goals: GoalRule | None,
        seed: int,
        deadline: float,
        folder: Path,
        log: Callable[[str], None],
    ) -> None:
        self.study, self.objective, self.space, self.budget, self.folder = study, objective, space, budget, folder
        self.sampler, self.pruner, self.seed, self.deadline, self.log = sampler, pruner, seed, deadline, log
        self.goals = goals
        self.sign = -1.0 if higher_is_better(objective.metric) else 1.0
        self.distributions = distributions(space)
        self.failures: list[str] = []
        self.next_beat = 0.0
        self.steps: dict[int, dict[int, float]] = {}  # values of running trials, lower is better
        self.others: dict[int, dict[int, float]] = {}  # of finished ones
        self.first: int | None = None  # the pruner's first step; unknown before there is a whole trial

    def until_done(self, crew: list[Worker]) -> None:
        """Keep the crew busy; then wait for other processes' trials, so that all report the same best one."""
        limit = self.deadline + GRACE * self.budget.seconds
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
                    worker.process.kill()
                    worker.process.join()

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
        if self.pruner != "none":
            self._look()
        worker.fit({**worker.trial.params, "family": self.objective.family}, self.deadline, self.pruner != "none")

    def _more(self) -> bool:
        """Whether another trial is to be taken; it is ready to be asked for then."""
        if not self.space and finished(self.study):
            return False  # nothing to vary
        taken = self._count(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        if taken >= self.budget.trials:
            return False
        if self._count(TrialState.WAITING):
            return True
        number, trials = len(self.study.get_trials(deepcopy=False)), self.budget.trials
        if self.sampler in samplers.OURS:
            params = samplers.suggest(self.sampler, self.space, self._tried(), self.seed, number, trials)
            if params is None:
                return False  # the grid is used up
            self.study.enqueue_trial(params)
        elif self.sampler == "gp":
            self.study.enqueue_trial(samplers.gp_step(self.study, self.distributions, self.seed, number, trials))
        else:
            self.study.sampler = samplers.optuna_sampler(self.sampler, self.seed, number, trials)
        return True

    def _tried(self) -> samplers.Tried:
        pairs = [(t.params, _value(t)) for t in finished(self.study)]
        return [(params, self.sign * value) for params, value in pairs if value is not None]

    def _hear(self, worker: Worker) -> None:
        trial = worker.trial
        try:
            what, content = worker.pipe.recv()
        except (EOFError, ConnectionError):
            self._fail(worker, "its process died (out of memory?)")
            worker.process.kill()
            return
        if what == "step":
            step, value = content
            if math.isfinite(value):
                self.steps.setdefault(trial.number, {})[step] = self.sign * value
            worker.answer(math.isfinite(value) and self._should_stop(trial.number))
            return
        if what == "mistake":
            self._fail(worker, content)
            raise RefitError(content)
        if what == "failed" or (what == "done" and not np.isfinite(content).all()):
            self._fail(worker, content if what == "failed" else "the metric is not a number")
            return
        worker.trial = None
        if what == "pruned":
            self._tell(trial, None, TrialState.PRUNED)
            return
        if self._tell(trial, content, TrialState.COMPLETE):
            costs = zip(self.objective.costs, content[1:], strict=True)
            value = ", ".join(
                [f"{self.objective.metric} {content[0]:.5g}", *(f"{name} {cost:.3g}" for name, cost in costs)]
            )
            self.log(f"trial {trial.number + 1}: {value} with {_short(trial.params)}")

    def _limit(self, trial: optuna.Trial, values: list[float] | None) -> None:
        """Tell the sampler how far a trial is beyond the limits."""
        for name, cost in zip(self.objective.costs, (values or [])[1:], strict=False):
            most = self.goals and self.goals.costs[name].at_most
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
        return should_stop(self.pruner, number, self.steps[number], others, self.first)

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
        trial, worker.trial = worker.trial, None
        trial.set_user_attr("reason", reason[:200])
        self._tell(trial, None, TrialState.FAIL)
        self.failures.append(reason)
        self.log(f"trial {trial.number + 1}: not finished, {reason}")

    def found(self, reused: int) -> Found:
        complete = [t for t in finished(self.study) if t.state == TrialState.COMPLETE]
        if not complete:
            if set(self.failures) <= {"out of time"}:
                raise RefitError(_too_small(self.objective, self.budget, "did"))
            raise RefitError(f"models.{self.objective.family}: no trial could be fitted: {self.failures[0]}")
        # Of trials with the same value the first counts, whatever order they finished in.
        best = min(complete, key=lambda t: (self.sign * t.values[0], t.number))
        chosen: GoalChoice | None = None
        names, metric = self.objective.costs, self.objective.metric
        if self.goals:
            points = [
                Point(f"trial {t.number + 1}", t.values[0], dict(zip(names, t.values[1:], strict=True)))
                for t in complete
            ]
            place, reason = choose(points, self.goals, metric)
            best, chosen = complete[place], record(points, self.goals, place, reason, metric)
            self.log(reason)
        trials = [_described(t, names) for t in self.study.get_trials(deepcopy=False) if t.state in _REPORTED]
        return Found(dict(best.params), best.values[0], trials, self._importance(complete), reused, chosen)

    def _importance(self, complete: list[FrozenTrial]) -> dict[str, float]:
        """Share of the values' variance that each parameter explains (PED-ANOVA); empty for few trials."""
        values = {t.values[0] for t in complete}
        if len(complete) < 8 or len(values) < 2 or len(self.space) < 2:
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


def _described(trial: FrozenTrial, costs: tuple[str, ...] = (), parent: int | None = None) -> Trial:
    more: dict[str, Any] = dict(zip(costs, (trial.values or [])[1:], strict=False))
    return Trial(
        number=trial.number,
        params=dict(sorted(trial.params.items())),
        value=_value(trial),
        state=trial.state.name.lower(),
        intermediate={str(k): v for k, v in sorted(trial.intermediate_values.items())},
        **more if parent is None else {**more, "parent": parent},
    )


def _short(params: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())
