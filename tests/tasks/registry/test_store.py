"""What is wrong with a registry or a history is told before MLflow or SQLAlchemy is loaded, by files and servers of a few rows."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import RefitError
from tasks.registry import run_record, store, tracking
from tasks.registry.history import DecisionHistory, check_database, history_url, local
from tasks.registry.store import check_store, schemas
from tests.samples import candidate, metrics
from tests.tasks.registry.test_history import decision


def database(path: Path, schema: str | None = "", state: str = "active") -> Path:
    """As much of MLflow's database as is looked at; ``schema`` "": the newest, None: none yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT, lifecycle_stage TEXT)")
        raw.execute("CREATE TABLE runs (run_id TEXT)")
        raw.execute("INSERT INTO experiments VALUES (7, 'toy', ?), (8, 'other', 'deleted')", [state])
        if schema is not None:
            raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
            raw.execute("INSERT INTO alembic_version VALUES (?)", [schema or schemas()[1]])
    return path


def told(root: Path, uri: str, model: str | None = "toy") -> list[str]:
    return list(check_store(root, uri, model, 0.05))


def of_file(path: Path, model: str | None = "toy") -> list[str]:
    return told(path.parent.parent, f"sqlite:///{path}", model)


def test_schemas_are_those_of_the_installed_mlflow() -> None:
    known, newest = schemas()
    assert newest in known
    assert len(known) > 20


def test_a_file_that_can_be_used_and_one_that_is_still_to_be_made(tmp_path: Path) -> None:
    path = database(tmp_path / ".refit" / "mlflow.db")
    assert of_file(path) == of_file(path, None) == []
    assert of_file(database(tmp_path / "b" / "mlflow.db", schema=None)) == []
    path.unlink()
    path.parent.rmdir()
    assert of_file(path) == [], "the project's own folder is made"
    assert told(tmp_path, f"sqlite:///{tmp_path}/gone/mlflow.db") == [
        f"the registry (sqlite:///{tmp_path}/gone/mlflow.db): the folder {tmp_path}/gone is not there. Check MLFLOW_TRACKING_URI."
    ]
    (tmp_path / "there").mkdir()
    assert told(tmp_path, f"sqlite:///{tmp_path}/there/mlflow.db") == []
    assert told(tmp_path, "file:/somewhere") == told(tmp_path, "./mlruns") == []


def test_a_file_that_cannot_be_used_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only(path: Path, model: str | None = "toy") -> str:
        (one,) = of_file(path, model)
        assert one.startswith(f"the registry (sqlite:///{path}): ")
        return one.partition("): ")[2]

    _, newest = schemas()
    older = next(iter(schemas()[0] - {newest}))
    assert only(database(tmp_path / "a" / "it.db", schema="ffff")).startswith(
        "was written by a newer MLflow (its schema is ffff). Install that version"
    )
    assert only(database(tmp_path / "b" / "it.db", schema=older)) == (
        f"was written by an older MLflow (its schema is {older}, this one's {newest}). "
        f"`mlflow db upgrade sqlite:///{tmp_path}/b/it.db`"
    )
    gone = database(tmp_path / "c" / "it.db", state="deleted")
    assert only(gone) == (
        "the experiment 'toy' was deleted there, so nothing can be tracked. Put it back (mlflow experiments restore "
        "--experiment-id 7), or choose another problem.name."
    )
    assert of_file(gone, "new") == []
    with closing(sqlite3.connect(tmp_path / "d.db")) as raw, raw:
        raw.execute("CREATE TABLE shop (x)")
    assert only(tmp_path / "d.db") == "is not MLflow's database (it has the tables 'shop'). Check MLFLOW_TRACKING_URI."
    (tmp_path / "e.db").write_bytes(b"no database at all, but a text of some length" * 30)
    assert only(tmp_path / "e.db").startswith("is damaged, or no SQLite database (file is not a database). Restore it")
    held = database(tmp_path / "f" / "it.db")
    with closing(sqlite3.connect(held, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert only(held) == "another program holds it locked. End that, or wait for it, and run again."
        other.execute("ROLLBACK")
    assert of_file(held) == []
    monkeypatch.setattr(store, "writable", lambda path: False)
    assert only(held).startswith("cannot be written to. Change its owner")


def test_a_file_can_be_written_to_where_its_folder_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: set[Path] = set()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in closed and mode == os.W_OK)  # root may all
    path = tmp_path / "it.db"
    assert store.writable(path)
    for one in (path, tmp_path):
        closed = {one}
        assert not store.writable(path)


def test_another_database_is_asked_by_its_driver(tmp_path: Path) -> None:
    path = database(tmp_path / "it.db", state="deleted")
    assert len(list(store._database(f"sqlite:///{path}", "it", "toy"))) == 1
    (one,) = told(tmp_path, "postgresql://me:secret@127.0.0.1:1/x")
    assert one.startswith("the registry (127.0.0.1:1/x): cannot be used (")
    assert "secret" not in one
    assert "\n" not in one
    older = database(tmp_path / "old.db", schema=next(iter(schemas()[0] - {schemas()[1]})))
    with closing(sqlite3.connect(older)) as raw:
        (one,) = store._stored(raw.execute, store.tables(raw), "it", None, "mysql://x")
    assert one.endswith("`mlflow db upgrade $MLFLOW_TRACKING_URI`")
    assert list(store._stored(lambda query: [], set(), "it", None, "x")) == []


# A server -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, tuple[int, Any]], list[dict[str, str]]]]:
    """A server's URL, what it answers by path, and the headers that it was sent."""
    answers: dict[str, tuple[int, Any]] = {}
    sent: list[dict[str, str]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(dict(self.headers) | {"path": self.path})
            status, said = answers.get(self.path.partition("?")[0], (404, None))
            self.send_response(status)
            self.end_headers()
            self.wfile.write((said if isinstance(said, str) else json.dumps(said)).encode())

        def log_message(self, *said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as it:
        thread = threading.Thread(target=it.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{it.server_port}", answers, sent
        it.shutdown()
        thread.join()


EXPERIMENT = "/api/2.0/mlflow/experiments/get-by-name"


@pytest.mark.parametrize(
    ("health", "experiment", "said"),
    [
        ((200, "OK"), (200, {"experiment": {"lifecycle_stage": "active", "experiment_id": "7"}}), ""),
        ((200, "OK"), (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}), ""),
        ((200, "OK"), (200, {"experiment": {"lifecycle_stage": "deleted", "experiment_id": "7"}}), "the experiment 'a toy' was deleted"),
        ((200, "OK"), (404, {"error_code": "OTHER"}), r"answers, but is no MLflow server \(status 404\)\. Check"),
        ((200, "OK"), (404, "no JSON"), "answers, but is no MLflow server"),
        ((404, "x"), (200, {}), "answers, but is no MLflow server"),
        ((401, "x"), (200, {}), r"refuses \(status 401\)\. Check MLFLOW_TRACKING_USERNAME"),
        ((200, "x"), (403, "x"), r"refuses \(status 403\)"),
        ((500, "x"), (200, {}), r"answers with status 500\. See its log\."),
        ((200, "x"), (503, "x"), r"answers with status 503"),
        ((302, "x"), (200, {}), ""),
    ],
)  # fmt: skip
def test_a_servers_answers_are_understood(
    server: Any, health: tuple[int, Any], experiment: tuple[int, Any], said: str, tmp_path: Path
) -> None:
    url, answers, sent = server
    answers.update({"/health": health, EXPERIMENT: experiment})
    found = told(tmp_path, f"{url}/", "a toy")
    assert len(found) == bool(said)
    assert all(re.search(said, one) for one in found)
    assert sent[-1]["path"] in ("/health", f"{EXPERIMENT}?experiment_name=a%20toy")
    assert len(sent) == 1 + (health[0] == 200)
    if health[0] == 200:
        sent.clear()
        assert told(tmp_path, url, None) == []
        assert len(sent) == 1


def test_a_server_is_asked_as_whom_the_address_or_the_environment_says(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, answers, sent = server
    answers["/health"] = (200, "OK")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)

    def asked(address: str = url) -> str | None:
        assert told(tmp_path, address, None) == []
        return sent[-1].get("Authorization")

    def basic(text: str) -> str:
        return "Basic " + b64encode(text.encode()).decode()

    assert asked() is None
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert asked() == basic("ada:")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert asked() == basic("ada:secret")
    assert asked(url.replace("//", "//ben:word@")) == basic("ben:word")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    assert asked() == "Bearer abc"


def test_a_server_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    (one,) = told(tmp_path, "http://me:secret@127.0.0.1:1")
    assert one.startswith("the registry (127.0.0.1:1): does not answer (")
    assert "secret" not in one


# The history ----------------------------------------------------------------------------------------------------------


def test_a_history_is_looked_at_without_sqlalchemy(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/.refit/history.db"
    assert list(check_database(url, 0.05)) == []
    (one,) = check_database(f"sqlite:///{tmp_path}/gone/history.db", 0.05)
    assert one.endswith(f"history.db): the folder {tmp_path}/gone is not there. Check REFIT_HISTORY.")
    DecisionHistory(url=url).record(decision("1"), None)
    assert list(check_database(url, 0.05)) == []
    assert list(check_database("postgresql://x", 0.05)) == [], "whoever reads it tells"
    for made in ("CREATE TABLE shop (x)", "CREATE TABLE decisions (model TEXT)", "CREATE TABLE looks (model TEXT)"):
        path = tmp_path / f"{len(made)}.db"
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(made)
        (one,) = check_database(f"sqlite:///{path}", 0.05)
        assert f"is not a history of Refit's (it has the tables {made.split()[2]}). Check REFIT_HISTORY" in one
    with closing(sqlite3.connect(tmp_path / "empty.db")) as raw, raw:
        raw.execute("CREATE TABLE t (x)")
        raw.execute("DROP TABLE t")
    assert list(check_database(f"sqlite:///{tmp_path}/empty.db", 0.05)) == []


def test_a_decision_counts_from_its_very_moment(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    first = history.record(decision("1"), None)
    second = history.record(decision("2"), "sha-1")
    for one in (first, second):
        assert history.champion("toy", datetime.fromisoformat(one.at)) == one


def test_where_the_history_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFIT_HISTORY", raising=False)
    assert history_url(tmp_path) == f"sqlite:///{tmp_path}/.refit/history.db"
    monkeypatch.setenv("REFIT_HISTORY", "postgresql://me:secret@host/x")
    assert history_url(tmp_path) == "postgresql://me:secret@host/x"
    assert DecisionHistory(tmp_path).shown == "host/x"
    with pytest.raises(RefitError, match=r"a folder's path with a '\?' cannot be part of a database's URL"):
        local(tmp_path / "why?", "history.db")


# What is tracked ------------------------------------------------------------------------------------------------------


def test_names_numbers_and_curves_of_what_a_run_tracks() -> None:
    assert tracking._safe("a b/c.d-e_f") == "a b/c.d-e_f"
    assert tracking._safe("who+where.mean(x, 1d)") == "who_where.mean_x_ 1d_"
    assert len(tracking._safe("x" * 500)) == 240
    history = {"loss": [1, 0.5], "empty": [], "words": ["a"], "mixed": [1, "a"], "one": 3}
    assert list(run_record.curves(history)) == [("loss", [1, 0.5])]
    measured = {"valid": {"auc": 0.75}, "test": {"auc": 0.5, "ece": None}}
    fitted = candidate("tree", {"depth": 3, "long": "v" * 501}, valid={"auc": 0.7})
    params = {"family": "tree", "depth": "3", "long": "v" * 500}
    figures = {"valid/auc": 0.75, "test/auc": 0.5}
    assert run_record.of_family(fitted, metrics(tree=measured)) == (params, figures)
    assert run_record.of_family(fitted, metrics(tree={**measured, "threshold": 0.25})) == (
        params,
        figures | {"threshold": 0.25},
    )
    assert run_record.of_family(fitted, metrics()) == (params, {"valid/auc": 0.7})


def test_errors_of_mlflow_and_its_database_become_one_line_and_others_stay() -> None:
    with (
        pytest.raises(
            RefitError, match=r"^the registry \(host/x\) cannot be used: no such table\. The champion is unchanged"
        ),
        tracking._plainly("postgresql://me:secret@host/x"),
    ):
        raise sqlite3.OperationalError("no such table\nand more")
    with pytest.raises(RefitError, match="cannot be used: no room"), tracking._plainly("x"):
        raise OSError("no room")
    for error in (RefitError("as it is"), ZeroDivisionError("as it is")):
        with pytest.raises(type(error), match=r"^as it is$"), tracking._plainly("x"):
            raise error
