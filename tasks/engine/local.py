"""The local engine: answers a window's questions for all rows at once, at column speed.

Events and rows are grouped by key and sorted by time once; a window of a row is then a pair of positions, found by
binary search, and a sum over it is the difference of two exact prefix sums.

An event that happened at ``s`` and was known at ``k`` is seen by a row at ``t`` through a window of length ``w`` when
``k < t <= s + w``. So an event enters the view at ``k`` and leaves it at ``s + w``; one with ``k >= s + w`` was never
seen. Where within every key the order of ``k`` is also that of ``s`` (nothing arrived late and out of turn), the events
in view are one slice of the sorted events. Otherwise there are two sequences, one by entering and one by leaving, and
whatever can be counted is the count of those that entered minus the count of those that left; order statistics come
from the same subtraction, bit by bit of the value (a wavelet matrix).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tasks.engine.exact import Exact
from tasks.engine.facts import Facts
from tasks.engine.primitives.base import Term

FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Span:
    """A window: ``micros`` long, or the ``last`` n events, or (neither) everything.

    >>> Span.parse("last 5"), Span.parse("3h")
    (Span(micros=None, last=5), Span(micros=10800000000, last=None))
    """

    micros: int | None = None
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Span:
        from tasks.params import Duration

        if text == "all":
            return cls()
        return cls(last=int(text.split()[1])) if text.startswith("last ") else cls(micros=Duration(text).micros)


def sort_by_code(codes: np.ndarray, size: int) -> np.ndarray:
    """Stable order of small non-negative integers (NumPy sorts 16-bit integers by radix, in linear time)."""
    if size <= 1 << 16:
        return np.argsort(codes.astype(np.uint16), kind="stable")
    low = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    return low[sort_by_code(codes[low] >> 16, (size >> 16) + 1)]


class Index:
    """The events of one table and the rows that ask, grouped by one key and sorted.

    ``codes`` and ``row_codes`` are key codes (-1: missing, matches nothing). Everything that a window returns is in
    the order of :attr:`rows`: result ``i`` belongs to row ``rows[i]``.
    """

    def __init__(self, facts: Facts, codes: np.ndarray, row_codes: np.ndarray, t: np.ndarray, by_time: np.ndarray):
        self.facts = facts
        size = int(max(codes.max(initial=-1), row_codes.max(initial=-1))) + 1
        order = facts.order()
        order = order[codes[order] >= 0] if len(codes) and codes.min() < 0 else order
        grouped = sort_by_code(codes[order], size)
        self.events = order[grouped]  # positions in the table
        self.codes = codes[self.events]
        self.event = facts.event[self.events]
        self.known = facts.known[self.events] if facts.known is not facts.event else self.event
        self.starts = np.concatenate(([0], np.cumsum(np.bincount(self.codes, minlength=size + 1))))
        asked = np.where(row_codes < 0, size, row_codes)[by_time]  # code `size` has no events
        self.rows = by_time[sort_by_code(asked, size + 1)]
        self.row_codes = np.where(row_codes < 0, size, row_codes)[self.rows]
        self.t = t[self.rows]
        self.in_order = bool(
            self.known is self.event or ((np.diff(self.known) >= 0) | (np.diff(self.codes) != 0)).all()
        )
        self._positions: dict[Span, Positions] = {}
        self._columns: dict[str, IndexedColumn] = {}

    def before(self, codes: np.ndarray, times: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Positions, in a sequence sorted by (code, time), of the first event of a row's key at or after ``moments``."""
        base = np.sort(times)
        rank, asked = np.searchsorted(base, times), np.searchsorted(base, moments)
        width = len(base) + 1
        return np.searchsorted(codes * width + rank, self.row_codes * width + asked)

    @cached_property
    def _known_before(self) -> np.ndarray:
        return self.before(self.codes, self.known, self.t)

    def positions(self, span: Span) -> Positions:
        if span not in self._positions:
            self._positions[span] = self._slices(span) if self.in_order else self._sequences(span)
        return self._positions[span]

    def _slices(self, span: Span) -> Positions:
        hi = self._known_before
        start = self.starts[self.row_codes]
        if span.last is not None:
            lo = np.maximum(hi - span.last, start)
        elif span.micros is None:
            lo = start
        else:
            lo = np.minimum(self.before(self.codes, self.event, self.t - span.micros), hi)
        return Positions(None, None, lo, hi)

    def _sequences(self, span: Span) -> Positions:
        if span.last is not None:
            leave = self._pushed_out(span.last)
        else:
            leave = np.full(len(self.event), FOREVER) if span.micros is None else self.event + span.micros
        seen = np.flatnonzero(self.known < leave)
        entering = seen[np.lexsort((self.known[seen], self.codes[seen]))]
        leaving = seen[np.lexsort((leave[seen], self.codes[seen]))]
        hi = self.before(self.codes[entering], self.known[entering], self.t)
        lo = self.before(self.codes[leaving], leave[leaving], self.t)
        return Positions(entering, leaving, lo, hi)

    def _pushed_out(self, n: int) -> np.ndarray:
        """When each event stops being among the newest n: the n-th smallest known-at time of the newer events.

        Running minima from the newest event backwards: the smallest, then the smallest of what that one let go, and so on.
        """
        result = np.empty(len(self.known), np.int64)
        for a, b in zip(self.starts[:-1], self.starts[1:], strict=True):
            arriving = self.known[a:b][::-1]
            for _ in range(n):
                least = np.minimum.accumulate(np.concatenate(([FOREVER], arriving)))
                arriving = np.maximum(least[:-1], arriving)
            result[a:b] = least[:-1][::-1]
        return result

    def newest_event(self, span: Span) -> np.ndarray:
        """Table position of the newest event in each window; -1 where there is none."""
        if not len(self.events):
            return np.full(len(self.rows), -1)
        p = self.positions(span)
        return np.where(p.hi > p.lo, self.events[np.maximum(p.hi - 1, 0)], -1)

    def column(self, name: str) -> IndexedColumn:
        if name not in self._columns:
            self._columns[name] = IndexedColumn(self, name)
        return self._columns[name]


@dataclass(frozen=True)
class Positions:
    """Where a window's events lie: ``[lo, hi)`` of the index (no sequences), or entered before ``hi`` and not left before ``lo``."""

    entering: np.ndarray | None
    leaving: np.ndarray | None
    lo: np.ndarray
    hi: np.ndarray


class IndexedColumn:
    """A column's values in the order of an index, with whatever is derived from them."""

    def __init__(self, index: Index, name: str):
        self.index, self.name = index, name
        self.values = index.facts.values(name)[index.events]
        self.missing = np.isnan(self.values)
        self.complete = not self.missing.any()
        self._terms: dict[Term, Exact] = {}
        self._sums: dict[tuple[Term, int], Exact] = {}

    def x(self) -> Exact:
        return Exact.from_floats(self.values)

    def present(self) -> Exact:
        return Exact.from_ints((~self.missing).astype(np.int64), 1)

    def time(self) -> Exact:
        return Exact.from_ints(np.where(self.missing, 0, self.index.event))

    def equals(self, category: str) -> Exact:
        names = self.index.facts.categories(self.name)[1]
        return Exact.from_ints((self.values == np.searchsorted(names, category)).astype(np.int64), 1)

    def term(self, term: Term) -> Exact:
        if term not in self._terms:
            self._terms[term] = term(self)
        return self._terms[term]

    def sums(self, term: Term, sequence: np.ndarray | None) -> Exact:
        """Prefix sums of a term along the index, or along a sequence of its events."""
        key = (term, id(sequence))
        if key not in self._sums:
            values = self.term(term)
            self._sums[key] = (values if sequence is None else values.take(sequence)).prefix()
        return self._sums[key]


def present(column: IndexedColumn) -> Exact:
    return column.present()


class Extremes:
    """Largest value of any slice, from maxima over all runs of 2^j values (a sparse table); NaN counts as smallest."""

    def __init__(self, values: np.ndarray):
        self.levels = [np.where(np.isnan(values), -np.inf, values)]

    def largest(self, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
        length = hi - lo
        level = np.frexp(np.maximum(length, 1).astype(np.float64))[1] - 1
        result = np.full(len(lo), np.nan)
        for j in range(int(level.max(initial=0)) + 1):
            if j == len(self.levels):
                below = self.levels[-1]
                self.levels.append(np.maximum(below[: -(1 << j - 1)], below[1 << j - 1 :]))
            at = np.flatnonzero((level == j) & (length > 0))
            table = self.levels[j]
            result[at] = np.maximum(table[lo[at]], table[hi[at] - (1 << j)])
        return result


@dataclass
class IndexedWindow:
    """:class:`~tasks.engine.primitives.base.Window` over an index."""

    index: Index
    column: IndexedColumn
    positions: Positions
    n: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if self.column.complete:
            self.n = self.positions.hi - self.positions.lo
        else:
            self.n = self.sum(present).digits[0]  # type: ignore[arg-type]

    @property
    def t(self) -> np.ndarray:
        return self.index.t

    def sum(self, term: Term) -> Exact:
        p = self.positions
        return self.column.sums(term, p.entering).take(p.hi) - self.column.sums(term, p.leaving).take(p.lo)

    def kth(self, k: np.ndarray) -> np.ndarray:
        p = self.positions
        if p.entering is None and np.array_equal(k, self.n - 1):
            result = Extremes(self.column.values).largest(p.lo, p.hi)
        elif p.entering is None and not k.any():
            result = -Extremes(-self.column.values).largest(p.lo, p.hi)
        else:
            raise NotImplementedError
        result[(k < 0) | (k >= self.n)] = np.nan
        return result

    def newest(self, k: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def each(self, function: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        raise NotImplementedError
