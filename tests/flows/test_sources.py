"""Sources seen from the DAG: every one is a dependency, and what a database gives is a snapshot."""

from __future__ import annotations

import gzip
import os
import sqlite3
from contextlib import closing
from hashlib import md5
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from sklearn.datasets import load_diabetes

from flows import sources
from flows.dag import Dag
from tasks.artifacts import RawManifest
from tasks.errors import RefitError
from tasks.files import sha256
from tasks.ingest.tables import ingest
from tasks.params import Params, loads
from tests.flows.project import make_project, refit
from tests.postgres import postgres
from tests.projects import command, succeeds

TABLES = """\
problem: {{name: toy, kind: regression, table: t, target: price}}
data: {{tables: {{t: {{source: {source}, key: [id], columns: {{id: numeric, price: numeric, day: datetime, paid: boolean, note: text}}}}}}}}
models: {{ridge: {{}}}}
"""


def of(source: str) -> Params:
    return loads(TABLES.format(source=source), "params.yaml")


# What the DAG depends on -----------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A DAG whose first stage is called ingest."""
    make_project(tmp_path)
    dag = tmp_path / "dvc.yaml"
    text = dag.read_text().replace("  load:\n", "  ingest: # reads\n").replace("work.py load", "work.py load # it")
    dag.write_text(text.replace("# it", ""))
    return tmp_path


def deps(root: Path) -> list[str]:
    return list(YAML(typ="safe").load(root / "dvc.yaml")["stages"]["ingest"]["deps"])


def test_the_dag_comes_to_name_every_source(project: Path) -> None:
    (project / "params.yaml").write_text(TABLES.format(source="[weekly/*.csv, t.csv]"))
    (project / "weekly").mkdir()
    (project / "t.csv").write_text("id,price\n")
    with Dag(project, sources.list_sources) as dag:
        assert dag.notes == ["dvc.yaml: stage ingest now depends on weekly, t.csv"]
        assert set(dag.nodes["ingest"].deps) >= {"work.py", "weekly", "t.csv"}  # the walk works on the mended file
    assert deps(project) == ["work.py", "data/context", "weekly", "t.csv"]
    text = (project / "dvc.yaml").read_text()
    assert "ingest: # reads" in text
    with Dag(project, sources.list_sources) as dag:
        assert dag.notes == []
    assert (project / "dvc.yaml").read_text() == text


def test_a_source_that_is_none_any_more_is_taken_out(project: Path) -> None:
    """What the last run read and no table names now; a dependency of the user's own stays."""
    (project / "data/raw").mkdir()
    was = {"sha256": "", "rows": 0, "columns": [], "unreadable": 0}
    tables = {"t": {"source": ["old/*.csv", "t.csv"]} | was, "b": {"source": "a:b"} | was}
    RawManifest(tables=tables).write(project / "data/raw")
    (project / "dvc.yaml").write_text(
        (project / "dvc.yaml").read_text().replace("data/context]", "data/context, old, t.csv]")
    )
    (project / "t.csv").write_text("id,price\n")
    assert sources.list_sources(project, of("./t.csv")) == ["dvc.yaml: stage ingest now no longer on old"]
    assert deps(project) == ["work.py", "data/context", "t.csv"]


def test_a_source_that_is_not_there_is_told_before_the_dag_names_it(project: Path) -> None:
    """Or a misspelt name would stay in the DAG, and no later run could begin."""
    text = (project / "dvc.yaml").read_text()
    (project / "weekly").mkdir()
    for source in ("wekly", "wekly/*.csv"):
        with pytest.raises(RefitError, match=r"t\.source: wekly: no such file or folder in .* Did you mean 'weekly'"):
            sources.list_sources(project, of(source))
    assert (project / "dvc.yaml").read_text() == text
    assert sources.list_sources(project, of(SHOP)) == ["dvc.yaml: stage ingest now depends on data/sources/t.parquet"]
    said = sources.list_sources(project, of("weekly"))
    assert said == ["dvc.yaml: stage ingest now depends on weekly, no longer on data/sources/t.parquet"]
    with pytest.raises(RefitError, match=r"no dvc\.yaml here"):
        sources.list_sources(project / "weekly")


def test_a_dag_without_the_stage_is_left_alone(tmp_path: Path) -> None:
    make_project(tmp_path)
    text = (tmp_path / "dvc.yaml").read_text()
    assert sources.list_sources(tmp_path) == []
    assert (tmp_path / "dvc.yaml").read_text() == text


# Snapshots -------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db")) as db, db:
        db.execute("create table sales (id integer, price numeric(8, 2), day date, paid boolean, note text)")
        db.executemany(
            "insert into sales values (?, ?, ?, ?, ?)",
            [(3, 2.5, "2024-01-03", 1, "50% : off"), (1, None, "2024-01-01", 0, None), (2, 4, None, None, "ü")],
        )
    return tmp_path


def take(root: Path, source: str) -> list[str]:
    return list(sources.take(root, of(source)))


SHOP = "{sql: 'sqlite:///shop.db', table: sales}"


def test_a_snapshot_keeps_types_and_has_an_order_of_its_own(shop: Path) -> None:
    assert take(shop, SHOP) == ["t: 3 rows from sqlite:///shop.db (sales)"]
    path = shop / "data/sources/t.parquet"
    table = pq.read_table(path)
    assert table.column("id").to_pylist() == [1, 2, 3]
    assert pa.types.is_decimal(table.schema.field("price").type)
    assert table.schema.field("day").type == pa.date32()
    assert table.schema.field("paid").type == pa.bool_()
    found = ingest("t", of(SHOP).data.tables["t"])
    assert found.frame["price"].fillna(-1).tolist() == [-1, 4, 2.5]
    assert found.frame["paid"].fillna(-1).tolist() == [0, -1, 1]
    assert found.sha256 == sha256(path)
    assert (found.corrections, found.files, found.remarks) == (None, [], [])


def test_a_snapshot_taken_again_is_the_same_file_until_a_row_changes(shop: Path) -> None:
    take(shop, SHOP)
    path = shop / "data/sources/t.parquet"
    before = path.read_bytes(), path.stat().st_mtime_ns
    with closing(sqlite3.connect("shop.db")) as db, db:  # the same rows in another order
        db.execute("delete from sales where id = 3")
        db.execute("insert into sales values (3, 2.5, '2024-01-03', 1, '50% : off')")
    assert take(shop, SHOP) == ["t: 3 rows from sqlite:///shop.db (sales), as before"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    with closing(sqlite3.connect("shop.db")) as db, db:
        db.execute("update sales set price = 5 where id = 2")
    take(shop, SHOP)
    assert path.read_bytes() != before[0]


def test_a_query_is_taken_as_it_stands(shop: Path) -> None:
    query = "select id, price, day, paid, note from sales where note like '50% : %' -- all;"
    take(shop, f'{{sql: "sqlite:///shop.db", query: "{query}"}}')
    assert pq.read_table(shop / "data/sources/t.parquet").column("note").to_pylist() == ["50% : off"]


def test_the_stage_asks_for_a_snapshot_and_for_the_right_one(shop: Path) -> None:
    with pytest.raises(
        RefitError,
        match=r"data/sources/t\.parquet: no snapshot of data\.tables\.t\.source yet. Take it with `refit sources`",
    ):
        ingest("t", of(SHOP).data.tables["t"])
    take(shop, SHOP)
    other = of("{sql: 'sqlite:///shop.db', query: select * from sales where id > 1}").data.tables["t"]
    with pytest.raises(RefitError, match="was taken of another source than"):
        ingest("t", other)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{sql: 'sqlite:///shop.db', table: sails}", r"t\.source\.table: there is no table 'sails'"),
        ("{sql: 'sqlite:///none.db', table: sales}", r"no such file 'none\.db'"),
        ("{sql: 'sqlite:///shop.db', query: select none_such from sales}", r"the database refused \(no such column: none_such\)"),
        ("{sql: 'sqlite:///shop.db', query: delete from sales}", r"the database refused \(attempt to write a readonly database\)"),
        ("{sql: 'sqlite:///shop.db', query: 'select id, price as id from sales'}", r"gives the column 'id' more than once"),
        ("{sql: 'sqlite:///shop.db', query: select * from sales where id > 9}", r"gave no rows"),
        ("{sql: 'nosuch://host/db', table: t}", r"is no URL of a database that SQLAlchemy knows"),
        ("{sql: 'mysql+pymysql://host/db', table: t}", r"needs the driver 'pymysql': `pip install pymysql`"),
        ("{sql: 'postgresql://me:${NO_SUCH_WORD}@host/db', table: t}", r"names 'NO_SUCH_WORD', which the environment does not have"),
        ("{sql: 'postgresql+psycopg://127.0.0.1:1/db', table: t}", r"does not answer \("),
    ],
)  # fmt: skip
def test_a_database_that_gives_no_table(shop: Path, source: str, expected: str) -> None:
    if "psycopg" in source:
        pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    with pytest.raises(RefitError, match=expected):
        take(shop, source)
    assert not (shop / "data/sources/t.parquet").exists()
    assert not (shop / "none.db").exists()


def test_words_of_the_environment_are_put_into_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "a@b/c:d")
    monkeypatch.setenv("WHOLE", "sqlite:///x y.db")
    assert (
        sources.filled("postgresql://me:${WORD}@host/${WORD}", "here") == "postgresql://me:a%40b%2Fc%3Ad@host/a@b/c:d"
    )
    assert sources.filled("${WHOLE}", "here") == "sqlite:///x y.db"


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 2], pa.int64(), [1, None, 2]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([None, None], pa.string(), [None, None]),
        ([True, None], pa.bool_(), [True, None]),
        ([1, "x"], pa.string(), ["1", "x"]),
        ([b"\x00\xff"], pa.string(), ["00ff"]),
        ([{"b": [1], "a": "é"}], pa.string(), ['{"a": "é", "b": [1]}']),
    ],
)
def test_a_databases_values_in_arrows_types(values: list[Any], kind: pa.DataType, expected: list[Any]) -> None:
    made = sources.as_arrow(values)
    assert made.type == kind
    assert made.to_pylist() == expected


@pytest.mark.slow
def test_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types of a server of its own: decimals, moments with a zone, arrays; one transaction that only reads."""
    import psycopg

    with postgres() as url:
        with psycopg.connect(url) as db:
            db.execute("create schema s")
            db.execute(
                "create table s.sales as select n as id, (n / 4.0)::numeric(9, 3) as price, date '2024-01-01' + n as day, n % 2 = 0 as paid,"
                " case when n > 1 then 'x' || n end as note, timestamptz '2024-01-01 12:00+02' + n * interval '1 hour' as seen,"
                " array[n] as list, '{\"a\": 1}'::jsonb as doc, gen_random_uuid() is null as odd, 'NaN'::numeric as nan"
                " from generate_series(60000, 1, -1) n"
            )
        monkeypatch.setenv("DB", url.rsplit("/", 1)[0])
        source = "{sql: '${DB}/postgres', table: s.sales}"
        assert take(tmp_path, source) == ["t: 60,000 rows from ${DB}/postgres (s.sales)"]
        table = pq.read_table(tmp_path / "data/sources/t.parquet")
        assert table.column("id").to_pylist() == list(range(1, 60001))
        assert table.slice(0, 2).select(["price", "note", "list", "doc", "nan"]).to_pylist() == [
            {"price": pytest.approx(0.25), "note": None, "list": "[1]", "doc": '{"a": 1}', "nan": "NaN"},
            {"price": pytest.approx(0.5), "note": "x2", "list": "[2]", "doc": '{"a": 1}', "nan": "NaN"},
        ]
        assert table.schema.field("seen").type == pa.timestamp("us", "UTC")
        assert table.column("seen")[0].as_py().isoformat() == "2024-01-01T11:00:00+00:00"
        monkeypatch.chdir(tmp_path)
        found = ingest("t", of(source).data.tables["t"]).frame
        assert found["price"].tolist()[:2] == [0.25, 0.5]
        assert found["paid"].tolist()[:2] == [0, 1]
        with pytest.raises(RefitError, match=r"the database refused \("):
            take(tmp_path, "{sql: '${DB}/postgres', query: delete from s.sales}")
        query = "select id, price, day, paid, note from s.sales where note like 'x%' and id::text <> ':a'"
        assert take(tmp_path, f'{{sql: "${{DB}}/postgres", query: "{query}"}}')[0].startswith("t: 59,999 rows")
    with pytest.raises(sources.Unreachable, match="does not answer"):
        take(tmp_path, source)
    assert os.environ["DB"].startswith("postgresql://refit@")


# By the commands -------------------------------------------------------------------------------------------


def weekly(root: Path) -> None:
    frame = load_diabetes(as_frame=True).frame.reset_index(names="patient_id")
    (root / "weekly").mkdir()
    for week in range(3):
        frame.iloc[week::4].to_csv(root / "weekly" / f"w{week}.csv", index=False)


@pytest.mark.flows
def test_a_folder_of_weeks_from_init_to_repro(tmp_path: Path) -> None:
    """A new file, and nothing else, makes the stage run again; by hand too, and links are followed."""
    weekly(tmp_path)
    said = refit(tmp_path, "init", "--data", "weekly/*.csv", "--target", "target")
    assert "predicted as regression" in said
    assert "source: weekly/*.csv" in (tmp_path / "params.yaml").read_text()
    assert "weekly" in deps(tmp_path)
    assert "up to date" not in succeeds(tmp_path, "dvc", "repro", "ingest")
    table = pq.read_table(tmp_path / "data/raw/weekly.parquet")
    assert "Stage 'ingest' didn't change" in succeeds(tmp_path, "dvc", "repro", "ingest")
    with Dag(tmp_path, sources.list_sources) as dag:
        assert not dag.changed("ingest")
    os.mkdir(tmp_path / "elsewhere")
    os.rename(tmp_path / "weekly/w2.csv", tmp_path / "elsewhere/a.csv")
    (tmp_path / "weekly/w2.csv").symlink_to("../elsewhere/a.csv")
    assert "Stage 'ingest' didn't change" in succeeds(tmp_path, "dvc", "repro", "ingest")
    text = (tmp_path / "weekly/w1.csv").read_text().splitlines(keepends=True)
    (tmp_path / "elsewhere/b.csv").write_text(text[0] + text[1].replace(text[1].split(",")[0], "9999", 1))
    (tmp_path / "weekly/w2.csv").unlink()
    (tmp_path / "weekly/w2.csv").symlink_to("../elsewhere/b.csv")
    with Dag(tmp_path, sources.list_sources) as dag:
        assert dag.run("ingest", lambda line: None).how == "ran"
    assert pq.read_table(tmp_path / "data/raw/weekly.parquet").num_rows < table.num_rows
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("source: weekly/*.csv", "source: [weekly, more.csv.gz]"))
    (tmp_path / "more.csv.gz").write_bytes(gzip.compress(text[0].encode() + text[2].encode().replace(b"4", b"8888", 1)))
    refused = command(tmp_path, "dvc", "repro", "ingest")
    assert refused.returncode != 0
    assert "stage ingest does not depend on 'more.csv.gz'" in refused.stdout
    assert "dvc.yaml: stage ingest now depends on more.csv.gz" in refit(tmp_path, "sources")
    assert "Running stage 'ingest'" in succeeds(tmp_path, "dvc", "repro", "ingest")


@pytest.mark.flows
def test_a_run_takes_the_snapshot_that_its_stage_reads(tmp_path: Path, server: dict[str, str]) -> None:
    """With a DAG that has one stage, since the others know nothing of databases."""
    frame = load_diabetes(as_frame=True).frame.reset_index(names="patient_id")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db, db:
        frame.to_sql("patients", db, index=False)
    refit(tmp_path, "init", "--data", "sqlite:///shop.db", "--query", "patients", "--target", "target")
    path, dag = tmp_path / "data/sources/patients.parquet", tmp_path / "dvc.yaml"
    yaml = YAML()
    tree = yaml.load(dag)
    tree["stages"] = {"ingest": tree["stages"]["ingest"]}
    yaml.dump(tree, dag)
    assert "data/sources/patients.parquet" in deps(tmp_path)
    assert not path.exists()
    refit(tmp_path, "run", "--plain", env=server)
    before = path.read_bytes()
    assert pq.read_table(tmp_path / "data/raw/patients.parquet").num_rows == len(frame)
    assert "1 cached" in refit(tmp_path, "run", "--plain", env=server)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db, db:
        db.execute("delete from patients where patient_id = 7")
    assert "Stage 'ingest' didn't change" in succeeds(
        tmp_path, "dvc", "repro", "ingest"
    )  # by hand: the snapshot that is there
    assert f"patients: {len(frame) - 1} rows from sqlite:///shop.db (patients)" in refit(tmp_path, "sources")
    assert path.read_bytes() != before
    listed = (
        f"md5: {md5(path.read_bytes()).hexdigest()}\n  size: {path.stat().st_size}\n  hash: md5\n  path: data/sources"
    )
    assert listed in (tmp_path / "refit.dvc").read_text(), "so a clone gets it"
    assert "Running stage 'ingest'" in succeeds(tmp_path, "dvc", "repro", "ingest")
    os.remove(tmp_path / "shop.db")
    assert "no such file 'shop.db'" in refit(tmp_path, "sources", code=1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "sqlite:///shop.db"], r"--query: a database's URL needs one"),
        (["--data", "postgresql://me:secret@host/db", "--query", "t"], r"a password does not stand in this file"),
        (["--data", "*.csv"], r"--data: \*\.csv: every run would change the folder '\.'"),
        (["--data", "a.csv", "--query", "t"], r"--query: is asked of a database, and --data is 'a\.csv'"),
        (["--data", "none/*.csv"], r"no file matches none/\*\.csv"),
    ],
)
def test_init_refuses_what_no_run_could_read(
    tmp_path: Path, words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    query = words[3] if len(words) > 2 else None
    with pytest.raises(RefitError, match=expected):
        sources.look(tmp_path, words[1], query)
