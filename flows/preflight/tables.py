"""Tables: their sources are there, have the declared columns, and are known at the asked moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.preflight.subject import SMALL, Subject, files, size, within
from tasks.errors import RefitError, some
from tasks.values.durations import Duration

if TYPE_CHECKING:
    import pandas as pd

    from tasks.params import Params, Problem, Table


def tables(subject: Subject) -> Iterator[str]:
    """Sources are there and have the declared columns; small ones are read as the stage ``ingest`` reads them."""
    dag = (subject.root / "dvc.yaml").read_text(encoding="utf-8", errors="replace")
    if subject.params is None or " -m tasks.ingest" not in dag:  # a DAG that reads its tables in another way
        return
    from flows.journal_source import news
    from flows.sources import absent, connected, queries

    if gone := list(absent(subject.root, subject.params)):
        yield from gone
        return
    for name, query in queries(subject.params).items():
        with connected(query.sql, name, subject.root):
            pass
    news(subject.root, subject.params)  # refuses a journal that cannot be read
    for name, paths in files(subject).items():
        table = subject.params.data.tables[name]
        try:
            frame = read(name, within(table, subject.root), paths)
        except RefitError as error:
            yield str(error).replace(f"{subject.root}{os.sep}", "")
        else:
            yield from known_by_then(subject, name, table, frame)


def read(name: str, table: Table, paths: list[Path]) -> pd.DataFrame | None:
    """A small table, read; None for a large one, of which the columns alone are subject at where it is one file."""
    from tasks.ingest.files import find, paths_of
    from tasks.ingest.tables import ingest

    if not paths_of(table):
        return None
    find(name, table)  # refuses what has no files
    if size(paths) <= SMALL:
        return ingest(name, table).frame
    from tasks.profile.names import locate

    wanted = [column for column, spec in table.given.items() if spec.kind != "ignore"]
    there = header(paths[0]) if len(paths) == 1 else None
    absent = [column for column in wanted if locate(column, there) is None] if there else []
    if absent:
        raise RefitError(
            f"data.tables.{name}.columns: {paths[0]} has no column {some(absent)}. It has {some(there or [], 30)}."
        )
    return None


def header(path: Path) -> list[str] | None:
    """The columns of a large file; None where its beginning alone does not say."""
    from tasks.profile import read_columns

    try:
        with path.open("rb") as file:
            start = file.read(SMALL)
        if start.startswith(b"PAR1"):
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        if b"\0" in start or b"\n" not in start:
            return None
        with tempfile.NamedTemporaryFile(suffix=path.suffix) as part:
            part.write(start[: start.rindex(b"\n") + 1])
            part.flush()
            return list(read_columns(part.name).column_names)
    except (RefitError, OSError, ValueError):
        return None


def known_by_then(subject: Subject, name: str, table: Table, frame: pd.DataFrame | None) -> Iterator[str]:
    """Something of the problem's table, or of the events that make its label, was known at ``as_of``, and is enough."""
    assert subject.params is not None
    params, problem = subject.params, subject.params.problem
    asked = problem.target.events if problem.snapshots else problem.table
    if frame is None or not len(frame) or name != asked or table.journal:
        return
    if problem.target.events is None and problem.target.column in frame:
        yield from too_little(frame[problem.target.column], problem)
    when = table.event_time if problem.snapshots else problem.prediction_time or table.event_time
    if when is None or when.column not in frame:
        return
    times, as_of = frame[when.column].dropna(), until(subject)
    if times.empty:
        return
    first, last = times.min(), times.max()
    if as_of is not None and first > as_of:
        given = "--as-of" if subject.as_of is not None else "data.as_of"
        yield f"{given}: {as_of:%Y-%m-%d %H:%M} is before every row of {name!r} (its first {when.column} is {first:%Y-%m-%d %H:%M})."
    else:
        yield from too_short(params, name, (min(last, as_of) if as_of is not None else last) - first)


def until(subject: Subject) -> datetime | None:
    """The moment that is asked for; None also where it is none, of which the parameters tell."""
    from flows.context import moment as at

    assert subject.params is not None
    try:
        return at(subject.as_of) if subject.as_of is not None else subject.params.data.as_of
    except RefitError:
        return None


def too_little(target: pd.Series, problem: Problem) -> Iterator[str]:
    """A target that surely cannot be learned: fewer rows of it will be left, and no more classes."""
    from tasks.kinds import find_kind
    from tasks.profile.learnable import ROWS, check_target

    known = target.dropna()
    one = find_kind(problem.kind).output.classes and problem.target.above is None and known.nunique() == 1
    if len(known) < ROWS or one:
        try:
            check_target(target, problem.kind, f"problem.target: {problem.target.column!r} of {problem.table!r}")
        except RefitError as error:
            yield str(error)


def too_short(params: Params, name: str, span: timedelta) -> Iterator[str]:
    """Parts of a split by time that leave nothing to train on: the data are not that long."""
    split, within = params.split, params.problem.target.within
    if split.kind != "time" or not isinstance(split.test, Duration) or not isinstance(split.valid, Duration):
        return
    need = split.test.delta + split.valid.delta + (within.delta if within is not None else timedelta())
    if need >= span:
        gone = f", and the {within} in which a label becomes known" if within is not None else ""
        yield (
            f"split: test ({split.test}) and valid ({split.valid}){gone} take all {span.days} days of {name!r}, which leaves "
            "nothing to train on. Make them shorter, or bring more rows."
        )
