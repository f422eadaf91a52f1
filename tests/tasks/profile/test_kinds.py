"""Values to kinds: nothing is lost, and what cannot be read is reported with its row."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.profile import coerce
from tasks.profile.kinds import DTYPES

NAN = math.nan


def column(*values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(list(values), type=kind)])


def same(found: pd.Series, expected: list[object]) -> bool:
    return [None if pd.isna(v) else v for v in found] == [None if pd.isna(v) else v for v in expected]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (column("1", " 2.5 ", "-3e2", None), "numeric", [1, 2.5, -300, NAN]),
        (column(1, None, 3), "numeric", [1, NAN, 3]),
        (column(1.5, NAN, None), "numeric", [1.5, NAN, NAN]),
        (column(True, False, None), "numeric", [1, 0, NAN]),
        (column(decimal.Decimal("1.25"), None), "numeric", [1.25, NAN]),
        (column("a", "b", "a", None).dictionary_encode(), "categorical", ["a", "b", "a", None]),
        (column("1", "2").dictionary_encode(), "numeric", [1, 2]),
        (column("yes", "No", " TRUE ", "f", "1", "0", None), "boolean", [1, 0, 1, 0, 1, 0, NAN]),
        (column(True, None, False), "boolean", [1, NAN, 0]),
        (column(1, 0), "boolean", [1, 0]),
        (column(1.0, 0.0, None), "boolean", [1, 0, NAN]),
        (column("a", " b ", None, "  ", ""), "categorical", ["a", "b", None, None, None]),
        (column("a", " b ", None, "  "), "text", ["a", " b ", None, "  "]),
        (column("1", " ", ""), "numeric", [1, NAN, NAN]),
        (column("2013-10-31", " "), "datetime", [pd.Timestamp("2013-10-31", tz="UTC"), None]),
        (column(1, 2, None), "categorical", ["1", "2", None]),
        (column(1.0, 2.0, None, NAN), "categorical", ["1", "2", None, None]),
        (column(1.0, 2.5), "categorical", ["1", "2.5"]),
        (column(True, False), "categorical", ["True", "False"]),
        (column(1e300, 2.0), "categorical", ["1e+300", "2"]),
        (column(None, None, kind=pa.float64()), "categorical", [None, None]),
        (column(None, None, kind=pa.null()), "numeric", [NAN, NAN]),
        (column(None, None, kind=pa.null()), "text", [None, None]),
        (column(None, None, kind=pa.null()), "datetime", [None, None]),
    ],
)
def test_values_that_can_be_read(values: pa.ChunkedArray, kind: str, expected: list[object]) -> None:
    read = coerce(values, kind)
    assert read.problems.empty
    assert str(read.values.dtype) == DTYPES[kind]
    assert same(read.values, expected)


@pytest.mark.parametrize(
    ("values", "kind", "row", "why"),
    [
        (column("1", "about 3"), "numeric", 1, "is not a number"),
        (column("1", "1,234"), "numeric", 1, "is not a number"),
        (column("inf", "1"), "numeric", 0, "is infinite"),
        (column(1.0, -math.inf), "numeric", 1, "is infinite"),
        (column("1e999", "1"), "numeric", 0, "is infinite"),
        (column("1", "9007199254740993"), "numeric", 1, "is a whole number too large to keep exactly"),
        (column(1, 2**53 + 1), "numeric", 1, "is a whole number too large to keep exactly"),
        (column("1", str(10**30)), "numeric", 1, "is a whole number too large to keep exactly"),
        (column("x", None, kind=pa.string()), "numeric", 0, "is not a number"),
        (column(dt.date(2013, 1, 1)), "numeric", 0, "is not a number"),
        (column("yes", "maybe"), "boolean", 1, "is not one of true/false, yes/no, 1/0"),
        (column(0, 2), "boolean", 1, "is not one of"),
        (column("2013-01-01", "yesterday"), "datetime", 1, "is not an ISO 8601 time"),
        (column("2013-01-01", "01/02/2013"), "datetime", 1, "is not an ISO 8601 time"),
        (column("2013-02-30"), "datetime", 0, "is not an ISO 8601 time"),
        (column(20130101), "datetime", 0, "is not an ISO 8601 time"),
    ],
)
def test_values_that_cannot_be_read(values: pa.ChunkedArray, kind: str, row: int, why: str) -> None:
    read = coerce(values, kind)
    assert read.problems["row"].tolist() == [row]
    assert read.problems["why"].iloc[0].startswith(why)
    assert read.problems["value"].iloc[0] == str(values[row].as_py())
    assert read.values.isna()[row]
    assert len(read.values) == len(values)


@pytest.mark.parametrize("kind", sorted(DTYPES))
def test_lists_and_records_are_no_values(kind: str) -> None:
    for values in (column([1, 2], None, []), column({"a": 1}, None, {"a": 2})):
        read = coerce(values, kind)
        assert read.values.isna().all()
        assert str(read.values.dtype) == DTYPES[kind]
        assert read.problems[["row", "why"]].to_numpy().tolist() == [
            [0, "is a list or a record"],
            [2, "is a list or a record"],
        ]


def test_decimals_are_read_by_their_digits() -> None:
    texts = [f"{i * 7919 % 50000}.{i % 100:02d}" for i in range(200)]
    typed = column(*map(decimal.Decimal, texts), kind=pa.decimal128(12, 2))
    assert coerce(typed, "numeric").values.tolist() == [float(text) for text in texts]


def test_large_floats_are_not_too_large() -> None:
    assert coerce(column(1e300, 2.0**60), "numeric").values.tolist() == [1e300, 2.0**60]
    assert coerce(column("1e300", "1.5e20"), "numeric").values.tolist() == [1e300, 1.5e20]


@pytest.mark.parametrize(
    "values",
    [
        column("2013-10-31T18:00:00Z", "2013-10-31T18:00:00"),  # with and without a zone
        column("2013-10-31 14:00:00-04:00", "2013-10-31T19:00:00.000000+01:00"),  # mixed zones
        column("20131031T180000Z", "2013-10-31T18:00Z"),
        column(*[dt.datetime(2013, 10, 31, 18)] * 2),
        column(*[dt.datetime(2013, 10, 31, 18)] * 2, kind=pa.timestamp("ns", tz="UTC")),
        column(*[dt.datetime(2013, 10, 31, 18)] * 2, kind=pa.timestamp("s")),
        pa.chunked_array([pa.array([pd.Timestamp("2013-10-31T14:00", tz="America/New_York")] * 2)]),
    ],
)
def test_times_are_utc(values: pa.ChunkedArray) -> None:
    read = coerce(values, "datetime")
    assert read.problems.empty
    assert str(read.values.dtype) == "datetime64[us, UTC]"
    assert (read.values == pd.Timestamp("2013-10-31T18:00Z")).all()


def test_dates_begin_at_midnight_utc() -> None:
    for values in (column(dt.date(2013, 10, 31)), column("2013-10-31")):
        assert coerce(values, "datetime").values[0] == pd.Timestamp("2013-10-31T00:00Z")


texts = st.none() | st.sampled_from(["1", "-2.5", "yes", "no", "2013-01-01", "2013-01-01T05:00+05:00", "inf", "nan"]) | st.text(max_size=6)  # fmt: skip


@given(st.lists(texts, max_size=12), st.sampled_from(sorted(DTYPES)))
def test_any_text_is_a_value_missing_or_a_problem(values: list[str | None], kind: str) -> None:
    read = coerce(pa.chunked_array([pa.array(values, pa.string())]), kind)
    assert len(read.values) == len(values)
    assert str(read.values.dtype) == DTYPES[kind]
    lost = {i for i, v in enumerate(values) if v is not None and v.strip() and pd.isna(read.values[i])}
    assert lost == set(read.problems["row"])
    if DTYPES[kind] == "float64":
        assert not np.isinf(read.values).any()


@given(st.lists(st.floats(allow_infinity=False) | st.integers(1 - 2**53, 2**53 - 1)))
def test_numbers_survive_csv_and_parquet(values: list[float]) -> None:
    as_text = pa.chunked_array([pa.array([None if math.isnan(v) else repr(v) for v in values], pa.string())])
    typed = pa.chunked_array([pa.array([float(v) for v in values], pa.float64())])
    expected = np.array(values, float)
    for read in (coerce(as_text, "numeric"), coerce(typed, "numeric")):
        assert np.array_equal(read.values.to_numpy(), expected, equal_nan=True)
        assert read.problems.empty
