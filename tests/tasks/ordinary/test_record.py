"""The record of a reference: cells, past windows, how rows depend, and that it reads as it was written."""

import numpy as np
import pandas as pd
import pytest

from tasks.ordinary.cells import Cells
from tasks.ordinary.record import PARTS, Record, column, make, own_levels, windows


def timed(days: int = 70, rows: int = 40, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    n = days * rows
    frame = pd.DataFrame({"x": rng.normal(size=n), "letter": pd.Series(rng.choice(list("abc"), n), dtype="str")})
    frame.loc[::10, "x"] = np.nan
    return frame, pd.Series(pd.date_range("2024-01-01", periods=n, freq=pd.Timedelta(days=1) / rows, tz="UTC"))


def test_every_value_has_a_cell():
    cells = Cells.of(pd.Series([0.0, 1, 2, 3, np.nan]), "numeric")
    assert cells.counts([np.nan, -100, 0, 1.5, 3, 7, 100]).tolist() == [1, 1, 1, 0, 1, 1, 1, 1]
    assert cells.counts([np.nan, -100, 0, 1.5, 3, 7, 100]).sum() == 7
    levels = Cells.of(pd.Series(["a"] * 3 + [f"k{i:02}" for i in range(30)]), "categorical")
    assert levels.levels[:2] == ("a", "k00")
    codes = levels.codes(pd.Series(["a", None, "k29", "new"], dtype="str"))
    assert codes.tolist() == [2, 0, levels.count - 1, 1]


def test_a_value_is_far_beyond_three_ranges_and_a_constant_has_a_range_too():
    assert Cells.of(pd.Series([0.0, 10.0]), "numeric").far == (-30.0, 40.0)
    assert Cells.of(pd.Series([5.0, 5.0]), "numeric").far == (-10.0, 20.0)


def test_windows_lie_back_to_back_and_end_with_the_newest_row():
    _, time = timed(days=20, rows=1)
    at, count = windows(time, pd.Timedelta(days=7))
    assert count == 2
    assert np.bincount(at[at >= 0] // PARTS).tolist() == [7, 7]
    assert (at[:6] == -1).all()


def test_a_record_reads_as_it_was_written(tmp_path):
    frame, time = timed()
    frame["all"] = [f"id{i}" for i in range(len(frame))]
    kinds = {"x": "numeric", "letter": "categorical", "all": "categorical", "note": "text"}
    record = make(frame, kinds, time, pd.Timedelta(days=7))
    answers = make(
        frame[["x"]].rename(columns={"x": "prediction"}), {"prediction": "numeric"}, time, pd.Timedelta(days=7)
    )
    record = Record(record.columns, record.length, record.end, answers)
    record.write(tmp_path)
    again = Record.read(tmp_path)
    assert (again.length, again.end, list(again.columns)) == (record.length, record.end, ["x", "letter", "all"])
    for mine, other in ((record, again), (record.answers, again.answers)):
        for name, one in mine.columns.items():
            two = other.columns[name]
            assert (one.cells, one.once, one.twice, one.alike) == (two.cells, two.once, two.twice, two.alike)
            for part in ("total", "past", "own", "largest"):
                np.testing.assert_array_equal(getattr(one, part), getattr(two, part))
    assert again.answers.answers is None


def test_levels_of_one_window_only_are_its_own():
    level, at = np.array([0, 0, 1, 1, 1, 2, 3]), np.array([0, 1, 1, 1, 1, 1, -1])
    own, largest = own_levels(level, at, 2)
    assert (own.tolist(), largest.tolist()) == ([0, 4], [0, 3])


@pytest.mark.parametrize("carried", [1, 20])
def test_rows_that_carry_a_value_count_for_less(carried):
    """Twenty rows with one value tell as much as one: the design effect 1 + (n - 1) c is about 20."""
    rng, rows = np.random.default_rng(1), 280
    time = pd.Series(pd.date_range("2024-01-01", periods=rows * 140, freq=pd.Timedelta(days=1) / rows, tz="UTC"))
    values = pd.Series(np.repeat(rng.normal(size=len(time) // carried), carried))
    at, count = windows(time, pd.Timedelta(days=7))
    effect = 1 + (7 * rows - 1) * column("x", "numeric", values, at, count).alike
    assert effect == pytest.approx(carried, rel=0.3)
