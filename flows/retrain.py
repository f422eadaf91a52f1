"""The flow ``retrain``: walk the DAG of ``dvc.yaml``, then carry its verdict out.

Orchestration only: which stage runs when is :mod:`flows.dag`, what an effect does is :mod:`flows.effects`;
here they become Prefect tasks with names, log lines, retries and states.
"""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import FlowPauseTimeout, MissingContextError
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import accepted, effects, sources
from flows.beforehand import beforehand, passed, remarks
from flows.commands import Cancelled, CommandFailed, StageFailed
from flows.dag import Dag, Node, Outcome
from flows.effects import Answer, Standing
from tasks.errors import RefitError
from tasks.families import check_models
from tasks.params import Params

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.futures import PrefectFuture

    from tasks.registry.tracking import Registered, Result

F = TypeVar("F", bound=Callable[..., Any])
# (stage, "start" | "line" | "end", line or Outcome); of the run itself ("run", "began", Params) and ("run", "note", line)
Watch = Callable[[str, str, Any], None]
_watchers: list[Watch] = []


def watch(watcher: Watch | None) -> None:
    """Have the progress of runs in this process told to a function (the command's display); None: nobody."""
    _watchers[:] = [watcher] if watcher else []


def _tell(stage: str, what: str, value: Any = None) -> None:
    for watcher in _watchers:
        watcher(stage, what, value)


@flow(name="retrain", validate_parameters=False)
def retrain(as_of: str | None = None, root: str | None = None) -> Standing | None:
    """Bring every stage up to date as known at ``as_of``, then track, register, check and promote.

    ``root`` is the project's folder (default: the working directory). Safe to repeat after a crash at any point.
    Stages and effects work on ``params.yaml``, ``dvc.yaml`` and code as they are when this begins.
    """
    home = Path(root or Path.cwd()).resolve()
    if home in passed:  # the command has looked already, before it started a server
        passed.discard(home)
    else:
        beforehand(home, as_of)  # a mistake is told before anything is touched
    with Dag(home, sources.list_sources) as dag:
        params = dag.seal.params()
        check_models(params)
        _tell("run", "began", params)
        for line in [*dag.notes, *remarks(params)]:
            _remark(line)
        ready(str(home), params.problem.name)
        context(str(home), as_of)
        if sources.queries(params):
            snapshots(home, params)
        walk(dag, params)
        standing: Standing | None = ended(conclude(dag, params))
        newer = dag.newer()
        if newer:
            _remark(f"edited since this run began, and waiting for the next one: {', '.join(newer)}")
    return standing


def _remark(line: str) -> None:
    """Say something about the run itself: in its log, and at the end of the command."""
    _note(line)
    _tell("run", "note", line)


# Stages ----------------------------------------------------------------------------------------------------


def walk(dag: Dag, params: Params) -> None:
    """Run the DAG's stages as tasks, independent ones side by side; raises the first failure."""
    written = {  # what an effect writes, before the first stage that depends on it
        effects.CHAMPION: _Once(partial(champion, str(dag.root), params.problem.name)),
        effects.START: _Once(partial(_starts, dag, params)),
        accepted.EXPECTATIONS: _Once(partial(_accepted, dag, params)),
    }
    futures: dict[str, PrefectFuture[Any]] = {}
    settings, without = params.orchestration, _Without(dag, params)
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=settings.parallel)
    from flows.pools import executor

    with runner:
        try:

            def start(node: Node, done: Callable[[BaseException | None], None]) -> None:
                work = _stage(dag, node, written, executor(dag, node, params), without)
                one = Task(
                    work,
                    name=node.name,
                    task_run_name=node.name,
                    description=node.desc,
                    retries=int(node.meta.get("retries", settings.retries)),
                    retry_delay_seconds=settings.retry_seconds,
                    retry_condition_fn=_worth_repeating,
                    cache_policy=NO_CACHE,
                    persist_result=False,
                    log_prints=False,
                )
                futures[node.name] = runner.submit(
                    one, {"stage": node.name}, wait_for=[futures[n] for n in node.needs if n not in without.failed]
                )
                futures[node.name].add_done_callback(partial(_ended, partial(without.settle, node, done)))

            dag.walk(start, settings.parallel)
        except BaseException:
            dag.cancel()  # before the runner waits for its threads
            raise


def _starts(dag: Dag, params: Params) -> None:
    """Let tuning begin at the champion's parameters, where all searches run anyway.

    Otherwise the files stay as they are: a promotion alone must not make the next run tune again on the same data.
    """
    searches = [node.name for node in dag.nodes.values() if effects.START in node.deps]
    if not params.tuning.warm_start or not all(dag.changed(name) for name in searches):
        return
    if not all(dag.restorable(name) for name in searches):  # a lost dvc.lock is no reason to search again
        starts(str(dag.root), params.problem.name)


def _accepted(dag: Dag, params: Params) -> None:
    """Hold tables against what was accepted with the champion, where they are validated anyway (as :func:`_starts`)."""
    stage = next(node.name for node in dag.nodes.values() if accepted.EXPECTATIONS in node.deps)
    if dag.changed(stage) and not dag.restorable(stage) and accepted.outdated(dag.root, params.problem.name):
        baseline(str(dag.root), params.problem.name)


class _Without:
    """Families that failed, and that the run goes on without: the others may win, unless all failed."""

    def __init__(self, dag: Dag, params: Params) -> None:
        self._dag, self._families = dag, set(params.models)
        self._lock = threading.Lock()
        self.records: dict[str, dict[str, Any]] = {}
        self.failed: set[str] = set()  # stages

    def family(self, node: Node) -> str | None:
        """The family that a stage is about; None where it is about all."""
        stage, _, family = node.name.partition("@")
        return family if stage in ("tune", "train") and family in self._families else None

    def record(self, node: Node) -> dict[str, Any] | None:
        """How the family of a stage failed before."""
        return self.records.get(self.family(node) or "")

    def settle(self, node: Node, done: Callable[[BaseException | None], None], error: BaseException | None) -> None:
        """Tell the walk how a stage ended: that a family failed is no failure of the walk while others are left."""
        family = self.family(node)
        if family is None or not isinstance(error, CommandFailed):
            return done(error)
        record = {"family": family, "stage": node.name.partition("@")[0], "why": _why(node, error)}
        with self._lock:
            self.records[family] = record
            self.failed.add(node.name)
            last = self.records.keys() >= self._families
        if last:
            each = [f"{name}: {one['why']}" for name, one in sorted(self.records.items())]
            return done(
                error if len(each) == 1 else CommandFailed("all families failed. " + " ".join(each), error.mistake)
            )
        try:
            self._dag.give_up(node.name, record)
        except BaseException as other:
            return done(other)
        _tell(node.name, "failed", record["why"])
        _remark(f"{family} failed in {node.name} and was left out: {record['why']}")
        done(None)


def _why(node: Node, error: CommandFailed) -> str:
    """A failure in a line: a mistake's own words, or how the command ended and the last that it said."""
    first, *more = str(error).removeprefix(f"{node.name}: ").splitlines()
    text = first if error.mistake or not more else f"{first.removesuffix(' Its last lines:')} {more[-1].strip()}"
    return text if len(text) <= 500 else text[:497] + "..."


def _stage(dag: Dag, node: Node, written: dict[str, _Once], execute: Any, without: _Without) -> Callable[[str], Any]:
    def run(stage: str) -> Any:
        say = get_run_logger().info

        def log(line: str) -> None:
            say(line)
            _tell(stage, "line", line)

        if (record := without.record(node)) is not None:
            dag.give_up(stage, record)
            return Completed(name="Skipped", message=f"{record['family']} failed in {record['stage']}")
        _tell(stage, "start")
        for path, write in written.items():
            if any(dep.startswith(path) for dep in node.deps):
                write()
        try:
            outcome = dag.run(stage, log, execute)
        except Cancelled:
            raise
        except Exception as error:
            _tell(stage, "line", f"failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            raise
        _tell(stage, "end", outcome)
        return completed(outcome)

    run.__name__ = node.name
    return run


def completed(outcome: Outcome) -> State[Outcome]:
    """The state that shows what became of a stage: ``Cached`` where nothing had to run."""
    what = {"unchanged": "nothing changed", "restored": "restored from the run cache", "ran": "ran"}[outcome.how]
    name = "Completed" if outcome.how == "ran" else "Cached"
    return Completed(name=name, message=f"{what}, {outcome.seconds:.2f} s", data=outcome)


def _ended(done: Callable[[BaseException | None], None], future: PrefectFuture[Any]) -> None:
    try:
        future.wait()
        state = future.state
        if state.is_completed():
            return done(None)
        error = _error(state)
        done(error if isinstance(error, BaseException) else StageFailed(f"{state.name}: {state.message}"))
    except BaseException as error:
        done(error)


def _error(state: State[Any]) -> Any:
    """The exception in a failed state, which Prefect wraps in a record."""
    return getattr(state.data, "result", state.data)


def _worth_repeating(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Whether trying again can help: not after a mistake in plain words, nor after a stop."""
    error = _error(state)
    if isinstance(error, Cancelled):
        return False
    return not (isinstance(error, RefitError) and getattr(error, "mistake", True))


class _Once:
    """Call a function once, also from several threads; later callers wait for the first."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call, self._lock, self._done = call, threading.Lock(), False

    def __call__(self) -> None:
        with self._lock:
            if not self._done:
                self._call()
                self._done = True


# Effects ---------------------------------------------------------------------------------------------------


def _effect(name: str, retries: int = 0) -> Callable[[F], F]:
    """Make a function a task of this name that is never cached by Prefect: its work is found done by itself."""
    made: Any = task(
        name=name,
        task_run_name=name,
        retries=retries,
        retry_condition_fn=_worth_repeating,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return made


@_effect("find champion")
def ready(root: str, model: str) -> None:
    effects.ready(Path(root), model)


@_effect("write context")
def context(root: str, as_of: str | None) -> None:
    effects.write_as_of(Path(root), as_of)


@_effect("take snapshots", retries=1)
def snapshots(root: Path, params: Params) -> None:
    for line in sources.take(root, params):
        _note(line)


@_effect("fetch champion")
def champion(root: str, model: str) -> None:
    version = effects.write_champion(Path(root), model)
    _note(f"champion: version {version}" if version else "no champion yet")


@_effect("fetch accepted tables")
def baseline(root: str, model: str) -> None:
    version = accepted.write(Path(root), model)
    _note(f"tables are held against those of version {version}" if version else "no tables to hold these against")


@_effect("fetch start of tuning")
def starts(root: str, model: str) -> None:
    version = effects.write_starts(Path(root), model)
    _note(f"tuning starts at version {version}" if version else "no champion to start tuning at")


@_effect("track", retries=1)
def track(found: Result) -> str:
    from tasks.registry.tracking import Registry

    return Registry(found.root).track(found)


@_effect("register", retries=1)
def register(found: Result, run_id: str) -> Registered:
    registered = effects.register(found.root, found, run_id)
    _note(f"version {registered.version} of {registered.model}")
    return registered


@_effect("check package", retries=1)
def check_package(root: Path) -> dict[str, Any]:
    from deploy.check import check

    checked = check(root / effects.PACKAGE)
    _note(f"{checked['rows']} golden rows answered as the pipeline does, in {checked['seconds']} s")
    return checked


@_effect("promote")
def promote(root: Path, registered: Registered, answer: Answer | None) -> Standing:
    at_end = effects.decide(root, registered, answer=answer)
    _note(at_end.sentence)
    return at_end


def conclude(dag: Dag, params: Params) -> Standing | None:
    """The effects after the stages: track, register as challenger, check the package, promote if the verdict says so."""
    root = dag.root
    if not all((root / path).exists() for path in (effects.PACKAGE, effects.VERDICT)):
        return None  # a DAG cut down to some stages: nothing to promote
    found = effects.result(root, params, dag.seal.folder)
    before = effects.standing(root, found)
    if before is not None:
        return before
    began = time.perf_counter()

    def begin(effect: str) -> None:
        if dag.cancelled.is_set():
            raise Cancelled(f"{effect}: stopped before it began")
        _tell(effect, "start")

    begin("track")
    run_id = track(found)
    begin("register")
    registered = register(found, run_id)
    answer = None
    if effects.would_promote(root, registered):
        begin("check package")
        check_package(root)
        if params.promotion.approval:
            answer = approval(registered)
            if answer is None:
                return effects.waiting(root, registered)
    begin("promote")
    at_end = promote(root, registered, answer)
    effects.finish(root, found, at_end, time.perf_counter() - began)
    return at_end


def approval(registered: Registered) -> Answer | None:
    """Pause the flow until a person answers in the Prefect UI; None where nobody can, or did in time."""
    from prefect.flow_runs import pause_flow_run
    from prefect.input import RunInput

    if not os.environ.get("PREFECT_API_URL"):
        return None  # a temporary server has no UI to answer in

    class Approval(RunInput):
        promote: bool = True
        name: str
        reason: str

    _note(f"waiting for approval of version {registered.version} in the Prefect UI")
    _tell("approval", "line", f"version {registered.version} waits for a person in the Prefect UI")
    seconds = effects.patience()
    try:
        answer = pause_flow_run(
            wait_for_input=Approval.with_initial_data(
                description=f"Promote version {registered.version} of {registered.model}?", name="", reason=""
            ),
            timeout=seconds,
            poll_interval=5,
            key=f"approve-{registered.package_sha256[:16]}",
        )
    except FlowPauseTimeout:
        _note(f"nobody answered within {seconds} s; version {registered.version} is not promoted")
        _tell("approval", "line", f"nobody answered within {seconds} s; version {registered.version} is not promoted")
        _unpause()
        return None
    return Answer(answer.promote, f"{answer.name}: {answer.reason}")


def _unpause() -> None:
    """End a pause that timed out: Prefect would let such a run end in a failure of its own only."""
    from prefect import get_client
    from prefect.runtime import flow_run
    from prefect.states import Running

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Running(), force=True)


def ended(standing: Standing | None) -> Any:
    """What the flow returns: where the registry stands, in a state of its own where a person's answer is missing."""
    if standing is None or not standing.waiting:
        return standing
    return Completed(name="Unapproved", message=standing.sentence, data=standing)


def _note(line: str) -> None:
    try:
        get_run_logger().info(line)
    except MissingContextError:
        return
