"""Servers and databases: they answer, and are what the project follows."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flows.preflight.subject import WAIT, Subject


def prefect(_: Subject) -> Iterator[str]:
    """Prefect's server answers, where one is named."""
    from urllib.request import Request, urlopen

    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return
    try:
        with urlopen(Request(url.rstrip("/") + "/health"), timeout=WAIT):
            return
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        yield f"PREFECT_API_URL: {url} does not answer ({why}). Start it (prefect server start), or unset PREFECT_API_URL."


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
