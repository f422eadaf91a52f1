"""Bands of columns: about equal in size, and each label selects the rows that its band counts."""

import operator

import numpy as np
import pandas as pd
import pytest

from tasks.bands import bands

SIGNS = {"≤": operator.le, ">": operator.gt, "=": operator.eq}


def selected(column: pd.Series, name: str) -> np.ndarray:
    """The rows that a reader selects who takes the label at its word."""
    if name == "missing":
        return column.isna().to_numpy()
    inside = column.notna().to_numpy().copy()
    for condition in name.split(" and "):
        sign, value = condition.split(" ", 1)
        inside &= SIGNS[sign](column, float(value) if pd.api.types.is_numeric_dtype(column) else value).to_numpy()
    return inside


RNG = np.random.default_rng(0)
COLUMNS = {
    "even": RNG.random(20_000),
    "wide": RNG.lognormal(0, 4, 5000),
    "money": np.round(RNG.gamma(2, 5000, 5000), 2),
    "seconds": 1_700_000_000 + RNG.integers(0, 5000, 3000),
    "close": 1e9 + RNG.random(2000) * 1e-4,
    "tiny": RNG.normal(size=999) * 1e-12,
    "whole": RNG.poisson(3, 4000),
    "one value at most places": np.where(RNG.random(1000) < 0.9, 7.5, RNG.normal(size=1000)),
    "few values": RNG.choice([0.1, 1 / 3, 2.0], 500),
    "constant": np.full(60, 0.1 + 0.2),
    "infinite": np.concatenate([RNG.normal(size=200), [np.inf, -np.inf]]),
    "mostly infinite": np.concatenate([RNG.normal(size=20), np.full(80, np.inf)]),
    "three rows": [1.0, 2.0, 3.0],
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("most", [4, 10])
def test_a_label_selects_exactly_the_rows_that_are_counted(name, gaps, most):
    column = pd.Series(COLUMNS[name], dtype=float)
    if gaps:
        column[::7] = np.nan
    cut = bands(column, most)
    other = pd.Series(RNG.choice(column, 300) + RNG.choice([0.0, 1e-9, 0.01], 300))  # rows that cut no band
    for rows in (column, other):
        codes = cut.codes(rows)
        for k, label in enumerate(cut.names):
            assert (codes == k).sum() == selected(rows, label).sum(), label
            assert ((codes == k) == selected(rows, label)).all()


@pytest.mark.parametrize("name", ["even", "wide", "money", "seconds", "close", "tiny"])
def test_ranges_are_about_equal_in_size_and_their_ends_short(name):
    column = pd.Series(COLUMNS[name], dtype=float)
    cut = bands(column)
    share = np.bincount(cut.codes(column), minlength=5)[:4] / len(column)
    assert share.sum() == 1.0
    assert (abs(share - 0.25) < 0.045).all()
    if name in ("even", "wide", "money"):
        assert max(len(f"{c:g}") for c in cut.cuts) <= 5


def test_a_category_that_was_not_there_is_in_no_band():
    cut = bands(pd.Series(["b", "a", None, "missing"], dtype="str"))
    assert cut.names == ("= a", "= b", "= missing", "missing")
    assert cut.codes(pd.Series(["b", "c", None, "missing"], dtype="str")).tolist() == [1, -1, 3, 2]


def test_a_number_of_few_values_is_cut_by_value():
    cut = bands(pd.Series([0.0, 1.0, 1.0]))
    assert cut.codes(pd.Series([1.0, 2.0, np.nan])).tolist() == [1, -1, 2]


def test_a_column_without_values_has_one_band():
    cut = bands(pd.Series([np.nan, np.nan]))
    assert cut.names == ("missing",)
    assert cut.codes(pd.Series([np.nan, 1.0])).tolist() == [0, -1]
