"""A week's file in a folder: columns that come and go, rows that are corrected, files half written or there twice.

Each in CSV and in Parquet, as declared under ``files`` and ``corrections`` of the table.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.artifacts import RawFile
from tasks.errors import RefitError
from tasks.files import sha256
from tasks.ingest.files import File, find
from tasks.ingest.tables import Ingested, columns_of, ingest
from tasks.params import Table

FORMS = pytest.mark.parametrize("form", ["csv", "parquet"])
WEEKS = {
    "w9": {"id": [1, 2, 3], "seen": ["2024-01-01", "2024-01-01", "2024-01-02"], "shop": ["a", "b", "a"], "price": [1.5, 2, 3]},
    "w10": {"id": [4, 5], "seen": ["2024-01-08", "2024-01-09"], "shop": ["c", "a"], "price": [4, 5.25]},
}  # fmt: skip
COLUMNS: dict[str, Any] = {"id": "numeric", "seen": "datetime", "shop": "categorical", "price": "numeric"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name: str, form: str, columns: dict[str, Any]) -> Path:
    path = Path("weekly") / f"{name}.{form}"
    path.parent.mkdir(exist_ok=True)
    frame = pd.DataFrame(columns)
    if form == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def weeks(form: str) -> list[Path]:
    return [save(name, form, columns) for name, columns in WEEKS.items()]


def read(source: Any = "weekly", columns: dict[str, Any] | None = None, **more: Any) -> Ingested:
    spec = {"source": source, "key": ["id"], "columns": columns or COLUMNS, "event_time": "seen", **more}
    return ingest("sales", Table.model_validate(spec))


def said(read: Ingested) -> str:
    return "\n".join(read.remarks)


@FORMS
def test_a_folder_is_read_in_the_order_of_its_weeks(form: str) -> None:
    """Week 9 comes before week 10, and the manifest names each file with its hash."""
    paths = weeks(form)
    found = read()
    assert found.frame["id"].tolist() == [1, 2, 3, 4, 5]
    assert found.frame["price"].tolist() == [1.5, 2, 3, 4, 5.25]
    assert (found.corrections, found.remarks) == ("states", [])
    assert found.files == [RawFile(path=str(p), sha256=sha256(p), rows=n) for p, n in zip(paths, (3, 2), strict=True)]
    for source in (f"weekly/*.{form}", "weekly/w*", [str(p) for p in paths], ["weekly/w9.*", "weekly/w10.*"]):
        again = read(source)
        assert again.frame.equals(found.frame)
        assert again.sha256 == found.sha256 != ""


@FORMS
def test_a_column_that_is_removed_is_missing_there(form: str) -> None:
    weeks(form)
    save("w11", form, {"id": [6], "seen": ["2024-01-15"], "Price": [7]})
    found = read()
    assert found.frame["shop"].isna().tolist() == [False] * 5 + [True]
    assert f"weekly/w11.{form}: without the column 'shop', which is missing in 1 rows there" in said(found)
    assert "without the column 'price', which is missing in 1 rows there. Did you mean 'Price'?" in said(found)
    with pytest.raises(RefitError, match=rf"files\.removed: weekly/w11\.{form}: without the column 'shop'"):
        read(files={"removed": "refuse"})


@FORMS
def test_a_column_that_is_added_is_ignored_or_refused(form: str) -> None:
    weeks(form)
    save("w11", form, {**WEEKS["w10"], "id": [6, 7], "mood": ["good", "bad"]})
    found = read()
    assert list(found.frame) == list(COLUMNS)
    assert said(found) == (
        f"weekly/w11.{form}: has a column 'mood', which is not declared and not in every file; it was ignored"
    )
    with pytest.raises(RefitError, match=r"files\.added: .*has a column 'mood'.* Declare it under columns"):
        read(files={"added": "refuse"})
    declared = read(columns={**COLUMNS, "mood": "categorical"}, files={"added": "refuse"})
    assert declared.frame["mood"].dropna().tolist() == ["good", "bad"]


@FORMS
def test_a_column_that_no_file_has_is_refused(form: str) -> None:
    weeks(form)
    with pytest.raises(RefitError, match=r"weekly has no column 'prize'. It has 'id', .* Did you mean 'price'"):
        read(columns={**COLUMNS, "prize": "numeric"})


@FORMS
def test_the_same_file_twice_counts_once(form: str) -> None:
    weeks(form)
    os.link(f"weekly/w9.{form}", f"weekly/w9b.{form}")
    found = read()
    assert found.frame["id"].tolist() == [1, 2, 3, 4, 5]
    assert said(found) == f"weekly/w9b.{form}: is weekly/w9.{form} again, and was counted once"
    with pytest.raises(RefitError, match=r"files\.twice: .* have the same content. Remove one"):
        read(files={"twice": "refuse"})


@FORMS
def test_a_row_that_is_there_again_counts_once(form: str) -> None:
    """Exports that overlap: the last days of a week are in the next file too."""
    weeks(form)
    save(
        "w11",
        form,
        {k: [*WEEKS["w10"][k], v] for k, v in {"id": 6, "seen": "2024-01-15", "shop": "b", "price": 6}.items()},
    )
    found = read()
    assert found.frame["id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert said(found) == "2 rows are there again in a later file, and were counted once"


@FORMS
def test_a_row_without_a_key_is_never_taken_for_another(form: str) -> None:
    """Two equal purchases are two purchases; only the user can say that a key would tell."""
    rows = {"seen": ["2024-01-01"] * 12, "shop": ["a"] * 12, "price": range(12)}
    save("w1", form, rows)
    save("w2", form, {k: list(v)[:11] for k, v in rows.items()})
    found = read(columns={k: v for k, v in COLUMNS.items() if k != "id"}, key=[])
    assert len(found.frame) == 23
    assert (
        said(found) == "11 rows are equal to rows of an earlier file; declare the table's key, and each is counted once"
    )


@FORMS
def test_a_correction_known_later_stays_beside_what_it_corrects(form: str) -> None:
    weeks(form)
    save("w11", form, {"id": [2, 6], "seen": ["2024-01-16", "2024-01-15"], "shop": ["b", "b"], "price": [2.5, 6]})
    found = read()
    assert found.frame["id"].tolist() == [1, 2, 3, 4, 5, 2, 6]
    assert found.corrections == "states"
    assert said(found) == "1 rows correct an earlier one; each state counts from the moment it became known"
    later = read(corrections="later")
    assert later.frame["id"].tolist() == [1, 3, 4, 5, 2, 6]
    assert later.frame["price"].tolist() == [1.5, 3, 4, 5.25, 2.5, 6]
    rejected = read(corrections="reject")
    assert rejected.frame["id"].tolist() == [1, 2, 3, 4, 5, 2, 6]  # which validation sends to quarantine
    assert rejected.corrections is None


@FORMS
def test_a_correction_known_at_the_same_moment_takes_the_place_of_the_row(form: str) -> None:
    weeks(form)
    save("w11", form, {"id": [2], "seen": ["2024-01-01"], "shop": ["b"], "price": [2.5]})
    found = read()
    assert found.frame["id"].tolist() == [1, 3, 4, 5, 2]
    assert found.frame["price"].tolist()[-1] == 2.5
    assert said(found) == "1 rows are corrected by a later file's row of the same key and moment, which counts"
    assert len(read(corrections="reject").frame) == 6


@FORMS
def test_rows_that_share_a_key_within_one_file_stay_for_validation(form: str) -> None:
    save("w9", form, {**WEEKS["w9"], "id": [1, 1, 3]})
    save("w10", form, WEEKS["w10"])
    assert read().frame["id"].tolist() == [1, 1, 3, 4, 5]


@FORMS
def test_unreadable_values_keep_their_rows(form: str) -> None:
    """Positions of problems follow the rows, also where earlier ones are dropped."""
    save("w9", form, WEEKS["w9"])
    save("w10", form, {**WEEKS["w10"], "id": [2, 5], "seen": ["2024-01-01", "2024-01-09"], "price": ["4", "much"]})
    found = read()
    assert found.frame["id"].tolist() == [1, 3, 2, 5]
    assert found.problems.to_dict("records") == [
        {"row": 3, "column": "price", "value": "much", "why": "is not a number"}
    ]


@FORMS
@pytest.mark.parametrize("cut", ["middle", "empty", "row"])
def test_a_file_half_written_is_refused_or_waits(form: str, cut: str) -> None:
    weeks(form)
    path = save("w11", form, {**WEEKS["w9"], "id": [6, 7, 8]})
    whole = path.read_bytes()
    at = {
        "middle": len(whole) * 2 // 3,
        "empty": 0,
        "row": whole.rstrip(b"\n").rfind(b"," if form == "csv" else b"PAR1"),
    }[cut]
    path.write_bytes(whole[:at])
    with pytest.raises(RefitError, match=rf"weekly/w11\.{form}: .*(still being written|may be cut).*unfinished: wait"):
        read()
    found = read(files={"unfinished": "wait"})
    assert found.frame["id"].tolist() == [1, 2, 3, 4, 5]
    assert said(found).startswith(f"left for the next run: weekly/w11.{form}: ")
    path.write_bytes(whole)
    assert read().frame["id"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_newest_file_without_its_last_line_end_may_be_cut() -> None:
    """``5.25`` cut to ``5.2`` is a number too: only the line end that others have tells."""
    paths = weeks("csv")
    paths[1].write_bytes(paths[1].read_bytes()[:-2])
    with pytest.raises(RefitError, match=r"w10\.csv: ends without a line end, which other files of this source have"):
        read()
    for path in paths:  # a program that never writes it
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
    paths[1].write_text(paths[1].read_text() + "5")
    assert read().frame["price"].tolist() == [1.5, 2, 3, 4, 5.25]


@FORMS
def test_names_of_unfinished_files_are_passed_over(form: str) -> None:
    weeks(form)
    for name in (f"w11.{form}.part", "w11.tmp", f".w11.{form}", "_SUCCESS", "notes.md"):
        Path("weekly", name).write_text("half")
    found = read()
    assert found.frame["id"].tolist() == [1, 2, 3, 4, 5]
    assert said(found) == (
        f"weekly: passed over 'weekly/notes.md', 'weekly/w11.{form}.part', 'weekly/w11.tmp', by the name no table or not finished"
    )


def test_a_week_without_rows_is_a_week() -> None:
    weeks("csv")
    Path("weekly/w11.csv").write_text("id,seen,shop,price\n")
    assert len(read().frame) == 5
    for path in Path("weekly").iterdir():
        path.write_text("id,seen,shop,price\n")
    with pytest.raises(RefitError, match=r"each of the .* files: has columns .* but no rows"):
        read()


def test_types_may_differ_from_week_to_week_and_so_may_formats() -> None:
    """A column of whole numbers becomes one of floats or texts as soon as one value is missing."""
    save("w1", "parquet", {"id": [1, 2], "seen": pd.to_datetime(["2024-01-01"] * 2), "shop": [7, 8], "price": [1, 2]})
    save("w2", "parquet", {"id": ["3"], "seen": ["2024-01-08"], "shop": [7.0], "price": [None]})
    save("w3", "csv", {"id": [4], "seen": ["2024-01-15T00:00:00Z"], "shop": ["7"], "price": [4]})
    found = read()
    assert found.frame["id"].tolist() == [1, 2, 3, 4]
    assert found.frame["shop"].tolist() == ["7", "8", "7", "7"]
    assert found.frame["price"].isna().tolist() == [False, False, True, False]
    assert str(found.frame["seen"].dtype) == "datetime64[us, UTC]"
    assert columns_of("weekly").column("id").to_pylist() == ["1", "2", "3", "4"]


def test_one_week_of_another_form_is_named() -> None:
    weeks("csv")
    days = pd.date_range("2024-01-15", periods=30).strftime("%d.%m.%Y")
    save("w11", "csv", {"id": range(6, 36), "seen": days, "shop": ["a"] * 30, "price": [1] * 30})
    with pytest.raises(
        RefitError, match=r"columns\.seen: 30 of 30 values of weekly/w11\.csv cannot be read as datetime"
    ):
        read()


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "zip"])
@FORMS
def test_packed_files_are_read_and_cut_ones_told(form: str, ending: str) -> None:
    plain, packed = save("w9", form, WEEKS["w9"]), Path("weekly", f"w10.{form}.{ending}")
    content = save("w10", form, WEEKS["w10"]).read_bytes()
    Path("weekly", f"w10.{form}").unlink()
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("inside.txt", content)
    elif ending == "zst":
        packed.write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
    else:
        packed.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[ending].compress(content))
    assert read().frame["id"].tolist() == [1, 2, 3, 4, 5]
    assert read(str(packed)).frame["id"].tolist() == [4, 5]
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(RefitError, match=rf"w10\.{form}\.{ending}: "):
        read()
    assert read(files={"unfinished": "wait"}).frame["id"].tolist() == [1, 2, 3]
    assert plain.exists()


def test_a_zip_holds_one_table() -> None:
    for name, inner, expected in (
        ("two.zip", ["a.csv", "b.csv"], "holds 2 files"),
        ("book.xlsx", ["[Content_Types].xml", "xl/a.xml"], "is a workbook of a spreadsheet program"),
    ):
        with zipfile.ZipFile(name, "w") as archive:
            for one in inner:
                archive.writestr(one, "id\n1\n")
        with pytest.raises(RefitError, match=rf"{name}: {expected}"):
            read(name)


def test_folders_named_after_values_are_columns() -> None:
    """A data set as Spark, Hive and Arrow partition it."""
    table = pa.table(
        {"id": [1, 2, 3], "seen": ["2024-01-01"] * 3, "price": [1.0, 2.0, 3.0], "shop": ["b", "a c", None]}
    )
    pq.write_to_dataset(table, "parts", partition_cols=["shop"])
    found = read("parts")
    assert dict(zip(found.frame["id"], found.frame["shop"].fillna("none"), strict=True)) == {
        1: "b",
        2: "a c",
        3: "none",
    }
    assert sorted(read("parts/*/*.parquet").frame["id"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("weekly/*.tsv", r"no file matches weekly/\*\.tsv; weekly has 'w9\.csv', 'w10\.csv'"),
        ("wekly/*.csv", r"no file matches wekly/\*\.csv; wekly has"),
        ("empty", r"the folder empty has no table: no file that ends in \.csv"),
        ("weekly/gone.csv", r"weekly/gone\.csv: is a link to nowhere\.csv, which is not there"),
        ("weekly/w12.csv", r"weekly/w12\.csv: no such file"),
        (["weekly/w9.csv", "weekly/w12.csv"], r"weekly/w12\.csv: no such file"),
    ],
)
def test_a_source_that_is_not_there(source: Any, expected: str) -> None:
    weeks("csv")
    Path("empty").mkdir()
    if "gone" in source:
        Path("weekly/gone.csv").symlink_to("nowhere.csv")
    with pytest.raises(RefitError, match=expected):
        read(source)


def test_a_link_to_a_folder_within_a_folder_is_refused() -> None:
    weeks("csv")
    Path("old").mkdir()
    Path("weekly/old").symlink_to("../old")
    with pytest.raises(RefitError, match=r"weekly/old is a link to a folder inside the folder weekly"):
        read()


def test_a_file_whose_name_looks_like_a_glob_is_a_file() -> None:
    weeks("csv")
    os.rename("weekly/w9.csv", "weekly/w[9].csv")
    table = Table.model_validate({"source": "weekly/w[9].csv", "columns": COLUMNS})
    assert find("sales", table).files == [File("weekly/w[9].csv")]
    assert read("weekly/w[9].csv").frame["id"].tolist() == [1, 2, 3]
