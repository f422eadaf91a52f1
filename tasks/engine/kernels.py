"""The two inner loops that decide the local engine's speed, and the searches built of plain NumPy.

:func:`first_at` and :func:`sliding_max` walk sorted events and sorted rows side by side, in linear time. With numba
(which comes with shap where there is a wheel for it) they run compiled, and the compiled code is kept in the user's
cache; without it, or where nothing can be written, NumPy does the same by binary search. All of it is exact, so the
bits are the same either way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

COMPILED_FROM = 50_000  # rows; below, loading numba costs more than it saves


@cache
def compiled() -> dict[str, Callable[..., Any]]:
    """The compiled loops, or nothing where numba is not to be had."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refit" / "numba"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(home))
    try:
        home.mkdir(parents=True, exist_ok=True)
        from tasks.engine import loops
    except (ImportError, OSError, RuntimeError):
        return {}
    return {"first_at": loops.first_at, "sliding_max": loops.sliding_max}


def first_at(starts: np.ndarray, times: np.ndarray, row_starts: np.ndarray, t: np.ndarray, shift: int) -> np.ndarray:
    """For each row, the position of the first event of its key at or after ``t - shift`` (int64).

    ``times`` are int64, sorted within the key segments that ``starts`` (keys + 1) delimits; ``t`` likewise within
    ``row_starts``. Where a key has none so late, the end of its segment.
    """
    if len(t) >= COMPILED_FROM and (loops := compiled()):
        result: np.ndarray = loops["first_at"](starts, times, row_starts, t, shift)
        return result
    asked = np.repeat(np.arange(len(row_starts) - 1), np.diff(row_starts))
    wanted = t - shift
    if 8 * len(t) < len(times) or not len(times):
        return _bisect(times, starts[asked], starts[asked + 1], wanted)
    first, last = int(times.min()), int(times.max())
    width = last - first + 2
    if len(starts) * width >= 1 << 62:
        return _bisect(times, starts[asked], starts[asked + 1], wanted)
    codes = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.searchsorted(codes * width + (times - first), asked * width + (np.clip(wanted, first, last + 1) - first))


def _bisect(times: np.ndarray, lo: np.ndarray, hi: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """First place in ``[lo, hi)`` whose time is not before ``wanted``; all rows halve their range together."""
    while (open_ := lo < hi).any():
        middle = (lo + hi) >> 1
        before = open_ & (times[np.minimum(middle, len(times) - 1)] < wanted)
        hi = np.where(open_ & ~before, middle, hi)
        lo = np.where(before, middle + 1, lo)
    return lo


def sliding_max(values: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Largest of ``values[lo:hi]`` for each slice, -inf where it is empty; NaN counts as smallest.

    ``lo`` and ``hi`` never step back by more than a whole segment: they rise within a key, and keys follow each other.
    """
    if len(lo) >= COMPILED_FROM and (loops := compiled()):
        result: np.ndarray = loops["sliding_max"](values, lo, hi)
        return result
    return _largest(values, lo, hi)


def _largest(values: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """By maxima over all runs of 2^j values (a sparse table)."""
    table = np.where(np.isnan(values), -np.inf, values)
    length = np.maximum(hi - lo, 0)
    level = np.frexp(np.maximum(length, 1).astype(np.float64))[1] - 1
    result = np.full(len(lo), -np.inf)
    for j in range(int(level.max(initial=0)) + 1):
        at = np.flatnonzero((level == j) & (length > 0))
        result[at] = np.maximum(table[lo[at]], table[hi[at] - (1 << j)])
        half = 1 << j
        table = np.maximum(table[:-half], table[half:]) if len(table) > half else table[:0]
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
