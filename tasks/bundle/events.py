"""Events of the journal as the online engine takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from tasks.artifacts.columns import RECEIVED
from tasks.bundle.horizon import parse
from tasks.engine.facts import MISSING, TableSchema, Time


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


def rows_of(events: Sequence[JournalEvent], table: TableSchema) -> list[dict[str, object]]:
    """Events of one table in its kinds, with :data:`RECEIVED` for those that count from their receipt at the earliest.

    A column that none of the events has is left out.
    """
    there = {name: kind for name, kind in table.columns.items() if any(name in event.body for event in events)}
    rows = []
    for event in events:
        row = {name: _plain(event.body.get(name), kind) for name, kind in there.items()}
        if event.known == "receipt":
            row[RECEIVED] = event.received
        rows.append(row)
    return rows


def _plain(value: object, kind: str) -> object:
    if value is None:
        return None
    if kind == "datetime":
        return parse(str(value))
    return float(cast(float, value)) if kind in ("numeric", "boolean") else value


def known_moment(event: JournalEvent, table: TableSchema) -> int | None:
    """When an event became known, µs since 1970; None where its table has no moments, or it lacks one."""
    if table.event_time is None:
        return None
    moments = [_moment(event.body, time) for time in (table.event_time, table.known_at) if time is not None]
    if None in moments:
        return None
    received = [event.received] if event.known == "receipt" else []
    return max([*cast("list[int]", moments), *received])


def last_moment(event: JournalEvent, table: TableSchema) -> int:
    """When the whole of an event was known, with what became known after its row (µs); :data:`MISSING` where it never counts.

    Of tables without a key it is when the row was: it cannot be told again without counting twice.
    """
    known = known_moment(event, table)
    if known is None:
        return MISSING
    later = [_moment(event.body, time) for time in table.later.values()] if table.key else []
    return max([known, *(moment for moment in later if moment is not None)])


def _moment(body: Mapping[str, object], time: Time) -> int | None:
    value = body.get(time.column)
    return None if value is None else parse(str(value)) + time.offset
