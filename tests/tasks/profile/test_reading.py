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
        ('"a, the first",b\n"x\ny",NA\n', [{"a, the first": "x\ny", "b": None}]),
        ('"two\nlines",b\n1,2\n', [{"two\nlines": "1", "b": "2"}]),
        ("\ufeffa,b\n1,\n", [{"a": "1", "b": None}]),
        ("a,b\nnull,NaN\nnone,-\n", [{"a": None, "b": None}, {"a": "none", "b": "-"}]),
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
        (b"a,b\n1,x\n\n2,K\xf6ln\n", "a.csv", r"a\.csv:4: not UTF-8 \(byte 0xf6\)\. Save the file as UTF-8, as in `iconv"),
        ("a,b\n1,x\n".encode("utf-16"), "a.csv", r"a\.csv:1: not UTF-8"),
        (b"a,b\n1,x\n2\n", "a.csv", "as many values in every row .*Expected 2 columns, got 1"),
        (b"a,b,a\n1,2,3\n", "a.csv", "column names must differ, and 'a' is there more than once. Rename one."),
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


def test_a_parquet_file_with_repeated_names_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(RefitError, match="'a' is there more than once"):
        read_columns(tmp_path / "a.parquet")


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
