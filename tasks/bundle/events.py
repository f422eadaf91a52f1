"""Events of the journal as the online engine takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from tasks.artifacts.columns import RECEIVED
from tasks.bundle.horizon import parse
from tasks.engine.facts import MISSING, TableSchema, Time
from tasks.engine.news import Row
from tasks.errors import RefitError


class JournalEvent(Protocol):
    """What is asked here of an event of the journal, which no stage knows (:class:`tasks.journal.Event`)."""

    @property
    def table(self) -> str:
        """The table's name."""

    @property
    def seq(self) -> int:
        """Its place in the journal."""

    @property
    def body(self) -> Mapping[str, object]:
        """The row as JSON values."""

    @property
    def known(self) -> str:
        """``receipt`` or ``given``."""

    @property
    def received(self) -> int:
        """When it was received, µs since 1970."""


def rows_of(events: Sequence[JournalEvent], table: TableSchema) -> list[Row]:
    """Events of one table in its kinds, with :data:`RECEIVED` for those that count from their receipt at the earliest.

    A column that none of the events has is left out. Raises :class:`RefitError` for a value that is not of its column's
    kind: another one was declared when it was received.
    """
    there = {name: kind for name, kind in table.columns.items() if any(name in event.body for event in events)}
    rows: list[Row] = []
    for event in events:
        row = {name: _plain(event.body.get(name), name, kind) for name, kind in there.items()}
        if event.known == "receipt":
            row[RECEIVED] = event.received
        rows.append(row)
    return rows


def _plain(value: object, name: str, kind: str) -> object:
    if value is None:
        return None
    try:
        if kind == "datetime":
            return parse(str(value))
        return float(cast(float, value)) if kind in ("numeric", "boolean") else value
    except (ValueError, TypeError):
        raise RefitError(f"{name}: {str(value)[:40]!r} is not {kind}, which the package's column is") from None


def known_moment(row: Row, table: TableSchema) -> int | None:
    """When an event (of :func:`rows_of`) became known, µs since 1970; None where its table has no moments, or it lacks one."""
    if table.event_time is None:
        return None
    moments = [_moment(row, time) for time in (table.event_time, table.known_at) if time is not None]
    if None in moments:
        return None
    return max(cast("list[int]", [*moments, row.get(RECEIVED, MISSING)]))


def last_moment(event: JournalEvent, table: TableSchema) -> int:
    """When the whole of an event was known, with what became known after its row (µs); :data:`MISSING` where it never counts.

    Of tables without a key it is when the row was: it cannot be told again without counting twice.
    """
    (row,) = rows_of([event], table)
    known = known_moment(row, table)
    if known is None:
        return MISSING
    later = [_moment(row, time) for time in table.later.values()] if table.key else []
    return max([known, *(moment for moment in later if moment is not None)])


def _moment(row: Row, time: Time) -> int | None:
    value = row.get(time.column)
    return None if value is None else cast(int, value) + time.offset
