"""A person's approval of a promotion, asked for in the Prefect UI while the flow waits."""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

import os
from typing import TYPE_CHECKING

from prefect.exceptions import FlowPauseTimeout

from flows import promotion
from flows.effect_tasks import log
from flows.promotion import Reply
from flows.watcher import Watcher

if TYPE_CHECKING:
    from tasks.registry.tracking import Registered


def approval(registered: Registered, watcher: Watcher) -> Reply | None:
    """Pause the flow until a person answers in the Prefect UI; None where nobody can, or did in time."""
    from prefect.flow_runs import pause_flow_run
    from prefect.input import RunInput

    if not os.environ.get("PREFECT_API_URL"):
        return None  # a temporary server has no UI to answer in

    class Approval(RunInput):
        promote: bool = True
        name: str
        reason: str

    log(f"waiting for approval of version {registered.version} in the Prefect UI")
    watcher.line("approval", f"version {registered.version} waits for a person in the Prefect UI")
    seconds = promotion.approval_seconds()
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
        nobody = f"nobody answered within {seconds} s; version {registered.version} is not promoted"
        log(nobody)
        watcher.line("approval", nobody)
        _unpause()
        return None
    return Reply(answer.promote, f"{answer.name}: {answer.reason}")


def _unpause() -> None:
    """End a pause that timed out: Prefect would let such a run end in a failure of its own only."""
    from prefect import get_client
    from prefect.runtime import flow_run
    from prefect.states import Running

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Running(), force=True)
