"""``data/raw/manifest.json``: what each table's source was; ``data/context/as_of.json``: the moment of the run."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.artifacts._artifact import Artifact, Part


class RawFile(Part):
    """One of a table's several files, and its rows."""

    path: str
    sha256: str
    rows: int


class FromJournal(Part):
    """Which journal the events of a table are of.

    Attributes
    ----------
    id : the journal's own; empty where there was none yet. seq : of the last event that was read; 0: there is none.
    """

    id: str
    seq: int


class RawTable(Part):
    """A table as it was read.

    Attributes
    ----------
    source : as declared: a path, a glob or bundled data set, several paths, or where a database's query comes from.
    sha256 : of the source; of several files, of their hashes one after the other.
    unreadable : values that could not be read, which stand in ``<table>.problems.parquet``.
    corrections : what is done with rows that share a key; not given where they are refused.
    files : where the source is several files, each of them.
    remarks : what did not fit together, and what reading decided by itself.
    journal : where events of the journal are among its rows, which these are.
    refused : events that the contract refused when they were received, which stand in ``<table>.refused.parquet``.
    """

    source: str | list[str] | dict[str, str]
    sha256: str
    rows: int
    columns: list[str]
    unreadable: int
    corrections: Literal["states", "later", "reject"] = "reject"
    files: list[RawFile] = Field(default_factory=list)
    remarks: list[str] = Field(default_factory=list)
    journal: FromJournal | None = None
    refused: int = 0


class RawManifest(Artifact):
    """The ``tables`` by name, in the order of ``params.yaml``; not those that validation makes."""

    NAME: ClassVar[str] = "manifest.json"

    tables: dict[str, RawTable]


class AsOf(Artifact):
    """``as_of``: the moment whose knowledge counts, in ISO form; None: everything is known."""

    NAME: ClassVar[str] = "as_of.json"

    as_of: str | None
