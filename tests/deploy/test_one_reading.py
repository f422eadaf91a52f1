"""One value means one thing, however it is asked: in a CSV file, in Parquet, in a request and in a file to be predicted.

The values that are read are compared here, for each kind in many spellings; ``test_predict.py`` compares a package's answers.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from deploy.rows import Problems, RowReader
from tasks.bundle.rows import from_json, to_json
from tasks.ingest.tables import ingest
from tasks.package.schema import schema
from tasks.params import Table, parse
from tasks.profile.kinds import coerce
from tasks.profile.piecewise import read_pieces
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

REFUSED, MISSING = "refused", None
# Spellings of a value as text. Each stands in a file beside ordinary ones, whose column must not change what it means.
TEXTS: dict[str, list[str]] = {
    "numeric": [
        "1", "-2.5", " 3 ", "1e3", "1E-3", "+7", ".5", "5.", "007", "0x1F", "1_000", "1,5", "1.234,5", "$5", "12%", "inf", "nan",
        "1e999", "9007199254740993", "9007199254740993.0", "0.1", "1.7976931348623157e308", "4.35", "123456789.987654321",
        "true", "much", "", "  ", "NA", "None", "null", "-", "\u00a05", "5\u200b", "(5)", "1e5 ", "١", "1 2",
    ],
    "boolean": [
        "true", "TRUE", "True", "t", "yes", "YES", "Yes", "y", "1", "1.0", " true ", "false", "No", "n", "F", "0", "0.0", "2",
        "on", "off", "maybe", "", " ", "NA", "None", "yes!", "-1", "wahr",
    ],
    "categorical": [
        "a", " a ", "A", "5", "5.0", "5.00", "05", "5.50", "true", "TRUE", "yes", "NA", "None", "null", "", "   ", "1e5", "1e+05",
        "2024-01-31", "2024-01-31T00:00:00Z", "2024-01-31 20:30:00+02:00", "-0", "x" * 5000, "é", "e\u0301", "New\u00a0York",
        "\u200b b", "'quoted'", "a;b",
    ],
    "text": ["late again", "two\nlines", "1e5", "05", "n/a", "NaN", "TRUE ", "\u00a0", "née", "say \"no\"", "\tx", " b ", "NA", "None", "", "  ", "5", "5.0", "true", "x" * 5000, "ünïcode", "2024-01-31", "a,b", "\u200b"],
    "datetime": [
        "2024-01-31", "2024-01-31T18:00:00Z", "2024-01-31 18:00", "2024-01-31T18:00:00+02:00", "2024-01-31T18:00:00.25Z",
        " 2024-01-31 ", "2024-01", "2013", "20130101", "2013.0", "1357000000", "31.01.2024", "01/02/2024", "now", "today", "10:30",
        "2024-02-30", "9999-12-31", "0001-01-01", "0000-01-01", "12024-01-01", "9999-12-31T23:59:59-14:00", "NA", "", "  ",
        "None", "20240131T180000Z", "2024-1-5", "2024-01-31T24:00:00", "tomorrow",
    ],
}  # fmt: skip
FORMS = {
    "numeric": {"1.234,50": ["1.234,50", "12,5", "1234", "-3,25", "(12,50)", "1,234.50", "NA", "12,", ",5", "€ 5"]},
    "datetime": {
        "%d.%m.%Y": ["31.07.2020", " 31.07.2020 ", "2020-07-31", "7/31/2020", "31.07.20", "NA", "1.7.2020", "2013"],
        "epoch_s": ["1596153600", "1596153600.0", "1596153600.25", "soon", "2020-07-31", "-5", "1e9", "99999999999999"],
        "excel": ["44043", "44043.5", "12", "NA"],
    },
}
# Values that JSON and Parquet hold with a type of their own; a CSV file has their text.
TYPED: dict[str, list[Any]] = {
    "numeric": [1, -2.5, 0, 2**53 - 1, 2**53 + 1, 2**63 - 1, 1e300, 0.1, None],
    "boolean": [True, False, 1, 0, 1.0, 2, -1, 0.5, None],
    "categorical": [5, 5.0, 2.5, 1e10, 1e-5, 123456789012, 2**60, True, False, None],
    "text": [5, 2.5, True, None],
    "datetime": [2013, 20130101, 1357000000, 1.5e9, True, None],
}
# What a column may declare besides: which texts are missing, and whether capital letters count.
DECLARED: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "numeric",
        {"missing": ["usual", "unknown", -999]},
        ["unknown", "-999", "-999.0", "NA", "Unknown", "5", " unknown "],
    ),
    ("numeric", {"missing": [""]}, ["NA", "", "1", "nan"]),
    ("categorical", {"missing": [""]}, ["NA", "None", "", " ", "a"]),
    ("categorical", {"missing": ["NA"]}, ["NA", "", "  ", "None", "a"]),
    ("categorical", {"case": "lower"}, ["Yes", "YES", "yes", "KÖLN", "True", "NA", "ẞ"]),
    ("categorical", {"case": "lower", "spellings": {"yes": ["Y", "1"]}}, ["Yes", "y", "1", "1.0", "n", "NA"]),
    ("text", {"missing": ["-"]}, ["-", "", "NA", " - ", "words"]),
    ("datetime", {"missing": ["usual", "0000-00-00"]}, ["0000-00-00", "NA", "2024-01-31", "0"]),
    ("boolean", {"missing": ["?"]}, ["?", "NA", "", "yes"]),
]
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    *((kind, {}, texts) for kind, texts in TEXTS.items()),
    *((kind, {"format": form}, texts) for kind, forms in FORMS.items() for form, texts in forms.items()),
    *DECLARED,
]
ORDINARY = {"numeric": "1.5", "boolean": "no", "categorical": "b", "text": "words", "datetime": "2020-07-31"}


def declared(kind: str, how: dict[str, Any]) -> tuple[Table, dict[str, Any]]:
    """The table ``t`` with the column ``v``, and what a package's schema says of it."""
    columns = {"n": "numeric", "v": {"kind": kind, **how}, "y": "numeric"}
    params = parse(
        {
            "problem": {"name": "t", "kind": "regression", "table": "t", "target": "y"},
            "data": {"tables": {"t": {"source": "t.csv", "columns": columns}}},
            "models": {"ridge": {}},
        }
    )
    return params.data.tables["t"], schema(params, ["v"], [])


def shown(value: Any) -> Any:
    """A value so that equal bits are equal, whichever type holds them."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return MISSING
    if isinstance(value, datetime | date):
        return pd.Timestamp(value).isoformat()
    return float(value).hex() if isinstance(value, bool | int | float) else str(value)


def in_file(path: Path, kind: str, how: dict[str, Any]) -> list[Any]:
    """What ``ingest`` makes of a file's column ``v``: values, and which of them go to quarantine."""
    read = ingest("t", declared(kind, how)[0].model_copy(update={"source": str(path)}))
    bad = set(read.problems["row"])
    return [REFUSED if i in bad else shown(v) for i, v in enumerate(read.frame["v"])]


def in_request(kind: str, how: dict[str, Any], value: Any) -> Any:
    try:
        return shown(RowReader(declared(kind, how)[1]).one(json.dumps({"v": value}).encode())["v"])
    except Problems:
        return REFUSED


def in_pieces(path: Path, kind: str, how: dict[str, Any]) -> list[Any]:
    """What ``refit predict`` reads."""
    told = declared(kind, how)[1]
    found: list[Any] = []
    for piece in read_pieces(path):
        read = coerce(piece.table["v"], Reading.of_field(told.fields[0], told))
        bad = set(read.problems["row"])
        found += [REFUSED if i in bad else shown(v) for i, v in enumerate(read.values)]
    return found


@pytest.mark.parametrize(("kind", "how", "texts"), CASES)
def test_a_text_means_the_same_in_all_ways(tmp_path: Path, kind: str, how: dict[str, Any], texts: list[str]) -> None:
    usual = texts[0] if "format" in how else ORDINARY[kind]
    padded = [*texts, *[usual] * (3 * len(texts))]  # a column that is mostly of a wrong kind is refused
    frame = pd.DataFrame({"n": [str(i) for i in range(len(padded))], "v": padded, "y": "1"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    ways = {
        "CSV": in_file(tmp_path / "t.csv", kind, how),
        "Parquet": in_file(tmp_path / "t.parquet", kind, how),
        "request": [in_request(kind, how, text) for text in texts],
        "CSV to predict": in_pieces(tmp_path / "t.csv", kind, how),
        "Parquet to predict": in_pieces(tmp_path / "t.parquet", kind, how),
    }
    different = {
        text: answers
        for i, text in enumerate(texts)
        if len(set((answers := {way: found[i] for way, found in ways.items()}).values())) > 1
    }
    assert not different, different
    assert any(value not in (REFUSED, MISSING) for value in ways["CSV"])
    assert how or kind in ("categorical", "text") or REFUSED in ways["CSV"]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in TYPED.items() for value in values])
def test_a_typed_value_means_the_same_in_parquet_and_in_a_request(tmp_path: Path, kind: str, value: Any) -> None:
    read = coerce(pa.chunked_array([pa.array([value])]), Reading(kind, missing=USUAL))
    wanted = REFUSED if len(read.problems) else shown(read.values.iloc[0])
    assert in_request(kind, {}, value) == wanted


def test_a_whole_number_that_no_column_of_parquet_can_hold_is_refused_in_a_request() -> None:
    assert in_request("numeric", {}, 2**70 + 1) == REFUSED


@pytest.mark.parametrize("text", ["0001-01-01", "1899-12-31T23:59:59.999999", "9999-12-31", "9999-12-31T23:59:59Z"])
def test_a_golden_row_of_any_year_is_read_back_as_it_was(text: str) -> None:
    _, told = declared("datetime", {})
    stored = coerce(pa.chunked_array([[text]]), Reading("datetime")).values.iloc[0]
    golden = to_json({"v": stored}, told.fields)
    found = RowReader(told).one(json.dumps(golden).encode())
    assert shown(found["v"]) == shown(stored) == shown(from_json(golden, told.fields)["v"])
