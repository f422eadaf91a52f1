"""Files that people have: every one is read, or refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import RefitError
from tasks.profile import read_columns
from tasks.profile.reading import remarks_of


def saved(folder: Path, content: bytes | str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,x\n2,y\n", [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        ("a;b\n1,5;x\n", [{"a": "1,5", "b": "x"}]),
        ("a\tb\n007\tx\n", [{"a": "007", "b": "x"}]),
        ("a|b\r\n1|x\r\n", [{"a": "1", "b": "x"}]),
        ("a\n1\n2", [{"a": "1"}, {"a": "2"}]),
        ('"a, the first",b\n"x\ny",NA\n', [{"a, the first": "x\ny", "b": "NA"}]),
        ('"two\nlines",b\n1,2\n', [{"two\nlines": "1", "b": "2"}]),
        ("\ufeffa,b\n1,\n", [{"a": "1", "b": ""}]),
        ("a,b\nnull,NaN\nnone,-\n", [{"a": "null", "b": "NaN"}, {"a": "none", "b": "-"}]),
        ("größe,b\n1,ü\n", [{"größe": "1", "b": "ü"}]),
    ],
)
def test_csv_values_stay_text(tmp_path: Path, text: str, rows: list[dict[str, str | None]]) -> None:
    assert read_columns(saved(tmp_path, text)).to_pylist() == rows


def test_parquet_keeps_its_types_whatever_its_name(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    for name in ("a.parquet", "a.dat"):
        pq.write_table(table, tmp_path / name)
        assert read_columns(tmp_path / name).equals(table)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"", "a.csv", "the file is empty; expected a CSV or Parquet file"),
        (b" \n\n", "a.csv", "the file is empty"),
        (b"a,b\n", "a.csv", "has columns \\('a', 'b'\\) but no rows"),
        ("a,b\n1,x\n2,Москва\n".encode("cp1251"), "a.csv", r"a\.csv:3: not UTF-8 \(byte 0xcc\), nor Windows-1252 throughout"),
        ("a,b\n1,Köln\n2,Zürich".encode() + b" K\xf6ln\n", "a.csv", r"a\.csv:3: not UTF-8 \(byte 0xf6\)"),
        (b"a,b\n1,x\n2\n", "a.csv", "as many values in every row .*Expected 2 columns, got 1"),
        (b"PK\x03\x04 xl/workbook.xml", "a.csv", "is an Excel workbook"),
        (b"SQLite format 3\0", "a.csv", "by its URL, sqlite:///PATH"),
        (b"\x80\x04\x95", "a.pkl", "is a pickle, which is never loaded"),
        (b"ARROW1\0\0", "a.feather", "is an Arrow file"),
        (b"PAR1 and then nothing", "a.parquet", "not a readable Parquet file"),
        (b"PAR1 and then nothing", "a.csv", "not a readable Parquet file"),
        (b"a,b\n1,2\n", "a.parquet", "not a readable Parquet file .*; a CSV file must not be named .parquet|CSV file must not"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, name: str, expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        read_columns(saved(tmp_path, content, name))


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(1000)}).to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for size in (4, len(content) // 2, len(content) - 1):
        with pytest.raises(RefitError, match="not a readable Parquet file"):
            read_columns(saved(tmp_path, content[:size], "b.parquet"))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_names_are_made_whole_and_said(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    names = ["a", "a", "", "__row__", " b\u200b", "A"]
    if form == "csv":
        path.write_text(",".join(names) + "\n1,2,3,4,5,6\n", encoding="utf-8")
    else:
        pq.write_table(pa.table([pa.array([str(i)]) for i in range(1, 7)], names=names), path)
    table = read_columns(path)
    assert table.to_pylist() == [{"a": "1", "a_2": "2", "column_3": "3", "row": "4", "b": "5", "A": "6"}]
    assert remarks_of(table) == [
        "column 3 has no name and is called 'column_3'",
        "'a' is there 2 times; the later is called 'a_2'",
        "'__row__' is a name that stages use, and is called 'row'",
    ]


@pytest.mark.parametrize(
    ("content", "rows", "remark"),
    [
        ("a,b\n1,Köln\n".encode("cp1252"), [["1", "Köln"]], "read as Windows-1252, as in 'Köln' (line 2)"),
        ("a,größe\n1,€\n".encode("cp1252"), [["1", "€"]], "Windows-1252"),
        ("a,b\n1,ü\n".encode("utf-16"), [["1", "ü"]], "UTF-16"),
        ("a,b\n1,ü\n".encode("utf-16-le"), [["1", "ü"]], "UTF-16"),
        ("a,b\n1,ü\n".encode("utf-16-be"), [["1", "ü"]], "UTF-16"),
        (b"a;b\r1,5;x\r2,5;y\r", [["1,5", "x"], ["2,5", "y"]], ""),
        (b"sep=;\r\na;b\r\n1;2\r\n", [["1", "2"]], ""),
        (b"Report of May\n\na,b,c\n1,2,3\n4,5,6\n", [["1", "2", "3"], ["4", "5", "6"]], "1 line before the names left out, such as 'Report of May'"),
        (b"Report,,\nMay,,\na,b,c\n1,2,3\n", [["1", "2", "3"]], "2 lines before the names left out"),
        (b"# made by a tool\na,b\n1,2\n", [["1", "2"]], "# made by a tool"),
        (b"#a\tb\n1\t2\n3\t4\n", [["1", "2"], ["3", "4"]], ""),
        (b'"x;y;z",b\n1,2\n', [["1", "2"]], ""),
        (b"a,b\n1,2\n3,4\nTotal,\n", [["1", "2"], ["3", "4"]], "taken for a total"),
        (b"a,b\n1,2\n3,4\nTotal,5\n", [["1", "2"], ["3", "4"], ["Total", "5"]], ""),
        (b"a,b,c\nx,2,1\ny,4,1\nTotal,6,\n", [["x", "2", "1"], ["y", "4", "1"]], "taken for a total and left out: 'Total,6,'"),
        (b"a,b,c\nx,2,1\nTotal,4,1\nTotal,6,7\n", [["x", "2", "1"], ["Total", "4", "1"], ["Total", "6", "7"]], ""),
        (b"a,b\n1,2\n3,4\n\n(2 rows)\n", [["1", "2"], ["3", "4"]], "taken for a note and left out: '(2 rows)'"),
        (b'a,b\n1,"x\r\ny"\n2,"' + b"z" * 1_500_000 + b'"\n', [["1", "x\r\ny"], ["2", "z" * 1_500_000]], ""),
    ],
)  # fmt: skip
def test_a_text_file_is_laid_out_by_what_it_holds(tmp_path: Path, content: bytes, rows: list[list[str]], remark: str) -> None:  # fmt: skip
    table = read_columns(saved(tmp_path, content))
    assert [list(row.values()) for row in table.to_pylist()] == rows
    assert remark in "; ".join(remarks_of(table))
    assert bool(remark) == bool(remarks_of(table))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match="no such file"):
        read_columns(tmp_path / "none.csv")
    with pytest.raises(RefitError, match="is a folder; name one CSV or Parquet file"):
        read_columns(tmp_path)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = saved(tmp_path_factory.mktemp("any"), content)
    try:
        table = read_columns(path)
    except RefitError:
        return
    assert table.num_rows > 0
    assert len(set(table.column_names)) == table.num_columns
