"""Tables as the engine sees them: moments as int64 microseconds, numbers as float64, keys as codes; mistakes refused."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts.columns import RECEIVED, UNTIL
from tasks.errors import RefitError, nearest, some
from tasks.states import known_from
from tasks.stored import Frame

MISSING = np.iinfo(np.int64).min  # a missing moment, as in NumPy's NaT
FOREVER = np.iinfo(np.int64).max
HOUR = 3_600_000_000  # µs
Json = Mapping[str, Any]  # of a part of a plan; what is in it is checked as it is read


@dataclass(frozen=True)
class Time:
    """A datetime column plus an offset in microseconds."""

    column: str
    offset: int = 0

    def of(self, moments: np.ndarray) -> np.ndarray:
        """The column's moments (int64 µs) with the offset; a missing one stays missing."""
        return moments if self.offset == 0 else np.where(moments == MISSING, MISSING, moments + self.offset)


@dataclass(frozen=True)
class TableSchema:
    """What the plan knows of a table: its columns' kinds, its key and its two moments."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...] = ()
    event_time: Time | None = None
    known_at: Time | None = None  # None: known when it happens
    outcome: tuple[str, ...] = ()
    later: dict[str, Time] = field(default_factory=dict)  # columns that become known after their row, and when

    def kind(self, column: str, where: str) -> str:
        """Of a column; raises :class:`RefitError`, which begins with ``where``, for one that is not there."""
        if column not in self.columns:
            raise RefitError(f"{where}: table {self.name!r} has no column {column!r}." + nearest(column, self.columns))
        return self.columns[column]

    @property
    def content(self) -> tuple[str, ...]:
        """What tells its rows apart, and settles the order of events of one moment: the key, or else all columns."""
        return self.key or tuple(c for c, kind in self.columns.items() if kind != "ignore")

    def times(self, column: str | None = None) -> tuple[Time, ...]:
        """The moments that say when its rows happened and were known, and when a column of theirs was."""
        times = (self.event_time, self.known_at, self.later.get(column) if column else None)
        return tuple(time for time in times if time)

    def to_dict(self) -> dict[str, object]:
        """As JSON; without what says nothing, so that plans of earlier versions keep their hash."""
        event, known = (time and asdict(time) for time in (self.event_time, self.known_at))
        later = {"later": {column: asdict(time) for column, time in self.later.items()}} if self.later else {}
        return {
            "name": self.name, "columns": dict(self.columns), "key": list(self.key), "event_time": event, "known_at": known,
            "outcome": list(self.outcome), **later,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, value: Json) -> TableSchema:
        """From what :meth:`to_dict` gave."""
        event, known = (Time(**value[k]) if value[k] else None for k in ("event_time", "known_at"))
        later = {column: Time(**when) for column, when in value.get("later", {}).items()}
        key, outcome = tuple(value["key"]), tuple(value["outcome"])
        return cls(value["name"], dict(value["columns"]), key, event, known, outcome, later)


def above(values: np.ndarray, bound: float) -> np.ndarray:
    """A target that is compared with a number: 1.0 above it, 0.0 not, NaN where the value (float64) is missing."""
    return np.where(np.isnan(values), np.nan, values > bound)


def never_sees_itself(time: Time | None, event: Time | None) -> bool:
    """Whether an event is always later than its own row's prediction time, by how the two are defined."""
    return bool(time and event and time.column == event.column and time.offset <= event.offset)


def series(frame: Frame, column: str, table: str) -> pd.Series:
    """A column of a table. Raises :class:`RefitError` where it lacks, with the nearest name."""
    if column not in frame.columns:
        raise RefitError(f"table {table!r} lacks column {column!r}." + nearest(column, map(str, frame.columns)))
    values: pd.Series = frame[column]
    return values


def numbers(values: pd.Series, column: str, table: str) -> np.ndarray:
    """float64, missing as NaN. Raises :class:`RefitError` for infinite values and for what is no number."""
    try:
        result = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError):
        raise RefitError(f"{table}.{column}: expected numbers, found {some(values.dropna().unique()[:3], 3)}") from None
    infinite = np.flatnonzero(np.isinf(result))
    if len(infinite):
        raise RefitError(
            f"{table}.{column}: infinite values in rows {some(infinite.tolist())}; make them missing, or mend them"
        )
    return result


def micros(values: pd.Series, column: str, table: str) -> np.ndarray:
    """Microseconds since 1970 UTC as int64, missing as :data:`MISSING`.

    Raises :class:`RefitError` for a column that holds no moments, or moments with and without a zone mixed.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "M":
        return values.to_numpy("datetime64[us]").view(np.int64)
    if values.isna().all():
        return np.full(len(values), MISSING)
    zones = {_zone(v) for v in values.dropna()}
    if len(zones) > 1:
        raise RefitError(f"{table}.{column}: mixed time zones ({some(sorted(zones))}); convert the column to UTC")
    raise RefitError(f"{table}.{column}: expected moments, found {values.dtype} ({some(values.dropna()[:2], 2)})")


def _zone(value: object) -> str:
    zone = getattr(value, "tzinfo", None)
    return str(zone) if zone is not None else "no zone"


def zoned(values: pd.Series) -> bool | None:
    """Whether a datetime column names its zone; None where it is empty of type."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return True
    return False if isinstance(values.dtype, np.dtype) and values.dtype.kind == "M" else None


def factorize(parts: Sequence[pd.Series], kind: str, column: str, table: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Codes (int64, missing -1) of columns over their common sorted categories, and the categories."""
    if kind in ("numeric", "boolean"):
        whole: Any = np.concatenate([numbers(p, column, table) for p in parts])
    elif kind == "datetime":
        whole = np.concatenate([micros(p, column, table) for p in parts]).astype(np.float64)
        whole[whole == float(MISSING)] = np.nan
    else:
        texts = [p if isinstance(p.dtype, pd.StringDtype) else p.astype("str") for p in parts]
        whole = texts[0] if len(texts) == 1 else pd.concat(texts, ignore_index=True)
    codes, categories = pd.factorize(whole, sort=True)
    ends = np.cumsum([len(p) for p in parts])
    return np.split(codes.astype(np.int64), ends[:-1]), np.asarray(
        categories, dtype=object if kind != "numeric" else None
    )


def _rises(values: np.ndarray) -> bool:
    """Whether each value is larger than the one before it, as numbered rows often are; missing ones are not."""
    return bool((values[1:] > values[:-1]).all())


@dataclass
class Events:
    """One table's rows as events. ``event`` and ``known`` are int64 µs; an event with either missing never counts.

    ``until`` (int64 µs): up to when a row is the known state of its event; None where no row was corrected. Rows that say
    when they were received (:data:`RECEIVED`) were not known before that, whatever their columns say.
    """

    table: TableSchema
    frame: pd.DataFrame
    event: np.ndarray = field(init=False)
    known: np.ndarray = field(init=False)
    until: np.ndarray | None = field(init=False)
    _numbers: dict[str, np.ndarray] = field(default_factory=dict)
    _codes: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _order: np.ndarray | None = None
    _later: dict[Time, Events] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table, n = self.table, len(self.frame)
        self.until = self._superseded()
        if table.event_time is None:
            self.event = self.known = np.zeros(n, np.int64)
            return
        self.event = self.moment(table.event_time)
        self.known = self.event if table.known_at in (None, table.event_time) else self.moment(table.known_at)
        if self.known is not self.event:
            early = (self.known < self.event) & (self.known != MISSING) & (self.event != MISSING)
            if early.any():
                raise RefitError(
                    f"{table.name}: rows {some(np.flatnonzero(early).tolist())} were known "
                    f"({table.known_at.column}) "  # type: ignore[union-attr]
                    f"before they happened ({table.event_time.column}); mend or remove them"
                )
        if RECEIVED in self.frame.columns:
            received = micros(self.frame[RECEIVED], RECEIVED, table.name)
            self.known = known_from(self.known, received)

    def later(self, time: Time | None) -> Events:
        """The same events, each known only once ``time`` has come too: as the columns known from then on show them."""
        if time is None or self.table.event_time is None:
            return self
        if time not in self._later:
            moment = self.moment(time)
            there = (self.known != MISSING) & (moment != MISSING)
            later = self._later[time] = copy.copy(self)  # values and codes are shared
            later.known = np.where(there, np.maximum(self.known, moment), MISSING)
            later._order, later._later = None, {}
        return self._later[time]

    def _superseded(self) -> np.ndarray | None:
        """int64 µs: the last moment at which each row is the state of its event that is known; None: no row was corrected."""
        if UNTIL not in self.frame.columns or self.table.event_time is None:
            return None
        until = micros(self.frame[UNTIL], UNTIL, self.table.name)
        return np.where(until == MISSING, FOREVER, until) if (until != MISSING).any() else None

    @cached_property
    def chains(self) -> np.ndarray:
        """int64: a number for each event that was corrected, which its states share; -1 for all other rows."""
        chain = np.full(len(self.frame), -1)
        key = list(self.table.key)
        states = self.frame.duplicated(key, keep=False).to_numpy() & self.frame[key].notna().all(axis=1).to_numpy()
        if self.until is not None:  # the next state may be in another part of the table
            states |= self.until != FOREVER
        chain[states] = self.frame[states].groupby(key, sort=False).ngroup()
        return chain

    def moment(self, time: Time) -> np.ndarray:
        """int64 µs of each row, missing as :data:`MISSING`."""
        return time.of(micros(series(self.frame, time.column, self.table.name), time.column, self.table.name))

    def values(self, column: str) -> np.ndarray:
        """float64 values; moments as µs; categories as codes in sorted order; missing as NaN."""
        if column not in self._numbers:
            kind = self.table.columns[column]
            source = series(self.frame, column, self.table.name)
            if kind in ("numeric", "boolean"):
                result = numbers(source, column, self.table.name)
            elif kind == "datetime":
                whole = micros(source, column, self.table.name)
                result = np.where(whole == MISSING, np.nan, whole)
            else:
                codes = self.categories(column)[0]
                result = np.where(codes < 0, np.nan, codes)
            self._numbers[column] = result
        return self._numbers[column]

    def categories(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Codes and sorted categories of one column."""
        if column not in self._codes:
            source = series(self.frame, column, self.table.name)
            (codes,), names = factorize([source], self.table.columns[column], column, self.table.name)
            self._codes[column] = codes, names
        return self._codes[column]

    def order(self) -> np.ndarray:
        """Positions of the events that can count, by event time, then known-at time, then content."""
        if self._order is None:
            counts = (self.event != MISSING) & (self.known != MISSING)
            at = np.flatnonzero(counts)
            event, known = self.event[at], self.known[at]
            order = np.lexsort((known, event)) if self.known is not self.event else np.argsort(event, kind="stable")
            self._order = at[self._settle_ties(at, order, event, known)]
        return self._order

    def _settle_ties(self, at: np.ndarray, order: np.ndarray, event: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Order events of one moment by content: by the table's key, or by all its columns."""
        e, k = event[order], known[order]
        same = (e[1:] == e[:-1]) & (k[1:] == k[:-1])
        tied: np.ndarray = (
            np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
            if len(order) > 1
            else np.zeros(0, np.int64)
        )
        if not len(tied):
            return order
        members = order[tied]
        content = [self.values(c)[at[members]] for c in self.table.key or sorted(self._columns())]
        order = order.copy()
        order[tied] = members[np.lexsort((*reversed(content), known[members], event[members]))]
        return order

    def _columns(self) -> Iterable[str]:
        return (c for c, kind in self.table.columns.items() if kind != "ignore" and c in self.frame.columns)

    def check_key(self) -> None:
        """Refuse duplicated primary keys."""
        if not self.table.key:
            return
        key = list(self.table.key)
        for column in key:
            series(self.frame, column, self.table.name)
        if len(key) == 1 and self.table.columns[key[0]] == "numeric" and _rises(self.values(key[0])):
            return
        twice = self.frame.duplicated(subset=key, keep=False).to_numpy()
        if self.until is not None:  # of a row that was corrected, only the last state is the row
            now = self.until == FOREVER
            twice = np.zeros(len(now), bool)
            twice[now] = self.frame[now].duplicated(subset=key, keep=False).to_numpy()
        if twice.any():
            rows = np.flatnonzero(twice)
            raise RefitError(
                f"{self.table.name}: rows {some(rows.tolist())} share their key ({', '.join(key)}) with another row; "
                "keys must be unique"
            )
