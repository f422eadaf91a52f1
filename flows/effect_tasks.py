"""Effects as Prefect tasks: what each does is said where it is done; here it gets a name, a line in the log, and its retries."""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingContextError

from flows import accepted, promotion, sources, standing
from flows import context as contexts
from flows.commands import Cancelled
from flows.packages import PACKAGE
from flows.promotion import Reply
from flows.standing import Standing
from flows.up_to_date import SNAPSHOTS
from tasks.errors import RefitError
from tasks.params import Params

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from deploy.check import CheckResult
    from tasks.registry.tracking import Registered, RunResult

F = TypeVar("F", bound=Callable[..., object])


def log(line: str) -> None:
    """Write to the log of the task or flow that runs; nothing outside of one."""
    try:
        get_run_logger().info(line)
    except MissingContextError:
        return


def error_of(state: State) -> object:
    """The exception in a failed state, which Prefect wraps in a record."""
    return getattr(state.data, "result", state.data)


def worth_repeating(_task: object, _run: object, state: State) -> bool:
    """Whether trying again can help: not after a mistake in plain words, nor after a stop."""
    error = error_of(state)
    if isinstance(error, Cancelled):
        return False
    return not (isinstance(error, RefitError) and getattr(error, "mistake", True))


def _effect(name: str, retries: int = 0) -> Callable[[F], F]:
    """Make a function a task of this name that is never cached by Prefect: its work is found done by itself."""
    made: object = task(
        name=name,
        task_run_name=name,
        retries=retries,
        retry_condition_fn=worth_repeating,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return cast(Callable[[F], F], made)


# Before the stages -----------------------------------------------------------------------------------------


@_effect("find champion")
def ready(root: str, model: str) -> None:
    """:func:`flows.standing.check_ready`."""
    standing.check_ready(Path(root), model)


@_effect("write context")
def context(root: str, as_of: str | None) -> None:
    """:func:`flows.context.write_as_of`."""
    contexts.write_as_of(Path(root), as_of)


@_effect(SNAPSHOTS, retries=1)
def snapshots(root: Path, params: Params) -> None:
    """:func:`flows.sources.take`; a database or journal that does not answer is asked again."""
    for line in sources.take(root, params):
        log(line)


@_effect("fetch champion")
def champion(root: str, model: str) -> None:
    """:func:`flows.context.write_champion`."""
    version = contexts.write_champion(Path(root), model)
    log(f"champion: version {version}" if version else "no champion yet")


@_effect("fetch accepted tables")
def baseline(root: str, model: str) -> None:
    """:func:`flows.accepted.write`."""
    version = accepted.write(Path(root), model)
    log(f"tables are held against those of version {version}" if version else "no tables to hold these against")


@_effect("fetch start of tuning")
def warm_start(root: str, model: str) -> None:
    """:func:`flows.context.write_warm_start`."""
    version = contexts.write_warm_start(Path(root), model)
    log(f"tuning starts at version {version}" if version else "no champion to start tuning at")


# After the stages ------------------------------------------------------------------------------------------


@_effect("track", retries=1)
def track(result: RunResult) -> str:
    """Record the run's result in MLflow; returns the id of the run there."""
    from tasks.registry.tracking import Registry

    return Registry(result.root).track(result)


@_effect("register", retries=1)
def register(result: RunResult, run_id: str) -> Registered:
    """:func:`flows.promotion.register`."""
    registered = promotion.register(result.root, result, run_id)
    log(f"version {registered.version} of {registered.model}")
    return registered


@_effect("check package", retries=1)
def check_package(root: Path) -> CheckResult:
    """:func:`deploy.check.check` of the package that the run made."""
    from deploy.check import check

    checked = check(root / PACKAGE)
    log(f"{checked['rows']} golden rows answered as the pipeline does, in {checked['seconds']} s")
    return checked


@_effect("promote")
def promote(root: Path, registered: Registered, reply: Reply | None) -> Standing:
    """:func:`flows.promotion.decide`."""
    decided = promotion.decide(root, registered, reply=reply)
    log(decided.sentence)
    return decided
