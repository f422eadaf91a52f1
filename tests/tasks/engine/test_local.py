"""Sorting, renumbering and reading spans, against NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine.codes import dense
from tasks.engine.facts import MISSING, Events, TableSchema, Time
from tasks.engine.kernels import sort_by_code
from tasks.engine.local import Index, key_starts
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


@pytest.mark.parametrize("keys", [3, 700], ids=["few", "so many that key and block together need more than 62 bits"])
@pytest.mark.parametrize("length", [1, 7, 86_400_000_000])
def test_a_row_sees_the_block_of_the_moment_before_it_and_the_one_before_that(length: int, keys: int) -> None:
    """Events and rows lie around block bounds, over five hundred years."""
    rng = np.random.default_rng(length % 97 + keys)
    far = np.array([-8_000_000_000_000_000, -1, 0, 12, 8_000_000_000_000_000]) // length * length
    event = np.append(far, rng.choice(far, 60) + rng.integers(-2 * length, 2 * length + 1, 60))
    t = np.append(far + 1, rng.choice(far, 50) + rng.integers(-2 * length, 3 * length + 1, 50))
    codes, asking = (np.append(rng.integers(-1, 3, n - 1), keys - 1) for n in (len(event), len(t)))
    event[7], t[9], asking[9] = MISSING, MISSING, -1  # an event at no time, and a row that asks at none
    facts = Events(TableSchema("t", {"at": "datetime"}, (), Time("at")), pd.DataFrame({"at": event.view("M8[us]")}))
    index = Index(facts, codes, asking, t, np.argsort(t, kind="stable"))
    for back, found in enumerate(index.blocks(length)):
        p = found.positions(Span("all"))
        seen = np.empty(len(t), np.int64)
        seen[found.rows] = p.hi - p.lo
        mine = (codes == asking[:, None]) & (asking >= 0)[:, None] & (event < t[:, None]) & (event != MISSING)
        wanted = mine & (event // length == ((t - 1) // length - back)[:, None])
        assert seen.tolist() == wanted.sum(axis=1).tolist(), back
        assert wanted.any()


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
