"""Blank databases that are dear to make and the same for every project: one of each is kept in the user's cache folder.

MLflow's and Prefect's SQLite files come out of a hundred migrations each, 1.5 and 4 seconds of the processor for every
new project. What is kept is what they made themselves, by their version, before anything was written to it. Where the
folder (``$XDG_CACHE_HOME/refit`` or ``~/.cache/refit``) cannot be used, each project makes its own.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from tasks.files import replacing


def folder() -> Path:
    """Where the blank databases are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "refit"


def fill(path: Path, name: str) -> bool:
    """Make the file ``path``, unless it is there, from the blank database of that name; whether there is a sound one."""
    kept = folder() / f"{name}.db"
    with suppress(OSError, sqlite3.Error):
        with closing(sqlite3.connect(f"{kept.absolute().as_uri()}?mode=ro", uri=True)) as blank:
            tables = blank.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not tables or blank.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return False
            with replacing(path, first=True) as fresh, closing(sqlite3.connect(fresh)) as copy:
                blank.backup(copy)
        return True
    return False


def keep(path: Path, name: str, without: str | None = None) -> None:
    """Keep the database ``path``, to which nothing was written yet, under that name; without the rows of one table."""
    with suppress(OSError, sqlite3.Error), replacing(folder() / f"{name}.db") as fresh:
        made = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with closing(made), closing(sqlite3.connect(fresh)) as copy:
            made.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            if without is not None:
                copy.execute(f"DELETE FROM {without}")
                copy.commit()
