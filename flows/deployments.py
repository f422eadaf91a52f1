"""``refit deploy``: have a project run on a Prefect server that several projects may share.

Everything on the server carries the problem's name: the deployments ``retrain/NAME``, on a schedule, and ``rollback/NAME``, those
that run its stages in the pools of ``orchestration.pools``, the work pool ``refit-NAME`` and in it the queue ``NAME``. The worker
imports the flows from its installed Refit and is told the project's folder, so a project made by ``refit init`` is deployed as it is.
"""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.errors import RefitError
from tasks.params import load

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.deployments.runner import RunnerDeployment


def deploy(root: Path, cron: str, timezone: str, pool: str | None, replace: bool) -> Iterator[str]:
    """Make or renew the deployments of the project in ``root``; yields what to know about them.

    Raises :class:`RefitError` without a server, for a cron line or time zone that is none, and where another folder's
    project of the same name is deployed there and ``replace`` is not given.
    """
    from prefect import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.flows import EntrypointType

    from flows.pools import stage_runner
    from flows.retrain import retrain
    from flows.undo import rollback

    params = load(root.resolve() / "params.yaml")
    root, name = root.resolve(), params.problem.name
    pool = pool or f"refit-{name}"
    _server()
    try:
        when = CronSchedule(cron=cron, timezone=timezone)
    except ValueError as error:
        raise RefitError(
            f"--cron, --timezone: not a cron line and a time zone such as '0 5 * * 1' and 'UTC'; found {cron!r} and "
            f"{timezone!r} ({str(error).splitlines()[-1].strip()})."
        ) from None
    where = _folder(deployed(name))
    if where is not None and where != str(root) and not replace:
        raise RefitError(
            f"retrain/{name}: is deployed on this server for the folder {where}. Give this problem another name "
            "(problem.name), or, if that project was moved here, use --replace."
        )
    stage_pools = sorted(set(params.orchestration.pools.values()))
    with get_client(sync_client=True) as client:
        for one in [pool, *stage_pools]:
            _have_pool(client, one)
        with suppress(ObjectAlreadyExists):
            client.create_work_queue(name=name, work_pool_name=pool)
    made = retrain.to_deployment(
        name=name,
        description=f"Retrain {name} on everything known by then, and promote if the verdict says so.",
        parameters={"as_of": None, "root": str(root)},
        schedules=[when],
        tags=["refit", name],
        # a run that is due meanwhile waits: of all that wait the newest works (flows.due)
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        work_pool_name=pool,
        work_queue_name=name,
        job_variables={"working_dir": str(root)},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    cast("RunnerDeployment", made).apply()
    undo = rollback.to_deployment(
        name=name,
        description=f"Put an earlier champion of {name} back.",
        parameters={"root": str(root)},
        tags=["refit", name],
        work_pool_name=pool,
        work_queue_name=name,
        job_variables={"working_dir": str(root)},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    cast("RunnerDeployment", undo).apply()
    yield f"retrain/{name} runs at {cron!r} ({timezone}) in {root}"
    yield f"rollback/{name} puts an earlier champion back, from Prefect's UI"
    for one in stage_pools:
        yield f"{stage_runner(one, name)} runs stages in pool {one}"
    yield f"a worker must be alive for it: prefect worker start --pool {pool} --work-queue {name}"


def _have_pool(client: SyncPrefectClient, pool: str) -> None:
    """Make a work pool of processes where there is none of this name."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))


def remove(root: Path) -> str:
    """Remove the project's deployments from the server; work pools stay. Returns what was done."""
    from prefect import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.pools import stage_runner_name

    params = load(root.resolve() / "params.yaml")
    root, name = root.resolve(), params.problem.name
    _server()
    deployment = deployed(name)
    if deployment is None:
        raise RefitError(f"retrain/{name}: is not deployed on this server.")
    if _folder(deployment) != str(root):
        raise RefitError(f"retrain/{name}: is deployed for the folder {_folder(deployment)}; remove it there.")
    others = [stage_runner_name(pool, name) for pool in sorted(set(params.orchestration.pools.values()))]
    with get_client(sync_client=True) as client:
        for other in [f"rollback/{name}", *others]:
            with suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(other).id)
        client.delete_deployment(deployment.id)
    return f"retrain/{name} is no longer deployed"


def deployed(name: str) -> DeploymentResponse | None:
    """The deployment ``retrain/NAME`` of the server; None where there is none."""
    from prefect import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(f"retrain/{name}")
        except ObjectNotFound:
            return None


def _folder(deployment: DeploymentResponse | None) -> str | None:
    return None if deployment is None else str(deployment.parameters.get("root"))


def _server() -> None:
    if not os.environ.get("PREFECT_API_URL"):
        raise RefitError(
            "refit deploy: needs a Prefect server that goes on running. Start one (prefect server start) and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
