"""The journal's tables, and how an earlier version's are brought up to date."""

from __future__ import annotations

import uuid

from tasks.errors import RefitError
from tasks.journal.database import Database

VERSION = 1
# To the version at each place from the one before it: statements in order.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE events (
            seq {big} PRIMARY KEY, id TEXT UNIQUE, named TEXT NOT NULL, entity TEXT, body TEXT NOT NULL,
            received BIGINT NOT NULL, known TEXT NOT NULL, refused TEXT)""",
        "CREATE INDEX events_of_a_table ON events (named, seq)",
        """CREATE TABLE predictions (
            seq {big} PRIMARY KEY, id TEXT NOT NULL UNIQUE, at BIGINT NOT NULL, moment BIGINT, entity TEXT,
            package TEXT NOT NULL, version TEXT NOT NULL, asked TEXT NOT NULL, answer TEXT NOT NULL, scores TEXT NOT NULL,
            decision TEXT NOT NULL, threshold TEXT, seen BIGINT NOT NULL, features TEXT NOT NULL)""",
        "CREATE INDEX predictions_of_a_key ON predictions (entity, seq)",
        "CREATE TABLE positions (source TEXT PRIMARY KEY, position TEXT NOT NULL)",
    ),
)
_META = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"


def version_of(database: Database) -> int:
    """The version of the tables that are there; 0 where there are none."""
    try:
        found = database.rows("SELECT value FROM meta WHERE name = 'version'")
    except database.errors:
        return 0
    return int(str(found[0][0])) if found else 0


def prepare(database: Database, shown: str) -> None:
    """Make the tables, or bring them up to date. Raises :class:`RefitError` for a journal of a later Refit."""
    found = version_of(database)
    if found == VERSION:
        return
    check(found, shown)
    with database.writing():
        database.run(_META)
        found = version_of(database)  # another may have made them meanwhile
        for step in STEPS[found:]:
            for statement in step:
                database.run(statement.format(big=database.big))
        first = [("journal", str(uuid.uuid4())), ("seq", "0"), ("clock", "0")] if found == 0 else []
        if first:
            database.many("INSERT INTO meta (name, value) VALUES (?, ?)", first)
        database.run("DELETE FROM meta WHERE name = 'version'")
        database.run("INSERT INTO meta (name, value) VALUES ('version', ?)", (str(VERSION),))


def check(found: int, shown: str) -> None:
    """Raises :class:`RefitError` for the version of a later Refit."""
    if found > VERSION:
        raise RefitError(
            f"the journal ({shown}) was written by a later Refit (its version is {found}; this one reads up to {VERSION}). "
            "Use that one."
        )
