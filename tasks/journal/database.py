"""The two databases that can hold a journal, with the little that differs between them: a SQLite file, and PostgreSQL.

One writer at a time, so that the order of commits is the order of sequence numbers: who has read up to a number has
missed nothing below it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks.errors import RefitError

if TYPE_CHECKING:
    import psycopg

WAIT = 10.0  # seconds for another writer, and for a server that does not answer
LOCK = 7_265_669_114  # of PostgreSQL's advisory lock that writers take; any number of our own
Values = Sequence[object]


class Database(Protocol):
    """A connection, of one thread at a time. Statements are written with ``?``, and all its own errors are of :attr:`errors`."""

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

    def has(self, table: str) -> bool:
        """Whether there is such a table."""

    def changed(self) -> bool:
        """Whether another connection has committed since this was asked last; True where that cannot be told."""

    def bytes(self, tables: Sequence[str]) -> int:
        """What it takes on disk, or what these tables take of it."""

    def forget(self) -> None:
        """Let nothing that was overwritten be read from the disk, as far as that can be done here."""

    def close(self) -> None:
        """End the connection."""


class Sqlite:
    """A SQLite file whose commits are on disk when they return (WAL with ``synchronous=FULL``)."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    big = "INTEGER"

    def __init__(self, path: Path, *, write: bool) -> None:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._raw = _connect(path, "rwc" if write else "ro")
        self._version = -1
        try:
            if write:
                for setting in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "secure_delete = ON"):
                    self._raw.execute(f"PRAGMA {setting}")
        except sqlite3.Error:
            self._raw.close()
            raise

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

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)))

    def changed(self) -> bool:
        """By ``data_version``, which takes a few microseconds."""
        version = self._raw.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return bool(version != before)

    def bytes(self, tables: Sequence[str]) -> int:
        """The file, and what waits beside it to be taken into it."""
        there = [self._path, *(Path(f"{self._path}{ending}") for ending in ("-wal", "-shm"))]
        return sum(path.stat().st_size for path in there if path.exists())

    def forget(self) -> None:
        """What was overwritten is zeros in the file (``secure_delete``); what waits beside it is taken in, and cut."""
        self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def backup(self, path: Path) -> None:
        """A copy as of one moment, on disk and whole when this returns; others go on writing meanwhile.

        Raises ``FileExistsError`` where there is a file already, and leaves none where something goes wrong.
        """
        with open(path, "xb"):  # nobody's file is overwritten
            pass
        try:
            with closing(_connect(path, "rw")) as copy:
                self._raw.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file alone
                if (found := copy.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                    raise sqlite3.DatabaseError(f"the copy is not whole: {found}")
            for one in (path, path.parent):
                _sync(one)
        except BaseException:
            path.unlink()
            raise

    def close(self) -> None:
        """End the connection."""
        self._raw.close()


class Postgres:
    """A PostgreSQL database, reached by psycopg; its commits are on disk when they return, whatever the server's default."""

    big = "BIGINT"

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            from tasks.extras import install

            raise RefitError(f"REFIT_JOURNAL: PostgreSQL needs psycopg: {install('postgres')}") from None
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        patience = int(WAIT * 1000)
        settings = {
            "lock_timeout": patience,  # for another writer
            "idle_in_transaction_session_timeout": patience,  # a writer whose machine is gone holds nobody up
            "synchronous_commit": "on",
        }
        self._raw: psycopg.Connection[tuple[object, ...]] = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=int(WAIT),
            tcp_user_timeout=patience,
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
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

    def has(self, table: str) -> bool:
        """Whether there is such a table; asked of the catalogue itself, since names are remembered from before a lock was had."""
        statement = "SELECT 1 FROM pg_tables WHERE tablename = ? AND schemaname = ANY (current_schemas(false))"
        return bool(self.rows(statement, (table,)))

    def changed(self) -> bool:
        """Only a query can tell."""
        return True

    def bytes(self, tables: Sequence[str]) -> int:
        """The tables with their indexes."""
        statement = "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(?::text[]) AS name"
        sizes = self.rows(statement, (list(tables),))
        return int(str(sizes[0][0]))

    def forget(self) -> None:
        """Nothing: the server takes out what was overwritten at its next vacuum, by itself."""

    def close(self) -> None:
        """End the connection."""
        self._raw.close()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    from urllib.parse import quote

    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False
    )


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _marks(statement: str) -> bytes:
    return statement.replace("%", "%%").replace("?", "%s").encode()
