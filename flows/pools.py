"""Work pools: a stage's command runs on a Prefect process worker of the pool that its hardware asks for.

``orchestration.pools`` maps ``cpu`` and ``gpu`` to work pools; a stage wants what its ``meta.pool`` in ``dvc.yaml``
says, or what its model family does. The worker needs the same Prefect server, and either the project's folder (the same
machine, or a shared disk) or, with ``orchestration.exchange: remote``, a checkout of its own and the DVC remote
(:mod:`flows.carry`). It runs the command and nothing else: what changed and what is recorded stays with the walk.

A worker that dies is noticed by the run's label that a living one changes every few seconds (Prefect itself would
show the run as *Running* for ever); the stage's retry then looks for a worker anew.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterTimestamp
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows import carry, worker
from flows.commands import Cancelled, CommandFailed, StageFailed, words
from flows.dag import Dag, Log, Node
from tasks.errors import RefitError
from tasks.params import Params, family_names

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

SILENCE = 30.0  # seconds without a sign of life after which a worker counts as dead
START = 120.0  # seconds until a submitted run must have begun, where a worker is alive
PAGE = 200  # log lines that Prefect's API gives at once


def wanted(node: Node) -> str:
    """The hardware a stage asks for: ``meta.pool``, else its family's, else ``cpu``."""
    if "pool" in node.meta:
        return str(node.meta["pool"])
    family = node.name.partition("@")[2]
    if family in family_names():
        return str(import_module(f"tasks.families.{family}").HARDWARE)
    return "cpu"


def executor(dag: Dag, node: Node, params: Params) -> Callable[[Node, Log], None] | None:
    """How to run a stage's command: on a pool where one is configured for its hardware; None: in a process here."""
    pools = params.orchestration.pools
    if wanted(node) not in pools:
        return None
    if not os.environ.get("PREFECT_API_URL"):
        raise RefitError("orchestration.pools: work pools need a Prefect server; set PREFECT_API_URL, or remove pools.")
    return partial(_run, dag, params)


def _run(dag: Dag, params: Params, node: Node, log: Log) -> None:
    settings, hardware = params.orchestration, wanted(node)
    pool = settings.pools[hardware]
    if not alive(pool) and not (hardware == "gpu" and settings.no_gpu == "wait"):
        other = settings.pools.get("cpu") if hardware == "gpu" else None
        if other is None or not alive(other):
            log(f"warning: no worker of pool {pool!r} is alive; {node.name} runs here")
            for command in words(node.cmd):
                dag.execute(node.name, command, log)
            return
        log(f"warning: no worker of pool {pool!r} is alive; {node.name} runs in pool {other!r}")
        pool = other
    if settings.exchange == "remote":
        order = carry.offer(dag, node)
        log(f"inputs pushed to the DVC remote; sent to work pool {pool!r}")
        carry.accept(dag, node, json.loads(send(dag, node, pool, log, None, order, params.problem.name)))
    else:
        log(f"sent to work pool {pool!r}")
        order = {"stage": node.name, "commands": words(node.cmd), "start": str(dag.seal.folder)}
        send(dag, node, pool, log, str(dag.root), order, params.problem.name)


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


def send(dag: Dag, node: Node, pool: str, log: Log, root: str | None, order: dict[str, Any], model: str) -> str:
    """Have a worker of the pool run :func:`flows.worker.run_stage` for a model; its lines are passed on while it runs.

    Returns the message of the run's final state; raises :class:`StageFailed` with it where the run failed.
    """
    submitted: Any = run_deployment(
        name=_deployed(pool, model), parameters={"root": root, "order": order}, flow_run_name=node.name, timeout=0
    )
    run: FlowRun = submitted
    life = _Life(node, pool)
    lines = _Lines(run.id, log)
    with get_client(sync_client=True) as client:
        while True:
            ended = run.state is not None and run.state.is_final()
            lines.read(client)
            if ended:
                break
            if dag.cancelled.wait(0.5):
                client.set_flow_run_state(run.id, Cancelling())
                raise Cancelled(f"{node.name}: stopped in pool {pool!r}")
            life.check(run.labels.get(worker.ALIVE))
            run = client.read_flow_run(run.id)
    assert run.state is not None
    said = run.state.message or run.state.name or ""
    if not run.state.is_completed():
        raise CommandFailed(f"in pool {pool!r}: {said}", mistake=run.state.name == worker.MISTAKE)
    return said


class _Life:
    """Whether a run's worker gives signs of life, by this machine's clock alone."""

    def __init__(self, node: Node, pool: str) -> None:
        self._node, self._pool = node.name, pool
        self._sign: Any = None
        self._since = time.monotonic()

    def check(self, sign: Any) -> None:
        """Note the label's present value; :class:`StageFailed` where it has not changed for too long."""
        now = time.monotonic()
        if sign != self._sign:
            self._sign, self._since = sign, now
        elif sign is not None and now - self._since > SILENCE:
            raise CommandFailed(f"{self._node}: its worker in pool {self._pool!r} has died")
        elif sign is None and now - self._since > START and alive(self._pool):
            raise StageFailed(f"{self._node}: no worker of pool {self._pool!r} took it within {START:.0f} s")


class _Lines:
    """The lines that a run's worker has told Prefect's API, each passed on once."""

    def __init__(self, run: UUID, log: Log) -> None:
        self._run, self._log = run, log
        self._last: Any = None  # a moment, in the form that Prefect gives and takes
        self._seen: set[UUID] = set()

    def read(self, client: SyncPrefectClient) -> None:
        """Pass on what is new. A worker writes its lines in order of time, so only the newest moment is asked twice."""
        while True:
            since = None if self._last is None else LogFilterTimestamp(after_=self._last)
            wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self._run]), timestamp=since)
            found = client.read_logs(wanted, limit=PAGE)
            new = [line for line in found if line.id not in self._seen]
            for line in new:
                self._seen.add(line.id)
                if line.name == worker.LINES:
                    self._last = line.timestamp
                    self._log(line.message)
            if len(found) < PAGE or not new:
                return


_deploying = threading.Lock()
_deployments: dict[str, str] = {}


def _deployed(pool: str, model: str) -> str:
    """The deployment that runs a model's stages in a pool, made on first use; the worker imports it from its own installed code."""
    from prefect.flows import EntrypointType

    name = f"{model}-{pool}"
    with _deploying:
        if name not in _deployments:
            made: Any = worker.run_stage.to_deployment(
                name=name, work_pool_name=pool, tags=["refit", model], entrypoint_type=EntrypointType.MODULE_PATH
            )
            made.apply()
            _deployments[name] = f"{worker.run_stage.name}/{name}"
        return _deployments[name]
