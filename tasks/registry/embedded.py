"""MLflow's SQLite file in a project: it appears whole, and its whole paths follow the folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from tasks import blank
from tasks.files import replacing


def make(uri: str) -> None:
    """Make the SQLite file of a registry where there is none. It appears whole: MLflow refuses one whose making was cut off."""
    if not uri.startswith("sqlite:"):
        return
    from sqlalchemy import make_url

    file = make_url(uri).database
    if not file or file.startswith(":") or Path(file).exists():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    name = f"mlflow-{version('mlflow')}"
    with replacing(file, first=True) as fresh:
        fresh.unlink()
        made = not blank.fill(fresh, name)
        SqlAlchemyStore(f"sqlite:///{fresh}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
        if made:
            blank.keep(
                fresh, name, without="experiments"
            )  # MLflow makes the one that says where this project's files are


def move_in(root: Path, path: Path) -> None:
    """Let the project's own registry, the file ``path``, point to files below ``root``, after the folder was moved or copied.

    MLflow keeps whole paths: without this a copy would read and write the files of the project it was copied from.
    """
    if not path.exists():
        return
    part = "/.refit/mlruns/"
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        if not raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return
        places = raw.execute(
            "SELECT artifact_location FROM experiments WHERE artifact_location LIKE ?", [f"file://%{part}%"]
        )
        for (place,) in places.fetchall():
            then, now = place.partition(part)[0], root.as_uri()
            new = f"{now}{part}{place.partition(part)[2]}"
            # An experiment of another project that uses this database stays where its files are.
            if then == now or (_folder(place).exists() and not _folder(new).exists()):
                continue
            for table, column in PLACES:
                if raw.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone():
                    raw.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                        [new, len(place) + 1, len(place) + 1, f"{place}/"],
                    )


# Where MLflow's tables keep whole paths of artifacts.
PLACES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
    ("model_versions", "storage_location"), ("logged_models", "artifact_location"),
)  # fmt: skip


def _folder(uri: str) -> Path:
    from urllib.parse import unquote, urlsplit

    return Path(unquote(urlsplit(uri).path))
