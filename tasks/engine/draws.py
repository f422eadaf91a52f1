"""Which rows of two tables belong together, and which of them are looked at: keys, periods of time, and samples of keys.

Samples go by keys and moments alone, never by values: so they are drawn before any column is read, and of a table that
stays on disk each column is read once for many of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.ahead import DAY, Timeline
from tasks.engine.codes import Part, composite, dense
from tasks.engine.facts import FOREVER, MISSING
from tasks.engine.kernels import bisect
from tasks.engine.timed_tables import TimedTable

KEYS = 200  # of a sample
ROWS = 8000  # events of a sample
MANY = 200_000  # events in which windows are counted
STRETCH = 1500  # events of one key in a sample, where windows are looked at
FIRST = 1000  # keys whose first events are looked at
PERIODS = ("day", "week", "month", "year")
Codes = tuple[np.ndarray, np.ndarray]  # int64 of the asked rows and of the events; -1 where a row has no key
Key = tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Some keys with all their rows: (code, position) of rows and of events, in the order of key and time."""

    rows: tuple[np.ndarray, np.ndarray]
    events: tuple[np.ndarray, np.ndarray]
    size: int


@dataclass(frozen=True)
class Stretch:
    """Some keys' events (positions ``at``), those of large keys cut; the asked ``rows`` among them, and their keys."""

    at: np.ndarray
    rows: np.ndarray
    group: np.ndarray
    times: dict[str, Any]

    def timeline(self, V: np.ndarray) -> Timeline:
        """With the events' values."""
        return Timeline(V=V, **self.times)


@dataclass(frozen=True)
class Drawn:
    """All samples of one key: its whole lives ("") and its periods, a stretch of its events, and some keys' first events."""

    key: Key
    lives: dict[str, Sample]
    stretch: Stretch
    first: np.ndarray

    @property
    def rows(self) -> list[np.ndarray]:
        """Positions of all asked rows in it."""
        return [*(one.rows[1] for one in self.lives.values()), self.stretch.rows]

    @property
    def events(self) -> list[np.ndarray]:
        """Positions of all events in it."""
        return [*(one.events[1] for one in self.lives.values()), self.stretch.at, self.first]

    @property
    def size(self) -> int:
        """How many rows and events it has."""
        return sum(map(len, self.rows)) + sum(map(len, self.events))


@dataclass
class Both:
    """The rows of one table, which are asked about, and the events of one, which may be the same."""

    asked: TimedTable
    events_table: TimedTable
    _last: tuple[Key, Codes] | None = field(default=None, repr=False)

    @property
    def own(self) -> bool:
        """Whether rows and events are of one table."""
        return self.asked is self.events_table

    def shared(self) -> list[Key]:
        """Keys that both have, by the same names and kinds; the empty one is the whole table."""
        a, b = self.asked.spec.columns, self.events_table.spec.columns
        shared = [
            k
            for k in self.events_table.keys
            if all(c in a and a[c] == b[c] and c in self.asked.frame.columns for c in k)
        ]
        return [*shared, ()] if self.own or not shared else shared

    def codes(self, key: Key) -> Codes:
        """The rows' keys as numbers; -1 where a part of the key, or the moment, is missing. Those of the last key are kept."""
        if self._last is None or self._last[0] != key:
            self._last = None
            n = len(self.asked.frame)
            (total,) = composite((self._column(column) for column in key), [sum(len(s.frame) for s in self._sides)])
            if len(key) > 1:
                (total,), _ = dense([total])
            start = 0
            for side in self._sides:
                total[start : start + len(side.t)][side.t == MISSING] = -1
                start += len(side.t)
            self._last = key, (total[:n], total if self.own else total[n:])
        return self._last[1]

    def _column(self, name: str) -> Part:
        """Codes of a column over both sides, in order of appearance."""
        parts = [side.frame[name] for side in self._sides]
        codes, names = pd.factorize(parts[0] if self.own else pd.concat(parts, ignore_index=True))
        return (codes,), len(names)

    @property
    def _sides(self) -> list[TimedTable]:
        return [self.asked] if self.own else [self.asked, self.events_table]

    def in_period(self, codes: Codes, period: str) -> Codes:
        """The same keys, each period by itself."""
        n = len(codes[0])
        total = codes[0] if self.own else np.concatenate(codes)
        at = np.flatnonzero(total >= 0)
        t = (self.asked.t if self.own else np.concatenate([self.asked.t, self.events_table.t]))[at]
        if period in ("day", "week"):
            number = t // DAY if period == "day" else (t // DAY + 3) // 7  # weeks begin on Monday
        else:
            number = t.view("datetime64[us]").astype(f"datetime64[{period[0].upper()}]").view(np.int64)
        del t
        number -= number.min(initial=0)
        joint = np.full(len(total), -1)
        joint[at] = pd.factorize(total[at] * (number.max(initial=0) + 1) + number)[0]
        return joint[:n], joint if self.own else joint[n:]

    # Samples ------------------------------------------------------------------------------------------------------

    def draw(self, key: Key, rng: np.random.Generator) -> Drawn:
        """All that is looked at of a key, but for what is counted in all rows."""
        codes = self.codes(key)
        lives = {"": self._sample(codes, rng)} if key else {}
        few = self._fewer(codes, rng) if key else codes
        for period in PERIODS:
            lives[period] = self._sample(self.in_period(few, period), rng)
        return Drawn(key, lives, self.stretch(codes, ROWS, STRETCH), self._firsts(codes))

    def _fewer(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """The same for some of the keys only, so that each period of theirs need not be told apart everywhere."""
        chosen = _chosen(codes, 10 * KEYS, 5 * ROWS, 40 * ROWS, rng)
        lut = np.full(_size(codes) + 1, False)
        lut[chosen] = True
        few = np.where(lut[codes[0]], codes[0], -1)
        return few, few if self.own else np.where(lut[codes[1]], codes[1], -1)

    def _sample(self, codes: Codes, rng: np.random.Generator) -> Sample:
        chosen = _chosen(codes, KEYS, ROWS, 8 * ROWS, rng)
        lut = _numbered(codes, chosen)
        parts = []
        for side, own in zip(self._sides, codes, strict=False):
            new = lut[own]
            at = ordered(new, side.t, np.flatnonzero(new >= 0))
            parts.append((new[at], at))
        return Sample(parts[0], parts[-1], len(chosen))

    def _firsts(self, codes: Codes) -> np.ndarray:
        """The first event of some keys (in the order of time, then as they stand)."""
        at = np.flatnonzero(codes[1] >= 0)
        least = np.full(_size(codes), FOREVER)
        np.minimum.at(least, codes[1][at], self.events_table.t[at])
        at = at[self.events_table.t[at] == least[codes[1][at]]]
        return at[np.unique(codes[1][at], return_index=True)[1]][:FIRST]

    def stretch(self, codes: Codes, events: int, stretch: int) -> Stretch:
        """Some keys' events, so many at most; those of large keys cut to the newest. The same ones each time."""
        chosen = _chosen(codes, events, events, FOREVER, np.random.default_rng(0))
        lut = _numbered(codes, chosen)
        new = lut[codes[1]]
        at = ordered(new, self.events_table.t, np.flatnonzero(new >= 0))
        code = new[at]
        start = np.searchsorted(code, np.arange(len(chosen)))
        size = np.diff(np.append(start, len(at)))
        share = max(min(stretch, events // max(len(chosen), 1)), 50)
        place = np.arange(len(at)) - start[code] if len(at) else np.zeros(0, np.int64)
        kept = place >= (size - share)[code] if len(at) else np.zeros(0, bool)  # the newest
        whole, at, code = size <= share, at[kept], code[kept]
        t = self.events_table.t[at]
        start, end = (np.searchsorted(code, np.arange(len(chosen)), side) for side in ("left", "right"))
        if self.own:
            rows, group, here = at, code, np.arange(len(at))
            later = here + 1
            blind = (later == end[group]) | (t[np.minimum(later, len(t) - 1)] > self.asked.asked[rows])
        else:
            mine = lut[codes[0]]
            rows = ordered(mine, self.asked.t, np.flatnonzero(mine >= 0))[: 2 * events]
            group = mine[rows]
            here, later = (
                bisect(t, start[group], end[group], self.asked.asked[rows], side) for side in ("left", "right")
            )
            blind = whole[group] | (here > start[group])
        rows, group, here, later = rows[blind], group[blind], here[blind], later[blind]
        moment = self.asked.t[rows] if self.own else self.asked.asked[rows]
        times = {
            "t": t, "moment": moment, "start": start[group], "end": end[group], "here": here, "later": later,
            "whole": whole[group], "last": int(self.events_table.t.max(initial=0)), "own": self.own,
        }  # fmt: skip
        return Stretch(at, rows, group, times)


def ordered(codes: np.ndarray, t: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Positions by key, then time, then as they stand."""
    return at[np.lexsort((t[at], codes[at]))]


def _size(codes: Codes) -> int:
    return int(max(codes[0].max(initial=-1), codes[1].max(initial=-1))) + 1


def _numbered(codes: Codes, chosen: np.ndarray) -> np.ndarray:
    """By code: which of the chosen keys it is, or -1; so also for the code -1, which comes last."""
    lut = np.full(_size(codes) + 1, -1)
    lut[chosen] = np.arange(len(chosen))
    return lut


def _chosen(codes: Codes, keys: int, events: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Keys drawn at random that have events enough and together not too many; the smallest where all have many.

    These have ``most`` events together: what is larger is not looked at.
    """
    size = _size(codes)
    count = np.bincount(codes[1][codes[1] >= 0], minlength=size)
    asked = np.bincount(codes[0][codes[0] >= 0], minlength=size)
    able = rng.permutation(np.flatnonzero((count >= 2) & (asked >= 1)))
    small = able[np.cumsum(count[able]) <= events][:keys]
    if len(small) < min(len(able), 24):
        small = able[np.argsort(count[able], kind="stable")][:24]
        small = small[np.cumsum(count[small]) <= most]
    return np.sort(small)
