"""One key's recent events in memory, as the online engine keeps them: events come, in any order, and are corrected.

The prefix sums that windows ask for are kept, and made anew only from the first event on that is no longer what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tasks.engine.asof import first_in, known_before
from tasks.engine.exact import Exact
from tasks.engine.facts import FOREVER, MISSING
from tasks.engine.primitives.base import Term
from tasks.engine.views import KeyEvents, Slice, View
from tasks.values.durations import Span

Before = Callable[[int, int], bool]  # whether one store row comes before another one by content


class Added(NamedTuple):
    """A state of an event that comes into a history: its store row, its moments (µs), and its values there."""

    row: int
    event: int
    known: int
    until: int  # up to when it is the known state; FOREVER: the last one
    values: Sequence[float]


Placed = Added | tuple[int, int, int, int]  # what begins with a store row, and the moments of its event


class Ended(NamedTuple):
    """A state that is there, of an event at ``event``, and from when on another one is known; None: it never was."""

    row: int
    event: int
    until: int | None


class KeyHistory(KeyEvents):
    """Events of one key, each in its last state, in arrays that grow; their earlier states lie apart.

    ``in_order`` holds while the known-at times rise with the events. The last row of ``times`` has the latest known-at
    time so far: the events up to a place are all known at a moment that lies after it.
    """

    __slots__ = ("_before", "_prefixes", "_room", "earlier", "in_order")

    def __init__(
        self,
        names: dict[str, int],
        times: np.ndarray,
        values: np.ndarray,
        vocabulary: dict[str, list[str]],
        before: Before,
    ):
        """``times`` (4, n): event, known, store row, and until when each state is the known one; sorted."""
        self.earlier: EarlierStates | None = None
        gone = times[3] != FOREVER
        if gone.any():
            self.earlier = EarlierStates(times[:, gone], values[:, gone])
            times, values = times[:, ~gone], values[:, ~gone]
        super().__init__(names, times, values, vocabulary)
        self._before = before
        np.maximum.accumulate(times[1], out=times[3])
        self.in_order = bool((times[1] == times[3]).all())
        self._prefixes: dict[tuple[str, Term], Prefix] = {}
        self._room = self.size

    @classmethod
    def empty(cls, names: dict[str, int], vocabulary: dict[str, list[str]], before: Before) -> KeyHistory:
        """Of a key of which nothing is known."""
        return cls(names, np.zeros((4, 0), np.int64), np.zeros((len(names), 0)), vocabulary, before)

    # Changes ---------------------------------------------------------------------------------------------------------

    def change(self, ended: Sequence[Ended], added: Sequence[Added]) -> None:
        """Take in states that came, in any order, and what they make of those that were there."""
        gone = [place for one in ended if (place := self._end(one)) is not None]
        last = []
        for state in added:
            if state.until == FOREVER:
                last.append(state)
            else:
                self._keep_earlier((state.event, state.known, state.row, state.until), state.values)
        if len(gone) == len(last) == 1 and self._replace(gone[0], last[0]):
            return
        if gone:
            self._remove(gone)
        if len(last) == 1:
            self._insert(last[0])
        elif last:
            self._merge(last)

    def _end(self, ended: Ended) -> int | None:
        """The place of a last state that is one no longer; it, or what an earlier one says, goes where earlier ones are."""
        at = int(self.event.searchsorted(ended.event))
        while at < self.size and self.times[0, at] == ended.event:
            if self.times[2, at] == ended.row:
                if ended.until is not None:
                    event, known, row, _ = self.times[:, at].tolist()
                    self._keep_earlier((event, known, row, ended.until), self.values[:, at])
                return at
            at += 1
        if self.earlier is not None:
            self.earlier.end(ended)
        return None

    def _keep_earlier(self, times: tuple[int, int, int, int], values: Sequence[float] | np.ndarray) -> None:
        if self.earlier is None:
            self.earlier = EarlierStates(np.zeros((4, 0), np.int64), np.zeros((len(self.names), 0)))
        self.earlier.add(times, values)

    def _replace(self, at: int, state: Added) -> bool:
        """Put a state where another one was, if it belongs there."""
        for other, after in ((at - 1, False), (at + 1, True)):
            if 0 <= other < self.size:
                event, known, row, _ = self.times[:, other].tolist()
                here, there = (state.event, state.known), (event, known)
                if here == there:
                    if self._before(row, state.row) == after:
                        return False
                elif (here > there) == after:
                    return False
        self.times[:3, at] = state.event, state.known, state.row
        self.values[:, at] = state.values
        self._changed_from(at)
        return True

    def _remove(self, places: Sequence[int]) -> None:
        first = min(places)
        keep = np.ones(self.size - first, bool)
        keep[np.array(places) - first] = False
        size = self.size - len(places)
        for block in (self.times, self.values):
            block[:, first:size] = block[:, first : self.size][:, keep]
        self.size = size
        self._changed_from(first)

    def _insert(self, state: Added) -> None:
        at, size = self._place(state), self.size
        self._make_room(1)
        if at < size:
            for block in (self.times, self.values):
                block[:, at + 1 : size + 1] = block[:, at:size].copy()
        self.times[:3, at] = state.event, state.known, state.row
        self.values[:, at] = state.values
        self.size += 1
        self._changed_from(at)

    def _place(self, state: Added) -> int:
        """Where a state belongs: behind what happened before it, or was known before it, or comes before it by content."""
        here = (state.event, state.known)
        if not self.size or here > (self.times[0, self.size - 1], self.times[1, self.size - 1]):
            return self.size
        lo, hi = 0, self.size
        for line, moment in enumerate(here):
            part = self.times[line, lo:hi]
            lo, hi = lo + int(part.searchsorted(moment)), lo + int(part.searchsorted(moment, "right"))
        while lo < hi:
            middle = (lo + hi) // 2
            if self._before(state.row, int(self.times[2, middle])):
                hi = middle
            else:
                lo = middle + 1
        return lo

    def _merge(self, states: list[Added]) -> None:
        """Many at once."""
        states.sort(key=itemgetter(1, 2))
        if any(one[1:3] == other[1:3] for one, other in pairwise(states)):
            states.sort(key=cmp_to_key(self._compare))
        events = np.array([state.event for state in states])
        at = self.event.searchsorted(events)
        for i in np.flatnonzero(at != self.event.searchsorted(events, "right")).tolist():  # beside others of its moment
            at[i] = self._place(states[i])
        first, size = int(at[0]), self.size
        self._make_room(len(states))
        times = np.array([(s.event, s.known, s.row, 0) for s in states], np.int64).T
        values = np.array([s.values for s in states], np.float64).reshape(len(states), -1).T
        for block, more in ((self.times, times), (self.values, values)):
            block[:, first : size + len(states)] = np.insert(block[:, first:size], at - first, more, axis=1)
        self.size += len(states)
        self._changed_from(first)

    def _compare(self, one: Placed, other: Placed) -> int:
        if one[1:3] != other[1:3]:
            return -1 if one[1:3] < other[1:3] else 1
        return -1 if self._before(one[0], other[0]) else int(self._before(other[0], one[0]))

    def _make_room(self, more: int) -> None:
        if self.size + more > self._room:
            self._room = max(8, 2 * self._room, self.size + more)
            self.times = _grown(self.times, self._room)
            self.values = _grown(self.values, self._room)

    def _changed_from(self, at: int) -> None:
        """Bring up to date what hangs on the events from a place on."""
        if at == self.size - 1:
            known, before = int(self.times[1, at]), int(self.times[3, at - 1]) if at else MISSING
            self.times[3, at] = max(known, before)
            self.in_order = self.in_order and before <= known
        elif at < self.size:
            part, top = self.times[1, at : self.size], self.times[3, at : self.size]
            np.maximum.accumulate(part, out=top)
            if at:
                np.maximum(top, self.times[3, at - 1], out=top)
            self.in_order = self.in_order and bool((part == top).all())
        for prefix in self._prefixes.values():
            prefix.cut(at)

    # Views -----------------------------------------------------------------------------------------------------------

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
        head = int(self.times[3, : self.size].searchsorted(t))
        states = () if self.earlier is None else self.earlier.seen_at(t, without)
        tail = None
        if without is not None or len(states) or not self.in_order:
            head, tail = self._parted(t, head, states, without)
        event = self.event[:head]
        hi = head + (tail.size if tail else 0)
        lo = []
        for span in spans:
            if span.last is not None:
                lo.append(max(hi - span.last, 0))
            elif (first := first_in(span, t)) is None:
                lo.append(0)
            else:
                at = int(event.searchsorted(first))
                if tail is not None and at == head:
                    at += int(tail.event.searchsorted(first))
                lo.append(min(at, hi))
        return View(self, t, np.array(lo, np.int64), np.full(len(lo), hi), head, tail)

    def _parted(
        self, t: int, head: int, states: Sequence[int] | np.ndarray, without: tuple[int, ...] | None
    ) -> tuple[int, KeyEvents | None]:
        """How many of the events can be seen as they stand, and what can be seen of all others."""
        if without is not None:
            own = np.flatnonzero(np.isin(self.rows[:head], without))
            head = int(own[0]) if len(own) else head
        if len(states):
            assert self.earlier is not None
            times, values = self.earlier.times[:, states], self.earlier.values[:, states]
            head = min(head, int(self.event[:head].searchsorted(times[0].min())))
        seen = known_before(self.known[head:], t)
        if without is not None:
            seen &= ~np.isin(self.rows[head:], without)
        places = head + np.flatnonzero(seen)
        if not len(states):
            if not len(places):
                return head, None
            return head, KeyEvents(self.names, self.times[:, places], self.values[:, places], self.vocabulary)
        times = np.concatenate((self.times[:, places], times), axis=1)
        values = np.concatenate((self.values[:, places], values), axis=1)
        order = np.lexsort((times[1], times[0]))
        run = np.cumsum((np.diff(times[:2, order], prepend=MISSING) != 0).any(axis=0))  # of one moment
        shared = np.bincount(run)[run] > 1
        for one in np.unique(run[shared & (order >= len(places))]).tolist():
            part = slice(*run.searchsorted((one, one + 1)).tolist())
            event, known, rows, _ = times[:, order[part]].tolist()
            stand = sorted(zip(rows, event, known, order[part].tolist(), strict=True), key=cmp_to_key(self._compare))
            order[part] = [place for *_, place in stand]
        return head, KeyEvents(self.names, times[:, order], values[:, order], self.vocabulary)


class EarlierStates:
    """States of one key's events that were corrected, in the order in which they came: as :class:`KeyEvents` has them.

    The last row of ``times`` has the latest moment so far up to which one of them was the known state.
    """

    __slots__ = ("_times", "_values", "size")

    def __init__(self, times: np.ndarray, values: np.ndarray):
        order = np.argsort(times[3], kind="stable")
        times = times[:, order]
        self._times = np.concatenate((times, times[3:]))
        self._values = values[:, order]
        self.size = times.shape[1]

    @property
    def times(self) -> np.ndarray:
        """int64 (4, size): event, known, store row, until."""
        return self._times[:4, : self.size]

    @property
    def values(self) -> np.ndarray:
        """float64 (columns, size)."""
        return self._values[:, : self.size]

    def add(self, times: tuple[int, int, int, int], values: Sequence[float] | np.ndarray) -> None:
        """One more."""
        at = self.size
        if at == self._times.shape[1]:
            room = max(4, 2 * at)
            self._times, self._values = _grown(self._times, room), _grown(self._values, room)
        self._times[:4, at] = times
        self._times[4, at] = max(times[3], int(self._times[4, at - 1])) if at else times[3]
        self._values[:, at] = values
        self.size += 1

    def end(self, ended: Ended) -> None:
        """One of them was the known state up to another moment, or never."""
        for at in np.flatnonzero(self._times[2, : self.size] == ended.row).tolist():  # it is there once, or not at all
            if ended.until is not None:
                self._times[3, at] = ended.until
            else:
                for block in (self._times, self._values):
                    block[:, at : self.size - 1] = block[:, at + 1 : self.size]
                self.size -= 1
            np.maximum.accumulate(self._times[3, : self.size], out=self._times[4, : self.size])

    def seen_at(self, t: int, without: tuple[int, ...] | None) -> np.ndarray:
        """Places of those that a row at ``t`` sees."""
        first = int(self._times[4, : self.size].searchsorted(t))
        part = self._times[:, first : self.size]
        seen = known_before(part[1], t) & (t <= part[3])
        if without is not None:
            seen &= ~np.isin(part[2], without)
        return first + np.flatnonzero(seen)


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

    def cut(self, size: int) -> None:
        """Forget the events from the place ``size`` on, which are no longer what they were."""
        self.size = min(self.size, size)

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
