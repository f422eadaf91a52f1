"""A table's source to a frame of its declared columns in their declared kinds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks import memory
from tasks.artifacts import FromJournal, RawFile, RawTable, given
from tasks.artifacts.columns import RECEIVED, SEQ
from tasks.errors import RefitError, nearest, some
from tasks.files import sha256
from tasks.ingest import live, several, snapshots, sources
from tasks.ingest.content import Content
from tasks.ingest.files import File, Found, find, is_bundled
from tasks.params import Column, Query, Table
from tasks.profile import coerce
from tasks.profile.amounts import amounts
from tasks.profile.column import texts_of
from tasks.profile.dates import form_of
from tasks.profile.kinds import without_missing
from tasks.profile.names import locate
from tasks.profile.reading import remarks_of
from tasks.values.reading import Reading

# A column most of whose values cannot be read was declared with the wrong kind: that is the user's mistake,
# not a fault of rows. Fewer bad values go with their rows to quarantine.
WRONG_KIND = 0.5
ENOUGH = 20  # values of one file of several, for it alone to be refused


@dataclass(frozen=True)
class Read:
    """What a source gave: its contents in order, the SHA-256 of it all, and remarks."""

    contents: list[Content]
    sha256: str
    several: bool
    said: list[str]


@dataclass(frozen=True)
class Ingested:
    """A table as declared, the values that could not be read, and the SHA-256 of its source.

    ``corrections``: what is done with rows that share a key, where they are not refused; ``files``: where the source is several,
    each of them; ``remarks``: what did not fit together, and what reading decided by itself; ``journal``: which events are among the
    rows, and ``refused``: those that are not, since the contract refused them on receipt.
    """

    frame: pd.DataFrame
    problems: pd.DataFrame  # row, column, value, why
    sha256: str
    corrections: Literal["states", "later"] | None = None
    files: list[RawFile] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    journal: FromJournal | None = None
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_source(name: str, table: Table) -> Read:
    """Read what a table's source is: a bundled data set, files, or the snapshot of what a database gave.

    The events of a journal are not among it (:mod:`tasks.ingest.live`).

    Raises :class:`RefitError` for a file that is written to each time it is read.
    """
    source = table.at_rest
    if source is None:
        return Read([], _of_all([]), False, [])
    if isinstance(source, Query):
        path = snapshots.check(name, source)
        found = Found([File(str(path))], False, [])
    elif isinstance(source, str) and is_bundled(source):
        return _bundled(source)
    else:
        found = find(name, table)
    contents, said = several.read_all(name, found, table.files)
    digests = [c.sha256 for c in contents]
    digest = digests[0] if not found.several else _of_all(digests)
    return Read(contents, digest, found.several, said)


def _of_all(digests: list[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _bundled(source: str) -> Read:

    module, name = sources.find(source)
    digests = [sha256(path) for path in module.files(name)]
    digest = digests[0] if len(digests) == 1 else _of_all(digests)
    columns = pa.Table.from_pandas(module.read(name), preserve_index=False)
    return Read([Content(source, columns, digest, digest, True)], digest, False, [])


def columns_of(source: str) -> pa.Table:
    """The columns of any source that is a path, a folder, a glob or a bundled data set, as they are.

    Raises :class:`RefitError` where it cannot be read, or has no rows.
    """
    table = Table.model_construct(source=source)
    return several.joined(read_source(Path(source).name or "table", table).contents)


def ingest(name: str, table: Table) -> Ingested:
    """Read one declared table.

    Raises
    ------
    RefitError
        If the source cannot be read, lacks a declared column, or a column is mostly not of its kind.
    """
    read = read_source(name, table)
    wanted = {c: spec for c, spec in table.given.items() if spec.kind != "ignore"}
    there = several.names_of(read.contents)
    absent = [c for c in wanted if locate(c, there) is None] if read.contents else []
    if absent:
        hints = "".join(f" {c!r}:{nearest(c, there)}" for c in absent if nearest(c, there))
        raise RefitError(
            f"data.tables.{name}.columns: {table.shown} has no column {some(absent)}. It has {some(there, 30)}.{hints}"
        )
    events = live.read(name, table) if table.journal else None
    said = [*read.said, *several.come_and_gone(name, table, read.contents)]
    frames, problems, start = [], [], 0
    for content in read.contents:
        named = f"{content.path}: " if len(read.contents) > 1 else ""
        said += [f"{named}{line}" for line in remarks_of(content.columns)]
        values, unreadable, remarks = _declared(name, content, wanted, alone=len(read.contents) == 1)
        said += [f"{named}{line}" for line in remarks]
        frames.append(values)
        problems += [p.assign(row=p["row"] + start) for p in unreadable]
        start += len(values)
        content.check()
    if len(frames) > 1:
        frame, found = pd.concat(frames, ignore_index=True), _in_one(problems)
        _mostly_readable(name, table, wanted, read.contents, frame, found)
    parts = [len(f) for f in frames]
    if events is not None:  # each of them is a file of its own, later than all files
        frames.append(events.frame)
        problems += [p.assign(row=p["row"] + start) for p in events.problems]
        parts += [1] * len(events.frame)
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    found = _in_one(problems).sort_values("row", kind="stable", ignore_index=True)
    several_of_them = read.several or events is not None
    how = table.corrections or ("states" if several_of_them else "reject")
    if len(parts) > 1:
        origin = np.repeat(np.arange(len(parts)), parts)
        settled = several.settle(frame, origin, table, how)
        said += settled.said
        frame, found = _rows(frame, found, settled.rows)
    files = (
        [RawFile(path=c.path, sha256=c.sha256, rows=len(c.columns)) for c in read.contents] if several_of_them else []
    )
    corrected = how if table.key and how != "reject" else None
    if events is None:
        return Ingested(frame, found, read.sha256, corrected, files, said)
    rows = len(events.frame) + len(events.refused)
    files.append(RawFile(path=events.path.as_posix(), sha256=events.sha256, rows=rows))
    digest = _of_all([read.sha256, events.sha256])
    return Ingested(frame, found, digest, corrected, files, said, events.of, events.refused)


def _in_one(problems: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(problems)[["row", "column", "value", "why"]].astype({"column": "str"})


def manifest_of(table: Table, read: Ingested) -> RawTable:
    """What the manifest says of a table; what there is nothing to say of is left out."""
    return RawTable(
        source=source_of(table),
        sha256=read.sha256,
        rows=len(read.frame),
        columns=[name for name in read.frame.columns if name not in (RECEIVED, SEQ)],
        unreadable=len(read.problems),
        **given(
            corrections=read.corrections,
            files=read.files,
            remarks=read.remarks,
            journal=read.journal,
            refused=len(read.refused),
        ),
    )


def _declared(
    name: str, content: Content, wanted: dict[str, Column], alone: bool
) -> tuple[pd.DataFrame, list[pd.DataFrame], list[str]]:
    """One file's columns in their declared kinds, its problems, a frame for each column, and remarks."""
    columns = content.columns
    values: dict[str, pd.Series] = {}
    problems = []
    remarks: list[str] = []
    for column, spec in wanted.items():
        at, how = locate(column, columns.column_names), Reading.of(spec)
        source = pa.chunked_array([pa.nulls(len(columns), pa.string())]) if at is None else columns[at]
        read = coerce(source, how)
        values[column] = read.values
        remarks += taken_for_missing(column, source, how)
        given = int(read.values.notna().sum()) + len(read.problems)
        if len(read.problems) > WRONG_KIND * given and (alone or given >= ENOUGH):
            remedy = _remedy(column, source, how)
            raise RefitError(_wrong_kind(name, content.path, column, spec, read.problems, given, remedy))
        problems.append(read.problems.assign(column=column))
    return pd.DataFrame(values, copy=len(columns) < memory.APART), problems, remarks


def taken_for_missing(name: str, column: pa.ChunkedArray, how: Reading) -> list[str]:
    """A remark for each word of a category, such as None, that counts as missing and may have been meant as a class."""
    if how.kind != "categorical":
        return []
    words = {text: n for text, n in texts_of(column).items() if text and text in how.texts}
    return [
        f'{name}: {n:,} {text!r} count as missing (data.missing); `missing: [""]` of the column makes them a level'
        for text, n in words.items()
    ]


def _mostly_readable(
    name: str,
    table: Table,
    wanted: dict[str, Column],
    contents: list[Content],
    frame: pd.DataFrame,
    problems: pd.DataFrame,
) -> None:
    """Refuse a column that is not of its kind in the files taken together, however few values each of them has."""
    for column, found in problems.groupby("column"):
        spec, given = wanted[str(column)], int(frame[str(column)].notna().sum()) + len(found)
        if len(found) > WRONG_KIND * given:
            parts = [c.columns[at] for c in contents if (at := locate(str(column), c.columns.column_names)) is not None]
            remedy = _remedy(str(column), parts[-1], Reading.of(spec))
            raise RefitError(_wrong_kind(name, table.shown, str(column), spec, found, given, remedy))


def _rows(frame: pd.DataFrame, problems: pd.DataFrame, rows: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frame and its problems with some of its rows alone."""
    if len(rows) == len(frame):
        return frame, problems
    place = np.full(len(frame), -1)
    place[rows] = np.arange(len(rows))
    at = place[problems["row"].to_numpy()]
    return frame.iloc[rows].reset_index(drop=True), problems.assign(row=at)[at >= 0].reset_index(drop=True)


def source_of(table: Table) -> str | list[str] | dict[str, str]:
    """A table's source as the manifest names it: as declared."""
    if isinstance(table.source, Query):
        origin: dict[str, str] = json.loads(snapshots.origin(table.source))
        return origin
    return table.source if isinstance(table.source, str) else list(table.source)


def _remedy(name: str, column: pa.ChunkedArray, how: Reading) -> str:
    """What to declare instead: the form, where the values are times or numbers in another one than declared."""
    form = form_of(name, without_missing(column, how))
    if form is not None:
        declared = "datetime" if form.form == "iso" else f"{{kind: datetime, format: {form.form!r}}}"
        return f"They look like times: declare {name}: {declared}, or another kind, or ignore."
    found = amounts(Counter({text: n for text, n in texts_of(column).items() if text not in how.texts}))
    if found.fit and found.form not in ("iso", how.form):
        return f"They look like numbers: declare {name}: {{kind: numeric, format: {found.form!r}}}, or another kind, or ignore."
    return "Declare another kind, or ignore."


def _wrong_kind(
    name: str, source: str, column: str, spec: Column, problems: pd.DataFrame, given: int, remedy: str
) -> str:
    first = problems.head(3)
    rows = ", ".join(str(r + 1) for r in first["row"])
    return (
        f"data.tables.{name}.columns.{column}: {len(problems)} of {given} values of {source} cannot be read as "
        f"{spec.kind}: {some(first['value'])} (rows {rows}) {first['why'].iloc[0]}. {remedy}"
    )
