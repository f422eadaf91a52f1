"""Several files of one table: columns that come and go, files that are there twice, rows that come again.

What is done with each follows from ``files`` and ``corrections`` of the table, and is said with its count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pt

from tasks.artifacts.columns import KNOWN, RECEIVED, SEQ
from tasks.errors import RefitError, nearest, some
from tasks.ingest.content import REMEDY, Content, Cut, read_file
from tasks.ingest.files import Found
from tasks.profile.names import locate
from tasks.states import not_before_receipt

if TYPE_CHECKING:
    from tasks.params import Files, Moment, Table


def read_all(name: str, found: Found, rules: Files) -> tuple[list[Content], list[str]]:
    """Every file that counts, each content once, and remarks.

    Raises
    ------
    RefitError
        Where a file cannot be read, or ``rules`` refuse what was found.
    """
    contents: list[Content] = []
    said = list(found.said)
    first: dict[str, str] = {}
    for at, file in enumerate(found.files):
        try:
            content = read_file(file)
            if found.several and at == len(found.files) - 1:
                _closed(content, contents)
        except Cut as error:
            if rules.unfinished == "refuse" or not found.several:
                wait = f" data.tables.{name}.files: {{unfinished: wait}} leaves such a file for the next run."
                raise RefitError(f"{error}{wait if found.several else ''}") from None
            said.append(f"left for the next run: {error}")
            continue
        again = first.setdefault(content.inside, file.path)
        if again != file.path and len(content.columns):
            if rules.twice == "refuse":
                raise RefitError(
                    f"data.tables.{name}.files.twice: {file.path} and {again} have the same content. Remove one."
                )
            said.append(f"{file.path}: is {again} again, and was counted once")
        else:
            contents.append(content)
    if not contents:
        raise RefitError(f"data.tables.{name}.source: no file is whole yet. Run again when one is.")
    if not any(len(c.columns) for c in contents):
        shown = contents[0].path if len(contents) == 1 else f"each of the {len(contents)} files"
        raise RefitError(f"{shown}: has columns ({some(contents[0].columns.column_names)}) but no rows.")
    return contents, said


def _closed(content: Content, others: Iterable[Content]) -> None:
    """Refuse a newest file that lacks the line end which others have: its last value may be cut."""
    if not content.closed and any(other.closed and other.columns.num_rows for other in others):
        raise Cut(
            f"{content.path}: ends without a line end, which other files of this source have, so its last value may be cut. "
            f"{REMEDY}"
            "."
        )


def names_of(contents: Iterable[Content]) -> list[str]:
    """The columns of all files, in the order in which they come up."""
    return list(dict.fromkeys(name for c in contents for name in c.columns.column_names))


def come_and_gone(name: str, table: Table, contents: list[Content]) -> Iterator[str]:
    """Remarks about columns that are not in every file. Raises :class:`RefitError` where the table's ``files`` refuse them."""
    rules = table.files
    wanted = [column for column, spec in table.columns.items() if spec.kind != "ignore"]
    declared = {locate(column, c.columns.column_names) for column in table.columns for c in contents}
    for column in names_of(contents):
        having = [c for c in contents if column in c.columns.column_names]
        if column not in declared and len(having) < len(contents):
            said = f"{having[0].path}: has a column {column!r}, which is not declared and not in every file"
            if rules.added == "refuse":
                raise RefitError(
                    f"data.tables.{name}.files.added: {said}. Declare it under columns (ignore: leave it out), or allow it."
                )
            yield f"{said}; it was ignored"
    for column in wanted:
        lacking = [c for c in contents if locate(column, c.columns.column_names) is None]
        if lacking:
            rows = sum(len(c.columns) for c in lacking)
            shown = lacking[0].path + (f" and {len(lacking) - 1} more files" if len(lacking) > 1 else "")
            hint = nearest(column, lacking[0].columns.column_names)
            said = f"{shown}: without the column {column!r}"
            if rules.removed == "refuse":
                raise RefitError(f"data.tables.{name}.files.removed: {said}.{hint}")
            yield f"{said}, which is missing in {rows:,} rows there.{hint}".rstrip(".")


@dataclass(frozen=True)
class Settled:
    """Positions of the rows that count, and remarks."""

    rows: np.ndarray
    said: list[str]


def settle(frame: pd.DataFrame, origin: np.ndarray, table: Table, how: str) -> Settled:
    """Which rows count where keys come again in later files; ``origin`` is each row's file, int (n,), or event's place behind them.

    A row that is equal to an earlier one counts once. Of rows that became known at the same moment the later file's
    counts. What became known at different moments stays (``how``: states), for validation to tell which was known when;
    with ``later`` only the later file's row stays, with ``reject`` all of them do. Rows of one file are left as they are.
    """
    keep = np.ones(len(frame), bool)
    said: list[str] = []
    later = "a later file or event" if table.journal else "a later file"
    if not table.key:
        said += _uncounted(frame, origin)
        return Settled(np.flatnonzero(keep), said)
    key = list(table.key)
    whole = frame[key].notna().all(axis=1).to_numpy()
    known = known_moment(table)
    values = list(frame.columns)
    moment = known.column if known is not None else ""
    if known is not None and RECEIVED in frame:
        values = [name for name in values if name not in (RECEIVED, SEQ)]
        moment, told = KNOWN, frame[known.column] + pd.Timedelta(known.offset_micros, "us")
        frame = frame.assign(**{KNOWN: not_before_receipt(told, frame)})
    by = [*key, *([moment] if moment and how != "later" and moment not in key else [])]
    code = frame.groupby(by, dropna=False, sort=False).ngroup().to_numpy()
    files = pd.Series(origin).groupby(code)
    first, last = files.transform("min").to_numpy(), files.transform("max").to_numpy()
    again = whole & (first < last)
    equal = again.copy()
    if again.any():
        content = frame[again].groupby(values, dropna=False, sort=False).ngroup()
        equal[again] = (content.groupby(code[again]).transform("nunique") == 1).to_numpy()
    repeated = equal & (origin > first)
    keep &= ~repeated
    if repeated.any():
        said.append(f"{int(repeated.sum()):,} rows are there again in {later}, and were counted once")
    replaced = again & ~equal & (origin < last)
    if how != "reject" and replaced.any():
        keep &= ~replaced
        since = "the same key" if how == "later" or known is None else "the same key and moment"
        said.append(f"{int(replaced.sum()):,} rows are corrected by {later}'s row of {since}, which counts")
    if how == "states" and known is not None:
        left = frame[keep & whole]
        states = left.duplicated(key, keep=False) & ~left.duplicated([*key, moment], keep=False)
        if states.any():
            rows = int(states.sum() - left[states][key].drop_duplicates().shape[0])
            said.append(f"{rows:,} rows correct an earlier one; each state counts from the moment it became known")
    return Settled(np.flatnonzero(keep), said)


def known_moment(table: Table) -> Moment | None:
    """What says when a row became known."""
    return table.row_known or table.event_time


def _uncounted(frame: pd.DataFrame, origin: np.ndarray) -> list[str]:
    """A remark where rows of one file are all in another one, and no key says whether they are the same."""
    files = pd.Series(origin).groupby(pd.util.hash_pandas_object(frame, index=False).to_numpy())
    twice = int(((files.transform("nunique") > 1) & (files.transform("min") < origin)).sum())
    if twice < max(10, 0.01 * len(frame)):
        return []
    return [f"{twice:,} rows are equal to rows of an earlier file; declare the table's key, and each is counted once"]


def joined(contents: list[Content]) -> pa.Table:
    """All files as one table, for a first look: a column of differing types as text, one that a file lacks empty there."""
    columns = {}
    for name in names_of(contents):
        parts = [c.columns[name] if name in c.columns.column_names else None for c in contents]
        kinds = {p.type for p in parts if p is not None}
        kind = next(iter(kinds)) if len(kinds) == 1 else _common(kinds)
        chunks = []
        for content, part in zip(contents, parts, strict=True):
            column = pa.chunked_array([pa.nulls(len(content.columns), kind)]) if part is None else part.cast(kind)
            chunks += column.chunks
        columns[name] = pa.chunked_array(chunks, kind)
    return pa.table(columns).replace_schema_metadata(contents[0].columns.schema.metadata)  # remarks on how it was read


def _common(kinds: set[pa.DataType]) -> pa.DataType:

    real = {k for k in kinds if not pt.is_null(k)}
    if len(real) == 1:
        return next(iter(real))
    if all(pt.is_integer(k) for k in real):
        return pa.int64()
    if all(pt.is_integer(k) or pt.is_floating(k) for k in real):
        return pa.float64()
    return pa.string()
