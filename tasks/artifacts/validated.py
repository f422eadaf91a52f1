"""``data/validated/summary.json``: what was accepted, refused and not known yet, and what the rules found."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from tasks.artifacts._artifact import Artifact, Part
from tasks.artifacts.raw import FromJournal


class RowCounts(Part):
    """Rows of a table: read, accepted, moved to quarantine, and not known yet at ``as_of``.

    Attributes
    ----------
    reasons : rows by reason; one with two reasons counts in both.
    earlier_states : rows of what others were known as before they were corrected; not given where there are none.
    """

    input: int
    accepted: int
    quarantined: int
    not_yet_known: int
    reasons: dict[str, int]
    earlier_states: int = 0


class RuleResult(Part):
    """What one expectation of Great Expectations found.

    Attributes
    ----------
    scope, check, was : which rows it is about, what it asks in words, and what it was before; only of a rule that comes
        from what was accepted with the champion, whose ``expected`` and ``found`` are words too.
    about : a column, columns, or ``table``.
    level : ``row``: moves rows to quarantine; ``set``: stops the run; ``note``: is told only.
    """

    table: str
    scope: str | None = None
    check: str | None = None
    expectation: str
    about: str
    level: Literal["row", "set", "note"]
    expected: JsonValue
    was: str = ""
    found: JsonValue
    success: bool


class Origin(Part):
    """Whose rows a table is held against: the champion's, or those that a person accepted, ``by`` whom and for which reason."""

    version: str | None = None
    package: str | None = None
    by: str | None = None
    reason: str | None = None


class KnownOfJournal(FromJournal):
    """The same at ``as_of``. ``whole``: up to which number all events are among the rows, where later ones were not known yet."""

    whole: int | None = None


class Validation(Artifact):
    """``as_of``, ``tables`` (rows by table), ``expectations`` (what each found), ``baseline`` (what tables were held against),
    ``journal`` (which events are among the rows of a table)."""

    NAME: ClassVar[str] = "summary.json"

    as_of: str | None
    tables: dict[str, RowCounts]
    expectations: list[RuleResult]
    baseline: dict[str, Origin | None] = Field(default_factory=dict)
    journal: dict[str, KnownOfJournal] = Field(default_factory=dict)
