"""The inner loops that decide the local engine's speed, of plain NumPy: sorting, searches by key and time, maxima and order statistics."""

from __future__ import annotations

import numpy as np

FITS = 1 << 62  # below this, key and time go into one int64
FEW = 8  # times as many events as rows: each row's key is then searched by itself


def sort_by_code(codes: np.ndarray, size: int) -> np.ndarray:
    """Stable order of small non-negative integers (NumPy sorts 16-bit integers by radix, in linear time)."""
    if size <= 1 << 16:
        return np.argsort(codes.astype(np.uint16), kind="stable")
    low = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    return low[sort_by_code(codes[low] >> 16, (size >> 16) + 1)]


class Line:
    """Events by key and time on one axis, for binary search over all keys at once.

    ``times`` are int64, sorted within the key segments that ``starts`` (keys + 1) delimits.
    """

    def __init__(self, starts: np.ndarray, times: np.ndarray):
        self.starts, self.times = starts, times
        self._axis: np.ndarray | None = None
        self._ranks: np.ndarray | None = None
        self._first = self._width = 0

    def first_at(self, codes: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """For each row, the position of the first event of its key at or after its moment (both int64).

        Where a key has none so late, the end of its segment. Quickest where the rows are sorted by key and moment.
        """
        if FEW * len(codes) < len(self.times) or not len(self.times):
            return bisect(self.times, self.starts[codes], self.starts[codes + 1], moments)
        axis = self._laid_out()
        if self._ranks is not None:
            place = np.searchsorted(self._ranks, moments)
        else:
            place = np.clip(moments, self._first, self._first + self._width - 1)
            place -= self._first
        place += codes * self._width
        return np.searchsorted(axis, place)

    def _laid_out(self) -> np.ndarray:
        """The events' places on the axis: by their moments, or by the ranks of these where the moments are too far apart."""
        if self._axis is None:
            codes = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
            self._first = int(self.times.min())
            self._width = int(self.times.max()) - self._first + 2
            if len(self.starts) * self._width < FITS:
                self._axis = codes * self._width + (self.times - self._first)
            else:
                self._ranks = np.unique(self.times)
                self._width = len(self._ranks) + 1
                self._axis = codes * self._width + np.searchsorted(self._ranks, self.times)
        return self._axis


def bisect(times: np.ndarray, lo: np.ndarray, hi: np.ndarray, wanted: np.ndarray, side: str = "left") -> np.ndarray:
    """First place in ``[lo, hi)`` whose time is not before ``wanted`` (``right``: is after it); all rows halve their range together."""
    earlier = np.less if side == "left" else np.less_equal
    while (open_ := lo < hi).any():
        middle = (lo + hi) >> 1
        before = open_ & earlier(times[np.minimum(middle, len(times) - 1)], wanted)
        hi = np.where(open_ & ~before, middle, hi)
        lo = np.where(before, middle + 1, lo)
    return lo


def largest(values: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Largest of ``values[lo:hi]`` for each slice, -inf where it is empty; NaN counts as smallest.

    By maxima over all runs of 2^j values (a sparse table), one j after another, each for the slices that two such runs
    cover.
    """
    table = np.where(np.isnan(values), -np.inf, values)
    length = hi - lo
    level = np.frexp(np.maximum(length, 0).astype(np.float64))[1].astype(np.int8)  # j + 1, and 0 for an empty slice
    order = np.argsort(level, kind="stable")  # a radix sort, in linear time
    ends = np.cumsum(np.bincount(level, minlength=1))
    low, high = lo[order], hi[order]
    top = np.full(len(lo), -np.inf)
    for j in range(len(ends) - 1):
        part = slice(ends[j], ends[j + 1])
        top[part] = np.maximum(table[low[part]], table[high[part] - (1 << j)])
        half = 1 << j
        table = np.maximum(table[:-half], table[half:]) if len(table) > half else table[:0]
    result = np.empty_like(top)
    result[order] = top
    return result


class Wavelet:
    """A wavelet matrix: how many of any prefix have which high bits, for order statistics of slices.

    Claude, Navarro and Ordóñez, "The wavelet matrix", 2015. ``ranks`` are int64 in ``[0, size)``.
    """

    def __init__(self, ranks: np.ndarray, size: int):
        self.bits = max(int(size - 1).bit_length(), 1)
        self.zeros: list[np.ndarray] = []
        current = ranks
        for bit in reversed(range(self.bits)):
            zero = (current >> bit & 1) == 0
            self.zeros.append(np.concatenate(([0], np.cumsum(zero))))
            current = np.concatenate((current[zero], current[~zero]))


def kth_rank(parts: list[tuple[Wavelet, np.ndarray, np.ndarray]], k: np.ndarray) -> np.ndarray:
    """The k-th smallest rank (from 0) of a difference of slices: the first part's slice minus the second's, if any.

    ``parts`` are (matrix, from, to). Where k is out of range the answer means nothing.
    """
    k = k.copy()
    result = np.zeros(len(k), np.int64)
    bounds = [(w, a, b) for w, a, b in parts]
    for level in range(bounds[0][0].bits):
        low = [(w.zeros[level][a], w.zeros[level][b]) for w, a, b in bounds]
        count = low[0][1] - low[0][0]
        if len(low) > 1:
            count = count - (low[1][1] - low[1][0])
        up = k >= count
        result = result << 1 | up
        k = np.where(up, k - count, k)
        bounds = [
            (w, np.where(up, w.zeros[level][-1] + a - za, za), np.where(up, w.zeros[level][-1] + b - zb, zb))
            for (w, a, b), (za, zb) in zip(bounds, low, strict=True)
        ]
    return result


def stabbing_max(a: np.ndarray, b: np.ndarray, priority: np.ndarray, size: int) -> np.ndarray:
    """For each place in ``[0, size)``, the largest priority among the slices ``[a, b)`` that cover it; -1 for none.

    A slice is covered by two runs of 2^j places; longer runs are handed down to their two halves.
    """
    length = b - a
    keep = length > 0
    a, b, priority, length = a[keep], b[keep], priority[keep], length[keep]
    level = np.frexp(length.astype(np.float64))[1] - 1
    best = np.full(size, -1, np.int64)
    for j in range(int(level.max(initial=0)), -1, -1):
        at = np.flatnonzero(level == j)
        np.maximum.at(best, a[at], priority[at])
        np.maximum.at(best, b[at] - (1 << j), priority[at])
        if j:
            half = 1 << (j - 1)
            lower = best.copy()
            lower[half:] = np.maximum(lower[half:], best[:-half])
            best = lower
    return best
