"""Codes of columns: equal values of several tables have one code, in sorted order, and what is missing has none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine.facts import factorize, zoned

MOMENTS = pd.to_datetime(["2024-01-02", None, "2024-01-01"], utc=True)


@pytest.mark.parametrize(
    ("kind", "one", "other", "codes", "categories"),
    [
        ("numeric", [3.0, np.nan, -1.5], [-1.5, 7.0], ([1, -1, 0], [0, 2]), [-1.5, 3.0, 7.0]),
        ("boolean", [1.0, np.nan, 0.0], [1.0], ([1, -1, 0], [1]), [0.0, 1.0]),
        ("categorical", ["b", None, "a"], ["c", "a"], ([1, -1, 0], [2, 0]), ["a", "b", "c"]),
        ("datetime", MOMENTS, MOMENTS[:1], ([1, -1, 0], [1]), [m.value / 1000 for m in MOMENTS[[2, 0]]]),
    ],
)
def test_values_of_several_tables_share_their_codes(kind: str, one: list, other: list, codes: tuple, categories: list) -> None:  # fmt: skip
    parts = [pd.Series(p, dtype="str") if kind == "categorical" else pd.Series(p) for p in (one, other)]
    found, names = factorize(parts, kind, "c", "t")
    assert [part.tolist() for part in found] == [list(part) for part in codes]
    assert all(part.dtype == np.int64 for part in found)
    assert names.tolist() == categories
    assert names.dtype == (np.float64 if kind == "numeric" else object)


def test_a_column_tells_whether_it_names_its_zone() -> None:
    assert zoned(pd.Series(MOMENTS)) is True
    assert zoned(pd.Series(MOMENTS.tz_localize(None))) is False
    assert zoned(pd.Series([1.0])) is None
