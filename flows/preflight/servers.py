"""Servers and databases: they answer, and are what the project follows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from flows.preflight.subject import WAIT, Subject
from tasks.errors import first_line

BUSY = (
    120.0  # seconds for an answer of a Prefect server that has taken the connection: one at work may need half a minute
)


def prefect(_: Subject) -> Iterator[str]:
    """Prefect's server answers, where one is named."""
    url = os.environ.get("PREFECT_API_URL")
    why = silence(url) if url else None
    if why is not None:
        yield f"PREFECT_API_URL: {url} does not answer ({why}). Start it (prefect server start), or unset PREFECT_API_URL."


def silence(url: str) -> str | None:
    """Why the Prefect server with this API does not answer; None where it does."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    try:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        with closing(kind(parts.hostname or "", parts.port, timeout=WAIT)) as connection:
            connection.connect()
            connection.sock.settimeout(BUSY)
            connection.request("GET", parts.path.rstrip("/") + "/health")
            status = connection.getresponse().status
            return None if status < 400 else f"it answered {status}"
    except (OSError, ValueError, HTTPException) as error:
        return first_line(error)


def history(subject: Subject) -> Iterator[str]:
    """The history of decisions can be read and written, and is the one that the project follows."""
    from flows import champions
    from tasks.registry.history import check_database, history_url

    wrong = list(check_database(history_url(subject.root), WAIT))
    yield from wrong
    if subject.params is not None and not wrong:
        champions.decisions(subject.root, subject.params.problem.name, None)


def registry(subject: Subject) -> Iterator[str]:
    """MLflow's database or server is there, is MLflow's, of this version, writable, and has the model's experiment."""
    from tasks.registry.store import check_store
    from tasks.registry.tracking import tracking_uri

    name = subject.params.problem.name if subject.params else None
    yield from check_store(subject.root, tracking_uri(subject.root), name, WAIT)
