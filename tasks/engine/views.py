"""What one row sees of a key's events, and how a primitive's questions are answered over it: windows of the online engine.

The sums come from the same exact prefix sums as the local engine's; everything else is taken from the slice of events
in view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from tasks.engine.exact import Exact, concatenate
from tasks.engine.primitives.base import Term, newer_than, present

EMPTY = np.zeros(0, np.int64)


class KeyEvents:
    """Events of one key, oldest first: event and known-at times, store rows and values, in arrays. ``names`` are the columns."""

    __slots__ = ("_sums", "names", "size", "times", "values", "vocabulary")

    def __init__(self, names: dict[str, int], times: np.ndarray, values: np.ndarray, vocabulary: dict[str, list[str]]):
        self.names, self.vocabulary = names, vocabulary
        self.size = times.shape[1]
        self.times, self.values = times, values  # (4, size): event, known, store row, and a moment; (columns, size)
        self._sums: dict[tuple[str, Term], Exact] = {}

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

    def prefix(self, column: str, term: Term) -> Exact:
        """Prefix sums of a term over all events."""
        key = (column, term)
        if key not in self._sums:
            self._sums[key] = term(Slice(self, column, slice(0, self.size))).prefix()
        return self._sums[key]


class Slice:
    """Some events of a history as the column that terms are made from."""

    def __init__(self, history: KeyEvents, name: str, places: slice | np.ndarray):
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
    """One history (None: an unknown key) seen at ``t`` through several windows, the slices ``[lo, hi)`` of what can be seen.

    That is the first ``head`` events of the history, and behind them those of ``tail``: what can be seen of the rest, where
    some came late, were corrected, or are the row's own.
    """

    def __init__(
        self, history: KeyEvents | None, t: int, lo: np.ndarray, hi: np.ndarray, head: int, tail: KeyEvents | None
    ):
        self.history, self.t, self.lo, self.hi, self.head, self.tail = history, t, lo, hi, head, tail

    @classmethod
    def nothing(cls, t: int, windows: int) -> View:
        """What a row sees of a key without a history: as many empty windows."""
        return cls(None, t, np.zeros(windows, np.int64), np.zeros(windows, np.int64), 0, None)

    def through(self, windows: list[int]) -> View:
        """The same view through some of the windows."""
        if windows == list(range(len(self.lo))):
            return self
        return View(self.history, self.t, self.lo[windows], self.hi[windows], self.head, self.tail)

    def parts(self, lo: int, hi: int) -> Iterator[tuple[KeyEvents, slice]]:
        """Where the events ``[lo, hi)`` of those that can be seen lie."""
        if self.history is not None and lo < min(hi, self.head):
            yield self.history, slice(lo, min(hi, self.head))
        if self.tail is not None and hi > max(lo, self.head):
            yield self.tail, slice(max(lo - self.head, 0), hi - self.head)

    def sum(self, column: str, term: Term) -> Exact:
        """Of a term over each window: differences of prefix sums."""
        if self.history is None:
            return Exact(np.zeros((1, len(self.lo)), np.int64), 0, 0)
        if self.tail is None:
            return _between(self.history.prefix(column, term), self.lo, self.hi)
        head, tail = self.head, self.tail.prefix(column, term)
        late = _between(tail, np.maximum(self.lo - head, 0), np.maximum(self.hi - head, 0))
        if not head:
            return late
        early = _between(self.history.prefix(column, term), np.minimum(self.lo, head), np.minimum(self.hi, head))
        return early + late

    def newest(self, window: int) -> int | None:
        """Store row of the newest event in a window."""
        lo, hi = int(self.lo[window]), int(self.hi[window])
        for events, part in self.parts(max(lo, hi - 1), hi):
            return int(events.times[2, part.start])
        return None

    def seen(self, column: str) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """Values and event times in each window, missing values left out; and t."""
        if self.history is None:
            return [(np.zeros(0), EMPTY, self.t)] * len(self.lo)
        values, event, begin = self.history.column(column), self.history.event, 0
        if self.tail is not None:
            begin = min(int(self.lo.min(initial=self.head)), self.head)
            values = np.concatenate((values[begin : self.head], self.tail.column(column)))
            event = np.concatenate((event[begin : self.head], self.tail.event))
        seen = []
        for lo, hi in zip((self.lo - begin).tolist(), (self.hi - begin).tolist(), strict=True):
            there, when = values[lo:hi], event[lo:hi]
            gone = np.isnan(there)
            seen.append((there[~gone], when[~gone], self.t) if gone.any() else (there, when, self.t))
        return seen


def _between(prefix: Exact, lo: np.ndarray, hi: np.ndarray) -> Exact:
    """Sums over slices, as differences of prefix sums."""
    return Exact(prefix.digits[:, hi] - prefix.digits[:, lo], prefix.exponent, prefix.bound)


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
        """Those of the views, one after another."""
        return concatenate([view.sum(self.column, term) for view in self.views])

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
                    totals = []
                    for events, part in view.parts(lo, hi):
                        block = events.event[part] // length
                        at = part.start + np.flatnonzero(block == (view.t - 1) // length - back)
                        totals.append(term(Slice(events, self.column, at)).prefix().take(np.array([-1])))
                    nothing = Exact(np.zeros((1, 1), np.int64), 0, 0)
                    sums[back].append(totals[0] + totals[1] if len(totals) > 1 else totals[0] if totals else nothing)
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
