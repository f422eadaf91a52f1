"""The two databases that can hold a journal, with the little that differs between them: a SQLite file, and PostgreSQL.

One writer at a time, so that the order of commits is the order of sequence numbers: who has read up to a number has
missed nothing below it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks.errors import RefitError

if TYPE_CHECKING:
    import psycopg

WAIT = 10.0  # seconds for another writer
LOCK = 7_265_669_114  # of PostgreSQL's advisory lock that writers take; any number of our own
Values = Sequence[object]


class Database(Protocol):
    """A connection. Statements are written with ``?``, and all its own errors are of :attr:`errors`."""

    errors: tuple[type[Exception], ...]
    big: str  # the type of a whole number of 64 bits that is a primary key

    def rows(self, statement: str, values: Values = ()) -> list[tuple[object, ...]]:
        """What a query gives."""

    def many(self, statement: str, values: Sequence[Values]) -> None:
        """One statement for several rows of values."""

    def run(self, statement: str, values: Values = ()) -> int:
        """A statement; gives the number of rows that it concerned."""

    def writing(self) -> AbstractContextManager[None]:
        """One transaction on disk when it ends without an exception; other writers wait for it."""

    def changed(self) -> bool:
        """Whether another connection has committed since this was asked last; True where that cannot be told."""

    def close(self) -> None:
        """End the connection."""


class Sqlite:
    """A SQLite file whose commits are on disk when they return (WAL with ``synchronous=FULL``)."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    big = "INTEGER"

    def __init__(self, path: Path, *, write: bool) -> None:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
        mode = "rwc" if write else "ro"
        self._raw = sqlite3.connect(
            f"file:{_quoted(path)}?mode={mode}", uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False
        )
        if write:
            self._raw.execute("PRAGMA journal_mode=WAL")
            self._raw.execute("PRAGMA synchronous=FULL")
        self._version = -1

    def rows(self, statement: str, values: Values = ()) -> list[tuple[object, ...]]:
        """What a query gives."""
        return self._raw.execute(statement, values).fetchall()

    def many(self, statement: str, values: Sequence[Values]) -> None:
        """One statement for several rows of values."""
        self._raw.executemany(statement, values)

    def run(self, statement: str, values: Values = ()) -> int:
        """A statement; gives the number of rows that it concerned."""
        return self._raw.execute(statement, values).rowcount

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; the lock is taken at its begin, so that what it reads is what it goes by."""
        self._raw.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._raw.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has undone it already
                self._raw.execute("ROLLBACK")
            raise

    def changed(self) -> bool:
        """By ``data_version``, which takes a few microseconds."""
        version = self._raw.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return bool(version != before)

    def close(self) -> None:
        """End the connection."""
        self._raw.close()


class Postgres:
    """A PostgreSQL database, reached by psycopg."""

    big = "BIGINT"

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            from tasks.extras import install

            raise RefitError(f"REFIT_JOURNAL: PostgreSQL needs psycopg: {install('postgres')}") from None
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        self._raw: psycopg.Connection[tuple[object, ...]] = psycopg.connect(
            url, autocommit=True, connect_timeout=int(WAIT), options=f"-c lock_timeout={int(WAIT * 1000)}"
        )

    def rows(self, statement: str, values: Values = ()) -> list[tuple[object, ...]]:
        """What a query gives."""
        return self._raw.execute(_marks(statement), values or None).fetchall()

    def many(self, statement: str, values: Sequence[Values]) -> None:
        """One statement for several rows of values."""
        with self._raw.cursor() as cursor:
            cursor.executemany(_marks(statement), values)

    def run(self, statement: str, values: Values = ()) -> int:
        """A statement; gives the number of rows that it concerned."""
        return self._raw.execute(_marks(statement), values or None).rowcount

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; writers queue at an advisory lock, so that numbers become visible in their order."""
        with self._raw.transaction():
            self._raw.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield

    def changed(self) -> bool:
        """Only a query can tell."""
        return True

    def close(self) -> None:
        """End the connection."""
        self._raw.close()


def _marks(statement: str) -> bytes:
    return statement.replace("%", "%%").replace("?", "%s").encode()


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path))
