"""The append-only history of decisions: the one source of truth about which version is champion.

One row a decision in one table, and beside it the rows that its look counted. The champion is what the last row says, so there is never none or two: a crash
leaves the row written or not. A decision names the champion it expects to replace; the row's number is the primary
key, so of several deciders at once the database lets exactly one in. MLflow's aliases follow (see
:mod:`tasks.registry.tracking`) and are put right by the next reader after a crash in between.

SQLite in ``.refit/history.db``; ``REFIT_HISTORY`` may name another database (a SQLAlchemy URL) that several
machines share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import RefitError

if TYPE_CHECKING:
    from sqlalchemy import Connection

Action = Literal["promote", "rollback", "keep"]
CLOCK_SLACK = 2.0  # seconds by which clocks of machines may differ
WAIT = 30.0  # seconds to wait for another writer


class Overtaken(RefitError):
    """Somebody else decided first; nothing was changed."""


@dataclass(frozen=True)
class Decision:
    """One row: what was decided about ``version``, and which version is ``champion`` from then on.

    ``key`` names the occasion (one verdict, one command): the same occasion is never recorded twice. ``at`` is an
    ISO time in UTC.
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


def history_url(root: str | Path = ".") -> str:
    """Where the history lives: ``REFIT_HISTORY``, or SQLite below the project's ``.refit``."""
    return os.environ.get("REFIT_HISTORY") or f"sqlite:///{Path(root).resolve() / '.refit' / 'history.db'}"


class History:
    """Decisions of every model in one database. Reading creates nothing where there is no database yet."""

    def __init__(self, root: str | Path = ".", url: str | None = None) -> None:
        self.url = url or history_url(root)

    @property
    def _missing(self) -> bool:
        return self.url.startswith("sqlite:///") and not Path(self.url.removeprefix("sqlite:///")).exists()

    def decisions(self, model: str) -> list[Decision]:
        """All decisions about a model, oldest first."""
        if self._missing:
            return []
        with self._connection() as connection:
            return _read(connection, model)

    def champion(self, model: str, at: datetime | None = None) -> Decision | None:
        """The decision that made the champion of now, or of a moment, what it is; None: there is no champion."""
        past = [d for d in self.decisions(model) if at is None or datetime.fromisoformat(d.at) <= at]
        return reigning(past)

    def counted(self, model: str) -> dict[int, bytes]:
        """What each decision's look counted (:mod:`tasks.bundle.seen`), by the decision's number; others are left out."""
        from sqlalchemy import text

        if self._missing:
            return {}
        with self._connection() as connection:
            found = connection.execute(text("SELECT number, counted FROM looks WHERE model = :model"), {"model": model})
            return {int(number): bytes(stored) for number, stored in found}

    def record(self, decision: Decision, expected: str | None, counted: bytes | None = None) -> Decision:
        """Append a decision if the champion is still ``expected``; of several callers at once, one succeeds.

        ``counted`` names the rows that the look behind it counted, and is kept beside it. Returns the row as written, or as it was written before under the same key.

        Raises
        ------
        Overtaken
            The champion is another by now; the message says which and by whom.
        RefitError
            The database cannot be reached or stays locked, or the clock is behind the last decision.
        """
        from sqlalchemy import text
        from sqlalchemy.exc import IntegrityError

        try:
            with self._connection(write=True) as connection:
                past = _read(connection, decision.model)
                for old in past:
                    if old.key == decision.key:
                        return old
                champion = past[-1].champion if past else None
                if champion != expected:
                    raise _overtaken(decision, expected, past)
                row = replace(
                    decision,
                    previous=champion,
                    number=len(past) + 1,
                    at=_now(past),
                )
                values = {**asdict(row), "evidence": json.dumps(row.evidence, sort_keys=True)}
                columns = ", ".join(_RENAMED.get(name, name) for name in values)
                marks = ", ".join(f":{name}" for name in values)
                connection.execute(text(f"INSERT INTO decisions ({columns}) VALUES ({marks})"), values)
                if counted is not None:
                    look = {"model": row.model, "number": row.number, "counted": counted}
                    connection.execute(text("INSERT INTO looks VALUES (:model, :number, :counted)"), look)
                return row
        except IntegrityError:
            raise _overtaken(decision, expected, self.decisions(decision.model)) from None

    @contextmanager
    def _connection(self, write: bool = False) -> Iterator[Connection]:
        """A connection in one transaction; a database's own errors become plain messages."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

        shown = self.url.split("@")[-1]
        try:
            engine = create_engine(self.url, connect_args={"timeout": WAIT} if "sqlite" in self.url[:7] else {})
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise RefitError(f"REFIT_HISTORY: {shown!r} is not a usable database URL ({error}).") from None
        if engine.dialect.name == "sqlite":
            Path(self.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            # The driver's own begin would read first and ask for the write lock later, which can deadlock.
            event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
            start = "BEGIN IMMEDIATE" if write else "BEGIN"
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(start))
        try:
            with engine.begin() as connection:
                _create(connection)
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            what = str(getattr(error, "orig", None) or error).split("\n")[0]
            raise RefitError(
                f"the registry's history ({shown}) cannot be used: {what}. The champion is unchanged. "
                "Check that the database is reachable and that no other program holds it locked, then repeat."
            ) from None
        finally:
            engine.dispose()


def reigning(decisions: list[Decision]) -> Decision | None:
    """Of decisions in order, the one that put the present champion in place."""
    if not decisions or decisions[-1].champion is None:
        return None
    champion = decisions[-1].champion
    return next(d for d in reversed(decisions) if d.action != "keep" and d.champion == champion)


def reigns(decisions: list[Decision]) -> list[str]:
    """Champions in order of their reigns, the present one last; what was rolled back from is taken off.

    >>> def row(action, version):
    ...     return Decision("m", action, version, version, "", "", "", "")
    >>> reigns([row("promote", "1"), row("promote", "2"), row("rollback", "1"), row("promote", "4")])
    ['1', '4']
    """
    stack: list[str] = []
    for d in decisions:
        if d.action == "rollback" and d.version in stack:
            del stack[stack.index(d.version) + 1 :]
        elif d.action != "keep":
            stack = [v for v in stack if v != d.version] + [d.version]
    return stack


def rolled_back(decisions: list[Decision], package_sha256: str) -> Decision | None:
    """The rollback that removed a package from the throne, unless someone has put it back since."""
    found = None
    shas = {d.version: d.package_sha256 for d in decisions if d.action != "keep"}
    for d in decisions:
        if d.action == "rollback" and d.previous is not None and shas.get(d.previous) == package_sha256:
            found = d
        elif d.action == "promote" and d.package_sha256 == package_sha256:
            found = None
    return found


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
    last = reigning(past)
    if last is None:
        return Overtaken(f"version {decision.version} was not made champion: version {expected} is no longer champion.")
    return Overtaken(
        f"version {decision.version} was not made champion: it was to replace "
        f"{'no champion' if expected is None else f'version {expected}'}, and version {last.champion} became champion "
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


def _create(connection: Connection) -> None:
    """Make the tables; on SQLite, triggers refuse that a row is ever changed or removed."""
    connection.exec_driver_sql(_TABLE)
    connection.exec_driver_sql(_LOOKS.format(blob="BYTEA" if connection.dialect.name == "postgresql" else "BLOB"))
    if connection.dialect.name == "sqlite":
        for verb, table in product(("UPDATE", "DELETE"), ("decisions", "looks")):
            name = f"no_{verb.lower()}" + ("" if table == "decisions" else f"_{table}")
            connection.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"
            )


def _read(connection: Connection, model: str) -> list[Decision]:
    from sqlalchemy import text

    names = {_RENAMED.get(f.name, f.name): f.name for f in fields(Decision)}
    rows = connection.execute(
        text(f"SELECT {', '.join(names)} FROM decisions WHERE model = :model ORDER BY number"), {"model": model}
    )
    found = []
    for row in rows.mappings():
        values = {name: row[column] for column, name in names.items()}
        found.append(Decision(**{**values, "evidence": json.loads(values["evidence"])}))
    return found
