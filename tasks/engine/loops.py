"""Compiled loops of :mod:`tasks.engine.kernels`; imported only where numba is there."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def first_at(starts, times, row_starts, t, shift):  # type: ignore[no-untyped-def]
    result = np.empty(len(t), np.int64)
    for code in range(len(row_starts) - 1):
        at, end = starts[code], starts[code + 1]
        for row in range(row_starts[code], row_starts[code + 1]):
            moment = t[row] - shift
            while at < end and times[at] < moment:
                at += 1
            result[row] = at
    return result


@numba.njit(cache=True, nogil=True)
def sliding_max(values, lo, hi):  # type: ignore[no-untyped-def]
    """A queue of candidates, each larger than those behind it; starts anew where a slice does not follow the last one."""
    result = np.empty(len(lo), np.float64)
    queue = np.empty(len(values) + 1, np.int64)
    head, tail, done = 0, 0, 0
    for row in range(len(lo)):
        a, b = lo[row], hi[row]
        if a >= done or b < done:
            head, tail, done = 0, 0, a
        while done < b:
            value = values[done]
            if value == value:
                while tail > head and values[queue[tail - 1]] <= value:
                    tail -= 1
                queue[tail] = done
                tail += 1
            done += 1
        while head < tail and queue[head] < a:
            head += 1
        result[row] = values[queue[head]] if head < tail and a < b else -np.inf
    return result
