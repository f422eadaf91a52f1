"""Sorting, renumbering and reading spans, against NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine.codes import dense
from tasks.engine.kernels import sort_by_code
from tasks.engine.local import key_starts
from tasks.engine.spark import _plain, _restored
from tasks.values.durations import Span
from tests.tasks.engine.worlds import assert_same, plan, world


@pytest.mark.parametrize("size", [1, 2, 1000, 1 << 16, (1 << 16) + 1, 200_000, 1 << 33])
def test_codes_are_sorted_stably_however_many_there_are(size: int) -> None:
    codes = np.random.default_rng(0).integers(0, size, 5000)
    codes[:2] = size - 1, 0
    assert (sort_by_code(codes, size) == np.argsort(codes, kind="stable")).all()


def test_codes_are_renumbered_and_missing_ones_stay() -> None:
    (event, row), size = dense([np.array([7, -1, 900, 7]), np.array([900, 3, -1])])
    assert (event[0], event[2]) == (event[3], row[0])
    assert (event[1], row[2]) == (-1, -1)
    assert len({event[0], event[2], row[1]}) == 3
    assert 0 <= min(event[0], event[2], row[1]) <= max(event.max(), row.max()) < size == 3


def test_each_key_begins_where_the_one_before_ends() -> None:
    assert key_starts(np.array([0, 0, 2, 2, 2]), 4).tolist() == [0, 2, 2, 5, 5]


def test_spans_are_read() -> None:
    assert (Span("all").micros, Span("all").last) == (None, None)
    assert (Span("last 12").micros, Span("last 12").last) == (None, 12)
    assert (Span("2h").micros, Span("2h").last) == (7_200_000_000, None)
    assert Span("120m") == Span("2h") != Span("last 2")
    with pytest.raises(ValueError, match="a window is a duration"):
        Span("last 0")


def test_a_table_comes_back_from_spark_as_it_went() -> None:
    tables = world(3, 30)
    for name in plan().tables:
        frame = tables[name].copy()
        if name == "orders":
            frame["happened"] = frame["happened"].dt.tz_localize(None)
        plain = _plain(frame)
        assert not [c for c in plain if isinstance(plain[c].dtype, pd.DatetimeTZDtype) or plain[c].dtype.kind == "M"]
        back = _restored(plain, frame.iloc[:0])
        assert back.dtypes.equals(frame.dtypes)
        assert_same(back, frame)
    half = pd.DataFrame({"t": pd.to_datetime(["2024-01-01 00:00:00.000001", None]).tz_localize("Asia/Tokyo")})
    assert _plain(half)["t"].tolist() == [1704034800000001, np.iinfo(np.int64).min]
