"""What the online engine keeps of tables, and the one row that asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.compute import Group
from tasks.engine.facts import MISSING, Table
from tasks.engine.history import History, nan_last
from tasks.engine.local import Span
from tasks.errors import RefitError, nearest

TEXT = ("categorical", "text")


class Store:
    """One table's events as they came: the columns that the plan needs, by store row."""

    def __init__(self, table: Table, columns: Sequence[str]):
        self.table = table
        self.columns = list(columns)
        self.content = list(table.key)  # settles ties; without a key, all columns do
        self.values: dict[str, list[Any]] = {c: [] for c in columns}
        self.names: dict[str, list[str]] = {c: [] for c in columns if table.columns[c] in TEXT}
        self.places: dict[str, dict[str, int]] = {c: {} for c in self.names}
        self.size = 0
        self.known: list[int] = []
        self.rows: dict[tuple[Any, ...], tuple[int, ...]] = {}  # store rows of each primary key: one a state

    def keys(self, columns: Mapping[str, list[Any]]) -> list[tuple[Any, ...]]:
        """Primary keys of rows given as columns; none where the table has no key."""
        return list(zip(*(columns[c] for c in self.table.key), strict=True)) if self.table.key else []

    def before(self, a: int, b: int) -> bool:
        """Whether row a comes before row b by content."""
        for column in self.content or sorted(self.columns):
            one, other = (nan_last(self.values[column][i]) for i in (a, b))
            if one != other:
                return one < other
        return False


class Asked:
    """A group of the plan with the histories of its keys."""

    def __init__(self, group: Group, names: Sequence[str]):
        self.group = group
        self.names = {c: i for i, c in enumerate(names)}
        self.keys: dict[Any, History] = {}
        self.spans = list(
            dict.fromkeys(
                Span.parse(f.make["window"] if f.make["op"] == "aggregate" else f.make["within"] or "all")
                for f in group.features
            )
        )
        self.lookups = [
            (f, self.spans.index(Span.parse(f.make["within"] or "all")))
            for f in group.features
            if f.make["op"] == "lookup"
        ]
        self.counts = [
            (f, self.spans.index(Span.parse(f.make["window"])))
            for f in group.features
            if f.make["op"] == "aggregate" and f.make["column"] is None
        ]
        self.aggregates = [f for f in group.features if f.make["op"] == "aggregate" and f.make["column"] is not None]


class OneRow:
    """A mapping as the source of a row's own columns; checks what it hands out."""

    def __init__(self, table: Table, row: Mapping[Any, Any]):
        self.table, self.row = table, row

    def _value(self, column: str) -> Any:
        if column not in self.row:
            raise RefitError(f"the row lacks column {column!r} of {self.table.name!r}." + nearest(column, self.row))
        return self.row[column]

    def number(self, column: str) -> np.ndarray:
        value = self._value(column)
        if value is None or value is pd.NA:
            return np.array([np.nan])
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise RefitError(f"{self.table.name}.{column}: expected a number, found {value!r}") from None
        if number in (np.inf, -np.inf):
            raise RefitError(f"{self.table.name}.{column}: infinite; make it missing, or mend it")
        return np.array([number])

    def moment(self, column: str) -> np.ndarray:
        return np.array([moment(self._value(column), column, self.table.name)], np.int64)

    def text(self, column: str) -> Any:
        value = self._value(column)
        return [np.nan if value is None or value != value else str(value)]


def moment(value: Any, column: str, table: str) -> int:
    """µs since 1970 of a moment: a datetime, a Timestamp, an ISO text, or whole µs; without a zone it is UTC."""
    if value is None or value is pd.NaT or value != value:
        return int(MISSING)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise RefitError(
                f"{table}.{column}: expected a moment such as 2013-10-31T18:00:00Z, found {value!r}"
            ) from None
    if isinstance(value, np.datetime64):
        return int(value.astype("M8[us]").view(np.int64))
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if not isinstance(value, datetime):
        raise RefitError(f"{table}.{column}: expected a moment, found {value!r}")
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    gone = value - EPOCH
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
