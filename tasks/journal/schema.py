"""The journal's tables, and how an earlier version's are brought up to date."""

from __future__ import annotations

import uuid

from tasks.errors import RefitError
from tasks.journal.database import Database

# To the version at each place, counted from 1, from the one before it: statements in order. What was published stays as it is.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE journal_events (
            seq {big} PRIMARY KEY, id TEXT, named TEXT NOT NULL, entity TEXT, body TEXT NOT NULL,
            received BIGINT NOT NULL, known TEXT NOT NULL, refused TEXT, erased BIGINT, UNIQUE (id, named))""",
        "CREATE INDEX journal_events_of_a_table ON journal_events (named, seq)",
        "CREATE INDEX journal_events_of_a_key ON journal_events (entity, named)",
        """CREATE TABLE journal_predictions (
            seq {big} PRIMARY KEY, id TEXT NOT NULL UNIQUE, at BIGINT NOT NULL, moment BIGINT, entity TEXT,
            package TEXT NOT NULL, version TEXT NOT NULL, asked TEXT NOT NULL, answer TEXT NOT NULL, scores TEXT NOT NULL,
            decision TEXT NOT NULL, threshold TEXT, seen BIGINT NOT NULL, features TEXT NOT NULL, erased BIGINT)""",
        "CREATE INDEX journal_predictions_of_a_key ON journal_predictions (entity, seq)",
        """CREATE TABLE journal_erasures (
            seq {big} PRIMARY KEY, at BIGINT NOT NULL, named TEXT NOT NULL, entity TEXT NOT NULL, reason TEXT NOT NULL,
            person TEXT NOT NULL, events BIGINT NOT NULL, predictions BIGINT NOT NULL)""",
        "CREATE TABLE journal_positions (source TEXT PRIMARY KEY, position TEXT NOT NULL)",
        "CREATE TABLE journal_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
)
VERSION = len(STEPS)
META = "journal_meta"
TABLES = ("journal_events", "journal_predictions", "journal_erasures", "journal_positions", META)


def version_of(database: Database) -> int:
    """The version of the tables that are there; 0 where there are none."""
    if not database.has(META):
        return 0
    return int(str(database.rows("SELECT value FROM journal_meta WHERE name = 'version'")[0][0]))


def prepare(database: Database, shown: str) -> None:
    """Make the tables, or bring them up to date. Raises :class:`RefitError` for a journal of a later Refit."""
    found = version_of(database)
    check(found, shown)
    if found == VERSION:
        return
    with database.writing():
        found = version_of(database)  # another may have made them meanwhile
        for step in STEPS[found:]:
            for statement in step:
                database.run(statement.format(big=database.big))
        if found == 0:
            first = [("journal", str(uuid.uuid4())), ("seq", "0"), ("clock", "0"), ("version", str(VERSION))]
            database.many("INSERT INTO journal_meta (name, value) VALUES (?, ?)", first)
        else:
            database.run("UPDATE journal_meta SET value = ? WHERE name = 'version'", (str(VERSION),))


def check(found: int, shown: str) -> None:
    """Raises :class:`RefitError` for the version of a later Refit."""
    if found > VERSION:
        raise RefitError(
            f"the journal ({shown}) was written by a later Refit (its version is {found}; this one reads up to {VERSION}). "
            "Use that one."
        )
