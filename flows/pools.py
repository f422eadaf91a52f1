"""Work pools: a stage's command runs on a Prefect process worker of the pool that its hardware asks for.

``orchestration.pools`` maps ``cpu`` and ``gpu`` to work pools; a stage wants what its ``meta.pool`` in ``dvc.yaml``
says, or what its model family does. The worker needs the same project folder (the same machine, or a shared disk) and
the same Prefect server. It runs the command and nothing else: what changed and what is recorded stays with the walk.

A worker that dies is noticed by the lines' file, which a living one touches every few seconds (Prefect itself would
show the run as *Running* for ever); the stage's retry then looks for a worker anew.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

import tasks.stage  # noqa: F401  (quiet settings before Prefect)
from flows.commands import Cancelled, StageFailed, environment, words
from flows.dag import Dag, Log, Node
from tasks.errors import RefitError
from tasks.params import Params, family_names

HOUSE = Path(__file__).resolve().parent.parent
BEAT = 2.0  # seconds between a worker's signs of life
SILENCE = 30.0  # seconds without one after which a worker counts as dead
START = 120.0  # seconds until a submitted run must have begun, where a worker is alive


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
    log(f"sent to work pool {pool!r}")
    send(dag, node, pool, log)


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


def send(dag: Dag, node: Node, pool: str, log: Log) -> None:
    """Have a worker of the pool run the stage's command; its lines are passed on while it runs."""
    lines = dag.root / ".refit" / "pools" / f"{uuid.uuid4().hex}.log"
    lines.parent.mkdir(exist_ok=True)
    submitted: Any = run_deployment(
        name=_deployed(pool),
        parameters={"root": str(dag.root), "stage": node.name, "commands": words(node.cmd), "lines": str(lines)},
        flow_run_name=node.name,
        timeout=0,
    )
    began, read, run = time.monotonic(), 0, submitted
    try:
        while True:
            ended = run.state is not None and run.state.is_final()
            read = _pass_on(lines, read, log)
            if ended:
                break
            if dag.cancelled.wait(0.5):
                _cancel(run)
                raise Cancelled(f"{node.name}: stopped in pool {pool!r}")
            _check_life(node, pool, lines, began)
            with get_client(sync_client=True) as client:
                run = client.read_flow_run(submitted.id)
        if not run.state.is_completed():
            said = lines.read_text(encoding="utf-8").splitlines()[-8:] if lines.exists() else []
            raise StageFailed(
                f"{node.name}: failed in pool {pool!r}: {run.state.message}\n"
                + "\n".join(f"  {line}" for line in said),
                mistake=any(line.startswith("error: ") for line in said),
            )
    finally:
        lines.unlink(missing_ok=True)


def _check_life(node: Node, pool: str, lines: Path, began: float) -> None:
    if lines.exists():
        if time.time() - lines.stat().st_mtime > SILENCE:
            raise StageFailed(f"{node.name}: its worker in pool {pool!r} has died")
    elif time.monotonic() - began > START and alive(pool):
        raise StageFailed(f"{node.name}: no worker of pool {pool!r} took it within {START:.0f} s")


def _pass_on(lines: Path, read: int, log: Log) -> int:
    """Log the lines that are new since the last look; returns how many bytes are read by now."""
    if not lines.exists():
        return read
    with open(lines, "rb") as file:
        file.seek(read)
        whole, _, _ = file.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        log(line)
    return read + (len(whole) + 1 if whole else 0)


def _cancel(run: FlowRun) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Cancelling())


_deploying = threading.Lock()
_deployments: dict[str, str] = {}


def _deployed(pool: str) -> str:
    """The deployment that runs a stage in a pool, made on first use."""
    with _deploying:
        if pool not in _deployments:
            source: Any = flow.from_source(source=str(HOUSE), entrypoint="flows/pools.py:run_stage")
            source.deploy(
                name=pool, work_pool_name=pool, build=False, push=False, print_next_steps=False, ignore_warnings=True
            )
            _deployments[pool] = f"refit-stage/{pool}"
        return _deployments[pool]


@flow(name="refit-stage", validate_parameters=False)
def run_stage(root: str, stage: str, commands: list[list[str]], lines: str) -> None:
    """What a worker runs: the stage's commands in the project's folder, their lines into the file ``lines``."""
    home, path = Path(root), Path(lines)
    if not home.is_dir():
        raise RefitError(f"{root}: this worker does not see the project's folder; share it, or run the worker there.")
    with _beating(path), open(path, "ab", buffering=0) as out:
        for command in commands:
            process = subprocess.Popen(
                command, cwd=home, env=environment(home, stage), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            if code:
                raise StageFailed(f"{stage}: the command failed with exit code {code}")


@contextmanager
def _beating(path: Path) -> Iterator[None]:
    """Touch a file every few seconds as a sign of life."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            path.touch()

    path.touch()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
