"""The same value is the same level: in CSV and Parquet, with a value missing or not, in a request and in params.yaml."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.encoding.category import Category
from tasks.profile import coerce, read_columns
from tasks.values.levels import level, levels


def column(values: list[Any], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ([5, 5.0, "5", "5.0", "5.00", " 5 ", "5.", decimal.Decimal("5.00")], "5"),
        ([-3, -3.0, "-3", "-3.0"], "-3"),
        ([0, 0.0, -0.0, "0", "-0", "-0.0"], "0"),
        ([100_000, 1e5, "100000", "1e+05", "1E+05", "1.0E5"], "100000"),
        ([2.5, "2.5", " 2.5", decimal.Decimal("2.5")], "2.5"),
        ([1e16, "1e+16"], "1e+16"),
        ([1e-5, "1e-05"], "1e-05"),
        ([True, "True", "true", "TRUE", np.bool_(True)], "True"),
        ([dt.date(2024, 1, 31), dt.datetime(2024, 1, 31), "2024-01-31", "2024-01-31 00:00:00", "2024-01-31T00:00Z"], "2024-01-31"),
        ([dt.datetime(2024, 1, 31, 18, tzinfo=dt.UTC), "2024-01-31T18:00:00Z", "2024-01-31 20:00+02:00"], "2024-01-31 18:00:00"),
        (["", "  ", None, float("nan")], None),
    ],
)  # fmt: skip
def test_one_value_is_one_level(written: list[Any], same: str | None) -> None:
    assert [level(value) for value in written] == [same] * len(written)
    for value in written:  # and alone in a column, as in a file
        if not isinstance(value, np.bool_):
            found = levels(column([value]))[0]
            assert (None if pd.isna(found) else found) == same


@pytest.mark.parametrize("text", ["007", "+5", "3.10", "1e5", "1.0.0", "05.0", "yes", "t", "x 5", "2024-02-30T00:00"])
def test_a_text_that_is_no_number_stays(text: str) -> None:
    assert level(text) == text
    assert levels(column([text]))[0] == text


TABLE = {
    "code": [1, 2, 30, 2, 1, 5],
    "amount": [1.5, 2.0, 0.25, 1e-5, 123456.75, 7.0],
    "flag": [True, False, True, True, False, True],
    "text": ["a", "b ", "007", "1.10", "TRUE", "5.0"],
    "day": list(pd.date_range("2024-01-01", periods=6)),
    "time": list(pd.date_range("2024-01-01T10:30", periods=6, freq="7h")),
}


@pytest.mark.parametrize("missing", [False, True])
def test_csv_and_parquet_give_the_same_levels_even_where_one_value_is_missing(tmp_path: Path, missing: bool) -> None:
    """A missing value turns whole numbers into ``5.0`` and booleans into objects; no level changes."""
    whole = pd.DataFrame(TABLE)
    known = {name: coerce(pa.chunked_array([pa.array(whole[name])]), "categorical").values.tolist() for name in whole}
    assert known["code"] == ["1", "2", "30", "2", "1", "5"]
    assert known["flag"][:2] == ["True", "False"]
    frame = whole.copy()
    if missing:
        frame = frame.astype({"flag": object})
        frame.loc[3, :] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for file in ("a.csv", "a.parquet"):
        read = read_columns(tmp_path / file)
        for name in frame:
            found = coerce(read[name], "categorical").values
            assert [v for i, v in enumerate(found) if not missing or i != 3] == [
                v for i, v in enumerate(known[name]) if not missing or i != 3
            ], (file, name)
            assert pd.isna(found[3]) == missing


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.decimal128(9, 2)])
def test_codes_are_the_same_in_each_type(kind: pa.DataType) -> None:
    values = ["5", "0", None, "12"] if kind == pa.string() else [5, 0, None, 12]
    assert levels(column(values, kind)).fillna("-").tolist() == ["5", "0", "-", "12"]
    assert levels(column(values, kind).dictionary_encode().cast(kind)).fillna("-").tolist() == ["5", "0", "-", "12"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53).map(float), max_size=6))
def test_a_float_is_the_same_in_a_column_alone_and_as_pandas_writes_it(values: list[float]) -> None:
    alone = [level(value) for value in values]
    assert levels(column(values, pa.float64())).tolist() == alone
    assert [level(repr(value)) for value in values] == alone


def test_large_and_small_fractions_are_written_by_one_hand() -> None:
    values = [9999999999.5, 10000000000.5, 123456789012345.5, 1e15 + 0.5, 0.0001, 0.00001]
    assert levels(column(values, pa.float64())).tolist() == [level(value) for value in values]


@given(st.lists(st.none() | st.text(max_size=8), max_size=6))
def test_a_level_is_its_own_level(values: list[str | None]) -> None:
    once = levels(column(values, pa.string()))
    assert [None if pd.isna(v) else v for v in once] == [None if v is None else level(v) for v in values]
    assert levels(column([None if pd.isna(v) else v for v in once], pa.string())).equals(once)


def test_a_model_that_learned_its_levels_as_written_knows_them_still() -> None:
    old = Category("ordinal", ["1.0", "2.0", "true"], [" x"], False)
    assert old.codes(pd.Series(["1", "2", "True", "x", "1.0", "3"])).tolist() == [0, 1, 2, 3, 0, -1]
