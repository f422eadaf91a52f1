"""Snapshots of what databases and the journal give: where they lie, and which source each was taken of.

An effect takes them (``refit run``, ``refit sources``); the stage reads the file and asks no database.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts.folders import SOURCES
from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks.params import Query

ORIGIN = b"refit.source"  # in the Parquet file's metadata


def path_of(table: str) -> Path:
    """Where the snapshot of a table lies."""
    return SOURCES / f"{table}.parquet"


def path_of_events(table: str) -> Path:
    """Where the snapshot of a table's events of the journal lies."""
    return SOURCES / f"{table}.journal.parquet"


def origin(source: Query) -> bytes:
    """The source as the snapshot names it: as declared, so without any secret."""
    return json.dumps(source.model_dump(exclude_none=True), sort_keys=True).encode()


def check(table: str, source: Query) -> Path:
    """The snapshot's path. Raises :class:`RefitError` where there is none, or another source's."""
    import pyarrow.parquet as pq

    path = path_of(table)
    if not path.exists():
        raise RefitError(f"{path}: no snapshot of data.tables.{table}.source yet. Take it with `refit sources`.")
    taken = (pq.read_schema(path).metadata or {}).get(ORIGIN)
    if taken != origin(source):
        raise RefitError(
            f"{path}: was taken of another source than data.tables.{table}.source declares now. Take it again with "
            "`refit sources`."
        )
    return path
