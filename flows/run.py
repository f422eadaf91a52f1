"""``refit run``: the flow ``retrain`` in this process, with Prefect's files inside the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands import mark
from flows.settings import settle
from flows.stops import deaf
from tasks.errors import RefitError

if TYPE_CHECKING:
    from flows.effects import Standing
    from flows.retrain import Watch


def run(root: Path, as_of: str | None, watcher: Watch | None) -> Standing | None:
    """Run the flow here and return where the registry stands; progress is told to ``watcher``."""
    settle(root, quiet=watcher is not None)
    mark(root.resolve())
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows import retrain

    retrain.watch(watcher)
    if not PREFECT_API_URL.value():
        _temporary_server()
    # The heartbeat's thread is joined for a second at the end; a run in this process ends with it anyway.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return retrain.retrain(as_of, str(root))


def _temporary_server() -> None:
    """Start the server that Prefect would start by itself: Ctrl-C must not end it before those who write to it."""
    from prefect.server.api.server import SubprocessASGIServer

    try:
        with deaf():
            SubprocessASGIServer().start()  # Prefect's clients find this one
    except RuntimeError as error:
        raise RefitError(
            f"the temporary Prefect server did not start: {str(error).splitlines()[0]} Run again, or start one that stays "
            "(prefect server start) and set PREFECT_API_URL=http://127.0.0.1:4200/api."
        ) from None
