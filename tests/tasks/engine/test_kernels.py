"""Searches and maxima over segments are those of their definitions, one slice at a time."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.engine.facts import FOREVER
from tasks.engine.kernels import FEW, Line, largest


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
