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

from tasks.errors import RefitError
from tasks.families._space import Space, defaults
from tasks.metrics import higher_is_better
from tasks.tune import samplers
from tasks.tune.objective import Objective
from tasks.tune.study import FOLDER, distributions, finished, inside, open_study, seconds_spent
from tasks.tune.worker import Worker

GRACE = 0.03  # share of the budget that a fit may run over before its process is ended


@dataclass(frozen=True)
class Budget:
    """How much may be spent: whichever comes first."""

    trials: int
    seconds: float
    workers: int = 1
    threads: int = 1
    until: float | None = None  # time.monotonic() at which to end, whatever was spent before


@dataclass
class Found:
    """The outcome of a search."""

    params: dict[str, Any]
    value: float
    trials: list[dict[str, Any]]
    importance: dict[str, float] = field(default_factory=dict)
    reused: int = 0


def search(
    objective: Objective,
    space: Space,
    budget: Budget,
    key: str,
    *,
    sampler: str = "tpe",
    pruner: str = "none",
    seed: int = 0,
    starts: list[dict[str, Any]] | None = None,
    folder: Path = FOLDER,
    file: str = "",
    crew: list[Worker] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Found:
    """Find the best parameters within ``budget``.

    Parameters
    ----------
    key : the study's name; trials already finished under it count, and are not repeated.
    starts : parameters to try first (a champion's), before the defaults.
    sampler, pruner : as in ``tuning`` of params.
    folder, file : where the study is kept; see :func:`~tasks.tune.study.open_study`.
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
    if objective.costs:
        directions += ["minimize", "minimize"]
    try:
        if crew is None:
            crew = own = start_crew(objective, budget, own)
        with open_study(key, directions, folder, file) as study:
            study.pruner = make_pruner(pruner)
            reused = len(finished(study))
            if not study.get_trials(deepcopy=False):
                _enqueue(study, space, starts or [], sampler)
            # Seconds are for trials; starting Python and sending the rows is not the search's fault.
            for worker in crew:
                worker.wait()
            deadline = time.monotonic() + budget.seconds - seconds_spent(study) / budget.workers
            deadline = deadline if budget.until is None else budget.until
            run = _Run(study, objective, space, budget, sampler, pruner, seed, deadline, log)
            run.until_done(crew)
            return run.found(reused)
    finally:
        for worker in own:
            worker.end()


def start_crew(objective: Objective, budget: Budget, crew: list[Worker]) -> list[Worker]:
    """Fill ``crew`` with worker processes that share the threads."""
    for _ in range(min(budget.workers, budget.trials)):
        crew.append(Worker(objective, max(1, budget.threads // budget.workers)))
    return crew


def make_pruner(name: str) -> optuna.pruners.BasePruner:
    """Optuna's pruner for ``tuning.pruner``."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource="auto", reduction_factor=3)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource="auto", reduction_factor=3)
    return optuna.pruners.NopPruner()


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
        seed: int,
        deadline: float,
        log: Callable[[str], None],
    ) -> None:
        self.study, self.objective, self.space, self.budget = study, objective, space, budget
        self.sampler, self.watched, self.seed, self.deadline, self.log = sampler, pruner != "none", seed, deadline, log
        self.sign = -1.0 if higher_is_better(objective.metric) else 1.0
        self.distributions = distributions(space)
        self.failures: list[str] = []
        self.used_up = False

    def until_done(self, crew: list[Worker]) -> None:
        limit = self.deadline + GRACE * self.budget.seconds
        while True:
            for worker in crew:
                if worker.trial is None and self._more():
                    self._begin(worker)
            busy = [w for w in crew if w.trial is not None]
            if not busy:
                return
            ready = wait([w.pipe for w in busy], timeout=max(0.0, limit - time.monotonic()))
            for worker in busy:
                if worker.pipe in ready:
                    self._hear(worker)
                elif time.monotonic() >= limit:
                    self._fail(worker, "out of time")
                    worker.process.kill()
                    worker.process.join()

    def _more(self) -> bool:
        if self.used_up or time.monotonic() >= self.deadline or len(self.failures) >= 5:
            return False
        if not self.space and finished(self.study):
            return False  # nothing to vary
        taken = self.study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        )
        return len(taken) < self.budget.trials

    def _begin(self, worker: Worker) -> None:
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        number = len(self.study.get_trials(deepcopy=False)) if not waiting else waiting[0].number
        if self.sampler in samplers.OURS:
            if not waiting:
                params = samplers.suggest(
                    self.sampler, self.space, self._tried(), self.seed, number, self.budget.trials
                )
                if params is None:
                    self.used_up = True
                    return
                self.study.enqueue_trial(params)
        else:
            self.study.sampler = samplers.optuna_sampler(self.sampler, self.seed, number, self.budget.trials)
        worker.trial = self.study.ask(self.distributions)
        worker.fit({**worker.trial.params, "family": self.objective.family}, self.deadline, self.watched)

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
                trial.report(value, step)
            worker.answer(math.isfinite(value) and trial.should_prune())
            return
        if what == "mistake":
            self._fail(worker, content)
            raise RefitError(content)
        if what == "failed" or (what == "done" and not np.isfinite(content).all()):
            self._fail(worker, content if what == "failed" else "the metric is not a number")
            return
        worker.trial = None
        if what == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, content)
            value = f"{self.objective.metric} {content[0]:.5g}"
            self.log(f"trial {trial.number + 1}: {value} with {_short(trial.params)}")

    def _fail(self, worker: Worker, reason: str) -> None:
        trial, worker.trial = worker.trial, None
        trial.set_user_attr("reason", reason[:200])
        self.study.tell(trial, state=TrialState.FAIL)
        self.failures.append(reason)
        self.log(f"trial {trial.number + 1}: not finished, {reason}")

    def found(self, reused: int) -> Found:
        complete = [t for t in finished(self.study) if t.state == TrialState.COMPLETE]
        if not complete:
            name, rows = self.objective.family, len(self.objective.folds[0][0])
            if set(self.failures) <= {"out of time"}:
                raise RefitError(
                    f"models.{name}.seconds: {self.budget.seconds:g} s did not suffice for one fit of {name} on "
                    f"{rows:,} rows. Raise tuning.seconds or models.{name}.seconds, or lower tuning.rows."
                )
            raise RefitError(f"models.{name}: no trial could be fitted: {self.failures[0]}")
        # Of trials with the same value the first counts, whatever order they finished in.
        best = min(complete, key=lambda t: (self.sign * t.values[0], t.number))
        trials = [_described(t) for t in self.study.get_trials(deepcopy=False) if t.state in _REPORTED]
        return Found(dict(best.params), best.values[0], trials, self._importance(complete), reused)

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


def _described(trial: FrozenTrial) -> dict[str, Any]:
    out: dict[str, Any] = {
        "number": trial.number,
        "params": dict(sorted(trial.params.items())),
        "value": _value(trial),
        "state": trial.state.name.lower(),
        "intermediate": {str(k): v for k, v in sorted(trial.intermediate_values.items())},
    }
    if trial.values and len(trial.values) > 1:
        out["latency_ms"], out["size_kb"] = trial.values[1], trial.values[2]
    return out


def _short(params: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())
