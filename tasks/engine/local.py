"""The local engine: answers a window's questions for all rows at once, at column speed.

Events and rows are grouped by key and sorted by time once; a window of a row is then a pair of positions, found by
binary search, and a sum over it is the difference of two exact prefix sums.

By the rule of time (:mod:`tasks.engine.asof`) an event enters the view at ``k`` and leaves it at ``s + w``; one with
``k >= s + w`` was never seen. Where within every key the order of ``k`` is also that of ``s`` (nothing arrived late and
out of turn), the events in view are one slice of the sorted events. Otherwise there are two sequences, one by entering
and one by leaving, and whatever can be counted is the count of those that entered minus the count of those that left; order statistics come
from the same subtraction, bit by bit of the value (a wavelet matrix). The state of a row that was corrected leaves at the
moment the next one is known (:mod:`tasks.states`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
import pandas as pd

from tasks.engine.asof import first_in, last_seen
from tasks.engine.codes import dense
from tasks.engine.exact import Exact
from tasks.engine.facts import FOREVER, MISSING, Events
from tasks.engine.kernels import Line, Wavelet, kth_rank, sort_by_code
from tasks.engine.primitives.base import EventColumn, Term
from tasks.values.durations import Span

Made = TypeVar("Made")


@dataclass(frozen=True)
class Sequence:
    """Events of an index in some order within each key: their places in the index, and where each key begins."""

    places: np.ndarray | None  # None: the index as it is
    starts: np.ndarray  # (keys + 1,)


@dataclass(frozen=True)
class Positions:
    """A window, row by row: what entered before ``hi``, without what left before ``lo``.

    Where ``slices``, both sequences are the index itself and the window is ``[lo, hi)`` of it.
    """

    entering: Sequence
    leaving: Sequence
    lo: np.ndarray
    hi: np.ndarray
    slices: bool


class Index:
    """The events of one table and the rows that ask, grouped by one key and sorted.

    ``codes`` and ``row_codes`` are key codes (-1: missing, matches nothing). Everything that a window returns is in
    the order of :attr:`rows`: result ``i`` belongs to row ``rows[i]``. ``by_time`` sorts the rows by ``t``.
    """

    def __init__(self, facts: Events, codes: np.ndarray, row_codes: np.ndarray, t: np.ndarray, by_time: np.ndarray):
        self.facts = facts
        size = int(max(codes.max(initial=-1), row_codes.max(initial=-1))) + 1
        order = facts.order()
        ordered = codes[order]
        if len(ordered) and ordered.min() < 0:
            order = order[ordered >= 0]
            ordered = codes[order]
        grouped = sort_by_code(ordered, size)
        self.events = order[grouped]  # positions in the table
        self.codes = ordered[grouped]
        self.event = facts.event[self.events]
        self.known = facts.known[self.events] if facts.known is not facts.event else self.event
        self.starts = key_starts(self.codes, size + 1)
        asked = row_codes[by_time]
        if len(asked) and asked.min() < 0:
            asked = np.where(asked < 0, size, asked)  # a key that has no events
        grouped = sort_by_code(asked, size + 1)
        self.rows = by_time[grouped]
        self.row_codes = asked[grouped]
        self.row_starts = key_starts(self.row_codes, size + 1)
        self.t = t[self.rows]
        self.size = size + 1
        self._asked = codes, row_codes, t, by_time
        self.until = None if facts.until is None else facts.until[self.events]
        self.in_order = self.until is None and bool(
            self.known is self.event or ((np.diff(self.known) >= 0) | (np.diff(self.codes) != 0)).all()
        )
        self.whole = Sequence(None, self.starts)
        self._positions: dict[Span, Positions] = {}
        self._leave: dict[Span, np.ndarray] = {}
        self._columns: dict[str, IndexedColumn] = {}
        self._blocks: dict[int, tuple[Index, Index]] = {}

    def release(self) -> None:
        """Let go of what refers back to this index, so that it goes with its last user, and not when garbage is collected."""
        for one in (index for both in self._blocks.values() for index in both):
            one.release()
        self._blocks.clear()
        self._columns.clear()
        self.__dict__.pop("order_matrix", None)

    @cached_property
    def _known_before(self) -> np.ndarray:
        return self._known_line.first_at(self.row_codes, self.t)

    @cached_property
    def _event_line(self) -> Line:
        return Line(self.starts, self.event)

    @cached_property
    def _known_line(self) -> Line:
        return self._event_line if self.known is self.event else Line(self.starts, self.known)

    @cached_property
    def order_matrix(self) -> Ranked:
        """Cache of wavelet matrices over the places of all events."""
        return Ranked(self, np.arange(len(self.events)), len(self.events))

    def positions(self, span: Span) -> Positions:
        """Where each row's window begins and ends, worked out once for each window."""
        if span not in self._positions:
            self._positions[span] = self._slices(span) if self.in_order else self._sequences(span)
        return self._positions[span]

    def _slices(self, span: Span) -> Positions:
        hi = self._known_before
        first = first_in(span, self.t)
        if first is not None:
            lo = np.minimum(self._event_line.first_at(self.row_codes, first), hi)
        else:
            lo = self.starts[self.row_codes]
            lo = lo if span.last is None else np.maximum(hi - span.last, lo)
        return Positions(self.whole, self.whole, lo, hi, True)

    def _sequences(self, span: Span) -> Positions:
        leave = self.leave(span)
        seen = np.flatnonzero(self.known < leave)
        starts = key_starts(self.codes[seen], self.size)
        entering = seen[np.lexsort((self.known[seen], self.codes[seen]))]
        leaving = seen[np.lexsort((leave[seen], self.codes[seen]))]
        hi = Line(starts, self.known[entering]).first_at(self.row_codes, self.t)
        lo = Line(starts, leave[leaving]).first_at(self.row_codes, self.t)
        return Positions(Sequence(entering, starts), Sequence(leaving, starts), lo, hi, False)

    def leave(self, span: Span) -> np.ndarray:
        """int64 µs: the last moment at which each event is still in view."""
        if span not in self._leave:
            if span.last is None:
                self._leave[span] = last_seen(span, self.event, self.until)
            else:
                leave = self._pushed_out(span.last)
                self._leave[span] = leave if self.until is None else np.minimum(leave, self.until)
        return self._leave[span]

    def _pushed_out(self, n: int) -> np.ndarray:
        """When each event stops being among the newest n: the n-th smallest known-at time of the newer events.

        Running minima from the newest event backwards: the smallest, then the smallest of what that one let go, and so
        on. Keys are kept apart by ranks that fall from key to key. It is not right for a key from which a correction took an
        event, or in which it moved one in time (:func:`tasks.engine.compute.corrected`).
        """
        ranked = np.unique(self.known)
        width = len(ranked) + 1
        backwards = self.codes[::-1]
        floor = backwards * width  # falls from key to key
        arriving = np.searchsorted(ranked, self.known[::-1]) + floor
        nothing = floor + width - 1
        if self.until is not None:  # from its first state on there is always one state of an event
            arriving = np.where(self._again()[::-1], nothing, arriving)
        fresh = np.concatenate(([True], np.diff(backwards) != 0))[: len(arriving)]
        shown = nothing
        for _ in range(n):
            least = np.minimum.accumulate(arriving)
            before = np.empty_like(least)
            before[1:] = least[:-1]
            shown = np.where(fresh, nothing, before) if len(before) else before
            arriving = np.maximum(shown, arriving)
        at = (shown - floor)[::-1]
        return np.append(ranked, FOREVER)[at]

    def _again(self) -> np.ndarray:
        """Events that are a later state of one before them."""
        chains = self.facts.chains[self.events]
        at = np.flatnonzero(chains >= 0)
        again = np.zeros(len(chains), bool)
        again[at] = pd.DataFrame({"code": self.codes[at], "chain": chains[at]}).duplicated().to_numpy()
        return again

    def newest_event(self, span: Span) -> np.ndarray:
        """Table position of the newest event in each window; -1 where there is none."""
        if not len(self.events):
            return np.full(len(self.rows), -1)
        p = self.positions(span)
        n = p.hi - p.lo
        if p.slices:
            place = np.maximum(p.hi - 1, 0)
        else:
            place = np.where(n > 0, self.order_matrix.kth(p, np.maximum(n - 1, 0), slice(None)), 0)
        return np.where(n > 0, self.events[place], -1)

    def column(self, name: str) -> IndexedColumn:
        """A column's values in this order, read once."""
        if name not in self._columns:
            self._columns[name] = IndexedColumn(self, name)
        return self._columns[name]

    def blocks(self, length: int) -> tuple[Index, Index]:
        """The same events by key and time block, asked for the block that holds ``t - 1``, and for the one before."""
        if length not in self._blocks:
            codes, row_codes, t, by_time = self._asked
            event = np.where(self.facts.event == MISSING, 0, self.facts.event) // length  # what is missing never counts
            asked = (np.where(t == MISSING, 1, t) - 1) // length
            first = min(int(event.min(initial=0)), int(asked.min(initial=0))) - 1
            width = max(int(event.max(initial=0)), int(asked.max(initial=0))) - first + 1
            wide = self.size * width >= 1 << 62  # a code of key and block would not fit
            both = []
            for back in (0, 1):
                of_event, of_row = event - first, asked - first - back
                if wide:
                    (of_event, of_row), width = dense([of_event, of_row])
                e = np.where(codes < 0, -1, codes * width + of_event)
                r = np.where(row_codes < 0, -1, row_codes * width + of_row)
                (e, r), _ = dense([e, r])
                both.append(Index(self.facts, e, r, t, by_time))
            self._blocks[length] = both[0], both[1]
        return self._blocks[length]

    @cached_property
    def place_of_row(self) -> np.ndarray:
        """Inverse of :attr:`rows`."""
        back = np.empty_like(self.rows)
        back[self.rows] = np.arange(len(back))
        return back


def key_starts(codes: np.ndarray, size: int) -> np.ndarray:
    """int64 (size + 1,): where each code's run begins among sorted ``codes``."""
    return np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=size))))


class Ranked:
    """Order statistics of small integers (ranks) of an index's events; ``size`` is one more than the largest."""

    def __init__(self, index: Index, ranks: np.ndarray, size: int):
        self.index, self.ranks, self.size = index, ranks, size
        self._matrices: dict[int, Wavelet] = {}

    def _matrix(self, sequence: Sequence) -> Wavelet:
        if id(sequence) not in self._matrices:
            ranks = self.ranks if sequence.places is None else self.ranks[sequence.places]
            self._matrices[id(sequence)] = Wavelet(ranks, self.size)
        return self._matrices[id(sequence)]

    def kth(self, p: Positions, k: np.ndarray, part: slice) -> np.ndarray:
        """The k-th smallest rank in each row's window, for a run of rows (``part``)."""
        lo, hi = p.lo[part], p.hi[part]
        if p.slices:
            return kth_rank([(self._matrix(p.entering), lo, hi)], k)
        start = p.entering.starts[self.index.row_codes[part]]
        return kth_rank([(self._matrix(p.entering), start, hi), (self._matrix(p.leaving), start, lo)], k)


class IndexedColumn:
    """A column's values in the order of an index, with whatever is derived from them (cached)."""

    def __init__(self, index: Index, name: str):
        self.index, self.name = index, name
        self.values = index.facts.values(name)[index.events]
        self.missing = np.isnan(self.values)
        self.complete = not self.missing.any()
        self._terms: dict[Term, Exact] = {}
        self._sums: dict[tuple[Term, int], Exact] = {}
        self._made: dict[object, object] = {}

    def x(self) -> Exact:
        """The values, missing ones as zero."""
        return self.term(_values)

    def present(self) -> Exact:
        """1 where a value is there, else 0."""
        return Exact.from_ints((~self.missing).astype(np.int64), 1)

    def time(self) -> Exact:
        """The event times in µs where a value is there, else 0."""
        return Exact.from_ints(np.where(self.missing, 0, self.index.event))

    def equals(self, category: str) -> Exact:
        """1 where the value is this category, else 0."""
        names = self.index.facts.categories(self.name)[1]
        code = np.searchsorted(names, category) if len(names) else 0
        if code >= len(names) or names[code] != category:
            return Exact.from_ints(np.zeros(len(self.values), np.int64), 0)
        return Exact.from_ints((self.values == code).astype(np.int64), 1)

    def term(self, term: Term) -> Exact:
        """A term of every event, computed once."""
        if term not in self._terms:
            self._terms[term] = term(self)
        return self._terms[term]

    def sums(self, term: Term, sequence: Sequence) -> Exact:
        """Prefix sums of a term along a sequence."""
        key = (term, id(sequence))
        if key not in self._sums:
            values = self.term(term)
            self._sums[key] = (values if sequence.places is None else values.take(sequence.places)).prefix()
        return self._sums[key]

    def cached(self, key: object, make: Callable[[], Made]) -> Made:
        """What ``make`` gives, made once under this key."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    @cached_property
    def levels(self) -> np.ndarray:
        """The distinct values, ascending."""
        return np.unique(self.values[~self.missing])

    @cached_property
    def ranks(self) -> np.ndarray:
        """Place of each value among :attr:`levels`; one more than the last for a missing one."""
        return np.where(self.missing, len(self.levels), np.searchsorted(self.levels, self.values))

    @cached_property
    def by_value(self) -> Ranked:
        """Order statistics by value; missing ones are the last."""
        return Ranked(self.index, self.ranks, len(self.levels) + 1)

    @cached_property
    def by_age(self) -> Ranked:
        """Order statistics by place in time; missing ones are the last."""
        places = np.arange(len(self.values))
        return Ranked(self.index, np.where(self.missing, len(places), places), len(places) + 1)


def _values(column: EventColumn) -> Exact:
    return Exact.from_floats(cast(IndexedColumn, column).values)
