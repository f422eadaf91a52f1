"""What ``init`` shows of columns, and what it finds to clean up: spellings, rows that are there twice, dates in several forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks import params
from tasks.ingest.tables import ingest
from tasks.profile import infer, to_yaml
from tasks.profile.column import About, judge, judge_target
from tasks.profile.comments import Remark
from tasks.profile.profiled import readings
from tasks.profile.shown import MOST, WIDTH, shown

N = 60


def column(values: list[object]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


def test_the_table_of_columns_fits_80_and_says_what_is_there() -> None:
    table = pa.table(
        {
            "a name that is longer than any table has room for": ["12,5 €", "NA", "3,25 €"],
            "town": ["Köln", "KÖLN", None],
            "note": ["x" * 200, "y", "z"],
            "odd\nname": ["a", "\x1b[31mb", "c"],
        }
    )
    specs = {
        table.column_names[0]: {"kind": "numeric", "format": "1234,5 €"},
        "town": {"kind": "categorical", "case": "lower"},
        "note": "text",
        "odd\nname": "categorical",
    }
    head, *lines = shown(table, dict.fromkeys(table.column_names, "kind"), readings(specs))
    assert head.split("  ")[0] == "column"
    assert max(map(len, [head, *lines])) <= WIDTH
    assert all(line.isprintable() for line in lines)
    assert [line.split()[-3:] for line in lines[1:2]] == [["33%", "1", "köln"]]
    assert "12,5 €, 3,25 €" in lines[0]


def test_a_wide_table_is_cut_with_the_number_of_what_is_left() -> None:
    table = pa.table({f"c{i}": ["1", "2"] for i in range(MOST + 3)})
    *_, last = shown(
        table, dict.fromkeys(table.column_names, "numeric"), readings(dict.fromkeys(table.column_names, "numeric"))
    )
    assert last == "and 3 more columns, which params.yaml lists"


@pytest.mark.parametrize(
    ("values", "spec", "classes"),
    [
        (["yes", "Yes", "y", "no", "n", "NO"] * 10, {"kind": "categorical", "case": "lower", "spellings": {"yes": ["y"], "no": ["n"]}}, ["no", "yes"]),
        (["on time", "on-time", "late", "on time"] * 20, {"kind": "categorical", "spellings": {"on time": ["on-time"]}}, ["late", "on time"]),
        (["y", "n"] * 30, "categorical", ["n", "y"]),
        (["a", "b", "y"] * 20, "categorical", ["a", "b", "y"]),
    ],
)  # fmt: skip
def test_a_class_spelt_in_several_ways_is_one(values: list[object], spec: object, classes: list[str]) -> None:
    kind, judged, found = judge_target(column(values), "the target", About())
    assert (kind, judged.spec, found) == ("binary" if len(classes) == 2 else "multiclass", spec, classes)


def test_a_class_that_may_be_misspelt_is_asked_about() -> None:
    _, judged, _ = judge_target(
        column([*["setosa", "virginica"] * 60, "setossa", "setossa", "setossa"]), "the target", About()
    )
    assert judged.spec == "categorical"
    assert judged.remark == "'setossa' (3 rows) may be 'setosa' misspelt; `spellings: {setosa: [setossa]}` joins them"


def test_a_value_missing_in_several_ways_is_missing() -> None:
    found = judge("channel", column(["web", "shop", "?", "NA", "unknown", "-"] * 10), About())
    assert found.spec == {"kind": "categorical", "missing": ["usual", "?", "unknown", "-"]}
    assert judge("channel", column(["web", "shop", "unknown"] * 20), About()).spec == "categorical", (
        "a level like others"
    )


def test_dates_in_several_forms_say_which() -> None:
    days = pd.date_range("2024-01-01", periods=N)
    forms = ["%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y"]
    found = judge("sold", column([day.strftime(forms[i % 3]) for i, day in enumerate(days)]), About())
    assert found.spec == "ignore"
    said = "dates in several forms: '2024-01-01' (20 rows), '02.01.2024' (20 rows), 'Jan 03, 2024' (20 rows); write them in one"
    assert said in found.remark
    two = judge("sold", column([day.strftime(forms[i % 2]) for i, day in enumerate(days)]), About())
    assert two.spec == {"kind": "datetime", "format": "%d.%m.%Y"}, "every form reads ISO dates too"


def test_rows_that_are_there_twice_count_once_where_a_key_tells_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"order_id": np.arange(N) * 7 + 100, "x": np.arange(N) / 3, "y": ["a", "b"] * (N // 2)})
    twice = pd.concat([frame, frame[:5]])
    said: list[Remark] = []
    twice.to_csv(tmp_path / "t.csv", index=False)
    tree = infer(tmp_path / "t.csv", "y", tell=said.append)
    assert "t: 5 rows are there twice; the later one counts" in map(str, said)
    (tmp_path / "params.yaml").write_text(to_yaml(tree))
    table = params.load(tmp_path / "params.yaml").data.tables["t"]
    assert (table.key, table.corrections) == (("order_id",), "later")
    read = ingest("t", table)
    assert len(read.frame.drop_duplicates("order_id")) == N
    twice.drop(columns="order_id").to_csv(tmp_path / "t.csv", index=False)
    infer(tmp_path / "t.csv", "y", tell=said.append)
    assert "t: 5 rows are there twice; each counts; take them out of the file if they should not" in map(str, said)
