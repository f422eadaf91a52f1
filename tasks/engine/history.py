"""One key's recent events in memory, and windows over them: how the online engine answers a primitive's questions.

The sums come from the same exact prefix sums as the local engine's, kept up to date as events arrive; everything else
is taken from the slice of events in view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tasks.engine.asof import first_in, known_before
from tasks.engine.exact import Exact, concatenate
from tasks.engine.facts import FOREVER
from tasks.engine.primitives.base import Term, newer_than, present
from tasks.values.durations import Span

EMPTY = np.zeros(0, np.int64)


class KeyHistory:
    """Events of one key, oldest first: event and known-at times, store rows and values, in arrays that grow.

    ``names`` are the columns kept. ``in_order`` holds while the known-at times rise with the events, and none of them
    was corrected.
    """

    __slots__ = ("_prefixes", "_room", "in_order", "names", "size", "times", "values", "vocabulary")

    def __init__(self, names: dict[str, int], times: np.ndarray, values: np.ndarray, vocabulary: dict[str, list[str]]):
        self.names, self.vocabulary = names, vocabulary
        self.size = times.shape[1]
        self.times, self.values = times, values  # (4, room): event, known, store row, until; (columns, room)
        self.in_order = bool((np.diff(times[1]) >= 0).all() and (times[3] == FOREVER).all())
        self._prefixes: dict[tuple[str, Term], Prefix] = {}
        self._room = self.size

    @property
    def event(self) -> np.ndarray:
        """int64 µs (size,): when each event happened."""
        return self.times[0, : self.size]

    @property
    def known(self) -> np.ndarray:
        """int64 µs (size,): when each became known."""
        return self.times[1, : self.size]

    @property
    def rows(self) -> np.ndarray:
        """int64 (size,): the store rows of the events."""
        return self.times[2, : self.size]

    def column(self, name: str) -> np.ndarray:
        """float64 (size,): a column's values, or codes of its categories."""
        return self.values[self.names[name], : self.size]

    def add(
        self, event: int, known: int, row: int, values: Sequence[float], before: Callable[[int, int], bool]
    ) -> None:
        """Put one event in its place; ``before(a, b)``: whether store row a comes before b by content."""
        at = self.size
        while at and (event, known) <= (self.times[0, at - 1], self.times[1, at - 1]):
            same = (event, known) == (self.times[0, at - 1], self.times[1, at - 1])
            if same and not before(row, int(self.times[2, at - 1])):
                break
            at -= 1
        if self.size == self._room:
            self._room = max(8, 2 * self._room)
            self.times = _grown(self.times, self._room)
            self.values = _grown(self.values, self._room)
        if at < self.size:
            self.times[:, at + 1 : self.size + 1] = self.times[:, at : self.size].copy()
            self.values[:, at + 1 : self.size + 1] = self.values[:, at : self.size].copy()
            self._prefixes.clear()
        self.times[:, at] = event, known, row, FOREVER
        self.values[:, at] = values
        self.size += 1
        near = self.times[1, max(at - 1, 0) : min(at + 2, self.size)]
        self.in_order = self.in_order and bool((np.diff(near) >= 0).all())

    def prefix(self, column: str, term: Term) -> Exact:
        """Prefix sums of a term over all events, extended to the newest one."""
        key = (column, term)
        made = self._prefixes.get(key)
        if made is None:
            made = self._prefixes[key] = Prefix()
        if made.size != self.size:
            made.extend(lambda start: term(Slice(self, column, slice(start, self.size))), self.size)
        return made.exact

    def view(self, spans: Sequence[Span], t: int, without: tuple[int, ...] | None) -> View:
        """What a row at ``t`` sees through each window; ``without``: its own event's store rows, to be left out."""
        if self.in_order and without is None:
            hi = int(np.searchsorted(self.known, t))
            event, places = self.event, None
        else:
            seen = known_before(self.known, t) & (t <= self.times[3, : self.size])
            if without is not None:
                seen &= ~np.isin(self.rows, without)
            places = np.flatnonzero(seen)
            hi, event = len(places), self.event[places]
        lo = [
            max(hi - span.last, 0)
            if span.last is not None
            else (0 if (first := first_in(span, t)) is None else min(int(np.searchsorted(event, first)), hi))
            for span in spans
        ]
        if places is not None and lo and (unseen := min(lo)):  # older than every window
            places, lo, hi = places[unseen:], [at - unseen for at in lo], hi - unseen
        return View(self, t, np.array(lo, np.int64), np.full(len(lo), hi), places)


def _grown(block: np.ndarray, room: int) -> np.ndarray:
    larger = np.empty((block.shape[0], room), block.dtype)
    larger[:, : block.shape[1]] = block
    return larger


class Prefix:
    """Growing prefix sums."""

    __slots__ = ("_block", "bound", "exact", "size")

    def __init__(self) -> None:
        self.size, self.bound = -1, 0
        self.exact = Exact(np.zeros((1, 1), np.int64), 0, 0)
        self._block = self.exact.digits

    def extend(self, term: Callable[[int], Exact], size: int) -> None:
        """Add what came since; where the new numbers do not fit the grid, start anew on a finer one."""
        if self.size > 0 and size > self.size:
            new = term(self.size)
            if new.exponent >= self.exact.exponent:
                new = new._at(self.exact.exponent)
                bound = max(self.bound, new.bound)
                count = self.exact.digits.shape[0]
                digits = new.digits if count == 1 else new._wide()
                if len(digits) <= count and (count > 1 or bound * size < 1 << 62):
                    self._append(digits, size, bound)
                    return
        values = term(0)
        self.exact = values.prefix()
        self._block, self.size, self.bound = self.exact.digits, size, values.bound

    def _append(self, digits: np.ndarray, size: int, bound: int) -> None:
        if size + 1 > self._block.shape[1]:
            self._block = _grown(self._block[:, : self.size + 1], 2 * (size + 1))
        new = self._block[:, self.size + 1 : size + 1]
        new[:] = 0
        new[: len(digits)] = np.cumsum(digits, axis=1)
        new += self._block[:, self.size : self.size + 1]
        self.size, self.bound = size, bound
        self.exact = Exact(self._block[:, : size + 1], self.exact.exponent, max(bound, 1) * size)


class Slice:
    """Some events of a history as the column that terms are made from."""

    def __init__(self, history: KeyHistory, name: str, places: slice | np.ndarray):
        self.history, self.name, self.places = history, name, places

    @cached_property
    def values(self) -> np.ndarray:
        """float64: the column's values."""
        return self.history.column(self.name)[self.places]

    @cached_property
    def _x(self) -> Exact:
        return Exact.from_floats(self.values)

    def x(self) -> Exact:
        """The values, missing ones as zero."""
        return self._x

    def present(self) -> Exact:
        """1 where a value is there, else 0."""
        return Exact.from_ints((~np.isnan(self.values)).astype(np.int64), 1)

    def time(self) -> Exact:
        """The event times in µs where a value is there, else 0."""
        return Exact.from_ints(np.where(np.isnan(self.values), 0, self.history.event[self.places]))

    def equals(self, category: str) -> Exact:
        """1 where the value is this category, else 0."""
        names = self.history.vocabulary[self.name]
        code = names.index(category) if category in names else -1
        return Exact.from_ints((self.values == code).astype(np.int64), 1)


class View:
    """One history (None: an unknown key) seen at ``t`` through several windows, the slices ``[lo, hi)`` of its events.

    ``places``: the events that can be seen, where some are left out because they came late or are the row's own one.
    """

    def __init__(self, history: KeyHistory | None, t: int, lo: np.ndarray, hi: np.ndarray, places: np.ndarray | None):
        self.history, self.t, self.lo, self.hi, self.places = history, t, lo, hi, places
        self._slices: dict[str, Slice] = {}
        self._prefixes: dict[tuple[str, Term], Exact] = {}

    @classmethod
    def nothing(cls, t: int, windows: int) -> View:
        """What a row sees of a key without a history: as many empty windows."""
        return cls(None, t, np.zeros(windows, np.int64), np.zeros(windows, np.int64), None)

    def through(self, windows: list[int]) -> View:
        """The same view through some of the windows; what is worked out for one is there for all."""
        if windows == list(range(len(self.lo))):
            return self
        part = View(self.history, self.t, self.lo[windows], self.hi[windows], self.places)
        part._slices, part._prefixes = self._slices, self._prefixes
        return part

    def prefix(self, column: str, term: Term) -> Exact:
        """Prefix sums of a term over the events that can be seen."""
        assert self.history is not None
        if self.places is None:
            return self.history.prefix(column, term)
        key = (column, term)
        if key not in self._prefixes:
            self._prefixes[key] = term(self.slice(column)).prefix()
        return self._prefixes[key]

    def slice(self, column: str) -> Slice:
        """A column of the events that can be seen, where some cannot."""
        assert self.history is not None
        assert self.places is not None
        if column not in self._slices:
            self._slices[column] = Slice(self.history, column, self.places)
        return self._slices[column]

    def newest(self, window: int) -> int | None:
        """Place in the history of the newest event in a window."""
        if self.lo[window] >= self.hi[window]:
            return None
        at = int(self.hi[window]) - 1
        return at if self.places is None else int(self.places[at])

    def seen(self, column: str) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """Values and event times in each window, missing values left out; and t."""
        if self.history is None:
            return [(np.zeros(0), EMPTY, self.t)] * len(self.lo)
        if self.places is None:
            values, event = self.history.column(column), self.history.event
        else:
            values, event = self.slice(column).values, self.history.event[self.places]
        seen = []
        for lo, hi in zip(self.lo.tolist(), self.hi.tolist(), strict=True):
            there, when = values[lo:hi], event[lo:hi]
            gone = np.isnan(there)
            seen.append((there[~gone], when[~gone], self.t) if gone.any() else (there, when, self.t))
        return seen


class HistoryWindow:
    """:class:`~tasks.engine.primitives.base.Window` over views of several keys' histories, for one column."""

    def __init__(self, views: list[View], column: str):
        self.views, self.column = views, column
        self.n = self.sum(present).digits[0]

    @cached_property
    def t(self) -> np.ndarray:
        """int64 µs: the prediction time of each window."""
        return np.array([v.t for v in self.views for _ in v.lo], np.int64)

    def sum(self, term: Term) -> Exact:
        """Differences of the histories' prefix sums."""
        parts = []
        for view in self.views:
            if view.history is None:
                parts.append(Exact(np.zeros((1, len(view.lo)), np.int64), 0, 0))
            else:
                prefix = view.prefix(self.column, term)
                digits = prefix.digits[:, view.hi] - prefix.digits[:, view.lo]
                parts.append(Exact(digits, prefix.exponent, prefix.bound))
        return concatenate(parts)

    @cached_property
    def _seen(self) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """Values and event times in view of each window, missing values left out; and t."""
        return [seen for view in self.views for seen in view.seen(self.column)]

    def blocks(self, term: Term, length: int) -> tuple[Exact, Exact]:
        """Sums over the events of the block of ``t - 1``, and of the one before."""
        sums: tuple[list[Exact], list[Exact]] = ([], [])
        for view in self.views:
            for lo, hi in zip(view.lo.tolist(), view.hi.tolist(), strict=True):
                for back in (0, 1):
                    if view.history is None:
                        sums[back].append(Exact(np.zeros((1, 1), np.int64), 0, 0))
                        continue
                    places = np.arange(lo, hi) if view.places is None else view.places[lo:hi]
                    block = view.history.event[places] // length
                    at = places[block == (view.t - 1) // length - back]
                    sums[back].append(term(Slice(view.history, self.column, at)).prefix().take(np.array([-1])))
        return concatenate(sums[0]), concatenate(sums[1])

    def kth(self, k: np.ndarray) -> np.ndarray:
        """By partition of the values in view."""
        result = np.full(len(k), np.nan)
        for i, ((values, _, _), place) in enumerate(zip(self._seen, k.tolist(), strict=True)):
            n = len(values)
            if 0 <= place < n:
                if place == n - 1:
                    result[i] = values.max()
                else:
                    result[i] = values.min() if place == 0 else np.partition(values, place)[place]
        return result + 0.0

    def newest(self, k: np.ndarray) -> np.ndarray:
        """From the end of the values in view."""
        picked = zip(self._seen, k.tolist(), strict=True)
        return np.array([v[len(v) - 1 - i] if 0 <= i < len(v) else np.nan for (v, _, _), i in picked], np.float64)

    def newest_time(self) -> np.ndarray:
        """The last of the event times in view."""
        return np.array([e[-1] if len(e) else np.nan for _, e, _ in self._seen], np.float64)

    def distinct(self) -> np.ndarray:
        """How many different values are in view."""
        return np.array([len(np.unique(v)) for v, _, _ in self._seen], np.int64)

    def mode(self) -> np.ndarray:
        """By counts of the values in view; of equal counts the smallest, texts by name."""
        result = np.full(len(self._seen), np.nan)
        for i, (values, _, _) in enumerate(self._seen):
            if len(values):
                levels, counts = np.unique(values, return_counts=True)
                best = levels[counts == counts.max()]
                result[i] = best[0] if self._names is None else min(best, key=lambda c: self._names[int(c)])  # type: ignore[index]
        return result

    @cached_property
    def _names(self) -> list[str] | None:
        """The categories behind the codes of a categorical column, in order of arrival."""
        for view in self.views:
            if view.history is not None:
                return view.history.vocabulary.get(self.column)
        return None

    def spread(self, weigh: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """By counts of the values in view."""
        counts = (np.unique(v, return_counts=True)[1] for v, _, _ in self._seen)
        return np.array([int(weigh(c).sum()) if len(c) else 0 for c in counts], np.int64)

    def newer(self, marked: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """By the place of the newest marked value in view."""
        return np.array([newer_than(values, marked(values)) for values, _, _ in self._seen], np.float64)

    def each(self, function: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        """Window by window."""
        return np.array([function(v, t - e) for v, e, t in self._seen], np.float64)


def nan_last(value: Any) -> tuple[bool, Any]:
    """Sort key of a content value: missing ones come last."""
    missing = value is None or value != value
    return (missing, 0 if missing else value)


def code_of(names: list[str], places: dict[str, int], value: str) -> int:
    """Code of a category, given in order of arrival."""
    code = places.get(value)
    if code is None:
        code = places[value] = len(names)
        names.append(value)
    return code
