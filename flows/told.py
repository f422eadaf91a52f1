"""What services were told of, for a run: a snapshot of the journal's events of each table whose source names it.

The journal only grows, so a snapshot is read on from where it ends, unless a row was erased since; without news the file stays
as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts.columns import RECEIVED, REFUSED, SEQ
from tasks.files import replacing
from tasks.ingest import live, snapshots
from tasks.journal import Event, Journal, journal_url
from tasks.params import Params, Table

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 100_000  # events turned into columns at a time


def of_journal(params: Params) -> dict[str, Table]:
    """The tables that have events of the journal among their rows."""
    return {name: table for name, table in params.data.tables.items() if table.journal}


def take_events(root: Path, params: Params) -> Iterator[str]:
    """Bring the snapshots of all tables up to the same last entry; yields a line about each.

    Raises
    ------
    RefitError
        If the journal cannot be read, or has no event of a table that has no other source.
    """
    with Journal(journal_url(root)) as journal:
        until = journal.seq
        for name, table in of_journal(params).items():
            made = _snapshot(root / snapshots.path_of_events(name), journal, name, table, until)
            live.check_some(name, table, made.events - made.refused)
            said = f"{name}: {made.events:,} events from the journal"
            yield (
                said
                + (f", {made.refused:,} of them refused" if made.refused else "")
                + ("" if made.new else ", as before")
            )


def news(root: Path, params: Params) -> dict[str, int]:
    """How many events of each table came since its snapshot was taken."""
    import pyarrow.parquet as pq

    tables = of_journal(params)
    if not tables:
        return {}
    with Journal(journal_url(root)) as journal:
        events = journal.about().events
    paths = {name: root / snapshots.path_of_events(name) for name in tables}
    taken = {name: pq.read_metadata(path).num_rows if path.exists() else 0 for name, path in paths.items()}
    return {name: max(0, events.get(name, 0) - taken[name]) for name in tables}


@dataclass(frozen=True)
class Snapshot:
    """Of one table: how many events there are, how many of them were refused, and whether the file had to be written."""

    events: int
    refused: int
    new: bool


def _snapshot(path: Path, journal: Journal, name: str, table: Table, until: int) -> Snapshot:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {column: str(spec.kind) for column, spec in table.given.items() if spec.kind != "ignore"}
    erased = [one.seq for one in journal.erasures() if one.table == name]  # what was read before has to be read again
    origin = json.dumps(
        {"journal": journal.id, "columns": kinds, **({"erased": erased} if erased else {})}, sort_keys=True
    ).encode()
    parts: list[pa.Table] = []
    if path.exists() and (pq.read_schema(path).metadata or {}).get(snapshots.ORIGIN) == origin:
        before = pq.read_table(path, columns=[SEQ, REFUSED])
        parts = _parts(journal.events(_last(before), name, until), kinds)
        if not parts:
            return Snapshot(before.num_rows, before.num_rows - before[REFUSED].null_count, new=False)
        parts = [pq.read_table(path).replace_schema_metadata(None), *parts]
    if not _alike(parts):  # nothing to read on from, or a value that makes a column one of texts
        parts = _parts(journal.events(0, name, until), kinds) or [arrow([], kinds)]
    if not _alike(parts):
        parts = [arrow(list(journal.events(0, name, until)), kinds)]
    made = pa.concat_tables(parts).combine_chunks().replace_schema_metadata({snapshots.ORIGIN: origin})
    with replacing(path) as beside:
        pq.write_table(made, beside, compression="zstd")
    return Snapshot(made.num_rows, made.num_rows - made[REFUSED].null_count, new=True)


def _alike(parts: Sequence[pa.Table]) -> bool:
    return len(parts) > 0 and all(part.schema.equals(parts[0].schema) for part in parts)


def _parts(events: Iterator[Event], kinds: Mapping[str, str]) -> list[pa.Table]:
    return [arrow(part, kinds) for part in iter(lambda: list(islice(events, BATCH)), [])]


def _last(snapshot: pa.Table) -> int:
    """The last event's number; 0 where there is none."""
    return int(snapshot[SEQ][-1].as_py()) if snapshot.num_rows else 0


def arrow(events: Sequence[Event], kinds: Mapping[str, str]) -> pa.Table:
    """Events as columns of their kinds, with their numbers, when each was received (null: imported) and why it was refused."""
    import pyarrow as pa

    columns = {name: _typed([event.body.get(name) for event in events], kind) for name, kind in kinds.items()}
    received = [event.received if event.known == "receipt" else None for event in events]
    return pa.table(
        {
            **columns,
            SEQ: pa.array([event.seq for event in events], pa.int64()),
            RECEIVED: pa.array(received, pa.timestamp("us", "UTC")),
            REFUSED: pa.array([event.refused for event in events], pa.string()),
        }
    )


def _typed(values: Sequence[object], kind: str) -> pa.Array:
    """Values of one column; as texts where one is not of the kind, since another one was declared when it was received."""
    import pyarrow as pa

    there = [value for value in values if value is not None]
    if kind == "numeric" and all(isinstance(v, int | float) and not isinstance(v, bool) for v in there):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())  # type: ignore[arg-type]
    if kind == "boolean" and all(isinstance(v, bool) for v in there):
        return pa.array(values, pa.bool_())
    if kind == "datetime" and all(isinstance(v, str) for v in there):
        try:
            return pa.array(
                [None if v is None else datetime.fromisoformat(str(v)) for v in values], pa.timestamp("us", "UTC")
            )
        except ValueError:
            pass
    return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())
