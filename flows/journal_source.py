"""What services were told of, for a run: a snapshot of the journal's events of each table whose source names it.

A snapshot is read on from where it ends, since the journal only grows; only where a row was erased it is taken anew.
Without news the file stays as it is.
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
from tasks.ingest import snapshots
from tasks.journal import Event, Journal, journal_url
from tasks.params import Params, Table

if TYPE_CHECKING:
    import pyarrow as pa

LAST = b"refit.received"  # in the Parquet file's metadata
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
    if not of_journal(params):
        return
    from tasks.ingest import live

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


def news(root: Path, params: Params) -> dict[str, str]:
    """What happened in the journal since the snapshot of each table was taken, in words; tables without news are left out."""
    tables, found = of_journal(params), dict[str, str]()
    if not tables:
        return found
    with Journal(journal_url(root)) as journal:
        for name, table in tables.items():
            before = _taken(root / snapshots.path_of_events(name), journal, name, table)
            count = journal.count(_last(before) if before is not None else 0, name)
            events = f"{count:,} {'new ' if before is not None else ''}event{'' if count == 1 else 's'} in the journal"
            if before is None:
                found[name] = f"{events}, and no snapshot of {'it' if count == 1 else 'them'} yet"
            elif count:
                found[name] = events
    return found


@dataclass(frozen=True)
class Snapshot:
    """Of one table: how many events there are, how many of them were refused, and whether the file had to be written."""

    events: int
    refused: int
    new: bool


def _snapshot(path: Path, journal: Journal, name: str, table: Table, until: int) -> Snapshot:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = _kinds(table)
    parts: list[pa.Table] = []
    if (before := _taken(path, journal, name, table)) is not None:
        parts = _parts(journal.events(_last(before), name, until), kinds)
        if not parts:
            return Snapshot(before.num_rows, before.num_rows - before[REFUSED].null_count, new=False)
        parts = [pq.read_table(path).replace_schema_metadata(None), *parts]
    if not _alike(parts):  # nothing to read on from, or a value that makes a column one of texts
        parts = _parts(journal.events(0, name, until), kinds) or [arrow([], kinds)]
    if not _alike(parts):
        parts = [arrow(list(journal.events(0, name, until)), kinds)]
    made = pa.concat_tables(parts).combine_chunks()
    about = {snapshots.ORIGIN: _origin(journal, name, table), LAST: _received(journal, name, _last(made))}
    made = made.replace_schema_metadata(about)
    with replacing(path) as beside:
        pq.write_table(made, beside, compression="zstd")
    return Snapshot(made.num_rows, made.num_rows - made[REFUSED].null_count, new=True)


def _kinds(table: Table) -> dict[str, str]:
    return {column: str(spec.kind) for column, spec in table.given.items() if spec.kind != "ignore"}


def _origin(journal: Journal, name: str, table: Table) -> bytes:
    """What a snapshot is of; where that is another one, it is taken anew: the journal, the columns, and what was erased last."""
    erased = max((one.seq for one in journal.erasures() if one.table == name), default=0)
    of = {"journal": journal.id, "columns": _kinds(table), **({"erased": erased} if erased else {})}
    return json.dumps(of, sort_keys=True).encode()


def _received(journal: Journal, name: str, seq: int) -> bytes:
    """When an event was received, by which it is known again: a copy that was put back may have another one of its number."""
    return b"".join(b"%d" % event.received for event in journal.events(seq - 1, name, seq))


def _taken(path: Path, journal: Journal, name: str, table: Table) -> pa.Table | None:
    """Numbers and refusals of the events that are in a snapshot; None where there is none, or it is of something else."""
    import pyarrow.parquet as pq

    about = (pq.read_schema(path).metadata or {}) if path.exists() else {}
    if about.get(snapshots.ORIGIN) != _origin(journal, name, table):
        return None
    found = pq.read_table(path, columns=[SEQ, REFUSED])
    return found if about.get(LAST) == _received(journal, name, _last(found)) else None


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
