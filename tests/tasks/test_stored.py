"""A table that stays on disk gives what a data frame gives, and is written piece by piece to the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import files, memory, stored
from tasks.errors import RefitError
from tasks.files import append_tables, read_table, row_group, write_table
from tasks.stored import Stored, by_parts, in_memory


@pytest.fixture(autouse=True, params=["held", "read each time"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "held":
        monkeypatch.setattr(stored, "HELD", 0.0)


@pytest.fixture
def table(tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "n": np.arange(40),
            "when": pd.date_range("2024-01-01", periods=40, freq="h", tz="UTC").as_unit("us"),
            "x": np.where(rng.random(40) < 0.2, np.nan, rng.normal(size=40)),
            "what": pd.Series(rng.choice(["a", "bb", "c"], 40), dtype="str").mask(rng.random(40) < 0.2),
            "y": rng.normal(size=40),
        }
    )
    path = tmp_path / "t.parquet"
    write_table(path, frame)
    return frame, path


def test_columns_rows_and_places_are_those_of_a_data_frame(table: tuple[pd.DataFrame, Path]) -> None:
    frame, path = table
    whole = Stored(path)
    pd.testing.assert_frame_equal(whole.frame(), read_table(path))
    for name in frame:
        pd.testing.assert_series_equal(whole[name], frame[name])
    mask = (frame["x"] > 0).to_numpy()
    narrow, wanted = whole[["what", "x", "when"]][mask], frame[["what", "x", "when"]][mask].reset_index(drop=True)
    assert narrow.shape == wanted.shape
    pd.testing.assert_frame_equal(narrow.frame(), wanted)
    at = np.array([3, 0, 3])
    pd.testing.assert_frame_equal(narrow.iloc[at], wanted.iloc[at])
    pd.testing.assert_frame_equal(narrow.take(at).frame(), wanted.iloc[at].reset_index(drop=True))
    pd.testing.assert_frame_equal(in_memory(narrow.drop(columns=["x"])), wanted.drop(columns="x"))
    few = narrow[(wanted["what"] == "a").to_numpy()]
    pd.testing.assert_frame_equal(few.frame(), wanted[wanted["what"] == "a"].reset_index(drop=True))
    assert "n" not in narrow
    with pytest.raises(KeyError, match="n"):
        narrow["n"]


def test_a_column_of_a_small_table_is_read_once(
    table: tuple[pd.DataFrame, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    once = Stored._from_file
    monkeypatch.setattr(Stored, "_from_file", lambda self, name, rows: read.append(name) or once(self, name, rows))
    whole = Stored(table[1])
    for part in (whole, whole[["x", "n"]], whole.take(np.array([3, 5]))):
        part.frame()
        part["x"]
    assert len(read) == (5 if stored.HELD else 15)
    monkeypatch.setattr(memory, "_gigabytes", 1.0)
    assert Stored(table[1])._held is None


def test_rows_are_read_from_the_row_groups_that_hold_them(table: tuple[pd.DataFrame, Path], tmp_path: Path) -> None:
    frame, _ = table
    frame.to_parquet(tmp_path / "groups.parquet", row_group_size=7)
    whole = Stored(tmp_path / "groups.parquet")
    for at in ([], [0], [6, 7], [13, 8, 8], [39], [20, 21, 27, 28], list(range(40))):
        pd.testing.assert_frame_equal(whole.iloc[np.array(at, int)], frame.iloc[at], check_index_type=False)
    assert whole.iloc[:0].dtypes.tolist() == frame.dtypes.tolist()


def test_a_column_made_of_another_one_goes_by_what_stands_in_its_place(table: tuple[pd.DataFrame, Path]) -> None:
    frame, path = table
    hidden = np.arange(40) % 3 == 0
    told = Stored(path).with_column("y", "y", lambda values, at: values.mask(hidden[at]))
    made = told.with_column("twice", "y", lambda values, at: 2 * values)
    wanted = frame.assign(y=frame["y"].mask(hidden)).assign(twice=lambda f: 2 * f["y"])
    pd.testing.assert_frame_equal(made.frame(), wanted)
    pd.testing.assert_frame_equal(made[["twice"]].frame(), wanted[["twice"]])
    pd.testing.assert_frame_equal(made[~hidden].iloc[3:5], wanted[~hidden].reset_index(drop=True).iloc[3:5])
    again = told.with_column("y", "y", lambda values, at: values + 1)
    pd.testing.assert_series_equal(again["y"], wanted["y"] + 1)


def test_many_columns_beside_numbers_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({f"c{i}": [f"{i}", None] if i % 3 else [float(i), np.nan] for i in range(9)})
    write_table(tmp_path / "t.parquet", frame)
    monkeypatch.setattr(stored, "MANY", 2)
    pd.testing.assert_frame_equal(Stored(tmp_path / "t.parquet").frame(), read_table(tmp_path / "t.parquet"))


def test_with_a_limit_of_memory_a_large_table_is_asked_in_blocks(
    table: tuple[pd.DataFrame, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, path = table
    monkeypatch.setattr(stored, "CELLS", 30)
    monkeypatch.setattr(memory, "_gigabytes", None)
    seen: list[int] = []

    def ask(part: pd.DataFrame) -> np.ndarray:
        seen.append(len(part))
        return part["y"].to_numpy() * 2

    assert (by_parts(ask, Stored(path)) == frame["y"] * 2).all()
    assert seen == [40]
    monkeypatch.setattr(memory, "_gigabytes", 1.0)
    seen.clear()
    assert (by_parts(ask, Stored(path)) == frame["y"] * 2).all()
    assert seen == [3] * 13 + [1]
    seen.clear()
    assert (by_parts(ask, frame) == frame["y"] * 2).all()
    assert seen == [3] * 13 + [1]


def test_row_groups_follow_from_the_size_of_the_table_alone(
    table: tuple[pd.DataFrame, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, path = table
    assert row_group(336_776, 151) == row_group(10**6, 20) == 1 << 20
    assert row_group(10**6, 151) == 1 << 16
    append_tables(tmp_path / "one.parquet", [frame])
    assert (tmp_path / "one.parquet").read_bytes() == path.read_bytes()  # as it was always written
    monkeypatch.setattr(files, "LARGE_TABLE", 10)
    monkeypatch.setattr(files, "SMALL_GROUP", 16)
    assert row_group(*frame.shape) == 16
    append_tables(tmp_path / "some.parquet", (frame.iloc[at : at + 16] for at in range(0, 40, 16)))
    pd.testing.assert_frame_equal(read_table(tmp_path / "some.parquet"), read_table(path))


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"t\.parquet: no such file"):
        Stored(tmp_path / "t.parquet")
