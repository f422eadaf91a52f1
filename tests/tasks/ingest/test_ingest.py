"""The stage: declared columns in declared kinds, faults kept beside, and errors that name table and column."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.files import hash_tree, sha256
from tasks.ingest import content
from tasks.ingest.__main__ import main
from tasks.ingest.files import is_bundled
from tasks.ingest.tables import ingest, read_source
from tasks.params import Table
from tasks.profile import read_columns

PARAMS = """\
problem: {name: shop, kind: regression, table: sales, target: price}
data:
  tables:
    sales:
      source: sales.csv
      columns: {day: datetime, shop: categorical, price: numeric, open: boolean, remark: text, spare: ignore}
    shops:
      source: shops.parquet
      columns: {shop: categorical, size: numeric}
models: {ridge: {}}
"""
SALES = """\
spare,price,day,shop,open,remark,unused
x,1.5,2024-01-01,007,yes,fine,1
,about 3,2024-01-02T12:00:00+02:00,8,no,,2
x,,soon,9,maybe,"a, b",3
x,4,2024-01-03,9,yes,,4
x,5,2024-01-04,9,yes,,5
x,inf,2024-01-04,9,yes,,6
x,7,2024-01-04,,yes,,7
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "sales.csv").write_text(SALES)
    pd.DataFrame({"shop": [7, 8], "size": [1, 2]}).to_parquet(tmp_path / "shops.parquet")
    return tmp_path


def table(source: str = "sales.csv", **columns: str) -> Table:
    return Table.model_validate({"source": source, "columns": columns or {"price": "text"}})


def test_the_stage_writes_declared_columns_and_faults(project: Path) -> None:
    main()
    sales = pd.read_parquet("data/raw/sales.parquet")
    assert list(sales) == ["day", "shop", "price", "open", "remark"]
    assert [str(t) for t in sales.dtypes] == ["datetime64[us, UTC]", "str", "float64", "float64", "str"]
    assert np.array_equal(sales["price"], [1.5, np.nan, np.nan, 4, 5, np.nan, 7], equal_nan=True)
    assert sales["shop"].tolist()[:2] == ["007", "8"]
    assert sales["day"][1] == pd.Timestamp("2024-01-02T10:00Z")
    faults = pd.read_parquet("data/raw/sales.problems.parquet")
    assert faults.to_dict("records") == [
        {"row": 1, "column": "price", "value": "about 3", "why": "is not a number"},
        {"row": 2, "column": "day", "value": "soon", "why": "is not an ISO 8601 time such as 2013-10-31T18:00:00Z"},
        {"row": 2, "column": "open", "value": "maybe", "why": "is not one of true/false, yes/no, 1/0"},
        {"row": 5, "column": "price", "value": "inf", "why": "is infinite"},
    ]
    manifest = json.loads(Path("data/raw/manifest.json").read_text())["tables"]
    assert manifest["sales"] == {
        "source": "sales.csv",
        "sha256": sha256("sales.csv"),
        "rows": 7,
        "columns": list(sales),
        "unreadable": 4,
    }
    assert not Path("data/raw/shops.problems.parquet").exists()
    assert pd.read_parquet("data/raw/shops.parquet")["shop"].tolist() == ["7", "8"]


def test_the_bytes_depend_on_the_source_alone(project: Path) -> None:
    main()
    first = hash_tree("data/raw")
    main()
    assert hash_tree("data/raw") == first


def test_a_failure_leaves_the_old_tables(project: Path) -> None:
    main()
    first = hash_tree("data/raw")
    os.remove("shops.parquet")
    with pytest.raises(RefitError, match=r"shops\.parquet: no such file"):
        main()
    assert hash_tree("data/raw") == first
    assert os.listdir("data") == ["raw"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"pryce": "numeric"}, r"data\.tables\.sales\.columns: sales\.csv has no column 'pryce'. It has 'spare', 'price', .* Did you mean 'price'\?"),
        ({"remark": "numeric"}, r"columns\.remark: 2 of 2 values of sales\.csv cannot be read as numeric: 'fine', 'a, b' \(rows 1, 3\) .*not a number"),
        ({"shop": "datetime"}, r"columns\.shop: . of 6 values of sales\.csv cannot be read as datetime: .* Declare another kind, or ignore"),
        ({"price": "boolean"}, r"columns\.price: 6 of 6 values of sales\.csv cannot be read as boolean"),
    ],
)  # fmt: skip
def test_a_declared_column_that_does_not_fit(project: Path, columns: dict[str, str], expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        ingest("sales", table(**columns))


def test_dates_of_another_form_than_declared_are_named_with_the_remedy(project: Path) -> None:
    days = pd.date_range("2024-01-15", periods=9)
    pd.DataFrame({"day": days.strftime("%m/%d/%Y"), "stamp": days.astype("int64") // 10**6}).to_csv("d.csv")
    for column, remedy in (("day", r"format: '%m/%d/%Y'"), ("stamp", "format: 'epoch_")):
        with pytest.raises(RefitError, match=rf"look like times: declare {column}: {{kind: datetime, {remedy}"):
            ingest("d", table("d.csv", **{column: "datetime"}))
    spec = {"source": "d.csv", "columns": {"day": {"kind": "datetime", "format": "%m/%d/%Y"}}}
    assert (
        ingest("d", Table.model_validate(spec)).frame["day"] == days.tz_localize("UTC").to_series().to_numpy()
    ).all()


def test_a_source_may_be_bundled(tmp_path: Path) -> None:
    read = ingest("iris", table("sklearn:iris", **{"target": "categorical", "sepal length (cm)": "numeric"}))
    assert read.frame["target"].value_counts().to_dict() == {"0": 50, "1": 50, "2": 50}
    assert read.problems.empty
    assert len(read.sha256) == 64


@pytest.mark.parametrize("source", ["a.csv", "./a.csv", "/tmp/a:b.csv", "dir/a.parquet", "C:/a.csv"])
def test_a_path_is_no_bundled_source(source: str) -> None:
    assert not is_bundled(source)


@pytest.mark.parametrize("times", [1, 99])
def test_a_source_edited_while_it_is_read_is_read_anew(
    project: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The hash in the manifest is that of the bytes that were read."""
    count, read, path = 0, content._stored, project / "sales.csv"

    def reading(source: str) -> bytes:
        nonlocal count
        found = read(source)
        count += 1
        if count <= times:
            path.write_text(path.read_text().replace("1", str(count + 1), 1) + "\n")
        return found

    monkeypatch.setattr(content, "_stored", reading)
    if times == 99:
        with pytest.raises(RefitError, match=r"sales\.csv: was edited while it was read, 3 times"):
            read_source("sales", table())
    else:
        found = read_source("sales", table())
        assert found.sha256 == sha256(path)
        assert found.contents[0].columns.equals(read_columns(path))
        assert count == 2


def test_numbers_are_read_as_declared_and_another_form_is_named_with_the_remedy(project: Path) -> None:
    Path("n.csv").write_text("net;state\n1.234,50;None\n12,5;Mild\nunknown;\n(3,00);mild\n", encoding="utf-8")
    with pytest.raises(RefitError, match=r"numbers: declare net: \{kind: numeric, format: '1.234,50'\}, or another"):
        ingest("n", table("n.csv", net="numeric"))
    net = {"kind": "numeric", "format": "1.234,50", "missing": ["usual", "unknown"]}
    spec = {
        "source": "n.csv",
        "columns": {"net": net, "state": {"kind": "categorical", "missing": [""], "case": "lower"}},
    }
    read = ingest("n", Table.model_validate(spec))
    assert read.problems.empty
    assert read.remarks == []
    assert np.array_equal(read.frame["net"], [1234.5, 12.5, np.nan, -3], equal_nan=True)
    assert read.frame["state"].fillna("-").tolist() == ["none", "mild", "-", "mild"]
    read = ingest("n", table("n.csv", state="categorical"))
    assert read.frame["state"].isna().sum() == 2
    assert read.remarks == [
        "state: 1 'None' count as missing (data.missing); `missing: [\"\"]` of the column makes them a level",
    ]
