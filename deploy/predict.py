"""Answers to all rows of a file, however large: read in pieces, features by the engine's batch path, written in pieces.

A value is read as ``ingest`` reads it, features are those of the pipeline, and a row's answer is the one that the service
gives. Each row of the file has one row in the answers, in the file's order; one that cannot be read has an ``error``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from deploy.rows import expected, fields_of, remark
from tasks.artifacts import Schema, SchemaField
from tasks.bundle import new_level
from tasks.bundle.horizon import FINE, Horizon, RowTiming
from tasks.engine.asof import prediction_times
from tasks.engine.facts import MISSING
from tasks.engine.from_disk import CHUNK, compute_from_disk
from tasks.errors import RefitError, nearest, some
from tasks.files import replacing
from tasks.profile.kinds import DTYPES, coerce
from tasks.profile.piecewise import Piece, read_pieces
from tasks.values.reading import Reading

if TYPE_CHECKING:
    from tasks.bundle import Bundle

ERROR = "__error__"
KEY = "__key__"
MOST_CHUNKS = 256  # a file is open for each while features are computed
ROWS = 1 << 16  # rows of a chunk of answers
SLICE = 1 << 14  # rows that the model gets at a time
SHOWN = 5  # rows without an answer that are told of by name
ENDINGS = (".csv", ".csv.gz", ".parquet")


@dataclass
class Answered:
    """How many rows there were, how many of them have no answer, and how many a warning; and the first faults."""

    rows: int = 0
    unanswered: int = 0
    warned: int = 0
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what reading the file decided by itself

    def lines(self) -> list[str]:
        """What to say of them, in words."""
        sentence = f"{self.rows - self.unanswered:,} of {self.rows:,} rows answered"
        sentence += f", {self.warned:,} of them with a warning" if self.warned else ""
        more = self.unanswered - len(self.faults)
        return [
            *self.remarks,
            sentence,
            *self.faults,
            *([f"and {more:,} more rows without an answer (column error)"] if more > 0 else []),
        ]


def predict(
    bundle: Bundle,
    version: str,
    source: str | Path,
    out: str | Path | None,
    tables: Mapping[str, Path],
    horizon: Horizon,
    refuse: bool = False,
) -> Answered:
    """Answer every row of ``source`` (CSV or Parquet, also packed) and write the answers to ``out``.

    Parameters
    ----------
    bundle, version
        The package, and what its answers call it.
    out
        ``.csv``, ``.csv.gz`` or ``.parquet``; None: CSV on standard output.
    tables
        Parquet files of the tables that features are made from, by name: the project's, or those of the package's history.
    horizon
        From when these tables can answer, and what they know until when.
    refuse
        Whether a row for which a table is too old gets an error instead of a warning.

    Raises
    ------
    RefitError
        If the file cannot be read or lacks a column, or a table does. A single row that cannot be read is no reason.
    """
    ending = None if out is None else _ending(Path(out))
    with tempfile.TemporaryDirectory(prefix="refit-predict-") as folder:
        asked = Path(folder) / "asked.parquet"
        answered = Answered()
        count, keys = _take_in(bundle, Path(source), asked, answered)
        chunk = min(CHUNK, max(ROWS, count // MOST_CHUNKS))
        features = compute_from_disk(bundle.plan, tables, asking=asked, chunk=chunk)
        with _written(out, ending) as write:
            for rows, made in zip(_rows(asked, chunk), features, strict=True):
                write(_answers(bundle, version, horizon, rows, made, keys, answered, refuse))
    return answered


def answer_rows(
    bundle: Bundle,
    version: str,
    source: str | Path,
    numbers: Sequence[int],
    tables: Mapping[str, Path],
    horizon: Horizon,
    refuse: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The answers to some rows of a file, as :func:`predict` gives them, and their features; in the order of ``numbers``.

    ``numbers`` count from 1, as the answers' column ``row`` does.

    Raises
    ------
    RefitError
        As :func:`predict`, and for a number that is beyond the file's rows.
    """
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="refit-predict-") as folder:
        asked, some_rows = Path(folder) / "asked.parquet", Path(folder) / "some.parquet"
        count, keys = _take_in(bundle, Path(source), asked, Answered())
        if beyond := [number for number in numbers if not 1 <= number <= count]:
            raise RefitError(f"row {beyond[0]}: {source} has {count:,} rows, and they are counted from 1.")
        chosen = _picked(asked, np.asarray(numbers) - 1)
        pq.write_table(chosen, some_rows)
        features = pd.concat(compute_from_disk(bundle.plan, tables, asking=some_rows, chunk=len(numbers)))
        answers = _answers(bundle, version, horizon, chosen, features, keys, Answered(), refuse).to_pandas()
    return answers.assign(row=list(numbers)), features


# In -------------------------------------------------------------------------------------------------------------------


def _take_in(bundle: Bundle, source: Path, asked: Path, answered: Answered) -> tuple[int, list[str]]:
    """Write the rows in their declared kinds to ``asked``, with what is wrong with each; how many, and the key's columns."""
    import pyarrow.parquet as pq

    fields = bundle.schema.fields
    key = list(bundle.plan.tables[bundle.plan.table].key)
    count, writer, found_keys = 0, None, []
    with ExitStack() as stack:
        for piece in read_pieces(source):
            answered.remarks += piece.remarks
            if writer is None:
                _check_columns(piece.table.column_names, fields, source)
                found_keys = [name for name in key if name in piece.table.column_names]
            table = _read(piece, bundle.schema, found_keys)
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(asked, table.schema, compression="lz4"))
            writer.write_table(table.cast(writer.schema))
            count += table.num_rows
    if not count:
        raise RefitError(f"{source}: has columns and no rows.")
    return count, found_keys


def _check_columns(columns: list[str], fields: list[SchemaField], source: Path) -> None:
    absent = [f.name for f in fields if f.required and f.name not in columns]
    if absent:
        hints = "".join(f" {name!r}:{near}" for name in absent if (near := nearest(name, columns)))
        raise RefitError(
            f"{source}: lacks column {some(absent)}, which the model needs. It has {some(columns, 30)}.{hints}"
        )


def _read(piece: Piece, schema: Schema, keys: list[str]) -> pa.Table:
    """A piece's rows in their declared kinds; the columns of the key also as they are written."""
    rows, at, fields = piece.rows, piece.positions, schema.fields
    values: dict[str, pd.Series] = {}
    errors = np.full(rows, None, dtype=object)
    for position, why in piece.broken:
        errors[position] = why

    def fault(position: int, message: str) -> None:
        errors[position] = message if errors[position] is None else f"{errors[position]}; {message}"

    for entry in fields:
        name = entry.name
        if name not in piece.table.column_names:
            values[name] = pd.Series(np.nan, index=range(rows)).astype(pd.api.types.pandas_dtype(DTYPES[entry.kind]))
            continue
        read = coerce(piece.table[name], Reading.of_field(entry, schema))
        unread = set(read.problems["row"].tolist())
        for row, value, why in read.problems[["row", "value", "why"]].to_numpy().tolist():
            fault(int(at[row]), f"{name!r}: {value!r} {why}")
        if not entry.nullable:
            for row in np.flatnonzero(read.values.isna().to_numpy()).tolist():
                if row not in unread:
                    fault(int(at[row]), f"{name!r} must be {expected(entry)}, and is missing")
        values[name] = read.values if len(at) == rows else read.values.set_axis(at).reindex(range(rows))
    table = pa.Table.from_pandas(pd.DataFrame(values), preserve_index=False)
    places = None if len(at) == rows else pd.Series(range(len(at)), index=at).reindex(range(rows))
    for i, name in enumerate(keys):
        column = piece.table[name]
        if places is not None:
            column = column.take(pa.array(places, pa.int64(), from_pandas=True))
        table = table.append_column(f"{KEY}{i}", column)
    return table.append_column(ERROR, pa.array(errors, pa.string()))


def _rows(path: Path, chunk: int) -> Iterator[pa.Table]:
    """The rows that were taken in, ``chunk`` at a time."""
    import pyarrow.parquet as pq

    held: list[pa.RecordBatch] = []
    count = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(min(chunk, ROWS), use_threads=False):
            held.append(batch)
            count += len(batch)
            while count >= chunk:
                table = pa.Table.from_batches(held)
                yield table.slice(0, chunk)
                held, count = table.slice(chunk).to_batches(), count - chunk
    if count:
        yield pa.Table.from_batches(held)


def _picked(path: Path, positions: np.ndarray) -> pa.Table:
    """Some of the rows that were taken in, in the order of ``positions``."""
    parts, places, start = [], [], 0
    for chunk in _rows(path, ROWS):
        here = np.flatnonzero((positions >= start) & (positions < start + chunk.num_rows))
        parts.append(chunk.take(pa.array(positions[here] - start)))
        places.append(here)
        start += chunk.num_rows
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(places), kind="stable")))


# Out ------------------------------------------------------------------------------------------------------------------


def _answers(
    bundle: Bundle,
    version: str,
    horizon: Horizon,
    asked: pa.Table,
    features: pd.DataFrame,
    keys: list[str],
    told: Answered,
    refuse: bool,
) -> pa.Table:
    """The answers to some rows, as columns: the row's number and key, what the service answers, and the error."""
    errors = asked[ERROR].to_pandas().astype(object).where(lambda said: said.notna(), None).to_numpy(copy=True)
    timings = _timings(bundle, horizon, asked)
    for position, timing in enumerate(timings):
        if timing.refused or (refuse and timing.stale):
            errors[position] = errors[position] or timing.refused or "; ".join(timing.warnings)
    scores = _scores(bundle, features)
    infinite = ~np.isfinite(scores).all(axis=1)
    for position in np.flatnonzero(infinite).tolist():
        errors[position] = errors[position] or "the model has no finite answer; the row's numbers are too large"
    gone = np.array([error is not None for error in errors], bool)
    warnings = _warnings(bundle, asked, features, timings, gone)

    def column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind, mask=gone)

    size = len(errors)
    number = pa.array(np.arange(told.rows + 1, told.rows + size + 1))
    own = {
        name: column(values, pa.string() if values.dtype == object else pa.float64())
        for name, values in bundle.problem.answer_columns(scores, bundle.threshold, bundle.classes).items()
    }
    own["model"] = pa.array([bundle.name] * size, pa.string())
    own["version"] = pa.array([version] * size, pa.string())
    for name, value in bundle.problem.fixed(bundle.threshold).items():
        own[name] = column(np.full(size, value), pa.float64())
    own["warnings"] = pa.array(warnings, pa.string())
    own["error"] = pa.array(errors, pa.string())
    # A key may be called as one of the answer's columns.
    named = {f"key.{n}" if n in own or n == "row" else n: asked[f"{KEY}{i}"] for i, n in enumerate(keys)}
    for position in np.flatnonzero(gone)[: max(0, SHOWN - len(told.faults))].tolist():
        told.faults.append(f"row {told.rows + position + 1}: {errors[position]}")
    told.rows += size
    told.unanswered += int(gone.sum())
    told.warned += sum(one is not None for one in warnings)
    return pa.table({"row": number, **named, **own})


def _scores(bundle: Bundle, features: pd.DataFrame) -> np.ndarray:
    parts = [bundle.predict(features.iloc[at : at + SLICE]) for at in range(0, len(features), SLICE)]
    scores = np.concatenate(parts)
    return scores.reshape(len(features), -1)


def _timings(bundle: Bundle, horizon: Horizon, asked: pa.Table) -> list[RowTiming]:
    """How each row's prediction time lies; each different moment is looked at once."""
    plan = bundle.plan
    used = [time.column for time in (plan.time, plan.cap) if time]
    if not used:
        return [FINE] * asked.num_rows
    times = prediction_times(plan, asked.select(used).to_pandas())
    start, until = horizon.answers_from, min(horizon.known_until.values(), default=None)
    odd = np.zeros(len(times), bool) if start is None else times < start
    odd = np.flatnonzero((odd if until is None else odd | (times > until)) & (times != MISSING))
    timings = [FINE] * len(times)
    moments, places = np.unique(times[odd], return_inverse=True)
    judged = [horizon.check(t) for t in moments.tolist()]
    for position, place in zip(odd.tolist(), places.tolist(), strict=True):
        timings[position] = judged[place]
    return timings


def _warnings(
    bundle: Bundle, asked: pa.Table, features: pd.DataFrame, timings: list[RowTiming], gone: np.ndarray
) -> np.ndarray:
    """What the service would warn of, as one text a row; None where it would not."""
    texts = np.full(len(gone), None, dtype=object)

    def add(position: int, text: str) -> None:
        if not gone[position]:
            texts[position] = text if texts[position] is None else f"{texts[position]}; {text}"

    for entry in fields_of(bundle.schema):
        name = entry.name
        low, high, allowed = entry.min, entry.max, entry.allowed
        if low is None and high is None and allowed is None:
            continue
        values = asked[name].to_pandas()
        odd = values.notna().to_numpy()
        if allowed is not None:
            odd = odd & ~values.isin(allowed).to_numpy()
        else:
            number = values.to_numpy(float)
            with np.errstate(invalid="ignore"):
                odd = odd & (
                    (number < (-np.inf if low is None else low)) | (number > (np.inf if high is None else high))
                )
        for position in np.flatnonzero(odd).tolist():
            add(position, remark(entry, values.iloc[position]))
    for name, levels in bundle.levels.items():
        values = features[name]
        new = values.notna().to_numpy() & ~values.isin(levels).to_numpy()
        for position in np.flatnonzero(new).tolist():
            add(position, new_level(name, str(values.iloc[position])))
    for position, timing in enumerate(timings):
        for text in timing.warnings:
            add(position, text)
    return texts


def _ending(out: Path) -> str:
    name = out.name.lower()
    match = next((ending for ending in ENDINGS if name.endswith(ending)), None)
    if match is None:
        raise RefitError(
            f"--out: answers are written as {some(ENDINGS)}, found {out.name!r}. Choose one of these endings."
        )
    return match


@contextmanager
def _written(out: str | Path | None, ending: str | None) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes tables one after another; the file takes its name when all of them are written."""
    import pyarrow.csv as pv
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        beside = None if out is None else stack.enter_context(replacing(out))
        made: list[pq.ParquetWriter | pv.CSVWriter] = []

        def write(table: pa.Table) -> None:
            if not made:
                if ending == ".parquet":
                    made.append(stack.enter_context(pq.ParquetWriter(beside, table.schema, compression="zstd")))
                else:
                    sink: pa.NativeFile = (
                        pa.PythonFile(sys.stdout.buffer) if beside is None else pa.OSFile(str(beside), "wb")
                    )
                    if beside is not None:
                        sink = stack.enter_context(sink)
                    if ending == ".csv.gz":
                        sink = stack.enter_context(pa.CompressedOutputStream(sink, "gzip"))
                    made.append(stack.enter_context(pv.CSVWriter(sink, table.schema)))
            made[0].write_table(table)

        yield write
