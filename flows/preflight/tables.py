"""Tables: their sources are there, have the declared columns, and are known at the asked moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flows.preflight.subject import SMALL, Subject, files, size, within
from tasks.errors import RefitError, some

if TYPE_CHECKING:
    import pandas as pd

    from tasks.params import Table


def tables(subject: Subject) -> Iterator[str]:
    """Sources are there and have the declared columns; small ones are read as the stage ``ingest`` reads them."""
    dag = (subject.root / "dvc.yaml").read_text(encoding="utf-8", errors="replace")
    if subject.params is None or " -m tasks.ingest" not in dag:  # a DAG that reads its tables in another way
        return
    from flows.sources import absent, connected, queries

    if gone := list(absent(subject.root, subject.params)):
        yield from gone
        return
    for name, query in queries(subject.params).items():
        with connected(query.sql, name, subject.root):
            pass
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
    """Something of the problem's table was known at ``as_of``."""
    assert subject.params is not None
    from flows.context import moment as at

    as_of = at(subject.as_of) if subject.as_of is not None else subject.params.data.as_of
    when = subject.params.problem.prediction_time or table.event_time
    if frame is None or as_of is None or name != subject.params.problem.table or when is None:
        return
    if when.column not in frame or not len(frame):
        return
    first = frame[when.column].min()
    if first == first and first > as_of:
        asked = "--as-of" if subject.as_of is not None else "data.as_of"
        yield f"{asked}: {as_of:%Y-%m-%d %H:%M} is before every row of {name!r} (its first {when.column} is {first:%Y-%m-%d %H:%M})."
