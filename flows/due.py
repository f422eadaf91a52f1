"""When a run of a deployment was due: what it works as of, and whether a newer one takes its place.

A run that a schedule made works as of the moment of the schedule, however late a worker took it. Of several that are due,
after weeks without a worker or behind a long run, only the newest works: it sees all that the others would have seen.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.states import Completed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from tasks.params import Params

SKIPPED = "Skipped"
STOPPED = (StateType.CANCELLED, StateType.CANCELLING)
PAGE = 200  # runs that Prefect's API gives at once, and more than a schedule plans ahead


def this_run() -> FlowRun | None:
    """The flow run that this is part of; None outside of one."""
    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def moment() -> str | None:
    """When this run of a deployment was due, which it works as of where it is not told; None without a deployment."""
    run = this_run()
    if run is None or run.deployment_id is None or run.expected_start_time is None:
        return None
    return run.expected_start_time.astimezone(UTC).isoformat()


def timed(params: Params) -> bool:
    """Whether what is known depends on the moment, in any table; where it does not, a run goes by ``data.as_of``."""
    tables = params.data.tables.values()
    return params.problem.prediction_time is not None or any(
        table.row_known or table.received or any(table.outcome_known(column) for column in table.outcome)
        for table in tables
    )


def replaced(before: datetime | None = None) -> str | None:
    """Why this run has nothing to do: a newer one of its schedule was due as well when a worker took it; None: it works.

    ``before`` is another moment than that, for a run that waited. What else waits and is older than the newest is ended too, so
    that no process is started for it.
    """
    run = this_run()
    if run is None or run.deployment_id is None or not _planned(run) or run.expected_start_time is None:
        return None
    with get_client(sync_client=True) as client:
        since = _due(client, run, after=run.expected_start_time, before=before or _taken(client, run))
        newer = [one for one in since if one.state is None or one.state.type not in STOPPED]
        if not newer:
            return None
        newest = newer[0]
        why = f"the run that was due at {_text(newest)} works for this one too ({newest.name})"
        for one in _due(client, run, after=None, before=newest.expected_start_time):
            if one.id != newest.id and one.state is not None and one.state.type == StateType.SCHEDULED:
                client.set_flow_run_state(one.id, Completed(name=SKIPPED, message=why), force=True)
    return why


def _due(client: SyncPrefectClient, run: FlowRun, after: datetime | None, before: datetime | None) -> list[FlowRun]:
    """Other runs that the schedule made for moments between these two, newest first."""
    when = FlowRunFilterExpectedStartTime.model_validate({"after_": after, "before_": before})
    deployment = FlowRunFilterDeploymentId.model_validate({"any_": [run.deployment_id]})
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(deployment_id=deployment, expected_start_time=when),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=PAGE,
    )
    return [one for one in found if one.id != run.id and _planned(one) and one.expected_start_time != after]


def _planned(run: FlowRun) -> bool:
    """Whether a schedule made the run, and nobody said as of when."""
    return run.auto_scheduled and run.parameters.get("as_of") is None


def _taken(client: SyncPrefectClient, run: FlowRun) -> datetime:
    """When a worker took the run; what became due while it started up waits for its end."""
    states = client.read_flow_run_states(run.id)
    return max((one.timestamp for one in states if one.type == StateType.PENDING), default=datetime.now(UTC))


def _text(run: FlowRun) -> str:
    assert run.expected_start_time is not None
    return f"{run.expected_start_time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
