"""Whether MLflow's database or server can be used, asked without loading MLflow (which takes seconds).

A database is asked by SQL: is it there, MLflow's, of the version that is installed, free and writable. What cannot be told in this
way is left to MLflow itself.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from tasks.errors import first_line, some

REMEDY = "Check MLFLOW_TRACKING_URI."


def check_store(root: Path, uri: str, model: str | None, wait: float) -> Iterator[str]:
    """What is wrong with the registry ``uri`` of a project, a line each; waits at most ``wait`` seconds for an answer."""
    shown = f"the registry ({uri.split('@')[-1]})"
    if uri.startswith(("http://", "https://")):
        yield from _server(uri, shown, model, wait)
    elif uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if not path.exists():
            if not path.parent.is_dir() and path.parent != root.resolve() / ".refit":
                yield f"{shown}: the folder {path.parent} is not there. {REMEDY}"
            return
        yield from sqlite(path, shown, wait, lambda raw: _stored(raw.execute, tables(raw), shown, model, uri))
    elif "://" in uri and not uri.startswith("file:"):
        yield from _database(uri, shown, model)


def sqlite(path: Path, shown: str, wait: float, look: Callable[[sqlite3.Connection], Iterator[str]]) -> Iterator[str]:
    """What is wrong with a SQLite file, ``look(connection)`` included; nothing is changed."""
    if not writable(path):
        yield f"{shown}: cannot be written to. Change its owner or permissions, or those of its folder."
        return
    try:
        with closing(sqlite3.connect(path, timeout=wait, isolation_level=None)) as raw:
            yield from look(raw)
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            yield f"{shown}: another program holds it locked. End that, or wait for it, and run again."
        else:
            yield f"{shown}: cannot be used ({error})."
    except sqlite3.DatabaseError as error:
        yield f"{shown}: is damaged, or no SQLite database ({error}). Restore it from a backup, or move it away."


def writable(path: Path) -> bool:
    """Whether a SQLite file can be written to: the file, and its folder, where SQLite keeps its journal."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def tables(raw: sqlite3.Connection) -> set[str]:
    """Names of the tables of a SQLite database."""
    return {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _database(uri: str, shown: str, model: str | None) -> Iterator[str]:
    """As for a SQLite file, by SQLAlchemy (a driver waits as long as the environment says)."""
    from sqlalchemy import create_engine, inspect, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(uri)
        with engine.connect() as connection:
            ask = lambda query: connection.execute(text(query))  # noqa: E731
            yield from _stored(ask, set(inspect(engine).get_table_names()), shown, model, uri)
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        yield f"{shown}: cannot be used ({first_line(error)}). {REMEDY}"


def _stored(
    ask: Callable[[str], Iterable[Sequence[str]]], there: set[str], shown: str, model: str | None, uri: str
) -> Iterator[str]:
    if not there:
        return  # MLflow makes its tables in an empty one
    if not {"experiments", "runs"} <= there:
        yield f"{shown}: is not MLflow's database (it has the tables {some(sorted(there), 4)}). {REMEDY}"
        return
    if "alembic_version" not in there:
        return  # its making was cut off before the first migration; MLflow goes on
    versions, newest = schemas()
    here = next((str(number) for (number,) in ask("SELECT version_num FROM alembic_version")), "none")
    if versions and here not in versions:
        yield f"{shown}: was written by a newer MLflow (its schema is {here}). Install that version, or name another database. {REMEDY}"
        return
    if versions and here != newest:
        upgrade = f"mlflow db upgrade {uri if uri.startswith('sqlite') else '$MLFLOW_TRACKING_URI'}"
        yield f"{shown}: was written by an older MLflow (its schema is {here}, this one's {newest}). `{upgrade}`"
        return
    for number, name, state in ask("SELECT experiment_id, name, lifecycle_stage FROM experiments"):
        if name == model and state == "deleted":
            yield _deleted(shown, name, str(number))


def _deleted(shown: str, model: str, number: str) -> str:
    return (
        f"{shown}: the experiment {model!r} was deleted there, so nothing can be tracked. Put it back "
        f"(mlflow experiments restore --experiment-id {number}), or choose another problem.name."
    )


@cache
def schemas() -> tuple[frozenset[str], str]:
    """The schemas of its database that the installed MLflow knows, and the newest of them."""
    spec = find_spec("mlflow")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    known, before = set(), set()
    for folder in folders:
        for file in Path(folder, "store", "db_migrations", "versions").glob("*.py"):
            text = file.read_text(encoding="utf-8")
            known |= set(re.findall(r'^revision\s*=\s*"(\w+)"', text, re.M))
            before |= set(re.findall(r'^down_revision\s*=\s*"(\w+)"', text, re.M))
    heads = known - before
    return (frozenset(known), heads.pop()) if len(heads) == 1 else (frozenset(), "")


def _server(uri: str, shown: str, model: str | None, wait: float) -> Iterator[str]:
    try:
        status, answer = _get(uri.rstrip("/") + "/health", wait)
        if status == 200 and model is not None:
            path = f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(model)}"
            status, answer = _get(uri.rstrip("/") + path, wait)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        yield f"{shown}: does not answer ({why}). Start it, or mend MLFLOW_TRACKING_URI."
        return
    if status in (401, 403):
        yield f"{shown}: refuses (status {status}). Check MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN."
    elif status == 404 and (not isinstance(answer, dict) or answer.get("error_code") != "RESOURCE_DOES_NOT_EXIST"):
        yield f"{shown}: answers, but is no MLflow server (status {status}). {REMEDY}"
    elif status >= 500:
        yield f"{shown}: answers with status {status}. See its log."
    elif isinstance(answer, dict) and answer.get("experiment", {}).get("lifecycle_stage") == "deleted":
        yield _deleted(shown, str(model), str(answer["experiment"]["experiment_id"]))


def _get(url: str, wait: float) -> tuple[int, Any]:
    from base64 import b64encode

    parts, headers = urlsplit(url), {}
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if parts.username:
        user, password = parts.username, parts.password
        url = url.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1)
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        headers["Authorization"] = "Basic " + b64encode(f"{user}:{password or ''}".encode()).decode()
    try:
        with urlopen(Request(url, headers=headers), timeout=wait) as answer:
            status, text = answer.status, answer.read(1 << 20)
    except HTTPError as error:
        status, text = error.code, error.read(1 << 20)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, None
