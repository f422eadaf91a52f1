"""What comes in of a table, in plain values by column, checked: rows as mappings in the quick way, and frames."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from tasks.artifacts.columns import RECEIVED
from tasks.engine.facts import MISSING, Events, TableSchema, Time
from tasks.engine.plan import Predicted
from tasks.engine.source import TEXT, moment, plain_text
from tasks.engine.store import Plain
from tasks.errors import RefitError

Row = Mapping[str, object]  # plain values by column
LARGEST = sys.float_info.max


@dataclass(frozen=True)
class News:
    """Rows of a table that came: values of the columns that are kept, and moments (µs).

    ``known``: when each row was known (None), and when what becomes known after its row was.
    """

    columns: dict[str, list[Plain]]
    event: list[int]
    known: dict[Time | None, list[int]]

    def __len__(self) -> int:
        return len(self.event)


def from_frame(table: TableSchema, frame: pd.DataFrame, columns: Sequence[str], later: Sequence[Time | None]) -> News:
    """Of a frame. Raises :class:`RefitError` for what no table may hold."""
    facts = Events(table, frame)
    values: dict[str, list[Plain]] = {}
    for column in columns:
        if table.columns[column] not in TEXT:
            values[column] = facts.values(column).tolist()
        elif column in frame.columns:
            values[column] = [plain_text(value) for value in frame[column].tolist()]
        else:
            raise RefitError(f"update of {table.name!r}: column {column!r} is missing")
    known = {time: facts.later(time).known.tolist() for time in later}
    return News(values, facts.event.tolist(), known)


def from_rows(
    table: TableSchema,
    rows: Sequence[Row],
    columns: Sequence[str],
    later: Sequence[Time | None],
    target: Predicted | None,
) -> News | None:
    """:func:`from_frame` of rows that hold what is usual; None where a look at them as a frame has to say what is wrong.

    ``target``: a column to be made where the rows lack it.
    """
    values: dict[str, list[Plain]] = {column: [] for column in columns}
    event: list[int] = []
    known: dict[Time | None, list[int]] = {time: [] for time in later}
    plain = [(column, table.columns[column], values[column]) for column in columns]
    for row in rows:
        for column, kind, into in plain:
            if column in row:
                value = row[column]
            elif target is not None and column == target.name and target.column in row:
                value = row[target.column]
                if isinstance(value, (int, float)) and value == value:
                    if abs(value) > LARGEST:
                        return None
                    value = float(value > target.above)  # type: ignore[operator]  # it has a bound
            else:
                return None
            if kind in TEXT:
                into.append(plain_text(value))
            elif kind == "datetime":
                whole = moment(value, column, table.name)
                into.append(float("nan") if whole == MISSING else float(whole))
            elif value is None:
                into.append(float("nan"))
            elif isinstance(value, (int, float)) and (value != value or -LARGEST <= value <= LARGEST):
                into.append(float(value))
            else:
                return None
        moments = _moments(table, row, later)
        if moments is None:
            return None
        event.append(moments[0])
        for time, when in zip(later, moments[1], strict=True):
            known[time].append(when)
    return News(values, event, known)


def _moments(table: TableSchema, row: Row, later: Sequence[Time | None]) -> tuple[int, list[int]] | None:
    """When a row happened, and when it and what becomes known after it were known; None where that cannot be."""
    if table.event_time is None:
        return 0, [0] * len(later)

    def of(time: Time) -> int:
        whole = moment(row[time.column], time.column, table.name)
        return whole if whole == MISSING else whole + time.offset

    try:
        event = of(table.event_time)
        known = event if table.known_at in (None, table.event_time) else of(table.known_at)
        if known < event and MISSING not in (known, event):
            return None
        if known != MISSING and RECEIVED in row:
            known = max(known, moment(row[RECEIVED], RECEIVED, table.name))
        when = [known if time is None else of(time) for time in later]
    except KeyError:
        return None
    return event, [MISSING if MISSING in (known, each) else max(known, each) for each in when]
