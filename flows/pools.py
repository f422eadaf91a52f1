"""Work pools: a stage's command runs on a Prefect process worker of the pool that its hardware asks for.

``orchestration.pools`` maps ``cpu`` and ``gpu`` to work pools; a stage wants what its ``meta.pool`` in ``dvc.yaml``
says, or what its model family can use and ``training.device`` allows. The worker needs the same Prefect server, and
either the project's folder (the same machine, or a shared disk) or, with ``orchestration.exchange: remote``, a checkout
of its own and the DVC remote (:mod:`flows.exchange`). It runs the command and nothing else: what changed and what is recorded stays
with the walk.

A worker that dies is noticed by the run's label that a living one changes every few seconds (Prefect itself would
show the run as *Running* for ever); the stage is then sent again, and another worker takes it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, cast
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterTimestamp
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows import exchange, planned, worker
from flows.commands import Cancelled, CommandFailed, StageFailed, words
from flows.dag import Dag
from flows.node import Log, Node
from tasks.errors import RefitError, some
from tasks.families import find_family
from tasks.fitting.device import wants_gpu
from tasks.listed import family_names
from tasks.params import Params
from tasks.process import threads

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.types import DateTime

SILENCE = 30.0  # seconds without a sign of life after which a worker counts as dead
ASK = 5.0  # seconds between looks at whether a pool that has not taken a run still has a worker
START = 120.0  # seconds until it is told that a run waits, though a worker is alive
LIVES = 3  # workers that may die with a stage before it counts as failed: it may be what kills them
SLACK = timedelta(days=1)  # a worker takes what is due by its own clock, which may be behind this one
PAGE = 200  # log lines that Prefect's API gives at once


class WorkerDied(CommandFailed):
    """A worker gave no sign of life any more while it ran a stage."""


class NobodyLeft(StageFailed):
    """The pool's workers were gone before one of them took the stage."""


def wanted(node: Node, params: Params) -> str:
    """The hardware a stage asks for: ``meta.pool``, else ``gpu`` where its family can use one, else ``cpu``.

    With ``training.device: auto`` and no pool ``gpu``, all go to ``cpu``; with ``cuda`` those for a GPU stay here then.
    """
    if "pool" in node.meta:
        return str(node.meta["pool"])
    family, device = node.name.partition("@")[2], params.training.device
    by_spark = params.features.engine == "spark" and node.name == "train@xgboost"
    if family not in family_names() or by_spark:
        return "cpu"
    able = wants_gpu(find_family(family).HARDWARE, device)
    return "gpu" if able and (device == "cuda" or "gpu" in params.orchestration.pools) else "cpu"


def executor(dag: Dag, node: Node, params: Params) -> Callable[[Node, Log], None] | None:
    """How to run a stage's command: on a pool where one is configured for its hardware; None: in a process here."""
    pools = params.orchestration.pools
    if wanted(node, params) not in pools:
        return None
    if not os.environ.get("PREFECT_API_URL"):
        raise RefitError("orchestration.pools: work pools need a Prefect server; set PREFECT_API_URL, or remove pools.")
    return partial(_run, dag, params)


def _run(dag: Dag, params: Params, node: Node, log: Log) -> None:
    """Send a stage to a living worker, and to another one where that died; here where there is none."""
    settings = params.orchestration
    remote, patient = settings.exchange == "remote", settings.no_gpu == "wait"
    order: exchange.Order | None = None
    if remote and (outside := exchange.outside(dag, node)):
        log(
            f"{node.name} runs here: {some(outside)} lies outside of the project's folder, and is not carried to a worker"
        )
        return dag.run_here(node, log)
    for left in reversed(range(LIVES)):
        pool = _pool(node, params, log)
        if pool is None:
            return dag.run_here(node, log)
        if remote and order is None:
            order = exchange.offer(dag, node)
            order["shared"] = tuners(node, params) > 1
            log(f"inputs pushed to the DVC remote; sent to work pool {pool!r}")
        else:
            order = order or exchange.Order(stage=node.name, commands=words(node.cmd), start=str(dag.seal.folder))
            log(f"sent to work pool {pool!r}")
        order["threads"] = threads()
        root, model = None if remote else str(dag.root), params.problem.name
        try:
            message = _first(
                tuners(node, params), partial(send, dag, node, pool, log, root, order, model, patient), log
            )
        except (WorkerDied, NobodyLeft) as error:
            if not left:
                raise
            log(f"warning: {error}")
        else:
            return exchange.accept(dag, node, json.loads(message)) if remote else None
    raise AssertionError("unreachable")


def tuners(node: Node, params: Params) -> int:
    """How many workers share a stage: the search of a named family may be shared, in the database of studies."""
    stage, _, family = node.name.partition("@")
    shared = stage == "tune" and family != "auto" and params.tuning.sampler != "pbt"
    return params.orchestration.tuners if shared else 1


def _first(count: int, work: Callable[[threading.Event], str], log: Log) -> str:
    """What the first of so many workers at the same work says at its end; the others are stopped then.

    That one failed is no matter while another goes on. Raises the last failure where all failed.
    """
    enough = threading.Event()
    with ThreadPoolExecutor(count) as crew:
        at_work = [crew.submit(copy_context().run, work, enough) for _ in range(count)]
        for left, ended in zip(reversed(range(count)), as_completed(at_work), strict=True):
            try:
                message = ended.result()
            except StageFailed as error:
                if not left:
                    raise
                log(f"warning: {error}; another worker goes on")
            else:
                enough.set()
                return message
    raise AssertionError("unreachable")


def _pool(node: Node, params: Params, log: Log) -> str | None:
    """The pool that a stage goes to now; None: no worker for it is alive."""
    settings, hardware = params.orchestration, wanted(node, params)
    pool = settings.pools[hardware]
    if alive(pool):
        return pool
    if settings.no_gpu == "wait":
        log(f"no worker of pool {pool!r} is alive; {node.name} waits for one (orchestration.no_gpu)")
        return pool
    other = settings.pools.get("cpu") if hardware == "gpu" else None
    if other is None or not alive(other):
        log(f"warning: no worker of pool {pool!r} is alive; {node.name} runs here")
        return None
    log(f"warning: no worker of pool {pool!r} is alive; {node.name} runs in pool {other!r}")
    return other


def alive(pool: str) -> bool:
    """Whether a worker polls the pool."""
    with get_client(sync_client=True) as client:
        try:
            workers = client.read_workers_for_work_pool(pool)
        except ObjectNotFound:
            raise RefitError(
                f"orchestration.pools: there is no work pool {pool!r}. Make it: prefect work-pool create {pool} --type process"
            ) from None
    return any(worker.status == WorkerStatus.ONLINE for worker in workers)


def send(
    dag: Dag,
    node: Node,
    pool: str,
    log: Log,
    root: str | None,
    order: exchange.Order,
    model: str,
    patient: bool,
    enough: threading.Event,
) -> str:
    """Have a worker of the pool run :func:`flows.worker.run_stage` for a model; its lines are passed on while it runs.

    ``patient``: where the pool has no worker, one is waited for. ``enough``: set where another worker has done the same work,
    so that this one is stopped.
    Returns the message of the run's final state; raises :class:`CommandFailed` with it where the stage's command failed, and
    :class:`StageFailed` where the worker could not begin it, or not deliver.
    """
    submitted = run_deployment(
        name=stage_runner(pool, model),
        parameters={"root": root, "order": order},
        flow_run_name=node.name,
        scheduled_time=datetime.now(UTC) - SLACK,
        timeout=0,
    )
    run = cast(FlowRun, submitted)  # of a call outside of async code
    life = _Life(node, pool, patient, log)
    lines = _Lines(run.id, log)
    with get_client(sync_client=True) as client:
        while True:
            ended = run.state is not None and run.state.is_final()
            lines.read(client)
            if ended:
                break
            if enough.is_set():
                client.set_flow_run_state(run.id, Cancelling())
                return ""
            if dag.cancelled.wait(0.5):
                client.set_flow_run_state(run.id, Cancelling())
                raise Cancelled(f"{node.name}: stopped in pool {pool!r}")
            try:
                life.check(run.labels.get(worker.ALIVE))
            except StageFailed:  # should its worker live after all, it ends what it has begun
                client.set_flow_run_state(run.id, Cancelling())
                raise
            run = client.read_flow_run(run.id)
    assert run.state is not None
    message = run.state.message or run.state.name or ""
    if not run.state.is_completed():
        kind = StageFailed if run.state.name in (worker.REFUSED, worker.UNDELIVERED) else CommandFailed
        raise kind(f"in pool {pool!r}: {message}", mistake=run.state.name in (worker.MISTAKE, worker.REFUSED))
    return message


class _Life:
    """Whether a run's worker gives signs of life, by this machine's clock alone."""

    def __init__(self, node: Node, pool: str, patient: bool, log: Log) -> None:
        self._node, self._pool, self._patient, self._log = node.name, pool, patient, log
        self._sign: object = None
        self._told = False
        self._since = self._asked = time.monotonic()

    def check(self, sign: object) -> None:
        """Note the label's present value; :class:`StageFailed` where it has not changed for too long."""
        now = time.monotonic()
        if sign != self._sign:
            self._sign, self._since = sign, now
        elif sign is not None and now - self._since > SILENCE:
            raise WorkerDied(f"{self._node}: its worker in pool {self._pool!r} has died")
        elif sign is None and now - self._asked > ASK:
            self._asked = now
            if not alive(self._pool):
                if not self._patient:
                    raise NobodyLeft(
                        f"{self._node}: the last worker of pool {self._pool!r} was gone before it took the stage"
                    )
            elif now - self._since > START and not self._told:
                self._told = True
                self._log(
                    f"warning: no worker of pool {self._pool!r} has taken it within {START:.0f} s (busy? paused?); it waits"
                )


class _Lines:
    """The lines that a run's worker has told Prefect's API, each passed on once."""

    def __init__(self, run: UUID, log: Log) -> None:
        self._run, self._log = run, log
        self._last: DateTime | None = None  # a moment, in the form that Prefect gives and takes
        self._seen: set[UUID] = set()

    def read(self, client: SyncPrefectClient) -> None:
        """Pass on what is new. A worker writes its lines in order of time, so only the newest moment is asked twice."""
        while True:
            since = None if self._last is None else LogFilterTimestamp(after_=self._last)
            wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self._run]), timestamp=since)
            page = client.read_logs(wanted, limit=PAGE)
            new = [line for line in page if line.id not in self._seen]
            for line in new:
                self._seen.add(line.id)
                if line.name == worker.LINES:
                    self._last = line.timestamp
                    self._log(line.message)
            if len(page) < PAGE or not new:
                return


_deploying = threading.Lock()
_deployments: set[str] = set()


def stage_runner(pool: str, model: str) -> str:
    """The deployment that runs a model's stages in a pool, made on first use; the worker imports it from its own installed code."""
    name = planned.stage_runner_name(pool, model)
    with _deploying:
        if name not in _deployments:
            planned.stage_runner(pool, model).apply()
            _deployments.add(name)
    return name
