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
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING

from flows import planned
from flows.planned import CronLine, of_file, stage_runner_name
from tasks.errors import RefitError
from tasks.params import load

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


def deploy(
    root: Path, cron: str | None, timezone: str | None, pool: str | None, replace: bool = False, write: bool = False
) -> Iterator[str]:
    """Make or renew the deployments of the project in ``root``; yields what to know about them.

    What is not given is as the project's ``prefect.yaml`` says; ``write``: they are only written there.
    Raises :class:`RefitError` without a server, for a cron line or time zone that is none, and where another folder's
    project of the same name is deployed there and ``replace`` is not given.
    """
    from prefect import get_client
    from prefect.exceptions import ObjectAlreadyExists

    params = load(root.resolve() / "params.yaml")
    root, name = root.resolve(), params.problem.name
    timing, usual = of_file(root) if cron is None else (CronLine(cron, "UTC", ""), None)
    timing, pool = replaced(timing, timezone=timezone or timing.timezone), pool or usual
    timing.schedule()
    if write:
        yield from planned.write(root, params, timing, pool)
        return
    _server()
    where = _folder(deployed(name))
    if where is not None and where != str(root) and not replace:
        raise RefitError(
            f"retrain/{name}: is deployed on this server for the folder {where}. Give this problem another name "
            "(problem.name), or, if that project was moved here, use --replace."
        )
    plan = planned.planned(params, timing, pool)
    first = plan[0]
    with get_client(sync_client=True) as client:
        for work_pool in dict.fromkeys(one.pool for one in plan):
            _have_pool(client, work_pool)
        with suppress(ObjectAlreadyExists):
            client.create_work_queue(name=name, work_pool_name=first.pool)
    for one in plan:
        one.apply(root)
    yield f"retrain/{name} runs at {timing.cron!r} ({timing.timezone}) in {root}"
    yield f"rollback/{name} puts an earlier champion back, from Prefect's UI"
    for one in plan[2:]:
        yield f"{stage_runner_name(one.pool, name)} runs stages in pool {one.pool}"
    yield f"a worker must be alive for it: prefect worker start --pool {first.pool} --work-queue {name}"


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
