"""``data/package``: what a package says about itself. Packages outlive the code that made them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue

from tasks.artifacts._artifact import Bare, Lasting, LastingArtifact, Number
from tasks.artifacts.models import Failed

Value = str | bool | Number | None


class Covered(Lasting):
    """Which events of a journal a package was made from.

    Attributes
    ----------
    id : the journal's. seq : up to which number the history has all events of ``tables`` that a prediction could see.
    tables : of each of them the number of the last event that was read; those that were not known yet at ``as_of`` of
        the receipt are not in the history.
    """

    id: str
    seq: int
    tables: dict[str, int]


class Manifest(LastingArtifact):
    """What a package says about itself (read by :func:`tasks.bundle.manifest.examine` alone, which checks all of it).

    Attributes
    ----------
    threshold : of the second class, where there are two. calibration : of several members' mean.
    metrics : of the choice, for people. files : SHA-256 by path within the package.
    answers_from, known_until : :mod:`tasks.bundle.horizon`; older packages do not say (``known_until`` None).
    journal : where events of one are among the rows.
    """

    NAME: ClassVar[str] = "bundle.json"
    format: int = 1
    name: str
    kind: str
    target: str = ""
    classes: list[str]
    threshold: float | None
    family: str
    members: list[str]
    weights: list[float]
    calibration: dict[str, JsonValue] | None = None
    metrics: dict[str, JsonValue]
    answers_from: str | None = None
    known_until: dict[str, str] | None = None
    journal: Covered | None = None
    files: dict[str, str] = Field(default_factory=dict)


class SchemaField(Lasting):
    """One column of a row that is asked about.

    Attributes
    ----------
    kind : of :mod:`tasks.values`. nullable : it may be missing; ``required``: it must be named.
    min, max, allowed : hints. format, missing, case, spellings : how its texts are read, where otherwise than usual.
    """

    name: str
    kind: str
    nullable: bool
    min: Number | None = None
    max: Number | None = None
    format: str = "iso"
    missing: list[str] | None = None
    case: str = "as_written"
    spellings: dict[str, list[str]] = Field(default_factory=dict)
    allowed: list[str] | None = None
    required: bool = True


class Schema(LastingArtifact):
    """The typed input of one row; ``missing``: texts that count as missing; ``disregarded``: columns that may be sent."""

    NAME: ClassVar[str] = "schema.json"
    table: str
    missing: list[str] | None = None
    fields: list[SchemaField]
    disregarded: list[str] = Field(default_factory=list)


class EventMoment(Lasting):
    """A datetime column plus an offset in microseconds."""

    column: str
    offset: int = 0


class EventTable(Lasting):
    """What an event of a table must look like: ``row``; and what names it, when it happens, and when it becomes known.

    Attributes
    ----------
    event_time : None where the table's rows have no moment. known_at : None where a row is known when it happens.
    outcome : columns that are hidden until the row is known. later : those that become known at a moment of their own.
    """

    row: Schema
    key: list[str] = Field(default_factory=list)
    event_time: EventMoment | None = None
    known_at: EventMoment | None = None
    outcome: list[str] = Field(default_factory=list)
    later: dict[str, EventMoment] = Field(default_factory=dict)


class EventTables(Bare):
    """What can be told to a service that has the package: an event of any of its tables, by the table's name."""

    NAME: ClassVar[str] = "events.json"
    tables: dict[str, EventTable]


class GoldenRow(Lasting):
    """A row of the problem table with the pipeline's own answers, alone and in one batch with the others."""

    input: dict[str, Value]
    features: dict[str, str | Number | None]
    scores: list[float]
    batch_scores: list[float]
    decision: str | Number
    batch_decision: str | Number
    warnings: list[str] = Field(default_factory=list)


class Golden(LastingArtifact):
    """Rows by which a package proves that it answers as it did where it was made."""

    NAME: ClassVar[str] = "golden.json"
    rows: list[GoldenRow]


class OrdinaryColumn(Lasting):
    """What drift of a column is held against, but for its counts (:class:`tasks.ordinary.record.Column` says what each is)."""

    kind: str
    edges: list[Number] = Field(default_factory=list)
    far: tuple[Number, Number] | None = None
    levels: list[str] = Field(default_factory=list)
    windows: int
    alike: Number = 0.0
    once: int = 0
    twice: int = 0
    watched: bool = True
    own: list[int] = Field(default_factory=list)
    largest: list[int] = Field(default_factory=list)


class OrdinaryPart(Lasting):
    """Columns by name; past windows of ``length`` seconds, the newest of which ended at ``end`` (None: rows have no moment)."""

    length: int | None
    end: str | None
    columns: dict[str, OrdinaryColumn]


class OrdinaryParts(Bare):
    """Of the features, and of the answers to held-out rows where there are any."""

    NAME: ClassVar[str] = "about.json"

    parts: list[OrdinaryPart]


class Receipt(LastingArtifact):
    """Hashes of data, code, parameters and lock file, from which the package can be made again.

    ``failed``: families that it was made without, since they failed.
    """

    NAME: ClassVar[str] = "receipt.json"
    as_of: str | None = None
    seed: int | None = None
    data: dict[str, str] = Field(default_factory=dict)
    code: dict[str, str] = Field(default_factory=dict)
    params: dict[str, JsonValue] = Field(default_factory=dict)
    lock: str | None = None
    libraries: dict[str, str | None] = Field(default_factory=dict)
    failed: dict[str, Failed] = Field(default_factory=dict)
