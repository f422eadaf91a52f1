"""``refit run``: the flow ``retrain`` in this process, with Prefect's files inside the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows import sources
from flows.commands import mark
from flows.dag import Dag
from flows.up_to_date import server_named, up_to_date

if TYPE_CHECKING:
    from flows.standing import Standing
    from flows.watcher import Watcher


def run(root: Path, as_of: str | None, watcher: Watcher) -> Standing | None:
    """Bring the project up to date and return where the registry stands; progress is told to ``watcher``.

    Where nothing is left to do Prefect is not even loaded, unless the user has a server, which is to know of every run.
    """
    from flows.settings import settle

    settle(root, quiet=True)
    mark(root.resolve())
    done: set[str] = set()
    with Dag(root, sources.list_sources) as dag:
        rest = None if server_named(root) else up_to_date(dag, as_of, done)
        if rest is not None:
            rest.tell(dag.root, watcher)
            return rest.standing
        return _flow(dag, as_of, watcher, done)


def _flow(dag: Dag, as_of: str | None, watcher: Watcher, done: set[str]) -> Standing | None:
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.temporary import TemporaryServer
    from tasks.hidden import hidden

    server = None if PREFECT_API_URL.value() else TemporaryServer()
    watcher.doing("starting Prefect" if server is None else "starting Prefect and a server for this run")
    from flows import retrain  # while the server starts

    if server is not None:
        server.ready(dag.cancelled)
    # The heartbeat's thread is joined for a second at the end; a run in this process ends with it anyway. Spark is for
    # stages, which are processes of their own; MLflow would import it here.
    with hidden("pyspark"), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return retrain.watched(dag, watcher, done)(as_of, str(dag.root))
