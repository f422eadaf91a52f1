"""The journal: append in one transaction, read in order."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import unquote

from tasks.errors import RefitError, first_line
from tasks.journal.database import Database, Postgres, Sqlite
from tasks.journal.entries import Event, Known, Prediction
from tasks.journal.schema import check, prepare, version_of

Entry = TypeVar("Entry", Event, Prediction)
PAGE = 5_000  # entries read at a time
ASKED = 500  # ids asked for in one query


class JournalUnwritable(RefitError):
    """The journal could not be written: the disk is full, the database is gone, or another program holds it. Nothing was stored."""

    mistake = False


def journal_url(root: str | Path = ".", env: Mapping[str, str] = os.environ) -> str:
    """Where a project's journal is: ``REFIT_JOURNAL`` (a file, ``sqlite:///FILE`` or ``postgresql://…``), or below ``.refit``."""
    return env.get("REFIT_JOURNAL") or str(Path(root).resolve() / ".refit" / "journal.db")


@dataclass(frozen=True)
class Appended:
    """What :meth:`Journal.append` stored: the last sequence number, and the ids that were there already."""

    seq: int
    again: frozenset[str]


@dataclass(frozen=True)
class JournalSummary:
    """What there is in a journal: how much of what, since when and until when (µs since 1970; None: nothing)."""

    journal: str
    seq: int
    events: dict[str, int]
    refused: dict[str, int]
    predictions: dict[str, int]
    first: int | None
    last: int | None


class Journal:
    """One connection to a journal. Reading one that is not there yet gives nothing; :meth:`append` makes it."""

    def __init__(self, where: str | Path, *, write: bool = False) -> None:
        self.where = str(where)
        self._write = write
        self._open: Database | None = None
        if write:
            self._connected()

    @property
    def shown(self) -> str:
        """The address without a password."""
        return self.where.split("@")[-1].split("?")[0]

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
        """
        with self._trouble() as database, database.writing():
            again = self._there(database, events, predictions)
            new_events = _once(events, again)
            new_predictions = _once(predictions, again)
            meta = {str(name): str(value) for name, value in database.rows("SELECT name, value FROM meta")}
            seq, clock = int(meta["seq"]), int(meta["clock"])
            at = max(clock, time.time_ns() // 1000)  # receipts follow the order, whatever the clock does
            if new_events:
                database.many(
                    "INSERT INTO events (seq, id, named, entity, body, received, known, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (seq + i, e.id, e.table, e.key, to_text(e.body), at, e.known, e.refused)
                        for i, e in enumerate(new_events, 1)
                    ],
                )
                seq += len(new_events)
            if new_predictions:
                database.many(
                    "INSERT INTO predictions (seq, id, at, moment, entity, package, version, asked, answer, scores, decision, "
                    "threshold, seen, features) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [(seq + i, p.id, at, *_values(p)) for i, p in enumerate(new_predictions, 1)],
                )
                seq += len(new_predictions)
            for source, position in (positions or {}).items():
                database.run("DELETE FROM positions WHERE source = ?", (source,))
                database.run("INSERT INTO positions (source, position) VALUES (?, ?)", (source, position))
            database.run("UPDATE meta SET value = ? WHERE name = 'seq'", (str(seq),))
            database.run("UPDATE meta SET value = ? WHERE name = 'clock'", (str(at),))
        return Appended(seq, frozenset(again))

    @staticmethod
    def _there(database: Database, events: Sequence[Event], predictions: Sequence[Prediction]) -> set[str]:
        found: set[str] = set()
        for table, entries in (("events", events), ("predictions", predictions)):
            ids = [e.id for e in cast("Iterable[Event | Prediction]", entries) if e.id is not None]
            for start in range(0, len(ids), ASKED):
                some = ids[start : start + ASKED]
                marks = ", ".join("?" * len(some))
                found |= {str(row[0]) for row in database.rows(f"SELECT id FROM {table} WHERE id IN ({marks})", some)}
        return found

    # Reading ---------------------------------------------------------------------------------------------------------
    def changed(self) -> bool:
        """Whether there may be entries that were not there when this was asked last; False while there is no journal."""
        if self._absent:
            return False
        with self._trouble() as database:
            return database.changed()

    @property
    def seq(self) -> int:
        """The last sequence number; 0 of an empty journal."""
        if self._absent:
            return 0
        with self._trouble() as database:
            return int(str(database.rows("SELECT value FROM meta WHERE name = 'seq'")[0][0]))

    @property
    def id(self) -> str:
        """What names the journal, wherever it is moved; empty while there is none."""
        if self._absent:
            return ""
        with self._trouble() as database:
            return str(database.rows("SELECT value FROM meta WHERE name = 'journal'")[0][0])

    def events(self, after: int = 0, table: str | None = None, until: int | None = None) -> Iterator[Event]:
        """Events behind a sequence number (up to ``until``), in order; of one table or of all."""
        columns = "seq, id, named, entity, body, received, known, refused"
        for row in self._pages("events", columns, after, until, ("named", table) if table else None):
            yield Event(
                table=str(row[2]), body=json.loads(str(row[4])), key=_text(row[3]), id=_text(row[1]),
                known=cast(Known, row[6]), refused=_text(row[7]), seq=_whole(row[0]), received=_whole(row[5]),
            )  # fmt: skip

    def predictions(self, after: int = 0, until: int | None = None, key: str | None = None) -> Iterator[Prediction]:
        """Predictions behind a sequence number (up to ``until``), in order; of one key or of all."""
        for row in self._pages("predictions", _PREDICTION, after, until, ("entity", key) if key else None):
            yield _prediction(row)

    def prediction(self, id: str) -> Prediction | None:
        """The prediction of this id; None where there is none."""
        if self._absent:
            return None
        with self._trouble() as database:
            found = database.rows(f"SELECT {_PREDICTION} FROM predictions WHERE id = ?", (id,))
        return _prediction(found[0]) if found else None

    def last_of(self, key: str) -> Prediction | None:
        """The newest prediction of a row with this key; None where there is none."""
        if self._absent:
            return None
        with self._trouble() as database:
            found = database.rows(
                f"SELECT {_PREDICTION} FROM predictions WHERE entity = ? ORDER BY seq DESC LIMIT 1", (key,)
            )
        return _prediction(found[0]) if found else None

    def position(self, source: str) -> str | None:
        """How far a source of events was read; None where it never was."""
        if self._absent:
            return None
        with self._trouble() as database:
            found = database.rows("SELECT position FROM positions WHERE source = ?", (source,))
        return str(found[0][0]) if found else None

    def about(self) -> JournalSummary:
        """What there is."""
        if self._absent:
            return JournalSummary("", 0, {}, {}, {}, None, None)
        with self._trouble() as database:
            meta = {str(name): str(value) for name, value in database.rows("SELECT name, value FROM meta")}
            counted = database.rows("SELECT named, count(*), count(refused) FROM events GROUP BY named ORDER BY named")
            answered = database.rows("SELECT version, count(*) FROM predictions GROUP BY version ORDER BY min(seq)")
            ends = database.rows(
                "SELECT min(first), max(last) FROM (SELECT min(received) AS first, max(received) AS last FROM events "
                "UNION ALL SELECT min(at), max(at) FROM predictions) AS ends"
            )[0]
        return JournalSummary(
            meta["journal"], int(meta["seq"]), {str(t): _whole(n) for t, n, _ in counted},
            {str(t): _whole(n) for t, _, n in counted if n}, {str(v): _whole(n) for v, n in answered},
            *(None if end is None else _whole(end) for end in ends),
        )  # fmt: skip

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
    def _pages(
        self, table: str, columns: str, after: int, until: int | None, only: tuple[str, str] | None
    ) -> Iterator[tuple[object, ...]]:
        if self._absent:
            return
        where = ""
        values: list[object] = []
        if until is not None:
            where, values = f"{where} AND seq <= ?", [*values, until]
        if only is not None:
            where, values = f"{where} AND {only[0]} = ?", [*values, only[1]]
        while True:
            with self._trouble() as database:
                page = database.rows(
                    f"SELECT {columns} FROM {table} WHERE seq > ?{where} ORDER BY seq LIMIT {PAGE}", (after, *values)
                )
            yield from page
            if len(page) < PAGE:
                return
            after = _whole(page[-1][0])

    @property
    def _path(self) -> Path | None:
        """The SQLite file; None of another database."""
        if self.where.startswith("sqlite:///"):
            return Path(unquote(self.where.removeprefix("sqlite:///")))
        return None if "://" in self.where else Path(self.where)

    @property
    def _absent(self) -> bool:
        return self._open is None and not self._write and self._path is not None and not self._path.exists()

    def _connected(self) -> Database:
        if self._open is None:
            path = self._path
            scheme = self.where.partition("://")[0].partition("+")[0]
            if path is None and scheme not in ("postgresql", "postgres"):
                raise RefitError(
                    f"REFIT_JOURNAL: {self.shown!r} is neither a file, sqlite:///FILE nor postgresql://USER@HOST/NAME."
                )
            made: Database | None = None
            try:
                made = Sqlite(path, write=self._write) if path else Postgres(_plain(self.where))
                if self._write:
                    prepare(made, self.shown)
                else:
                    check(version_of(made), self.shown)
            except Exception as error:
                if made is not None:
                    made.close()
                if isinstance(error, RefitError):
                    raise
                raise self._cannot(error) from None
            self._open = made
        return self._open

    @contextmanager
    def _trouble(self) -> Iterator[Database]:
        """The database, whose own errors become plain messages; after one the connection is made anew."""
        database = self._connected()
        try:
            yield database
        except database.errors as error:
            self.close()
            raise self._cannot(error) from None

    def _cannot(self, error: Exception) -> JournalUnwritable:
        return JournalUnwritable(
            f"the journal ({self.shown}) cannot be used: {first_line(error)}. Check that its disk has room, that its database "
            "is reachable, and that no other program holds it locked."
        )


def to_text(values: Mapping[str, object] | Sequence[object]) -> str:
    """JSON as the journal holds it: numbers read back as the same bits."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _once(entries: Sequence[Entry], again: set[str]) -> list[Entry]:
    """Entries whose id is not there yet, each id once; those that repeat are added to ``again``."""
    new: list[Entry] = []
    here: set[str] = set()
    for entry in entries:
        if entry.id is not None and (entry.id in again or entry.id in here):
            again.add(entry.id)
            continue
        if entry.id is not None:
            here.add(entry.id)
        new.append(entry)
    return new


def _plain(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


_PREDICTION = (
    "seq, id, at, moment, entity, package, version, asked, answer, scores, decision, threshold, seen, features"
)


def _values(p: Prediction) -> tuple[object, ...]:
    threshold = None if p.threshold is None else repr(p.threshold)
    scores, decision = to_text(p.scores), repr(p.decision)
    return (
        p.moment, p.key, p.package, p.version, to_text(p.row), to_text(p.answer), scores, decision, threshold,
        p.seen, p.features,
    )  # fmt: skip


def _prediction(row: tuple[object, ...]) -> Prediction:
    seq, id, at, moment, key, package, version, asked, answer, scores, decision, threshold, seen, features = row
    return Prediction(
        id=str(id), row=json.loads(str(asked)), answer=json.loads(str(answer)), key=_text(key), package=str(package),
        version=str(version), scores=tuple(json.loads(str(scores))), decision=float(str(decision)),
        threshold=None if threshold is None else float(str(threshold)), seen=_whole(seen), features=str(features),
        moment=None if moment is None else _whole(moment), seq=_whole(seq), at=_whole(at),
    )  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _whole(value: object) -> int:
    return int(cast(int, value))
