"""Exact columns against Python's own rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.engine.exact import BITS, MAX_DIGITS, NARROW, Exact, TooWide, _carry, _round, _widen, concatenate
from tasks.engine.history import Prefix

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


def held(number: int, bound: int) -> Exact:
    """One whole number, whose column may hold any up to a bound."""
    return Exact.from_ints(np.array([number]), bound)


@pytest.mark.parametrize(
    ("found", "value", "narrow"),
    [  # plain int64 while the bound is below 2**62, several digits from there on
        (held(5, NARROW // 2 - 1) + held(7, NARROW // 2), 12, True),
        (held(5, NARROW // 2) + held(7, NARROW // 2), 12, False),
        (held(5, NARROW // 2) - held(7, NARROW // 2), -2, False),
        (held(5, NARROW // 2) - held(7, NARROW // 2 - 1), -2, True),
        (held(5, 1 << 31) * held(-7, (1 << 31) - 1), -35, True),
        (held(5, 1 << 31) * held(-7, 1 << 31), -35, False),
        (held(5, NARROW - 1).prefix().take(np.array([1])), 5, True),
        (held(5, NARROW).prefix().take(np.array([1])), 5, False),
        (held(5, 1 << 40)._at(-21), 5, True),
        (held(5, 1 << 40)._at(-22), 5, False),
        (held(5, 0) * held(7, 0), 35, True),
        (held(5, 1 << 70) + held(7, 1), 12, False),
    ],
)
def test_int64_is_left_where_its_bound_may_be_reached(found: Exact, value: int, narrow: bool) -> None:
    assert found.narrow == narrow
    assert found.to_float().tolist() == [float(value)]


def test_a_grid_is_made_finer_as_far_as_twice_the_digits_reach() -> None:
    one = Exact.from_ints(np.array([3]))
    assert one._at(0) is one
    far = one._at(-BITS * 2 * MAX_DIGITS - (BITS - 1))
    assert sum(int(d) << (BITS * j) for j, d in enumerate(far.digits[:, 0])) == 3 << (BITS * 2 * MAX_DIGITS + BITS - 1)
    with pytest.raises(TooWide, match="values too far apart for exact sums"):
        one._at(-BITS * (2 * MAX_DIGITS + 1))
    with pytest.raises(TooWide, match="values too far apart for exact sums"):
        one + Exact(np.array([[1]]), -BITS * (2 * MAX_DIGITS + 1), 1)


@pytest.mark.parametrize(("digits", "refused"), [(MAX_DIGITS - 1, False), (MAX_DIGITS, True)])
def test_products_have_twice_the_digits_at_most_with_one_to_carry_each(digits: int, refused: bool) -> None:
    wide = Exact(np.ones((digits, 1), np.int64), 0, 1 << (BITS * digits))
    other = Exact(np.ones((MAX_DIGITS - 1, 1), np.int64), 0, 1 << (BITS * MAX_DIGITS))
    if refused:
        with pytest.raises(TooWide, match="values too far apart for exact products"):
            wide * other
    else:
        a = sum(1 << (BITS * j) for j in range(digits))
        found = wide * other
        assert sum(int(d) << (BITS * j) for j, d in enumerate(found.digits[:, 0])) == a * a


@pytest.mark.parametrize("power", [0, 52, 53, 60, 61, 62, 300])
def test_numbers_of_any_size_are_held_with_their_last_bit(power: int) -> None:
    """``1`` beside ``2**power``, a fraction, none at all, and only zeros."""
    values = np.array([2.0**power, -1.0, np.nan, 0.0])
    found = Exact.from_floats(values)
    assert found.narrow == (power < 61)
    assert found.to_float().tolist() == [2.0**power, -1.0, 0.0, 0.0]
    assert found.prefix().to_float()[-1] == float(2**power - 1)
    assert (2**power <= found.bound <= 2 ** (power + 1), len(found), found.exponent) == (True, 4, 0)
    half = Exact.from_floats(values / 2)
    assert half.to_float().tolist() == [2.0**power / 2, -0.5, 0.0, 0.0]
    assert half.exponent == -1
    nothing = Exact.from_floats(np.zeros(0))
    assert nothing.to_float().tolist() == []
    assert (nothing.narrow, nothing.bound, nothing.exponent) == (True, 0, 0)
    assert Exact.from_floats(np.zeros(3)).to_float().tolist() == [0.0] * 3


PIECES: dict[str, list[list[float]]] = {
    "whole": [[3.0], [4.0, -9.0], [1.0] * 40, [2.0**40], [7.0] * 3],
    "a finer grid later": [[4.0, 8.0], [0.5], [2.0], [0.125, 3.0]],
    "a coarser grid later": [[0.5, 0.25], [8.0], [1.0] * 9],
    "wide": [[1e30, 1.0], [2.0, 3.0], [1e30] * 5, [-1e30, 5.0]],
    "wider than before": [[1.0, 2.0], [1e30], [3.0]],
    "near the bound": [[2.0**60, 1.0], [2.0**60, 1.0], [3.0], [2.0**60] * 4, [1.0]],
    "beyond the bound at once": [[2.0**60, 1.0], [2.0**60] * 8, [1.0]],
    "below the bound": [[2.0**59, 1.0], [2.0**59, 3.0, 1.0], [1.0, 2.0], [5.0]],
    "nothing but zeros": [[0.0], [0.0, 0.0], [0.0]],
    "missing": [[np.nan], [1.0, np.nan], [2.0]],
}


@pytest.mark.parametrize("name", PIECES)
def test_prefix_sums_grow_with_their_events_as_if_made_at_once(name: str) -> None:
    every: list[float] = []
    found = Prefix()

    def term(start: int) -> Exact:
        return Exact.from_floats(np.array(every[start:]))

    for piece in PIECES[name]:
        every += piece
        found.extend(term, len(every))
        wanted = Exact.from_floats(np.array(every)).prefix()
        assert found.size == len(every)
        assert found.exact.to_float().tolist() == wanted.to_float().tolist()
        assert found.exact.narrow == wanted.narrow
        if wanted.narrow:
            assert (found.exact.bound, found.exact.exponent) == (wanted.bound, wanted.exponent)
        assert (found.exact - wanted).to_float().tolist() == [0.0] * (len(every) + 1)
        assert found.exact.bound >= max(abs(sum(map(Fraction, np.nan_to_num(every[:i])))) for i in range(len(every))) * Fraction(2) ** -found.exact.exponent  # fmt: skip


def test_prefix_sums_grow_into_room_that_was_left() -> None:
    """Twice as much room as is needed is made, and the numbers before stay where they are."""
    values = np.arange(1.0, 30.0)
    found, starts = Prefix(), []

    def term(start: int) -> Exact:
        starts.append(start)
        return Exact.from_floats(values[start:size])

    blocks = []
    for size in (4, 5, 9, 11, 12, 29):
        found.extend(term, size)
        blocks.append(found._block.shape[1])
        assert found.exact.to_float().tolist() == [0.0, *np.cumsum(values[:size])]
    assert starts == [0, 4, 5, 9, 11, 12], "only what is new is looked at"
    assert blocks == [5, 12, 12, 12, 26, 60]
    found.extend(term, 29)
    assert starts == [0, 4, 5, 9, 11, 12, 0]


def digits_of(numbers: list[int]) -> np.ndarray:
    """Whole numbers in the canonical form: digits in [0, BASE), and a last one that is 0 or -1."""
    count = max(n.bit_length() for n in numbers) // BITS + 1
    rows = [[(n >> (BITS * j)) & ((1 << BITS) - 1) for n in numbers] for j in range(count)]
    return np.array([*rows, [-(n < 0) for n in numbers]], np.int64)


@pytest.mark.parametrize("k", [0, 1, 10, 11, 12, 25, 26, 37, 51, 52, 53, 78, 104, 105, 130, 200])
def test_halves_are_rounded_to_even_unless_anything_lies_below_them(k: int) -> None:
    """54 bits that end in a half, and one bit more at any place below; Python rounds whole numbers likewise."""
    numbers = []
    for top in ((1 << 53) + 1, (1 << 53) + 3, (1 << 54) - 1, (1 << 53) + 2, (1 << 40) + 1, 1):
        whole = top << k
        numbers += [whole, *(whole + (1 << m) for m in range(k)), *(whole - (1 << m) for m in range(k))]
    numbers += [-n for n in numbers] + [0]
    found = _round(digits_of(numbers), 0)
    assert found.tolist() == [float(n) for n in numbers]
    assert _round(digits_of(numbers), -7).tolist() == [float(n) / 128 for n in numbers]
    least = np.array([[0, 0], [0, 1], [-1, -1]])  # a power of the base in as few digits as can be, and one more than it
    assert _round(least, 0).tolist() == [-float(1 << 52), -float((1 << 52) - (1 << 26))]


def test_digits_are_carried_into_one_form_whatever_they_were() -> None:
    rng = np.random.default_rng(0)
    loose = rng.integers(-(1 << 60), 1 << 60, (4, 50))
    loose[:, 0], loose[:, 1], loose[3, 2] = 0, -1, (1 << 62) - 1
    whole = [sum(int(d) << (BITS * j) for j, d in enumerate(column)) for column in loose.T]
    found = _carry(loose)
    assert [sum(int(d) << (BITS * j) for j, d in enumerate(column)) for column in found.T] == whole
    assert ((found[:-1] >= 0) & (found[:-1] < 1 << BITS)).all()
    assert set(found[-1].tolist()) == {0, -1}
    assert (_carry(found)[: len(found) - 1] == found[:-1]).all()
    three = _widen(np.array([5, -5, (1 << 62) - 1, -(1 << 62)]))
    assert [sum(int(d) << (BITS * j) for j, d in enumerate(c)) for c in three.T] == [5, -5, (1 << 62) - 1, -(1 << 62)]


def test_columns_one_after_another_are_on_one_grid_and_narrow_where_all_are() -> None:
    near, wide = Exact.from_floats(np.array([0.5, -3.0])), Exact.from_floats(np.array([1e30, 1.0]))
    assert concatenate([near]) is near
    both = concatenate([Exact.from_ints(np.array([7])), near])
    assert (both.narrow, both.exponent, both.bound, both.digits.tolist()) == (True, -1, 14, [[14, 1, -6]])
    all_of = concatenate([wide, near, Exact.from_ints(np.array([2, 4]))])
    assert not all_of.narrow
    assert all_of.to_float().tolist() == [1e30, 1.0, 0.5, -3.0, 2.0, 4.0]
    assert all_of.bound == max(wide._at(-1).bound, near.bound, 8)
