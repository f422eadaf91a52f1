"""Events of the journal as rows of a table: read from the snapshot that a run took at its start.

Their values are typed, and were read as the table declares when they were received; so neither formats nor spellings nor
texts for missing values count here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.artifacts import FromJournal
from tasks.artifacts.columns import REASON, RECEIVED, REFUSED, SEQ
from tasks.errors import RefitError
from tasks.files import sha256
from tasks.ingest import snapshots
from tasks.profile import coerce
from tasks.values.moments import DTYPE
from tasks.values.reading import Reading

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.params import Table

Problems = list[pd.DataFrame]


@dataclass(frozen=True)
class Recorded:
    """The events of one table in the order of their numbers.

    Parameters
    ----------
    frame
        Those that count: declared columns, and where the table has moments :data:`RECEIVED` and :data:`SEQ`.
    problems
        Their values that are not of the kind that is declared now (row, column, value, why).
    refused
        Those that the contract refused when they were received, with the :data:`REASON`.
    """

    path: Path
    sha256: str
    of: FromJournal
    frame: pd.DataFrame
    problems: Problems
    refused: pd.DataFrame


def read(name: str, table: Table) -> Recorded:
    """What the snapshot of a table's events holds.

    Raises
    ------
    RefitError
        If there is none, or it has no event and the table no other source.
    """
    import pyarrow.parquet as pq

    path = snapshots.path_of_events(name)
    if not path.exists():
        raise RefitError(
            f"{path}: no snapshot of the journal for data.tables.{name}.source yet. Take it with `refit sources`."
        )
    stored = pq.read_table(path)
    there = stored[REFUSED].is_null().to_numpy()
    check_some(name, table, int(there.sum()))
    columns, problems = {}, Problems()
    for column, spec in table.given.items():
        if spec.kind == "ignore":
            continue
        if column not in stored.column_names:
            raise RefitError(
                f"{path}: lacks the column {column!r}, which data.tables.{name} declares now. Take it again with `refit sources`."
            )
        made = coerce(stored[column], Reading(spec.kind, missing=()))
        columns[column] = made.values
        problems.append(made.problems.assign(column=column))
    frame = pd.DataFrame(columns)
    received = pd.Series(stored[RECEIVED].to_pandas()).astype(DTYPE)
    numbers = stored[SEQ].to_numpy()
    refused = frame[~there].assign(
        **{RECEIVED: received[~there], REASON: stored[REFUSED].to_pandas()[~there].astype("str")}
    )
    if table.received:
        frame = frame.assign(**{RECEIVED: received, SEQ: numbers.astype("float64")})
    place = np.cumsum(there) - 1
    kept = [p[there[p["row"]]] for p in problems]
    about = json.loads((stored.schema.metadata or {})[snapshots.ORIGIN])
    return Recorded(
        path, sha256(path), FromJournal(id=about["journal"], seq=int(numbers[-1]) if len(numbers) else 0),
        frame[there].reset_index(drop=True), [p.assign(row=place[p["row"]]) for p in kept], refused.reset_index(drop=True),
    )  # fmt: skip


def check_some(name: str, table: Table, count: int) -> None:
    """Refuse a table whose only source is a journal that has no event of it yet."""
    if count == 0 and table.at_rest is None:
        raise RefitError(
            f"data.tables.{name}.source: the journal has no event of {name!r} yet that its contract accepts. Send some to the "
            "service (POST /events), or list files too: source: [FILE, journal]."
        )
