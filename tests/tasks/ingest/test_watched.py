"""What the DAG has to depend on, and what cannot be depended on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import RefitError
from tasks.ingest.files import unlisted, watched
from tasks.params import Params, loads

PARAMS = """\
problem: {{name: shop, kind: regression, table: sales, target: price}}
data: {{tables: {{sales: {{source: {source}, columns: {{price: numeric, shop: categorical}}}}}}}}
models: {{ridge: {{}}}}
"""
DAG = "stages: {{ingest: {{cmd: python -m tasks.ingest, deps: [{deps}], outs: [data/raw]}}}}\n"


def of(source: str) -> Params:
    return loads(PARAMS.format(source=source), "params.yaml")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("data/weekly/old", "data/raw", "data/features", ".refit", "elsewhere"):
        Path(folder).mkdir(parents=True)
    Path("sales.csv").write_text("price,shop\n1,a\n")
    Path("data/weekly/w1.csv").write_text("price,shop\n1,a\n")
    Path("link").symlink_to("data/weekly")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("sales.csv", ["sales.csv"]),
        ("./sales.csv", ["./sales.csv"]),
        ("nowhere.csv", ["nowhere.csv"]),
        ("data/weekly", ["data/weekly"]),
        ("data/weekly/", ["data/weekly"]),
        ("link", ["link"]),
        ("data/weekly/*.csv", ["data/weekly"]),
        ("data/weekly/*/part-?.parquet", ["data/weekly"]),
        ("[data/weekly/*.csv, sales.csv, data/weekly/*.parquet]", ["data/weekly", "sales.csv"]),
        ("sklearn:iris", []),
        ("{sql: 'sqlite:///shop.db', table: sales}", ["data/sources/sales.parquet"]),
    ],
)
def test_what_is_watched(source: str, expected: list[str]) -> None:
    assert watched(of(source)) == {"sales": expected}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("'*.csv'", r"sales\.source: \*\.csv: every run would change the folder '\.'.* as in data/weekly/"),
        ("data", r"every run would change the folder 'data', since Refit writes into it"),
        ("'data/*.csv'", r"every run would change the folder 'data'"),
        ("..", r"every run would change the folder '\.\.'"),
        ("data/raw", r"data/raw: lies where Refit keeps its own files"),
        ("data/features/features.parquet", r"lies where Refit keeps its own files"),
        (
            "s3://bucket/sales.csv",
            r"s3://bucket/sales\.csv: is no path. A database is written .* has to be fetched first",
        ),
    ],
)
def test_what_cannot_be_watched(source: str, expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        watched(of(source))


@pytest.mark.parametrize(
    ("deps", "lacking"),
    [("", ["data/weekly", "sales.csv"]), ("data/weekly, ./sales.csv", []), ("elsewhere, sales.csv", ["data/weekly"])],
)
def test_what_the_dag_does_not_list(deps: str, lacking: list[str]) -> None:
    assert unlisted(of("['data/weekly/*.csv', sales.csv]"), DAG.format(deps=deps)) == lacking


def test_the_stage_refuses_what_its_dag_does_not_list(here: Path) -> None:
    """As ``dvc repro`` runs it."""
    (here / "params.yaml").write_text(PARAMS.format(source="sales.csv"))

    def stage(deps: str) -> Any:
        (here / "dvc.yaml").write_text(DAG.format(deps=deps))
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        return subprocess.run([sys.executable, "-m", "tasks.ingest"], capture_output=True, text=True, env=env)

    refused = stage("elsewhere")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: dvc.yaml: stage ingest does not depend on 'sales.csv'")
    assert "`refit sources` mends dvc.yaml" in refused.stderr
    assert not Path("data/raw/manifest.json").exists()
    assert "sales: 1 rows from sales.csv" in stage("sales.csv").stdout


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{sql: 'postgresql://me:secret@host/db', table: t}", r"a password does not stand in this file. Write \$\{DB_PASSWORD\}"),
        ("{sql: 'postgresql://host/db?user=me&password=secret', table: t}", r"a password does not stand in this file"),
        ("{sql: 'sqlite:///shop.db'}", r"a source in a database has a query or a table, and not both"),
        ("{sql: 'sqlite:///shop.db', table: t, query: select 1}", r"a query or a table, and not both"),
        ("{sql: shop.db, table: t}", r"sql: a database's URL, as in"),
        ("{sql: 'sqlite:///shop.db', tabel: t}", r"tabel"),
        ("[]", r"source"),
        ("12", r"source"),
    ],
)  # fmt: skip
def test_a_source_that_is_written_wrong(source: str, expected: str) -> None:
    with pytest.raises(RefitError, match=expected) as told:
        of(source)
    assert "secret" not in str(told.value)


def test_a_password_may_be_named() -> None:
    for url in (
        "postgresql://me:${PASS}@host/db",
        "postgresql://me@host/db",
        "${SHOP_URL}",
        "mysql+pymysql://u:${P}@h/d?x=1",
    ):
        assert watched(of(f"{{sql: '{url}', table: t}}"))["sales"] == ["data/sources/sales.parquet"]
