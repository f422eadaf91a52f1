"""The append-only history of decisions: the one source of truth about which version is champion.

One row a decision in one table, and beside it the rows that its look counted. The champion is what the last row says, so there
is never none or two: a crash leaves the row written or not. The champion is a package, named by its SHA-256; a version is only its
number in the registry of that day. A decision names the package it expects to replace; the row's number is the primary key, so
of several deciders at once the database lets exactly one in. MLflow's aliases follow (see
:mod:`tasks.registry.tracking`) and are put right by the next reader after a crash in between.

A :func:`mark` names one row for ever. Whoever follows a history keeps the mark of the row that it followed last: a
history that does not know the mark is not that history, or has lost decisions.

SQLite in ``.refit/history.db``; ``REFIT_HISTORY`` may name another database (a SQLAlchemy URL) that several
machines share.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import RefitError, first_line

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Action = Literal["promote", "rollback", "keep", "adopt"]
TRIES = 50  # of a row whose number another decider took meanwhile
CLOCK_SLACK = 2.0  # seconds by which clocks of machines may differ
WAIT = 30.0  # seconds to wait for another writer


class Overtaken(RefitError):
    """Somebody else decided first; nothing was changed."""


@dataclass(frozen=True)
class Decision:
    """One row: what was decided about a package, and which version is ``champion`` from then on.

    ``version``, ``champion`` and ``previous`` are numbers of the registry in which the decision was taken, for people
    to read; what the row is about is ``package_sha256`` (empty where an adoption begins without a champion). ``key``
    names the occasion (one verdict, one command): the same occasion is never recorded twice. ``at`` is an ISO time in
    UTC.
    """

    model: str
    action: Action
    version: str
    champion: str | None
    package_sha256: str
    reason: str
    by: str
    key: str
    evidence: dict[str, Any] = field(default_factory=dict)
    previous: str | None = None
    number: int = 0
    at: str = ""


def minute(at: str) -> str:
    """An ISO time in UTC to its minute, for people.

    >>> minute("2026-11-27T16:10:42+00:00")
    '2026-11-27 16:10 UTC'
    """
    return f"{at[:16].replace('T', ' ')} UTC"


def history_url(root: str | Path = ".") -> str:
    """Where the history lives: ``REFIT_HISTORY``, or SQLite below the project's ``.refit``."""
    return os.environ.get("REFIT_HISTORY") or local(root, "history.db")


def local(root: str | Path, name: str) -> str:
    """URL of a SQLite file below the project's ``.refit``. Raises :class:`RefitError` for a path that no such URL can hold."""
    path = Path(root).resolve() / ".refit" / name
    if "?" in str(path):
        raise RefitError(
            f"{path.parent.parent}: a folder's path with a '?' cannot be part of a database's URL, and so holds no project. Rename it."
        )
    return f"sqlite:///{path}"


class DecisionHistory:
    """Decisions of every model in one database. Reading creates nothing where there is no database yet."""

    def __init__(self, root: str | Path = ".", url: str | None = None) -> None:
        self.url = url or history_url(root)

    @property
    def shown(self) -> str:
        """The address without a password."""
        return self.url.split("@")[-1]

    @property
    def _missing(self) -> bool:
        return self.url.startswith("sqlite:///") and not Path(self.url.removeprefix("sqlite:///")).exists()

    def decisions(self, model: str) -> list[Decision]:
        """All decisions about a model, oldest first."""
        return [] if self._missing else _decisions(self._rows(_ABOUT, model=model))

    def champion(self, model: str, at: datetime | None = None) -> Decision | None:
        """The decision that made the champion of now, or of a moment, what it is; None: there is no champion."""
        past = [d for d in self.decisions(model) if at is None or datetime.fromisoformat(d.at) <= at]
        return current_champion(past)

    def counted(self, model: str) -> dict[int, bytes]:
        """What each decision's look counted (:mod:`tasks.bundle.seen`), by the decision's number; others are left out."""
        if self._missing:
            return {}
        rows = self._rows("SELECT number, counted FROM looks WHERE model = :model", model=model)
        return {int(row["number"]): bytes(row["counted"]) for row in rows}

    def _rows(self, query: str, **values: str) -> list[dict[str, Any]]:
        """What a query gives; of a SQLite file without SQLAlchemy, which takes a tenth of a second to load."""
        path = self.url.removeprefix("sqlite:///")
        if path != self.url and "?" not in path:
            with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=WAIT)) as raw:
                raw.row_factory = sqlite3.Row
                return [dict(row) for row in raw.execute(query, values)]
        from sqlalchemy import text

        with self._connection() as connection:  # which also says what is wrong with a file
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def record(self, decision: Decision, expected: str | None, counted: bytes | None = None) -> Decision:
        """Append a decision if the champion's package is still ``expected``; of several callers at once, one succeeds.

        ``counted`` names the rows that the look behind it counted, and is kept beside it. Returns the row as written,
        or as it was written before under the same key.

        Raises
        ------
        Overtaken
            The champion is another by now; the message says which and by whom.
        RefitError
            The database cannot be reached or stays locked, or the clock is behind the last decision.
        """
        return self.record_all([(decision, counted)], expected)[0]

    def record_all(self, entries: Sequence[tuple[Decision, bytes | None]], expected: str | None) -> list[Decision]:
        """Append decisions about one model, all or none of them; otherwise as :meth:`record`, which is asked of the first.

        A decision to keep keeps the champion of the row before it, whatever it was written with.
        """
        from sqlalchemy.exc import IntegrityError

        for _ in range(TRIES):
            try:
                with self._connection(write=True) as connection:
                    return _append(connection, entries, expected)
            except IntegrityError:  # PostgreSQL: another took the number, perhaps for a decision that changes nothing
                continue
        raise RefitError(
            f"the registry's history ({self.shown}) took {TRIES} other decisions meanwhile; the champion is as they "
            "left it. Repeat."
        )

    @contextmanager
    def _connection(self, write: bool = False) -> Iterator[Connection]:
        """A connection in one transaction; a database's own errors become plain messages."""
        from sqlalchemy import create_engine, event, make_url
        from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

        shown = self.shown
        try:
            url = make_url(self.url)
            if url.drivername in ("postgres", "postgresql"):
                url = url.set(drivername="postgresql+psycopg")
            engine = create_engine(url, connect_args={"timeout": WAIT} if url.drivername.startswith("sqlite") else {})
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise RefitError(f"REFIT_HISTORY: {shown!r} is not a usable database URL ({error}).") from None
        if engine.dialect.name == "sqlite":
            try:
                Path(self.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RefitError(
                    f"the registry's history ({shown}) cannot be made: {error.filename}: {error.strerror}. Check REFIT_HISTORY."
                ) from None
            # The driver's own begin would read first and ask for the write lock later, which can deadlock.
            event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
            event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN"))
        try:
            _create(engine)
            with engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise RefitError(
                f"the registry's history ({shown}) cannot be used: {first_line(error)}. The champion is unchanged. "
                "Check that the database is reachable and that no other program holds it locked, then repeat."
            ) from None
        finally:
            engine.dispose()


def check_database(url: str, wait: float) -> Iterator[str]:
    """What is wrong with a history's database, a line each: without loading SQLAlchemy where it is a SQLite file."""
    from tasks.registry.store import sqlite, tables

    shown = f"the registry's history ({url.split('@')[-1]})"
    if not url.startswith("sqlite:///"):
        return  # whoever reads it tells
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        if not path.parent.is_dir() and path.parent.name != ".refit":
            yield f"{shown}: the folder {path.parent} is not there. Check REFIT_HISTORY."
        return

    def look(raw: sqlite3.Connection) -> Iterator[str]:
        there = tables(raw)
        wanted = set(_COLUMNS.values())
        columns = {row[1] for row in raw.execute("PRAGMA table_info(decisions)")}
        if there and (not {"decisions", "looks"} <= there or not wanted <= columns):
            yield (
                f"{shown}: is not a history of Refit's (it has the tables {', '.join(sorted(there)[:4])}). Check REFIT_HISTORY, or "
                "restore the file."
            )

    yield from sqlite(path, shown, wait, look)


def current_champion(decisions: list[Decision]) -> Decision | None:
    """Of decisions in order, the one that put the present champion in place."""
    last = next((d for d in reversed(decisions) if d.action != "keep"), None)
    return None if last is None or last.champion is None else last


def champions_in_order(decisions: list[Decision]) -> list[Decision]:
    """What made each champion, in order and the present one last; what was rolled back from is taken off.

    >>> def row(action, version):
    ...     return Decision("m", action, version, version, f"sha {version}", "", "", "")
    >>> rows = [row("promote", "1"), row("promote", "2"), row("rollback", "1"), row("promote", "4")]
    >>> [d.version for d in champions_in_order(rows)]
    ['1', '4']
    """
    stack: list[Decision] = []
    for d in decisions:
        if d.action == "keep":
            continue
        if d.champion is None:
            stack = []
            continue
        before = [e.package_sha256 for e in stack]
        if d.action == "rollback" and d.package_sha256 in before:
            del stack[before.index(d.package_sha256) :]
        stack = [e for e in stack if e.package_sha256 != d.package_sha256] + [d]
    return stack


def mark(decision: Decision) -> str:
    """What names a row for ever: its number, and a hash of what was decided when.

    >>> mark(Decision("m", "promote", "1", "1", "sha", "", "", "key", number=3, at="2026-01-01T00:00:00+00:00"))
    '3:8c62414bf7570efe'
    """
    what = json.dumps([decision.model, decision.number, decision.at, decision.key, decision.package_sha256])
    return f"{decision.number}:{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def knows(decisions: list[Decision], marked: str) -> bool:
    """Whether the row of a :func:`mark` is among the decisions about its model."""
    number = marked.partition(":")[0]
    return any(str(d.number) == number and mark(d) == marked for d in decisions)


def named(decisions: list[Decision], version: str) -> list[str]:
    """Packages that were decided on under a version's number, in order; more than one after a change of registries."""
    return list(dict.fromkeys(d.package_sha256 for d in decisions if d.version == version))


def highest(decisions: list[Decision]) -> int:
    """The highest version's number that a decision was about; 0 where there is none."""
    return max((int(d.version) for d in decisions if d.version.isdecimal()), default=0)


def rolled_back(decisions: list[Decision], package_sha256: str) -> Decision | None:
    """The rollback that took a package's alias away, unless someone has made it champion again since."""
    removed = None
    before = None
    for d in decisions:
        if d.action == "keep":
            continue
        if d.action == "rollback" and before == package_sha256:
            removed = d
        elif d.package_sha256 == package_sha256:
            removed = None
        before = d.package_sha256
    return removed


def _append(
    connection: Connection, entries: Sequence[tuple[Decision, bytes | None]], expected: str | None
) -> list[Decision]:
    from sqlalchemy import text

    past = _read(connection, entries[0][0].model)
    made = []
    for decision, counted in entries:
        old = next((d for d in past if d.key == decision.key), None)
        if old is not None:
            made.append(old)
            continue
        before = current_champion(past)
        if not made and (before.package_sha256 if before else None) != expected:
            raise _overtaken(decision, expected, past)
        champion = before.champion if before else None
        row = replace(
            decision,
            champion=champion if decision.action == "keep" else decision.champion,
            previous=champion,
            number=len(past) + 1,
            at=_now(past),
        )
        values = {**asdict(row), "evidence": json.dumps(row.evidence, sort_keys=True)}
        columns = ", ".join(_COLUMNS[name] for name in values)
        marks = ", ".join(f":{name}" for name in values)
        connection.execute(text(f"INSERT INTO decisions ({columns}) VALUES ({marks})"), values)
        if counted is not None:
            look = {"model": row.model, "number": row.number, "counted": counted}
            connection.execute(text("INSERT INTO looks VALUES (:model, :number, :counted)"), look)
        past.append(row)
        made.append(row)
    return made


def _now(past: list[Decision]) -> str:
    now = datetime.now(UTC)
    if past:
        last = datetime.fromisoformat(past[-1].at)
        if (last - now).total_seconds() > CLOCK_SLACK:
            raise RefitError(
                f"the clock says {now:%Y-%m-%d %H:%M:%S} UTC, but the last decision was taken at "
                f"{last:%Y-%m-%d %H:%M:%S} UTC. Set the clock right and repeat; the champion is unchanged."
            )
        now = max(now, last)
    return now.isoformat()


def _overtaken(decision: Decision, expected: str | None, past: list[Decision]) -> Overtaken:
    last = past and current_champion(past)
    about = next((d.version for d in reversed(past) if d.package_sha256 == expected), None)
    old = f"version {about}" if about is not None else f"package {str(expected)[:12]}"
    if not last:
        return Overtaken(f"version {decision.version} was not made champion: {old} is no longer champion.")
    return Overtaken(
        f"version {decision.version} was not made champion: it was to replace "
        f"{'no champion' if expected is None else old}, and version {last.champion} became champion "
        f"at {last.at[:19]} UTC (by {last.by}: {last.reason}). Run again to compare with it."
    )


_TABLE = """CREATE TABLE IF NOT EXISTS decisions (
    model VARCHAR(200) NOT NULL, number INTEGER NOT NULL, decided_at VARCHAR(40) NOT NULL,
    action VARCHAR(20) NOT NULL, version VARCHAR(40) NOT NULL, champion VARCHAR(40), previous VARCHAR(40),
    package_sha256 VARCHAR(64) NOT NULL, reason TEXT NOT NULL, decided_by VARCHAR(200) NOT NULL,
    occasion VARCHAR(200) NOT NULL, evidence TEXT NOT NULL,
    PRIMARY KEY (model, number), UNIQUE (model, occasion))"""
_LOOKS = """CREATE TABLE IF NOT EXISTS looks (
    model VARCHAR(200) NOT NULL, number INTEGER NOT NULL, counted {blob} NOT NULL, PRIMARY KEY (model, number))"""
_RENAMED = {"at": "decided_at", "by": "decided_by", "key": "occasion"}  # words that SQL keeps for itself
_COLUMNS = {f.name: _RENAMED.get(f.name, f.name) for f in fields(Decision)}
_ABOUT = f"SELECT {', '.join(_COLUMNS.values())} FROM decisions WHERE model = :model ORDER BY number"


def _create(engine: Engine) -> None:
    """Make the tables where they are not there; on SQLite, triggers refuse that a row is ever changed or removed."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    sqlite = engine.dialect.name == "sqlite"
    if _there(engine):
        return
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(_TABLE)
            connection.exec_driver_sql(_LOOKS.format(blob="BYTEA" if engine.dialect.name == "postgresql" else "BLOB"))
            for verb, table in product(("UPDATE", "DELETE"), ("decisions", "looks")) if sqlite else ():
                name = f"no_{verb.lower()}" + ("" if table == "decisions" else f"_{table}")
                connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"
                )
    except (IntegrityError, ProgrammingError):  # PostgreSQL: another made them in this very moment
        if not _there(engine):
            raise


def _there(engine: Engine) -> bool:
    from sqlalchemy import inspect

    return {"decisions", "looks"} <= set(inspect(engine).get_table_names())


def _read(connection: Connection, model: str) -> list[Decision]:
    from sqlalchemy import text

    return _decisions(connection.execute(text(_ABOUT), {"model": model}).mappings())


def _decisions(rows: Iterable[Mapping[Any, Any]]) -> list[Decision]:
    return [
        Decision(**{name: row[column] for name, column in _COLUMNS.items()} | {"evidence": json.loads(row["evidence"])})
        for row in rows
    ]
