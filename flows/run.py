"""``refit run``: the flow ``retrain`` in this process, with Prefect's files inside the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands import mark
from flows.settings import settle
from flows.temporary import TemporaryServer
from tasks.hidden import hidden

if TYPE_CHECKING:
    from flows.standing import Standing
    from flows.watcher import Watcher


def run(root: Path, as_of: str | None, watcher: Watcher) -> Standing | None:
    """Run the flow here and return where the registry stands; progress is told to ``watcher``."""
    settle(root, quiet=True)
    mark(root.resolve())
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    server = None if PREFECT_API_URL.value() else TemporaryServer()
    from flows import retrain  # while the server starts

    if server is not None:
        server.ready()
    # The heartbeat's thread is joined for a second at the end; a run in this process ends with it anyway. Spark is for
    # stages, which are processes of their own; MLflow would import it here.
    with hidden("pyspark"), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return retrain.watched(watcher)(as_of, str(root))
