"""Exact columns against Python's own rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.engine.exact import Exact, TooWide, concatenate

whole = st.integers(-(2**53), 2**53).map(float)
cents = st.integers(-(10**9), 10**9).map(lambda v: v / 100)
wild = st.floats(-1e60, 1e60, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-60)


@settings(max_examples=150, deadline=None)
@given(
    values=st.one_of(st.lists(whole, min_size=1), st.lists(cents, min_size=1), st.lists(wild, min_size=1)),
    data=st.data(),
)
def test_sums_and_products_are_rounded_once(values: list[float], data: st.DataObject) -> None:
    column = Exact.from_floats(np.array(values))
    a = data.draw(st.integers(0, len(values)))
    b = data.draw(st.integers(a, len(values)))
    at = np.array([a]), np.array([b])
    part = [Fraction(v) for v in values[a:b]]
    total = column.prefix().take(at[1]) - column.prefix().take(at[0])
    assert total.to_float()[0] == float(sum(part, Fraction(0)))
    squares = (column * column).prefix()
    over = Exact.from_ints(np.array([b - a])) * (squares.take(at[1]) - squares.take(at[0])) - total * total
    assert over.to_float()[0] == float(len(part) * sum(v * v for v in part) - sum(part, Fraction(0)) ** 2)


def test_missing_counts_as_nothing_and_grids_are_joined() -> None:
    parts = [
        Exact.from_floats(np.array([np.nan, 0.1])),
        Exact.from_floats(np.array([1e20])),
        Exact.from_ints(np.array([3])),
    ]
    assert concatenate(parts).to_float().tolist() == [0.0, 0.1, 1e20, 3.0]


def test_int64_never_wraps() -> None:
    big = Exact.from_ints(np.array([2**62 - 1] * 9))
    assert big.prefix().to_float()[-1] == float(9 * (2**62 - 1))
    assert (big * big).to_float()[0] == float((2**62 - 1) ** 2)


def test_what_cannot_be_exact_is_refused() -> None:
    with pytest.raises(TooWide, match="too far apart"):
        Exact.from_floats(np.array([1e300, 1e-300]))
    with pytest.raises(TooWide, match="larger than a float64"):
        Exact.from_floats(np.array([1.7e308] * 2)).prefix().to_float()
