"""The flow ``retrain``: walk the DAG of ``dvc.yaml``, then carry its verdict out.

Orchestration only: what a stage does is :mod:`flows.dag`, which runs when is :mod:`flows.walk`, what an effect does is
:mod:`flows.context`, :mod:`flows.promotion` and :mod:`flows.standing`; :mod:`flows.stages` and :mod:`flows.effect_tasks` make
them Prefect tasks.
"""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

import time
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from prefect import Flow, flow
from prefect.states import Completed

from flows import due, effect_tasks, notify, preflight, run_page, sources
from flows.approval import approval
from flows.commands import Cancelled
from flows.dag import Dag
from flows.expected import expected
from flows.patience import Patience
from flows.preflight.folder import to_write
from flows.preflight.parameters import remarks
from flows.promotion import waiting, would_promote
from flows.stages import remark, run_stages
from flows.standing import Standing, concluded, finish, result
from flows.up_to_date import SNAPSHOTS, made_a_verdict
from flows.watcher import Watcher
from tasks.models import check_models
from tasks.params import Params

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


@flow(name="retrain", validate_parameters=False)
def retrain(as_of: str | None = None, root: str | None = None) -> Standing | None:
    """Bring every stage of a project up to date as known at a moment, then track, register, check and promote.

    Safe to repeat after a crash at any point. Stages and effects work on `params.yaml`, `dvc.yaml` and code as they are when this
    begins. Of several runs of a schedule that are due, only the newest works; the others end as *Skipped*. Where another run is at
    work in the folder, this one waits for it.

    Args:
        as_of: Use only what was known then: a date (its end) or an ISO time. Empty: the moment at which the run was due.
        root: The project's folder, as the worker sees it. Empty: the folder that the run begins in.
    """
    home = Path(root or Path.cwd()).resolve()
    if (why := due.replaced()) is not None:
        return cast("Standing | None", Completed(name=due.SKIPPED, message=why))
    watcher, patience = Watcher(), Patience()
    with notify.failures(home, as_of or due.moment(), watcher):
        to_write(home)
        with Dag(home, partial(_looked_over, as_of), patience.take) as dag:
            if patience.waited and (why := due.replaced(datetime.now(UTC))) is not None:
                return cast("Standing | None", Completed(name=due.SKIPPED, message=why))
            at = as_of or (due.moment() if due.timed(dag.seal.params()) else None)
            return _retrain(dag, at, watcher, frozenset())


def _looked_over(as_of: str | None, root: Path) -> list[str]:
    """A mistake is told before anything is touched, and when it is this run's turn: what others do meanwhile is no mistake."""
    preflight.require(root, as_of)
    return sources.list_sources(root)


def watched(dag: Dag, watcher: Watcher, done: Collection[str]) -> Flow[[str | None, str], Standing | None]:
    """The flow for a command that has done the checks already, and opened the DAG, before it started a server.

    ``watcher`` is told its progress; effects that ``done`` names are not repeated.
    """

    @flow(name="retrain", validate_parameters=False)
    def retrain(as_of: str | None, root: str) -> Standing | None:
        with notify.failures(dag.root, as_of, watcher):
            return _retrain(dag, as_of, watcher, done)

    return retrain


def _retrain(dag: Dag, as_of: str | None, watcher: Watcher, done: Collection[str]) -> Standing | None:
    """What the flow does; returns where the registry stands, in a state of its own where a person's answer is missing."""
    root, params = dag.root, dag.seal.params()
    check_models(params)
    watcher = run_page.watching(watcher, params, as_of, len(dag.nodes))
    watcher.began(params)
    for line in [*dag.notes, *remarks(params)]:
        remark(watcher, line)
    effect_tasks.ready(str(root), params.problem.name)
    effect_tasks.context(str(root), as_of)
    if sources.asked(params) and SNAPSHOTS not in done:
        effect_tasks.snapshots(root, params)
    watcher.expects(expected(dag, params.orchestration.parallel))
    run_stages(dag, params, watcher)
    standing = conclude(dag, params, watcher)
    watcher.concluded(root, standing)
    notify.conclude(root, params, standing, watcher)
    edited = dag.newer()
    if edited:
        remark(watcher, f"edited since this run began, and waiting for the next one: {', '.join(edited)}")
    return cast("Standing | None", ended(standing))  # of a state Prefect gives the data


def conclude(dag: Dag, params: Params, watcher: Watcher) -> Standing | None:
    """The effects after the stages: track, register as challenger, check the package, promote if the verdict says so.

    None where the DAG was cut down to some stages, so that there is nothing to promote.
    """
    root = dag.root
    if not made_a_verdict(root):
        return None
    made = result(root, params, dag.seal.folder)
    before = concluded(root, made)
    if before is not None:
        return before
    began = time.perf_counter()

    def begin(effect: str) -> None:
        if dag.cancelled.is_set():
            raise Cancelled(f"{effect}: stopped before it began")
        watcher.started(effect)

    begin("track")
    run_id = effect_tasks.track(made)
    begin("register")
    registered = effect_tasks.register(made, run_id)
    reply = None
    if would_promote(root, registered):
        begin("check package")
        effect_tasks.check_package(root)
        if params.promotion.approval:
            reply = approval(registered, watcher)
            if reply is None:
                return waiting(root, registered)
    begin("promote")
    standing = effect_tasks.promote(root, registered, reply)
    finish(root, made, standing, time.perf_counter() - began)
    return standing


def ended(standing: Standing | None) -> Standing | State | None:
    """What the flow returns: where the registry stands, with its sentence as the state's message.

    The state has a name of its own where a person's answer is missing.
    """
    if standing is None:
        return None
    return Completed(name="Unapproved" if standing.waiting else None, message=standing.sentence, data=standing)
