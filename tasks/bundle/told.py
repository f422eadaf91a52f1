"""Events of the journal as the online engine takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np
import pandas as pd

from tasks.artifacts.columns import RECEIVED
from tasks.bundle.horizon import parse
from tasks.engine.facts import MISSING, TableSchema, Time


class ToldEvent(Protocol):
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


def frame_of(events: Sequence[ToldEvent], table: TableSchema) -> pd.DataFrame:
    """Events of one table in its kinds, with :data:`RECEIVED` for those that count from their receipt at the earliest.

    A column that none of the events has is left out.
    """
    columns: dict[str, pd.Series] = {}
    for name, kind in table.columns.items():
        if not any(name in event.body for event in events):
            continue
        values = [event.body.get(name) for event in events]
        if kind == "datetime":
            columns[name] = _moments([None if v is None else parse(str(v)) for v in values])
        elif kind in ("numeric", "boolean"):
            columns[name] = pd.Series([None if v is None else float(cast(float, v)) for v in values], dtype="float64")
        else:
            columns[name] = pd.Series(values, dtype="str")
    if table.event_time is not None:
        received = [event.received if event.known == "receipt" else None for event in events]
        columns[RECEIVED] = _moments(received)
    return pd.DataFrame(columns)


def _moments(micros: Sequence[int | None]) -> pd.Series:
    whole = np.array([MISSING if one is None else one for one in micros], np.int64)
    return pd.Series(whole.view("M8[us]")).dt.tz_localize("UTC")


def known_moment(event: ToldEvent, table: TableSchema) -> int | None:
    """When an event became known, µs since 1970; None where its table has no moments, or it lacks one."""
    if table.event_time is None:
        return None
    moments = [_moment(event.body, time) for time in (table.event_time, table.known_at) if time is not None]
    if None in moments:
        return None
    received = [event.received] if event.known == "receipt" else []
    return max([*cast("list[int]", moments), *received])


def last_moment(event: ToldEvent, table: TableSchema) -> int:
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
