"""A value is read alike alone, as a request sends it, and in a column, as a file has it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.artifacts import Schema, SchemaField
from tasks.package.schema import schema
from tasks.params import parse
from tasks.profile import coerce
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

READINGS = [
    Reading("numeric"),
    Reading("numeric", missing=USUAL),
    Reading("numeric", "1.234,50", ("", "unknown", "-9")),
    Reading("numeric", "$1,234.50", USUAL),
    Reading("numeric", "1 234,50"),
    Reading("numeric", "0xFF"),
    Reading("boolean", missing=USUAL),
    Reading("categorical", missing=("",)),
    Reading("categorical", missing=("NA",), lower=True),
    Reading("categorical"),
    Reading("text", missing=("", "NA")),
    Reading("datetime", missing=USUAL),
    Reading("datetime", "%d.%m.%Y", USUAL),
]
WRITTEN = ["", " ", "NA", "None", "unknown", "-9", "-9,0", "5", "5.0", "1.234,50", "1,234.50", "$5", "(5)", "5-", "0x1F", "1 234", "1e3", "+5",
           "1_0", "inf", "nan", "Infinity", "9007199254740993", "1e999", "Yes", "off", "\u200bYes\u00a0", "31.07.2020", "2020-07-31", "1e", ".5", "5."]  # fmt: skip


def alone(reading: Reading, value: Any) -> tuple[Any, str]:
    try:
        return reading.value(value), ""
    except ValueError as error:
        return None, str(error)


def in_a_file(reading: Reading, column: pa.ChunkedArray) -> list[tuple[Any, str]]:
    read = coerce(column, reading)
    whys = dict(zip(read.problems["row"], read.problems["why"], strict=True))
    return [(None if pd.isna(v) else v, str(whys.get(i, ""))) for i, v in enumerate(read.values)]


@given(st.sampled_from(READINGS), st.lists(st.none() | st.sampled_from(WRITTEN) | st.text(max_size=6), max_size=8))
def test_a_text_alone_and_in_a_column_are_one(reading: Reading, values: list[str | None]) -> None:
    found = in_a_file(reading, pa.chunked_array([pa.array(values, pa.string())]))
    assert found == [alone(reading, value) for value in values]
    assert in_a_file(reading, pa.chunked_array([pa.array(values, pa.large_string())]).dictionary_encode()) == found
    for value, _ in found:  # what was read is read as itself: golden rows and callers send it
        assert alone(reading, value) == (value, "")


@given(st.sampled_from(READINGS), st.lists(st.none() | st.floats() | st.integers(-20, 20).map(float), max_size=8))
def test_a_number_alone_and_in_a_typed_column_are_one(reading: Reading, values: list[float | None]) -> None:
    if reading.kind == "datetime":
        return  # of an epoch, whose own tests are those of moments
    found = in_a_file(reading, pa.chunked_array([pa.array(values, pa.float64())]))
    assert found == [alone(reading, value) for value in values]


def test_na_and_an_empty_text_are_told_apart_where_the_user_says_so() -> None:
    column = pa.chunked_array([["NA", "", None, "None", "x"]])
    for listed, levels in (
        (USUAL, [None, None, None, None, "x"]),
        (("",), ["NA", None, None, "None", "x"]),
        (("NA",), [None, "(empty)", None, "None", "x"]),
        ((), ["NA", "(empty)", None, "None", "x"]),
        (None, ["NA", None, None, "None", "x"]),
    ):
        assert [value for value, _ in in_a_file(Reading("categorical", missing=listed), column)] == levels


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("iso", {"1.5": 1.5, " +5 ": 5, "-3e2": -300, "1,5": None, "(5)": None, "$5": None, "1_0": None, "inf": None}),
        ("1,234.50", {"1,234.50": 1234.5, "1234.5": 1234.5, "12,345,678": 12345678, "1,23": None, "1.234,5": None, ".5": 0.5}),
        ("1.234,50", {"1.234,50": 1234.5, "1234,5": 1234.5, "1.234": 1234, "12.5": None, "-1,5": -1.5, "1,5-": -1.5, "(1,5)": -1.5}),
        ("1234,50", {"1234,5": 1234.5, "0,5": 0.5, "1.234,5": None}),
        ("1 234,50", {"1 234,50": 1234.5, "1\u00a0234,50": 1234.5, "1\u202f234": 1234, "12 34": None}),
        ("1'234.50", {"1'234.50": 1234.5, "1\u2019234": 1234}),
        ("1,23,456.50", {"12,34,567.8": 1234567.8, "1,234": 1234, "123,456": None}),
        ("$1,234.50", {"$1,234.50": 1234.5, "1,234.50 $": 1234.5, "-$5": -5, "$-5": -5, "($5.00)": -5, "$(5)": -5, "5": 5, "€5": None, "--5": None, "(-5)": None}),
        ("1.234,50 EUR", {"1.234,50 EUR": 1234.5, "EUR 5": 5, "USD 5": None}),
        ("12.5%", {"12.5%": 12.5, "12.5 %": 12.5, "-3%": -3, "4": 4}),
        ("1.5 kg", {"1.5 kg": 1.5, "2kg": 2, "3 g": None}),
        ("0xFF", {"0x1f": 31, "FF": None, "0x" + "F" * 16: None}),
        ("1.5", {"\u22125": -5, "1e5": 100000, "9007199254740993": None}),
    ],
)  # fmt: skip
def test_forms_of_numbers(form: str, written: dict[str, float | None]) -> None:
    reading = Reading("numeric", form)
    found = {text: alone(reading, text) for text in written}
    assert {text: value for text, (value, _) in found.items()} == written
    assert all(bool(why) == (value is None) for value, why in found.values())
    assert alone(reading, 2.5) == (2.5, "")  # a request's number is the number


def test_a_package_reads_as_the_files_were_read() -> None:
    columns = {
        "y": "numeric",
        "income": {"kind": "numeric", "format": "1.234,50", "missing": ["usual", "unknown"]},
        "state": {"kind": "categorical", "missing": [""], "case": "lower"},
        "plain": "categorical",
        "agreed": {"kind": "categorical", "spellings": {"yes": ["y", "ja"]}},
    }
    tree = {
        "problem": {"name": "p", "kind": "regression", "table": "t", "target": "y"},
        "data": {"tables": {"t": {"source": "t.csv", "columns": columns}}},
        "models": {"ridge": {}},
    }
    params = parse(tree)
    made = schema(params, ["income", "state", "plain", "agreed"], [])
    for entry in made.fields:
        assert Reading.of_field(entry, made) == Reading.of(params.data.tables["t"].columns[entry.name])
    assert [sorted(entry.model_fields_set - {"name", "kind", "nullable"}) for entry in made.fields] == [
        ["format", "missing"],
        ["case", "missing"],
        [],
        ["spellings"],
    ]
    assert [Reading.of_field(made.fields[-1], made).value(text) for text in ("ja", "y", "yes", "no")] == ["yes"] * 3 + [
        "no"
    ]
    old = Schema(table="t", fields=[SchemaField(name="a", kind="categorical", nullable=True)])
    assert Reading.of_field(old.fields[0], old).value("NA") == "NA"
    assert math.isclose(Reading.of_field(made.fields[0], made).value("1.000,5"), 1000.5)  # type: ignore[arg-type]
