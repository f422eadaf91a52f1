"""Whether a column equals an aggregate of another one over times to come: the arithmetic, on arrays.

A column that was computed elsewhere from a key's whole life, or from its next rows, looks like any other; but it agrees
with that aggregate row by row, and does so before its time. Agreement alone says little: a constant agrees with the
maximum of a constant, and what is known so far is part of the whole. So only rows count that *tell*: where the aggregate
over times to come differs from what the past (and the row itself) would give. There an honest column agrees by chance
only, and how likely that is bounds what may be suspected:

With n telling units (keys, or rows at which the aggregate changes), h agreements and p the chance that a value of the
column agrees with the aggregate of another unit, drawn at random, P(Bin(n, p) >= h) <= exp(-n KL(h/n || p)) (Chernoff).
It must be below :data:`CHANCE` divided by the number of comparisons made (Bonferroni).

Moments are int64 µs, values float64 with NaN where missing; events stand in the order of key, then time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tasks.engine.kernels import bisect

DAY = 86_400_000_000  # µs
CHANCE = 1e-6  # of ever suspecting a column that has nothing to do with what is compared
AGREE = 0.95  # share of rows, and of telling ones, that must agree
FEWEST = 10  # telling units
SHARP = 1e-3  # chance that two numbers with five decimals and more agree, at most
NEXT = (2, 3, 5, 7, 10, 14, 30)  # rows of a window
DAYS = (1, 7, 14, 28, 30, 31, 90, 365)
CENTRED = (1, 2, 3, 5, 7, 15)  # rows on either side
UNITS = {"seconds": 1_000_000, "minutes": 60_000_000, "hours": 3_600_000_000, "days": DAY}
LIFE = ("max", "min", "sum", "mean", "count", "first", "last", "nunique", "median", "std")
WORDS = {
    "max": "largest", "min": "smallest", "sum": "sum of", "mean": "mean of", "count": "number of filled", "first": "first",
    "last": "last", "nunique": "number of different", "median": "median of", "std": "standard deviation of", "value": "value of",
}  # fmt: skip


def close(a: np.ndarray, c: np.ndarray, slack: np.ndarray | float) -> np.ndarray:
    """Whether numbers agree, but for float32 and for the decimals that the column ``c`` is written with (``slack``)."""
    with np.errstate(invalid="ignore"):
        return np.abs(a - c) <= 2e-6 * np.abs(c) + slack


def slack_of(c: np.ndarray) -> tuple[float, bool]:
    """Just below half a unit of the last decimal of a column that has at most four, and whether it has more."""
    there = c[~np.isnan(c)]
    size = float(np.abs(there).max(initial=0.0))
    for decimals in range(5):
        if (np.abs(there - np.round(there, decimals)) <= 1e-9 * max(size, 1.0)).all():
            return 0.4999999 * 10.0**-decimals, False
    return 1e-9 * size, True


@dataclass(frozen=True)
class Tally:
    """How a column agrees: over all rows (or keys), and over the units that tell."""

    rows: int
    agree: int
    units: int
    hits: int
    chance: float  # log of the bound for one comparison

    def proves(self, comparisons: int, sharp: bool) -> bool:
        """Whether chance is ruled out, for so many comparisons (ten million at least); ``sharp`` numbers need fewer units."""
        if self.units < (4 if sharp else FEWEST) or self.hits < AGREE * self.units or self.agree < AGREE * self.rows:
            return False
        return self.chance + np.log(max(comparisons, 10_000_000)) <= np.log(CHANCE)


def tally(a: np.ndarray, c: np.ndarray, telling: np.ndarray, unit: np.ndarray, slack: float, sharp: bool) -> Tally:
    """Agreement of ``c`` with ``a`` where both are there; ``telling`` rows that are a ``unit`` are evidence."""
    there = ~np.isnan(a) & ~np.isnan(c)
    same = there & close(a, c, slack)
    use = there & telling & unit
    n, h = int(use.sum()), int((same & use).sum())
    p = _by_chance(a[use], c[use], slack) if n else 1.0
    p = min(p, SHARP) if sharp else p
    return Tally(int(there.sum()), int(same.sum()), n, h, -n * _divergence(h / n, p) if n else 0.0)


def _by_chance(a: np.ndarray, c: np.ndarray, slack: float) -> float:
    """Share of all pairs of a value of ``c`` with a value of ``a`` that agree."""
    a, wide = np.sort(a), 2e-6 * np.abs(c) + slack
    return float((np.searchsorted(a, c + wide, "right") - np.searchsorted(a, c - wide, "left")).mean() / len(a))


def _divergence(q: float, p: float) -> float:
    """Kullback-Leibler divergence of a coin's q from p; 0 where q is not above p."""
    if q <= p or p >= 1:
        return 0.0
    return q * np.log(q / p) + ((1 - q) * np.log((1 - q) / (1 - p)) if q < 1 else 0.0)


# The whole life of a key ------------------------------------------------------------------------------------------


def by_group(codes: np.ndarray, V: np.ndarray, size: int, wanted: Sequence[str] = LIFE) -> dict[str, np.ndarray]:
    """Aggregates ``(size, columns)`` of ``V`` ``(n, columns)`` by ascending ``codes``; of nothing, NaN (a count: 0).

    Missing values take no part. ``once`` says where the largest, ``once_min`` where the smallest stands once only.
    """
    n, width = V.shape
    starts, ends = np.searchsorted(codes, np.arange(size)), np.searchsorted(codes, np.arange(size), side="right")
    there, full = ~np.isnan(V), np.flatnonzero(ends > starts)
    at = starts[full]

    def reduced(how: np.ufunc, values: np.ndarray, empty: float) -> np.ndarray:
        out = np.full((size, width), empty)
        if len(at):
            out[full] = how.reduceat(values, at, axis=0)
        return out

    count = reduced(np.add, there.astype(float), 0.0)
    some, made = count > 0, {"count": count}
    nothing = np.where(some, 0.0, np.nan)
    if {"sum", "mean", "std"} & {*wanted}:
        total = reduced(np.add, np.where(there, V, 0.0), 0.0)
        made["sum"] = total + nothing
        made["mean"] = mean = total / np.where(some, count, np.nan)
        if "std" in wanted:
            squares = reduced(np.add, np.where(there, V - mean[codes], 0.0) ** 2, 0.0)
            made["std"] = np.sqrt(squares / np.where(count > 1, count - 1, np.nan))
    for name, once, how, empty in (("max", "once", np.maximum, -np.inf), ("min", "once_min", np.minimum, np.inf)):
        if name in wanted:
            end = np.where(some, reduced(how, np.where(there, V, empty), empty), np.nan)
            made[name], made[once] = end, reduced(np.add, (end[codes] == V).astype(float), 0.0) == 1
    place = np.arange(n)[:, None]
    for name, how, none in (("first", np.minimum, n), ("last", np.maximum, -1)):
        if name in wanted:
            where = reduced(how, np.where(there, place, none).astype(float), float(none)).astype(np.int64)
            taken = V[np.clip(where, 0, max(n - 1, 0)), np.arange(width)] if n else np.full((size, width), np.nan)
            made[name] = np.where(some, taken, np.nan)
    if {"median", "nunique"} & {*wanted}:
        median, different = np.full((size, width), np.nan), np.zeros((size, width))
        for j in range(width) if n else ():
            W = V[np.lexsort((V[:, j], codes)), j]  # missing ones are the last of their key
            k = count[:, j].astype(np.int64)
            low, high = (np.clip(starts + shift, 0, n - 1) for shift in ((k - 1) // 2, k // 2))
            median[:, j] = np.where(k > 0, (W[low] + W[high]) / 2, np.nan)
            steps = np.concatenate([[0], np.cumsum(np.append(False, W[1:] != W[:-1]))])
            different[:, j] = np.where(
                k > 0, 1 + steps[np.clip(starts + k, 0, n)] - steps[np.clip(starts + 1, 0, n)], 0
            )
        made["median"], made["nunique"] = median, different
    return {name: made[name] for name in (*wanted, "once", "once_min") if name in made}


@dataclass(frozen=True)
class Lives:
    """Aggregates by key: over all events, and over those until (``upto``) or before (``past``) the key's first row."""

    whole: dict[str, np.ndarray]
    upto: dict[str, np.ndarray]
    past: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, codes: np.ndarray, t: np.ndarray, V: np.ndarray, first: np.ndarray, wanted: Sequence[str] = LIFE
    ) -> Lives:
        """``first`` (size,): the moment of each key's first row; the largest moment for a key that has none.

        A column that begins later than its key may show the past (an earlier value); its first value is not to come.
        """
        size, since = len(first), first[codes]
        upto = np.where((t <= since)[:, None] | _opening(codes, V), V, np.nan)
        past = by_group(codes[t < since], V[t < since], size, wanted)
        return cls(by_group(codes, V, size, wanted), by_group(codes, upto, size, wanted), past)

    def telling(self, name: str) -> np.ndarray:
        """``(keys, columns)``: where the first row cannot have known the aggregate.

        Of a largest (smallest) one only where it stands once: a limit that is reached again and again is no secret.
        """
        a, out = self.whole[name], ~np.isnan(self.whole[name])
        for known in (self.upto[name], self.past[name]):
            out &= ~close(known, a, 1e-9 * np.nanmax(np.abs(a), axis=0, initial=0.0))
        once = {"max": "once", "min": "once_min"}.get(name)
        return out & self.whole[once] if once else out


def _opening(codes: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Where each column has its first value within a key."""
    there = ~np.isnan(V)
    seen = np.cumsum(there, axis=0)
    begin = np.searchsorted(codes, codes)
    before = np.where((begin > 0)[:, None], seen[np.maximum(begin - 1, 0)], 0)
    return there & (seen - before == 1)


# Rows and what comes after them -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class EventRange:
    """A stretch of events ``[low, high)`` for each row; ``full`` where all of it is there; and its like in the past."""

    name: str
    low: np.ndarray
    high: np.ndarray
    full: np.ndarray
    before: tuple[np.ndarray, np.ndarray]
    aggregates: tuple[str, ...]


@dataclass(frozen=True)
class Timeline:
    """Events of some keys, and rows that stand among them.

    ``start``, ``end`` (rows,): the bounds of the row's key; ``here``: its own event, ``later``: the first event after it
    (another table's rows have no event of their own, and ``here`` is the first event of their moment or after).
    ``whole``: whether the row's key has all its events; of others only the newest are there.
    """

    t: np.ndarray
    V: np.ndarray
    moment: np.ndarray
    start: np.ndarray
    end: np.ndarray
    here: np.ndarray
    later: np.ndarray
    whole: np.ndarray
    last: int  # the last moment of the table
    own: bool

    def at(self, rows: np.ndarray) -> Timeline:
        """The same events for some of the rows."""
        return replace(
            self, moment=self.moment[rows], start=self.start[rows], end=self.end[rows], here=self.here[rows],
            later=self.later[rows], whole=self.whole[rows],
        )  # fmt: skip

    def spans(self, outcomes: bool) -> Iterator[EventRange]:
        """All stretches that reach beyond what the row can know; ``outcomes``: those that end with the row's own outcome."""
        s, e, p, q = self.start, self.end, self.here, self.later
        few = ("sum", "mean", "max", "min", "std")

        def span(
            name: str,
            low: np.ndarray,
            high: np.ndarray,
            before: tuple[np.ndarray, np.ndarray],
            aggregates: tuple[str, ...] = few,
            full: np.ndarray | None = None,
        ) -> EventRange:
            inside = (low >= s) & (high <= e) & (low < high)
            return EventRange(name, low, high, inside if full is None else inside & full, before, aggregates)

        if outcomes:
            yield span("all rows up to its own, that one included", s, q, (s, p), few[:4], self.whole)
            for n in NEXT:
                yield span(f"the last {n} rows, its own included", q - n, q, (p - n, p))
            return
        yield span("the next row", q, q + 1, (p - 1, p), ("value",))
        for n in NEXT:
            yield span(f"the next {n} rows", q, q + n, (p - n, p))
            if self.own:
                yield span(
                    f"its own row and the next {n - 1}" if n > 2 else "its own row and the next", p, p + n, (q - n, q)
                )
        for k in CENTRED if self.own else ():
            yield span(f"{2 * k + 1} rows, its own in the middle", p - k, p + k + 1, (q - 2 * k - 1, q))
        for n in DAYS:
            ends = [bisect(self.t, s, e, self.moment + n * DAY, side) for side in ("right", "left")]
            begin = bisect(self.t, s, e, self.moment - n * DAY, "left")
            full, what = self.moment + n * DAY <= self.last, f"the next {n} days" if n > 1 else "the next day"
            for end, more in zip(ends, ("", ", the end left out"), strict=True):
                yield span(what + more, q, end, (begin, p), few[:4], full)
        yield span("all later rows", q, e, (s, p), few[:4])
        if self.own:
            yield span("its own and all later rows", p, e, (s, q), few[:4])

    def gaps(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Times to come (rows,) in several units, with what they were before: to the next event and to the last one."""
        if not len(self.t):
            return
        clip = len(self.t) - 1
        there, before = self.later < self.end, self.here > self.start
        until = np.where(there, self.t[np.minimum(self.later, clip)] - self.moment, np.nan)
        since = np.where(before, self.moment - self.t[np.maximum(self.here - 1, 0)], np.nan)
        rest = np.where(there, self.t[np.clip(self.end - 1, 0, clip)] - self.moment, np.nan)
        age = np.where(before, self.moment - self.t[np.minimum(self.start, clip)], np.nan)
        for unit, size in UNITS.items():
            yield f"{unit} until the next row", until / size, since / size
            yield f"{unit} until the last row", rest / size, age / size

    # Aggregates of stretches ------------------------------------------------------------------------------------------

    def over(self, low: np.ndarray, high: np.ndarray, how: str) -> np.ndarray:
        """``(rows, columns)``: an aggregate of the events ``[low, high)``, kept within the key; NaN of nothing."""
        low = np.clip(low, self.start, self.end)
        high = np.clip(high, low, self.end)
        if how == "value":
            return np.where((low < high)[:, None], self.V[np.minimum(low, max(len(self.V) - 1, 0))], np.nan)
        count = self._counts[high] - self._counts[low]
        some = np.where(count > 0, 0.0, np.nan)
        if how in ("max", "min"):
            return self._extreme(low, high, how) + some
        total = self._sums[high] - self._sums[low]
        if how == "sum":
            return total + count * self._middle + some
        if how == "mean":
            return total / (count + some) + self._middle
        squares = self._squares[high] - self._squares[low] - total**2 / np.maximum(count, 1)
        return np.sqrt(np.maximum(squares, 0.0) / np.where(count > 1, count - 1, np.nan))

    @cached_property
    def _middle(self) -> np.ndarray:
        count = (~np.isnan(self.V)).sum(axis=0)
        return np.nansum(self.V, axis=0) / np.maximum(count, 1)

    @cached_property
    def _counts(self) -> np.ndarray:
        return _running((~np.isnan(self.V)).astype(float))

    @cached_property
    def _sums(self) -> np.ndarray:
        return _running(np.nan_to_num(self.V - self._middle))

    @cached_property
    def _squares(self) -> np.ndarray:
        return _running(np.nan_to_num(self.V - self._middle) ** 2)

    @cached_property
    def _levels(self) -> dict[str, list[np.ndarray]]:
        """Extremes of runs of 1, 2, 4, … events from each position on (a sparse table), as far as any key reaches."""
        longest = int((self.end - self.start).max(initial=1))
        out = {}
        for name, how, empty in (("max", np.fmax, -np.inf), ("min", np.fmin, np.inf)):
            levels = [np.where(np.isnan(self.V), empty, self.V)]
            while 2 ** len(levels) <= longest:
                half, last = 2 ** (len(levels) - 1), levels[-1]
                levels.append(how(last, np.concatenate([last[half:], last[-half:]])))
            out[name] = levels
        return out

    def _extreme(self, low: np.ndarray, high: np.ndarray, how: str) -> np.ndarray:
        levels, pick = self._levels[how], np.fmax if how == "max" else np.fmin
        out = np.full((len(low), self.V.shape[1]), np.nan)
        level = np.where(high > low, np.log2(np.maximum(high - low, 1)).astype(np.int64), -1)
        for k in np.unique(level[level >= 0]):
            rows = level == k
            out[rows] = pick(levels[k][low[rows]], levels[k][high[rows] - 2**k])
        return out

    def known(self, span: EventRange, how: str, outcome: np.ndarray) -> list[np.ndarray]:
        """What the column could be instead, ``(rows, columns)`` each: an honest one, or the row's own value.

        Nor is the next value of what is no outcome any proof within a longer stretch: it may be this column's own past.
        """
        past, everyones = self._past(how)
        out = [self.over(*span.before, how if how != "value" else "mean"), *past]
        return [*out, *(np.where(outcome[None, :], np.nan, one) for one in everyones)]

    def _past(self, how: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """What is known of any column, and what is known of one that is no outcome; kept, as many spans ask for it."""
        if how not in self._kept:
            known = [self.over(self.here - 1, self.here, "value")]
            known += [self.over(self.here, self.here + 1, "value")] if self.own else []
            if how != "value":
                known.append(self.over(self.start, self.here, how))
            plain = []
            if how != "value":
                plain.append(self.over(self.later, self.later + 1, "value"))
                plain += [self.over(self.start, self.later, how)] if self.own else []
            self._kept[how] = known, plain
        return self._kept[how]

    @cached_property
    def _kept(self) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
        return {}


def _running(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def telling(a: np.ndarray, known: Sequence[np.ndarray]) -> np.ndarray:
    """Where ``a`` is there and differs from all that is known."""
    out, size = ~np.isnan(a), 1e-9 * np.nanmax(np.abs(a), axis=0, initial=0.0)
    for other in known:
        out &= ~close(other, a, size)
    return out
