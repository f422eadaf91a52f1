"""The rows that ask: many as a frame, or one as a mapping. Both say what their own columns hold in the same form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

import numpy as np
import pandas as pd

from tasks.engine.facts import MISSING, TableSchema, micros, numbers, series
from tasks.errors import RefitError, nearest
from tasks.stored import Frame

TEXT = ("categorical", "text")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Values = np.ndarray | pd.Series | list[str | float]  # of a feature; a missing one is NaN


class Source(Protocol):
    """Where the rows' own columns come from."""

    def __len__(self) -> int: ...

    def number(self, column: str) -> np.ndarray:
        """float64, missing as NaN."""

    def moment(self, column: str) -> np.ndarray:
        """int64 µs, missing as MISSING."""

    def text(self, column: str) -> Values:
        """Categories or texts as they are, missing as NaN."""


@dataclass(frozen=True)
class FrameRows:
    """Rows of a table, as a frame."""

    table: TableSchema
    frame: Frame

    def __len__(self) -> int:
        return len(self.frame)

    def number(self, column: str) -> np.ndarray:
        """As :meth:`Source.number`; raises :class:`RefitError` for what is no number."""
        return numbers(series(self.frame, column, self.table.name), column, self.table.name)

    def moment(self, column: str) -> np.ndarray:
        """As :meth:`Source.moment`; raises :class:`RefitError` for what is no moment."""
        return micros(series(self.frame, column, self.table.name), column, self.table.name)

    def text(self, column: str) -> pd.Series:
        """As :meth:`Source.text`."""
        return series(self.frame, column, self.table.name)


class OneRow:
    """One row of a table, as a mapping of plain values; checks what it hands out."""

    def __init__(self, table: TableSchema, row: Mapping[str, object]):
        self.table, self.row = table, row

    def __len__(self) -> int:
        return 1

    def _value(self, column: str) -> object:
        if column not in self.row:
            raise RefitError(f"the row lacks column {column!r} of {self.table.name!r}." + nearest(column, self.row))
        return self.row[column]

    def number(self, column: str) -> np.ndarray:
        """float64 (1,). Raises :class:`RefitError` for a column that lacks, and for what is no number."""
        value = self._value(column)
        if value is None or value is pd.NA:
            return np.array([np.nan])
        try:
            number = float(value)  # type: ignore[arg-type]  # what is no number is told
        except (TypeError, ValueError):
            raise RefitError(f"{self.table.name}.{column}: expected a number, found {value!r}") from None
        if number in (np.inf, -np.inf):
            raise RefitError(f"{self.table.name}.{column}: infinite; make it missing, or mend it")
        return np.array([number])

    def moment(self, column: str) -> np.ndarray:
        """int64 µs (1,). Raises :class:`RefitError` likewise."""
        return np.array([moment(self._value(column), column, self.table.name)], np.int64)

    def text(self, column: str) -> list[str | float]:
        """One text, or NaN."""
        value = plain_text(self._value(column))
        return [np.nan if value is None else value]

    def key(self, column: str, kind: str) -> str | float | None:
        """A part of a key, as :class:`tasks.engine.store.Store` has it: a text, a number, or µs as a number."""
        if kind in TEXT:
            return plain_text(self._value(column))
        if kind == "datetime":
            whole = moment(self._value(column), column, self.table.name)
            return None if whole == MISSING else float(whole)
        return float(self.number(column)[0])


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of a frame as mappings of plain values."""
    return cast("list[dict[str, object]]", frame.to_dict("records"))


def plain_text(value: object) -> str | None:
    """A category or text; None where it is missing."""
    return None if value is None or value is pd.NA or value != value else str(value)


def moment(value: object, column: str, table: str) -> int:
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
