"""The flow ``rollback``: an earlier champion is put back from Prefect's UI, on the machine where the project is."""

from __future__ import annotations

import flows.settings  # noqa: F401  # isort: skip  (before Prefect)

from pathlib import Path
from typing import TYPE_CHECKING, cast

from prefect import flow
from prefect.states import Completed

from tasks.params import load

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


@flow(name="rollback")
def rollback(reason: str, to: str | None = None, root: str | None = None) -> State:
    """Put an earlier champion back, as `refit rollback` does; the reason is kept in the history.

    Args:
        reason: Why; kept in the history.
        to: The version to go back to. Empty: the champion before this one.
        root: The project's folder, as the worker sees it. Empty: the folder that the run begins in.
    """
    from flows import hand
    from flows.preflight.folder import to_write

    home = Path(root or Path.cwd()).resolve()
    to_write(home)
    made = hand.rollback(home, load(home / "params.yaml").problem.name, to, reason)
    return cast(
        "State", Completed(message=f"version {made.champion} is champion (before: {made.previous}): {made.reason}")
    )
