"""Searches and maxima over segments are those of their definitions, one slice at a time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tasks.engine.facts import FOREVER
from tasks.engine.kernels import FEW, Line, Wavelet, kth_rank, largest, stabbing_max


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("rows", [3, 400])
def test_the_first_event_of_a_key_from_a_moment_on_is_found(rows: int, far: bool) -> None:
    rng = np.random.default_rng(rows)
    sizes = np.array([5, 0, 60, 1, 0])
    times = np.concatenate([np.sort(rng.integers(-9, 9, n)) for n in sizes])
    if far:  # key and moment do not fit into one number, so ranks stand for the moments
        times[[0, 64]] = -(1 << 61), FOREVER
    starts = np.concatenate([[0], np.cumsum(sizes)])
    codes, moments = rng.integers(0, len(sizes), rows), rng.integers(-11, 11, rows)
    assert (FEW * rows < len(times)) == (rows == 3)  # then each row's key is searched by itself
    expected = [
        next((at for at in range(starts[c], starts[c + 1]) if times[at] >= m), starts[c + 1])
        for c, m in zip(codes, moments, strict=True)
    ]
    assert Line(starts, times).first_at(codes, moments).tolist() == expected


def test_without_events_all_is_the_end() -> None:
    assert Line(np.array([0, 0]), np.zeros(0, np.int64)).first_at(np.array([0]), np.array([5])).tolist() == [0]


@pytest.mark.parametrize("size", [0, 1, 2, 40])
def test_the_largest_of_slices(size: int) -> None:
    rng = np.random.default_rng(size)
    values = np.where(rng.random(size) < 0.3, np.nan, rng.normal(size=size))
    lo, hi = rng.integers(0, size + 1, 300), rng.integers(0, size + 1, 300)
    expected = [max([v for v in values[a:b] if v == v], default=-np.inf) for a, b in zip(lo, hi, strict=True)]
    assert largest(values, lo, hi).tolist() == expected


@pytest.mark.parametrize(("size", "slices"), [(0, 0), (1, 1), (1, 0), (2, 5), (17, 3), (64, 40), (100, 400)])
def test_the_largest_priority_of_the_slices_that_cover_a_place(size: int, slices: int) -> None:
    rng = np.random.default_rng(size + slices)
    a, b = rng.integers(0, size + 1, (2, slices)) if slices else np.zeros((2, 0), np.int64)
    priority = rng.permutation(slices)
    expected = [max((int(p) for x, y, p in zip(a, b, priority, strict=True) if x <= i < y), default=-1) for i in range(size)]  # fmt: skip
    assert stabbing_max(a, b, priority, size).tolist() == expected
    for length in range(size + 1):  # each slice by itself, of any length, at both ends and in the middle
        for start in {0, (size - length) // 2, size - length}:
            alone = stabbing_max(np.array([start]), np.array([start + length]), np.array([7]), size)
            assert alone.tolist() == [7 if start <= i < start + length else -1 for i in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 100])
@pytest.mark.parametrize("less", [False, True])
def test_the_kth_of_slices_and_of_what_is_left_of_them(size: int, less: bool) -> None:
    """``less``: a second slice, whose values are among those of the first, is taken away."""
    rng = np.random.default_rng(size)
    ranks = rng.integers(0, size, 60)
    ranks[:2] = 0, size - 1
    other = rng.permutation(ranks)
    asked = [(lo, hi, k) for lo in (0, 1, 17, 59) for hi in range(lo + 1, 61) for k in {0, (hi - lo) // 2, hi - lo - 1}]
    lo, hi, k = (np.array(part) for part in zip(*asked, strict=True))
    matrix = Wavelet(ranks, size)
    if not less:
        wanted = [sorted(ranks[x:y].tolist())[at] for x, y, at in asked]
        assert kth_rank([(matrix, lo, hi)], k).tolist() == wanted
        return
    taken = rng.integers(0, 30, len(k))  # of all sixty, so many of the other order's first
    left = [sorted((Counter(ranks.tolist()) - Counter(other[:n].tolist())).elements()) for n in taken.tolist()]
    k = np.array([at % len(values) for at, values in zip(k.tolist(), left, strict=True)])
    zero = np.zeros(len(k), np.int64)
    found = kth_rank([(matrix, zero, zero + 60), (Wavelet(other, size), zero, taken)], k)
    assert found.tolist() == [values[at] for values, at in zip(left, k.tolist(), strict=True)]
