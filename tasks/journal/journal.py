"""The journal: append in one transaction, read in order."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tasks.errors import RefitError, first_line
from tasks.journal.database import Database, Postgres, Sqlite
from tasks.journal.encoded import (
    ERASURE,
    EVENT,
    PREDICTION,
    EncodedEntries,
    Values,
    erasure_of,
    event_of,
    prediction_of,
)  # fmt: skip
from tasks.journal.entries import Erasure, Event, Prediction
from tasks.journal.schema import TABLES, check, prepare, version_of

PAGE = 5_000  # entries read at a time
ASKED = 500  # ids asked for in one query
INSERTED = 100  # rows of one statement


class JournalUnwritable(RefitError):
    """The journal could not be used: the disk is full, the database is gone, or another program holds it.

    What was to be written is not stored. Where a server broke off while it answered, it may be all the same: send it again with
    the same ids, and nothing is stored twice.
    """

    mistake = False


def journal_url(root: str | Path = ".", env: Mapping[str, str] = os.environ) -> str:
    """Where a project's journal is: ``REFIT_JOURNAL`` (a file, ``sqlite:///FILE`` or ``postgresql://…``), or below ``.refit``."""
    where = env.get("REFIT_JOURNAL") or str(Path(".refit", "journal.db"))
    return where if "://" in where else str(Path(root).resolve() / where)


@dataclass(frozen=True)
class Appended:
    """What became of one caller's entries: the journal's last sequence number, how many were stored, and the ids that were there."""

    seq: int
    stored: int
    again: frozenset[str]


@dataclass(frozen=True)
class JournalSummary:
    """What there is in a journal: how much of what, since when and until when (µs since 1970; None: nothing), its bytes on disk."""

    journal: str
    seq: int
    events: dict[str, int]
    refused: dict[str, int]
    predictions: dict[str, int]
    erased: int
    first: int | None
    last: int | None
    bytes: int


class Journal:
    """One connection to a journal, for one thread at a time. Reading one that is not there yet gives nothing; writing makes it.

    Parameters
    ----------
    where
        A file, ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME`` (:func:`journal_url`).
    write
        Whether it may be written to; without it nothing is made or changed.
    """

    def __init__(self, where: str | Path, *, write: bool = False) -> None:
        self.where = str(where)
        self._write = write
        self._open: Database | None = None
        if write:
            self._connected()

    @property
    def shown(self) -> str:
        """The address without a password."""
        return str(self._path) if self._path else self.where.split("@")[-1].split("?")[0]

    # Writing ---------------------------------------------------------------------------------------------------------
    def append(
        self,
        events: Sequence[Event] = (),
        predictions: Sequence[Prediction] = (),
        positions: Mapping[str, str] | None = None,
    ) -> Appended:
        """Write entries in one transaction; they are on disk when this returns.

        An entry whose id is there already is left out. ``positions``: how far which source of events was read, kept with them.

        Raises
        ------
        JournalUnwritable
            If they could not be written; then none was.
        ValueError
            For an entry that no journal can hold.
        """
        return self.append_all([EncodedEntries.of(events, predictions, positions)])[0]

    def append_all(self, callers: Sequence[EncodedEntries]) -> list[Appended]:
        """Write what several callers have, in one transaction and in their order; what became of each one's entries."""
        with self._trouble() as database, database.writing():
            events = _Ids(_there(database, "id, named", "journal_events", (e[:2] for c in callers for e in c.events)))
            predictions = _Ids(
                _there(database, "id", "journal_predictions", (p[:1] for c in callers for p in c.predictions))
            )
            new = [(events.new(c.events, 2), predictions.new(c.predictions, 1)) for c in callers]
            seq, at = _next(database)
            for place, table, columns in ((0, "journal_events", EVENT), (1, "journal_predictions", PREDICTION)):
                when = ("received", "at")[place]
                rows = [values for one in new for values in one[place][0]]
                if rows:
                    numbered = [(seq + i, at, *values) for i, values in enumerate(rows, 1)]
                    _insert(database, f"{table} (seq, {when}, {columns})", numbered)
                    seq += len(rows)
            for source, position in {s: p for c in callers for s, p in c.positions.items()}.items():
                database.run("DELETE FROM journal_positions WHERE source = ?", (source,))
                database.run("INSERT INTO journal_positions (source, position) VALUES (?, ?)", (source, position))
            _reached(database, seq, at)
        return [Appended(seq, len(e) + len(p), frozenset(old | gone)) for (e, old), (p, gone) in new]

    def erase(self, table: str, key: str, reason: str, by: str, *, predictions: bool) -> Erasure:
        """Blank all events of a row and, where it is a row of the problem's table, all predictions of it; their places stay.

        Nobody reads a blanked entry any more, and no file of the journal has what was in it (a PostgreSQL server until its next
        vacuum). Their ids stay: what was erased is not stored again by who sends it again.

        Raises :class:`RefitError` where there is nothing of that row.
        """
        with self._trouble() as database:
            with database.writing():
                seq, at = _next(database)
                seq += 1
                events = database.run(
                    "UPDATE journal_events SET entity = NULL, body = '{}', refused = NULL, erased = ? WHERE named = ? AND entity = ?",
                    (seq, table, key),
                )
                answers = 0
                if predictions:
                    answers = database.run(
                        "UPDATE journal_predictions SET moment = NULL, entity = NULL, asked = '{}', answer = '{}', scores = '[]', "
                        "decision = 'nan', features = '', erased = ? WHERE entity = ?",
                        (seq, key),
                    )
                if not events + answers:
                    raise RefitError(f"the journal has no event of {table!r}, and no prediction, with the key {key}")
                made = Erasure(table, hashlib.sha256(key.encode()).hexdigest(), reason, by, events, answers, seq, at)
                values = (made.seq, made.at, made.table, made.key, made.reason, made.by, made.events, made.predictions)
                database.run(f"INSERT INTO journal_erasures ({ERASURE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
                _reached(database, seq, at)
            database.forget()
        return made

    # Reading ---------------------------------------------------------------------------------------------------------
    def changed(self) -> bool:
        """Whether there may be entries of others that were not there when this was asked last; False while there is no journal."""
        with self._there() as database:
            return database is not None and database.changed()

    @property
    def seq(self) -> int:
        """The last sequence number; 0 of an empty journal."""
        with self._there() as database:
            return 0 if database is None else _meta(database)[0]

    @property
    def id(self) -> str:
        """What names the journal, wherever it is moved; empty while there is none."""
        rows = self._rows("SELECT value FROM journal_meta WHERE name = 'journal'", ())
        return str(rows[0][0]) if rows else ""

    def events(self, after: int = 0, table: str | None = None, until: int | None = None) -> Iterator[Event]:
        """Events behind a sequence number (up to ``until``), in order; of one table or of all. What was erased is left out."""
        return map(event_of, self._pages("journal_events", f"received, {EVENT}", after, until, ("named", table)))

    def count(self, after: int, table: str) -> int:
        """How many events of a table there are behind a sequence number."""
        rows = self._rows(
            "SELECT count(*) FROM journal_events WHERE seq > ? AND named = ? AND erased IS NULL", (after, table)
        )
        return int(str(rows[0][0])) if rows else 0

    def predictions(self, after: int = 0, until: int | None = None, key: str | None = None) -> Iterator[Prediction]:
        """Predictions behind a sequence number (up to ``until``), in order; of one key or of all. What was erased is left out."""
        return map(
            prediction_of, self._pages("journal_predictions", f"at, {PREDICTION}", after, until, ("entity", key))
        )

    def erasures(self, after: int = 0) -> list[Erasure]:
        """Erasures behind a sequence number, in order."""
        rows = self._rows(f"SELECT {ERASURE} FROM journal_erasures WHERE seq > ? ORDER BY seq", (after,))
        return [erasure_of(row) for row in rows]

    def prediction(self, id: str) -> Prediction | None:
        """The prediction of this id; None where there is none, or where it was erased."""
        return self._one_prediction("id = ?", id)

    def last_of(self, key: str) -> Prediction | None:
        """The newest prediction of a row with this key; None where there is none."""
        return self._one_prediction("entity = ? ORDER BY seq DESC LIMIT 1", key)

    def position(self, source: str) -> str | None:
        """How far a source of events was read; None where it never was."""
        rows = self._rows("SELECT position FROM journal_positions WHERE source = ?", (source,))
        return str(rows[0][0]) if rows else None

    def about(self) -> JournalSummary:
        """What there is."""
        with self._there() as database:
            if database is None:
                return JournalSummary("", 0, {}, {}, {}, 0, None, None, 0)
            seq = _meta(database)[0]
            name = str(database.rows("SELECT value FROM journal_meta WHERE name = 'journal'")[0][0])
            counted = database.rows(
                "SELECT named, count(*), count(refused) FROM journal_events WHERE erased IS NULL GROUP BY named ORDER BY named"
            )
            answered = database.rows(
                "SELECT version, count(*) FROM journal_predictions WHERE erased IS NULL GROUP BY version ORDER BY min(seq)"
            )
            erased = database.rows("SELECT coalesce(sum(events + predictions), 0) FROM journal_erasures")[0][0]
            ends = database.rows(
                "SELECT min(first), max(last) FROM (SELECT min(received) AS first, max(received) AS last FROM journal_events "
                "UNION ALL SELECT min(at), max(at) FROM journal_predictions) AS ends"
            )[0]
            size = database.bytes(TABLES)
        first, last = (None if end is None else int(str(end)) for end in ends)
        return JournalSummary(
            name, seq, {str(t): int(str(n)) for t, n, _ in counted},
            {str(t): int(str(n)) for t, _, n in counted if n}, {str(v): int(str(n)) for v, n in answered}, int(str(erased)),
            first, last, size,
        )  # fmt: skip

    def backup(self, path: Path) -> int:
        """Copy a SQLite journal while it is written to; gives the copy's last sequence number.

        Raises :class:`RefitError` where there is no journal, where there is a file already, and of a PostgreSQL database.
        """
        with self._there() as database:
            if database is None:
                raise RefitError(f"there is no journal ({self.shown}), so there is nothing to copy")
            if not isinstance(database, Sqlite):
                raise RefitError(
                    f"the journal ({self.shown}) is a PostgreSQL database, which has a tool of its own for this: `pg_dump`"
                )
            try:
                database.backup(path)
            except FileExistsError:
                raise RefitError(f"{path}: is there already. Name a file that is not; nothing was written.") from None
        with Journal(path) as copy:
            return copy.seq

    def close(self) -> None:
        """End the connection; it is made again when something is asked."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Its database ----------------------------------------------------------------------------------------------------
    def _rows(self, statement: str, values: Sequence[object]) -> list[Values]:
        with self._there() as database:
            return [] if database is None else database.rows(statement, values)

    def _one_prediction(self, where: str, value: str) -> Prediction | None:
        rows = self._rows(
            f"SELECT seq, at, {PREDICTION} FROM journal_predictions WHERE erased IS NULL AND {where}", (value,)
        )
        return prediction_of(rows[0]) if rows else None

    def _pages(
        self, table: str, columns: str, after: int, until: int | None, only: tuple[str, str | None]
    ) -> Iterator[Values]:
        where = " AND erased IS NULL"
        values: list[object] = []
        if until is not None:
            where, values = f"{where} AND seq <= ?", [*values, until]
        if only[1] is not None:
            where, values = f"{where} AND {only[0]} = ?", [*values, only[1]]
        while True:
            page = self._rows(
                f"SELECT seq, {columns} FROM {table} WHERE seq > ?{where} ORDER BY seq LIMIT {PAGE}", (after, *values)
            )
            yield from page
            if len(page) < PAGE:
                return
            after = int(str(page[-1][0]))

    @property
    def _path(self) -> Path | None:
        """The SQLite file; None of another database."""
        if self.where.startswith("sqlite:///"):
            return Path(unquote(self.where.removeprefix("sqlite:///")))
        return None if "://" in self.where else Path(self.where)

    def _connected(self) -> Database | None:
        """The connection; None where a journal that is only read is not there yet."""
        if self._open is None:
            path = self._path
            scheme = self.where.partition("://")[0].partition("+")[0]
            if path is None and scheme not in ("postgresql", "postgres"):
                raise RefitError(
                    f"REFIT_JOURNAL: {self.shown!r} is neither a file, sqlite:///FILE nor postgresql://USER@HOST/NAME."
                )
            if path is not None and not self._write and not path.exists():
                return None
            made: Database | None = None
            try:
                made = Sqlite(path, write=self._write) if path else Postgres(_plain(self.where))
                if self._write:
                    prepare(made, self.shown)
                else:
                    found = version_of(made)
                    check(found, self.shown)
                    if found == 0:
                        made.close()
                        return None
            except Exception as error:
                if made is not None:
                    made.close()
                if isinstance(error, RefitError):
                    raise
                raise self._cannot(error) from None
            self._open = made
        return self._open

    @contextmanager
    def _there(self) -> Iterator[Database | None]:
        """The database to read from, if there is a journal; its own errors become plain messages, and it is connected to anew."""
        database = self._connected()
        try:
            yield database
        except Exception as error:
            if database is None or not isinstance(error, database.errors):
                raise
            self.close()
            raise self._cannot(error) from None

    @contextmanager
    def _trouble(self) -> Iterator[Database]:
        """The database to write to."""
        with self._there() as database:
            if database is None or not self._write:
                raise RefitError(f"the journal ({self.shown}) was opened to be read only")
            yield database

    def _cannot(self, error: Exception) -> JournalUnwritable:
        why = first_line(error).replace(_plain(self.where), self.shown)
        remedy = (
            "that its folder may be written to, that the disk has room, and that no other program holds it locked"
            if self._path
            else "that the server is reachable, that it has room, and that this user may make tables there"
        )
        return JournalUnwritable(f"the journal ({self.shown}) cannot be used: {why}. Check {remedy}.")


class _Ids:
    """Ids that are there: of entries that were stored before, and of those that have just been taken."""

    def __init__(self, there: set[Values]) -> None:
        self._there = there

    def new(self, entries: Sequence[Values], names: int) -> tuple[list[Values], set[str]]:
        """Entries that are not there yet, and the ids of the others. The first ``names`` values are what names an entry."""
        new, again = [], set()
        for values in entries:
            name = values[:names]
            if name[0] is None:
                new.append(values)
            elif name in self._there:
                again.add(str(name[0]))
            else:
                self._there.add(name)
                new.append(values)
        return new, again


def _there(database: Database, columns: str, table: str, names: Iterable[Values]) -> set[Values]:
    """Which of these names, whose first value is an id, are there."""
    ids = list(dict.fromkeys(name[0] for name in names if name[0] is not None))
    found: set[Values] = set()
    for start in range(0, len(ids), ASKED):
        some = ids[start : start + ASKED]
        marks = ", ".join("?" * len(some))
        found |= {tuple(row) for row in database.rows(f"SELECT {columns} FROM {table} WHERE id IN ({marks})", some)}
    return found


def _insert(database: Database, into: str, rows: Sequence[Values]) -> None:
    """Several rows a statement: between statements other threads of the process want their turn, each up to milliseconds."""
    for start in range(0, len(rows), INSERTED):
        some = rows[start : start + INSERTED]
        marks = ", ".join(["(" + ", ".join("?" * len(some[0])) + ")"] * len(some))
        database.run(f"INSERT INTO {into} VALUES {marks}", [value for row in some for value in row])


def _meta(database: Database) -> tuple[int, int]:
    """The last sequence number, and the last receipt."""
    found = database.rows("SELECT name, value FROM journal_meta WHERE name IN ('seq', 'clock')")
    rows = {str(name): int(str(value)) for name, value in found}
    return rows["seq"], rows["clock"]


def _next(database: Database) -> tuple[int, int]:
    """The last sequence number, and the moment of what is written now: receipts follow the order, whatever the clock does."""
    seq, clock = _meta(database)
    return seq, max(clock, time.time_ns() // 1000)


def _reached(database: Database, seq: int, at: int) -> None:
    database.run("UPDATE journal_meta SET value = ? WHERE name = 'seq'", (str(seq),))
    database.run("UPDATE journal_meta SET value = ? WHERE name = 'clock'", (str(at),))


def _plain(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"
