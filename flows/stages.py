"""Stages as Prefect tasks: the walk of the DAG with names, log lines, retries and states, and what is done without a family."""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import accepted, effect_tasks, lasted
from flows.carried import carry
from flows.commands import Cancelled, CommandFailed, StageFailed
from flows.dag import Dag
from flows.node import Execute, Node, Outcome
from flows.walk import walk
from flows.watcher import Watcher
from tasks.artifacts import Failed
from tasks.artifacts.folders import CHAMPION, EXPECTATIONS, START
from tasks.errors import first_line, shortened
from tasks.params import Params

Ended = State[Outcome]  # without an outcome where a stage was skipped


def run_stages(dag: Dag, params: Params, watcher: Watcher) -> None:
    """Run the DAG's stages as tasks, independent ones side by side; raises the first failure."""
    from flows.pools import executor

    written = {  # what an effect writes, before the first stage that depends on it
        CHAMPION.as_posix(): _Once(partial(_champion, dag, params)),
        START.as_posix(): _Once(partial(_warm_start, dag, params)),
        EXPECTATIONS.as_posix(): _Once(partial(_accepted, dag, params)),
    }
    settings, without = params.orchestration, Without(dag, params, watcher)
    submitted: dict[str, PrefectConcurrentFuture[Ended]] = {}
    runner: ThreadPoolTaskRunner[Ended] = ThreadPoolTaskRunner(max_workers=settings.parallel)

    def start(node: Node) -> Future[Ended]:
        stage = Task(
            _work(dag, node, written, executor(dag, node, params), without, watcher),
            name=node.name,
            task_run_name=node.name,
            description=node.desc,
            retries=int(node.meta.get("retries", settings.retries)),
            retry_delay_seconds=settings.retry_seconds,
            retry_condition_fn=effect_tasks.worth_repeating,
            cache_policy=NO_CACHE,
            persist_result=False,
            log_prints=False,
        )
        before = [submitted[name] for name in node.needs if name not in without.failed]
        submitted[node.name] = runner.submit(stage, {"stage": node.name}, wait_for=before)
        return submitted[node.name].wrapped_future

    with runner:
        try:
            walk(dag.nodes, start, settings.parallel, lambda node, future: without.settle(node, _error(future)))
        except BaseException:
            dag.cancel()  # before the runner waits for its threads
            raise


def _champion(dag: Dag, params: Params) -> None:
    """Have the champion where the comparison reads it, and in copies and clones of the project."""
    effect_tasks.champion(str(dag.root), params.problem.name)
    with dag.dvc() as repo:
        carry(repo)


def _warm_start(dag: Dag, params: Params) -> None:
    """Let tuning begin at the champion's parameters, where all searches run anyway.

    Otherwise the files stay as they are: a promotion alone must not make the next run tune again on the same data.
    """
    searches = [node.name for node in dag.nodes.values() if START.as_posix() in node.deps]
    if not params.tuning.warm_start or not all(dag.changed(name) for name in searches):
        return
    if not all(dag.restorable(name) for name in searches):  # a lost dvc.lock is no reason to search again
        effect_tasks.warm_start(str(dag.root), params.problem.name)


def _accepted(dag: Dag, params: Params) -> None:
    """Hold tables against what was accepted with the champion, where they are validated anyway (as :func:`_warm_start`)."""
    stage = next(node.name for node in dag.nodes.values() if EXPECTATIONS.as_posix() in node.deps)
    if dag.changed(stage) and not dag.restorable(stage) and accepted.outdated(dag.root, params.problem.name):
        effect_tasks.baseline(str(dag.root), params.problem.name)


class Without:
    """Families that failed, and that the run goes on without: the others may win, unless all failed."""

    def __init__(self, dag: Dag, params: Params, watcher: Watcher) -> None:
        self._dag, self._families, self._watcher = dag, set(params.models), watcher
        self.records: dict[str, Failed] = {}  # how each failed
        self.failed: set[str] = set()  # stages

    def family(self, node: Node) -> str | None:
        """The family that a stage is about; None where it is about all."""
        stage, _, family = node.name.partition("@")
        return family if stage in ("tune", "train") and family in self._families else None

    def record(self, node: Node) -> Failed | None:
        """How the family of a stage failed before."""
        return self.records.get(self.family(node) or "")

    def settle(self, node: Node, error: BaseException | None) -> BaseException | None:
        """What a stage's end means for the walk: that a family failed is no failure of it while others are left."""
        family = self.family(node)
        if family is None or not isinstance(error, CommandFailed):
            return error
        record = Failed(family=family, stage=node.name.partition("@")[0], why=_why(node, error))
        self.records[family] = record
        self.failed.add(node.name)
        if self.records.keys() >= self._families:
            each = [f"{name}: {one.why}" for name, one in sorted(self.records.items())]
            if len(each) == 1:
                return error
            return CommandFailed("all families failed. " + " ".join(each), error.mistake)
        self._dag.give_up(node.name, record)
        self._watcher.failed(node.name, record.why)
        remark(self._watcher, f"{family} failed in {node.name} and was left out: {record.why}")
        return None


def remark(watcher: Watcher, line: str) -> None:
    """Say something about the run itself: in its log, and at the end of the command."""
    effect_tasks.log(line)
    watcher.note(line)


def _why(node: Node, error: CommandFailed) -> str:
    """A failure in a line: a mistake's own words, or how the command ended and the last that it said."""
    first, *more = str(error).removeprefix(f"{node.name}: ").splitlines()
    text = first if error.mistake or not more else f"{first.removesuffix(' Its last lines:')} {more[-1].strip()}"
    return shortened(text, 500)


def _work(
    dag: Dag, node: Node, written: dict[str, _Once], execute: Execute | None, without: Without, watcher: Watcher
) -> Callable[[str], Ended]:
    """What a stage's task does: have written what it depends on, bring it up to date, and tell how it went."""

    def run(stage: str) -> Ended:
        say = get_run_logger().info

        def log(line: str) -> None:
            say(line)
            watcher.line(stage, line)

        if (record := without.record(node)) is not None:
            dag.give_up(stage, record)
            return Completed(name="Skipped", message=f"{record.family} failed in {record.stage}")
        watcher.started(stage)
        for path, write in written.items():
            if any(dep.startswith(path) for dep in node.deps):
                write()
        try:
            outcome = dag.run(stage, log, execute)
        except Cancelled:
            raise
        except Exception as error:
            watcher.line(stage, f"failed: {first_line(error, 1000)}")
            raise
        if outcome.how == "ran":
            lasted.keep(dag.root, stage, outcome.seconds)
        watcher.ended(stage, outcome)
        return completed(outcome)

    run.__name__ = node.name
    return run


def completed(outcome: Outcome) -> Ended:
    """The state that shows what became of a stage: ``Cached`` where nothing had to run."""
    what = {"unchanged": "nothing changed", "restored": "restored from the run cache", "ran": "ran"}[outcome.how]
    name = "Completed" if outcome.how == "ran" else "Cached"
    return Completed(name=name, message=f"{what}, {outcome.seconds:.2f} s", data=outcome)


def _error(future: Future[Ended]) -> BaseException | None:
    """Why a task that has ended failed; None where it did not."""
    if (raised := future.exception()) is not None:
        return raised
    state = future.result()
    if state.is_completed():
        return None
    error = effect_tasks.error_of(state)
    return error if isinstance(error, BaseException) else StageFailed(f"{state.name}: {state.message}")


class _Once:
    """Call a function once, also from several threads; later callers wait for the first."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self._lock, self._done = call, threading.Lock(), False

    def __call__(self) -> None:
        with self._lock:
            if not self._done:
                self._call()
                self._done = True
