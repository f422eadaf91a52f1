"""Large files are read a column at a time, to what reading them as a whole gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import RefitError
from tasks.ingest import content, lazy
from tasks.ingest.tables import Ingested, ingest
from tasks.params import Table

COLUMNS = {"id": "numeric", "when": "datetime", "price": "numeric", "kind": "categorical", "note": "text"}
HEAD = "id,when,price,kind,note\n"
LINES = "".join(
    f'{i},2024-01-{1 + i % 28:02d}T00:00:00Z,{i / 7:.3f},k{i % 3},"said ""{i}"",\nand more"\n' for i in range(300)
)
PLAIN = LINES.replace('"', "").replace(",\nand", " and")
TEXTS = {
    "plain": (HEAD + PLAIN).encode(),
    "with quotes and line ends within": (HEAD + LINES).encode(),
    "with a mark and wrong values": b"\xef\xbb\xbf" + (HEAD + LINES.replace("0.571", "much").replace("k1", "")).encode(),
    "with titles and blanks": ("Prices of January\n\n" + HEAD.replace("price", " price") + LINES).encode(),
    "without a last line end": (HEAD + LINES.rstrip("\n")).encode(),
    "with a total": (HEAD + PLAIN + "total,,99.5,,\n").encode(),
    "with a note": (HEAD + PLAIN + "300 rows\n").encode(),
    "in Windows-1252": (HEAD + LINES.replace("said", "Grüße")).encode("cp1252"),
    "in UTF-16": (HEAD + LINES).encode("utf-16"),
}  # fmt: skip


def both_ways(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Ingested, Ingested]:
    table = Table(source=str(path), columns=COLUMNS)
    whole = ingest("t", table)
    monkeypatch.setattr(lazy, "PARQUET_FROM", 1)
    monkeypatch.setattr(lazy, "CSV_FROM", 1)
    monkeypatch.setattr(lazy, "BLOCK", 4096)
    return whole, ingest("t", table)


def same(whole: Ingested, apart: Ingested) -> None:
    pd.testing.assert_frame_equal(apart.frame, whole.frame)
    pd.testing.assert_frame_equal(apart.problems, whole.problems)
    assert (apart.sha256, apart.corrections) == (whole.sha256, whole.corrections)
    assert (apart.files, apart.remarks) == (whole.files, whole.remarks)


@pytest.mark.parametrize("name", TEXTS)
def test_a_csv_file_in_blocks_is_the_file_as_a_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXTS[name])
    same(*both_ways(path, monkeypatch))
    taken = content._large(content.File(str(path)))
    as_a_whole = name.split()[-1] in ("total", "note", "Windows-1252", "UTF-16")
    assert (taken is None) == as_a_whole


def test_a_parquet_file_by_columns_is_the_file_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 50
    columns: dict[str, Any] = {
        " id": pa.array(range(n), pa.int32()),
        "when": pa.array(pd.date_range("2024-01-01", periods=n, freq="D"), pa.timestamp("ns")),
        "price": pa.array([None if i % 7 == 0 else i / 3 for i in range(n)], pa.float32()),
        "kind": pa.array([f"k{i % 3}" for i in range(n)]).dictionary_encode(),
        "note": pa.array([b"x" * i for i in range(n)]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=20)
    same(*both_ways(tmp_path / "t.parquet", monkeypatch))
    assert content._large(content.File(str(tmp_path / "t.parquet"))) is not None


def test_a_row_of_another_width_is_refused_in_the_same_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "1,2024-01-01,3,k1,a\n2,2024-01-01,3,k1\n3,2024-01-01,3,k1,c\n")
    monkeypatch.setattr(lazy, "CSV_FROM", 1)
    with pytest.raises(RefitError, match="not a CSV file with one header and as many values in every row"):
        ingest("t", Table(source=str(path), columns=COLUMNS))


def test_a_file_edited_while_its_columns_are_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXTS["plain"])
    monkeypatch.setattr(lazy, "PARQUET_FROM", 1)
    monkeypatch.setattr(lazy, "CSV_FROM", 1)
    read = content.read_file(content.File(str(path)))
    read.check()
    os.utime(path, ns=(0, 0))
    with pytest.raises(RefitError, match="was edited while it was read"):
        read.check()
