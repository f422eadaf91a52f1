"""Windows over an index: the local engine's answers to a primitive's questions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.engine.exact import Exact
from tasks.engine.facts import FOREVER
from tasks.engine.kernels import Line, largest, stabbing_max
from tasks.engine.local import Index, IndexedColumn, key_starts
from tasks.engine.primitives.base import Term, newer_than, present
from tasks.values.durations import Span


class IndexedWindow:
    """:class:`~tasks.engine.primitives.base.Window` over a run of an index's rows (``part``)."""

    def __init__(self, index: Index, column: IndexedColumn, span: Span, part: slice):
        self.index, self.column, self.span, self.part = index, column, span, part
        self.positions = index.positions(span)
        self.lo, self.hi = self.positions.lo[part], self.positions.hi[part]
        self.t = index.t[part]
        self._sums: dict[Term, Exact] = {}
        self.n = self.hi - self.lo if column.complete else self.sum(present).digits[0]

    def sum(self, term: Term) -> Exact:
        """Differences of prefix sums, taken once."""
        if term not in self._sums:
            entering, leaving = (self.column.sums(term, s) for s in (self.positions.entering, self.positions.leaving))
            self._sums[term] = entering.take(self.hi) - leaving.take(self.lo)
        return self._sums[term]

    def blocks(self, term: Term, length: int) -> tuple[Exact, Exact]:
        """The same in an index by key and time block."""
        rows = self.index.rows[self.part]
        sums = []
        for index in self.index.blocks(length):
            p, column, at = index.positions(self.span), index.column(self.column.name), index.place_of_row[rows]
            sums.append(column.sums(term, p.entering).take(p.hi[at]) - column.sums(term, p.leaving).take(p.lo[at]))
        return sums[0], sums[1]

    def kth(self, k: np.ndarray) -> np.ndarray:
        """By sparse tables for the ends, by a wavelet matrix between them."""
        p, part, column = self.positions, self.part, self.column
        out = (k < 0) | (k >= self.n)
        if p.slices and np.array_equal(k, self.n - 1):
            result = column.cached(("max", self.span), lambda: largest(column.values, p.lo, p.hi))[part].copy()
        elif p.slices and not k.any():
            result = -column.cached(("min", self.span), lambda: largest(-column.values, p.lo, p.hi))[part]
        elif not len(column.levels):
            result = np.full(len(k), np.nan)
        else:
            rank = column.by_value.kth(p, np.where(out, 0, k), part)
            result = column.levels[np.where(out, 0, rank)]
        result[out] = np.nan
        return result + 0.0  # no negative zero

    def _newest_place(self, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place in the index of the k-th newest event with a value, and where there is none."""
        out = (k < 0) | (k >= self.n)
        column = self.column
        if not len(column.values):
            return np.zeros(len(k), np.int64), np.ones(len(k), bool)
        if self.positions.slices:
            if column.complete:
                place = self.hi - 1 - k
            else:
                there = column.cached("there", lambda: np.flatnonzero(~column.missing))
                seen = column.sums(present, self.positions.entering).digits[0][self.hi]
                place = there[np.where(out, 0, seen - 1 - k)] if len(there) else k
        else:
            place = column.by_age.kth(self.positions, np.where(out, 0, self.n - 1 - k), self.part)
        return np.where(out, 0, place), out

    def newest(self, k: np.ndarray) -> np.ndarray:
        """By place in time."""
        place, out = self._newest_place(k)
        return np.where(out, np.nan, self.column.values[place] if len(self.column.values) else np.nan)

    def newest_time(self) -> np.ndarray:
        """By place in time."""
        place, out = self._newest_place(np.zeros_like(self.n))
        return np.where(out, np.nan, self.index.event[place] if len(self.index.event) else np.nan)

    def distinct(self) -> np.ndarray:
        """By when each value came into view, and when it left."""

        def make() -> np.ndarray:
            """Each value is in view during a union of intervals; count those begun and those ended."""
            index, column = self.index, self.column
            known, leave, ranks = index.known, index.leave(self.span), column.ranks
            at = np.flatnonzero(~column.missing & (known < leave))
            at = at[np.lexsort((known[at], ranks[at], index.codes[at]))]
            if not len(at):
                return np.zeros(len(index.rows), np.int64)
            fresh = np.concatenate(([True], (np.diff(ranks[at]) != 0) | (np.diff(index.codes[at]) != 0)))
            ends = np.unique(leave[at], return_inverse=True)
            group = np.cumsum(fresh) - 1
            until = ends[0][np.maximum.accumulate(ends[1] + group * len(ends[0])) - group * len(ends[0])]
            begins = fresh | np.concatenate(([True], known[at][1:] > until[:-1]))
            begun, ended = at[begins], until[np.append(begins[1:], True)]
            return self._passed(index.codes[begun], known[begun]) - self._passed(index.codes[begun], ended)

        return self.column.cached(("distinct", self.span), make)[self.part]

    def _passed(self, codes: np.ndarray, moments: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """For every row of the index: how many (or the sum of the weights) of its key's moments lie before t."""
        order = np.lexsort((moments, codes))
        starts = key_starts(codes, self.index.size)
        at = Line(starts, moments[order]).first_at(self.index.row_codes, self.index.t)
        begin = starts[self.index.row_codes]
        if weights is None:
            return at - begin
        total = np.concatenate(([0], np.cumsum(weights[order])))
        return total[at] - total[begin]

    def _changes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Every change of how often a value is in view: key code, value rank, moment, count after it.

        Sorted by code, rank and moment; a change at a moment holds for rows after it.
        """

        def make() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            index, column = self.index, self.column
            leave = index.leave(self.span)
            at = np.flatnonzero(~column.missing & (index.known < leave))
            codes, ranks = np.tile(index.codes[at], 2), np.tile(column.ranks[at], 2)
            moments = np.concatenate([index.known[at], leave[at]])
            step = np.repeat([1, -1], len(at))
            order = np.lexsort((step, moments, ranks, codes))
            codes, ranks, moments = codes[order], ranks[order], moments[order]
            return codes, ranks, moments, np.cumsum(step[order])  # each value's steps sum to zero

        return self.column.cached(("changes", self.span), make)

    def spread(self, weigh: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """By the changes of how often each value is in view."""

        def make() -> np.ndarray:
            codes, _, moments, count = self._changes()
            after = weigh(count)
            return self._passed(codes, moments, np.diff(after, prepend=0))

        return self.column.cached(("spread", weigh, self.span), make)[self.part]

    def mode(self) -> np.ndarray:
        """By the highest count among the values in view at the row's time."""

        def make() -> np.ndarray:
            """From one change to the next a value has one count; the row takes the best of those around it."""
            index, column = self.index, self.column
            codes, ranks, moments, count = self._changes()
            if not len(codes):
                return np.full(len(index.rows), np.nan)
            width = len(column.levels)
            order = np.lexsort((moments, codes))
            after = np.empty_like(order)  # first row after each moment
            after[order] = _rows_after(index, codes[order], moments[order])
            until = np.append(after[1:], 0)
            slices = count > 0  # a count above zero is always followed by a change of the same value
            best = stabbing_max(
                after[slices], until[slices], (count * width + width - 1 - ranks)[slices], len(index.rows)
            )
            return np.where(best < 0, np.nan, column.levels[width - 1 - best % width])

        return self.column.cached(("mode", self.span), make)[self.part]

    def newer(self, marked: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """By running counts where windows are slices, else row by row."""
        column = self.column
        flags = column.cached(("marked", marked), lambda: ~column.missing & marked(column.values))
        if self.positions.slices:
            places = np.arange(len(flags))
            last = column.cached(("last", marked), lambda: np.maximum.accumulate(np.where(flags, places, -1)))
            at = last[np.maximum(self.hi - 1, 0)] if len(flags) else np.full(len(self.hi), -1)
            there = (at >= self.lo) & (self.hi > self.lo)
            after = np.where(there, at + 1, self.lo)
            total = column.sums(present, self.positions.entering).digits[0]
            return np.where(there, total[self.hi] - total[after], np.nan)
        return self.each(lambda values, ages: newer_than(values, marked(values)))

    def each(self, function: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        """Row by row."""
        index, values = self.index, self.column.values
        result = np.empty(len(self.t))
        leave = None if self.positions.slices else index.leave(self.span)
        for i, t in enumerate(self.t.tolist()):
            if leave is None:
                places = slice(self.lo[i], self.hi[i])
                seen = ~self.column.missing[places]
            else:
                code = index.row_codes[self.part][i]
                places = slice(index.starts[code], index.starts[code + 1])
                seen = ~self.column.missing[places] & (index.known[places] < t) & (t <= leave[places])
            result[i] = function(values[places][seen], t - index.event[places][seen])
        return result


def _rows_after(index: Index, codes: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """First row of each code whose time is after the moment; the arguments are sorted by (code, moment)."""
    return Line(index.row_starts, index.t).first_at(codes, np.minimum(moments, FOREVER - 1) + 1)
