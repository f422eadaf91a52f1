"""Tables larger than memory: the same plan, key by key from Parquet files, with bounded memory.

A feature needs only the events of the row's own key. So for each key that the plan asks by, events and rows are dealt
by a hash of that key into parts on disk, small enough for memory; each part is computed by the local engine, and its
results are dealt by row number into chunks; at the end the chunks are put together in row order. Every part is computed
from exactly the same events as in one piece, and sums are exact, so the bits are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.artifacts.columns import RECEIVED, ROW
from tasks.engine.assemble import as_frame, finish
from tasks.engine.compute import compute
from tasks.engine.facts import TableSchema
from tasks.engine.plan import Group, Plan
from tasks.engine.source import FrameRows, Values
from tasks.errors import RefitError, some

CHUNK = 1 << 18  # rows of a chunk of the result
BATCH = 1 << 16  # rows read at a time
COPIES = 12  # how many times its own size a part takes while it is computed
PART = 400_000  # rows of a part at most: what is put and looked up all over it should stay in the processor's cache


def compute_from_disk(
    plan: Plan,
    sources: Mapping[str, str | Path],
    memory_mb: int = 1024,
    asking: str | Path | None = None,
    chunk: int | None = None,
    scratch: str | Path | None = None,
) -> Iterator[pd.DataFrame]:
    """The features in row order, ``chunk`` rows at a time; what lies between is kept in a temporary folder.

    ``asking`` is a Parquet file with the rows of the problem table that are asked about; by default all that it has.
    ``scratch`` is where the temporary folder is made.
    """
    import pyarrow.parquet as pq

    chunk = chunk or CHUNK
    with tempfile.TemporaryDirectory(prefix="refit-features-", dir=scratch) as folder:
        files = {name: Path(path) for name, path in sources.items()}
        for name, child in plan.children.items():
            files[name] = _with_child(child, files, name, Path(folder), memory_mb)
        _check_keys(plan, files)
        rows_of = files[plan.table] if asking is None else Path(asking)
        for number, group in enumerate(plan.groups):
            _compute_group(plan, group, files, rows_of, Path(folder) / f"group{number}", memory_mb, chunk)
        needed = plan.row_columns(*(f for f, _ in plan.of_row)) if plan.of_row else []
        needed = needed or pq.read_schema(rows_of).names[:1]
        start = 0
        for rows in _chunks(rows_of, needed, chunk):
            asked: dict[str, Values] = {}
            for number in range(len(plan.groups)):
                asked |= _gather(Path(folder) / f"group{number}" / f"chunk{start // chunk}.arrow", start, len(rows))
            made = finish(plan, FrameRows(plan.own, rows), asked)
            yield as_frame(plan, made, pd.RangeIndex(start, start + len(rows)))
            start += len(rows)


def event_columns(plan: Plan, group: Group) -> list[str]:
    """Columns of the asked table that the group needs, in its order."""
    used = plan.events(*group.features)[group.table].columns
    return [c for c in plan.tables[group.table].columns if c in used]


def row_columns(plan: Plan, group: Group) -> list[str]:
    """Columns of the row that the group needs, and those that tell its own event from others."""
    used = {*plan.row_columns(*group.features), *plan.identity}
    return [c for c in plan.own.columns if c in used]


def _read(path: Path, columns: list[str], batch: int = BATCH) -> Iterator[pa.RecordBatch]:
    """Batches of some columns. Raises :class:`RefitError` for a file that is no Parquet or lacks a column."""
    import pyarrow.lib
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            lacking = [c for c in columns if c not in file.schema_arrow.names]
            if lacking:
                raise RefitError(f"{path}: lacks columns {some(lacking)}")
            yield from file.iter_batches(batch, columns=columns, use_threads=False)
    except (OSError, pyarrow.lib.ArrowInvalid) as error:
        raise RefitError(f"{path}: cannot be read as Parquet ({error})") from None


def _chunks(path: Path, columns: list[str], chunk: int) -> Iterator[pd.DataFrame]:
    """Frames of exactly ``chunk`` rows, the last one shorter."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in _read(path, columns):
        held.append(batch)
        count += len(batch)
        while count >= chunk:
            table = pa.Table.from_batches(held)
            yield table.slice(0, chunk).to_pandas()
            held = table.slice(chunk).to_batches()
            count -= chunk
    if count:
        yield pa.Table.from_batches(held).to_pandas()


def _deal(
    path: Path, columns: list[str], key: list[str], spec: TableSchema, folder: Path, side: str, parts: int
) -> None:
    """Write a table's rows, with their numbers, into ``parts`` files by a hash of their key."""
    start = 0
    with ExitStack() as stack:
        writers: dict[int, pa.RecordBatchWriter] = {}
        for batch in _read(path, columns):
            frame = batch.to_pandas()
            part = key_hash(frame, key, spec) % np.uint64(parts)
            numbered = batch.append_column(ROW, pa.array(np.arange(start, start + len(batch))))
            start += len(batch)
            order = np.argsort(part, kind="stable")
            ends = np.searchsorted(part[order], np.arange(parts + 1, dtype=np.uint64))
            for p in range(parts):
                if ends[p + 1] > ends[p]:
                    piece = numbered.take(pa.array(order[ends[p] : ends[p + 1]]))
                    if p not in writers:
                        sink = stack.enter_context(pa.OSFile(str(folder / f"{side}{p}.arrow"), "wb"))
                        writers[p] = stack.enter_context(pa.ipc.new_stream(sink, piece.schema))
                    writers[p].write_batch(piece)


def key_hash(frame: pd.DataFrame, key: list[str], spec: TableSchema) -> np.ndarray:
    """uint64 (n,) of each row's key: rows of one key get one number, in whatever file they are."""
    total = np.zeros(len(frame), np.uint64)
    for column in key:
        values, codes = frame[column], None
        if spec.columns[column] in ("numeric", "boolean"):
            plain: np.ndarray = values.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
        elif spec.columns[column] == "datetime":
            plain = values.dt.as_unit("us").to_numpy(dtype="datetime64[us]").view(np.int64)
        else:
            codes, names = pd.factorize(values)  # each text is hashed once; the missing ones (-1) as an empty text
            plain = np.append(np.asarray(names, dtype=object), "")
        hashes = pd.util.hash_array(plain, categorize=False)
        total = total * np.uint64(0x9E3779B97F4A7C15) + (hashes if codes is None else hashes[codes])
    return total >> np.uint64(7)


def _load(path: Path, columns: list[str]) -> pd.DataFrame | None:

    if not path.exists():
        return None
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return reader.read_all().select([*columns, ROW]).to_pandas()


def _compute_group(
    plan: Plan, group: Group, files: Mapping[str, Path], rows_of: Path, folder: Path, memory_mb: int, chunk: int
) -> None:
    """Compute one group part by part, and deal the results into chunks of rows."""
    import pyarrow.parquet as pq

    folder.mkdir()
    theirs, mine = event_columns(plan, group), row_columns(plan, group)
    theirs += [RECEIVED] if RECEIVED in pq.read_schema(files[group.table]).names else []
    events, asking = (pq.read_metadata(path).num_rows for path in (files[group.table], rows_of))
    size = 8 * (events * (len(theirs) + COPIES) + asking * (len(mine) + COPIES + 2 * len(group.features)))
    parts = max(1, -(-size // (memory_mb * 1_000_000)), -(-max(events, asking) // PART))
    _deal(files[group.table], theirs, [c for _, c in group.on], plan.tables[group.table], folder, "event", parts)
    _deal(rows_of, mine, [c for c, _ in group.on], plan.tables[plan.table], folder, "row", parts)
    alone = replace(plan, features=group.features, children={})
    with ExitStack() as stack:
        writers: dict[int, pa.RecordBatchWriter] = {}
        for p in range(parts):
            rows = _load(folder / f"row{p}.arrow", mine)
            if rows is None:
                continue
            some_events = _load(folder / f"event{p}.arrow", theirs)
            if some_events is None:
                some_events = next(_chunks(files[group.table], theirs, 1)).iloc[:0] if events else _nothing(plan, group)
            for start in range(0, len(rows), PART):  # rows of one key cannot be dealt, but can be asked in turn
                block = rows.iloc[start : start + PART]
                made = compute(alone, {group.table: some_events}, block)
                number = block[ROW].to_numpy()
                places = number // chunk
                for c in np.unique(places).tolist():
                    at = np.flatnonzero(places == c)
                    piece = pa.RecordBatch.from_pandas(made.iloc[at].assign(**{ROW: number[at]}), preserve_index=False)
                    if c not in writers:
                        sink = stack.enter_context(pa.OSFile(str(folder / f"chunk{c}.arrow"), "wb"))
                        writers[c] = stack.enter_context(pa.ipc.new_stream(sink, piece.schema))
                    writers[c].write_batch(piece)
                del made, block
            del rows, some_events
            for side in ("row", "event"):
                (folder / f"{side}{p}.arrow").unlink(missing_ok=True)


def _nothing(plan: Plan, group: Group) -> pd.DataFrame:
    """An empty frame of the asked table's columns."""
    kinds = {"numeric": "float64", "boolean": "float64", "datetime": "datetime64[us, UTC]"}
    spec = plan.tables[group.table].columns
    return pd.DataFrame({c: pd.Series([], dtype=kinds.get(spec[c], "str")) for c in event_columns(plan, group)})


def _gather(path: Path, start: int, count: int) -> dict[str, Values]:
    """One group's features of a chunk, in row order."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        table = reader.read_all()
        place = table[ROW].to_numpy() - start
        order = np.empty(count, np.int64)
        order[place] = np.arange(count)
        values_of: dict[str, Values] = {}
        for name in table.column_names:
            if name != ROW:
                values = table[name].to_pandas()
                values_of[name] = (
                    values.to_numpy()[order] if values.dtype == np.float64 else values.iloc[order].to_numpy()
                )
    path.unlink()
    return values_of


def _check_keys(plan: Plan, files: Mapping[str, Path]) -> None:
    """Refuse duplicated primary keys: within one part they would be seen, across parts not."""
    import duckdb

    for name in dict.fromkeys(g.table for g in plan.groups):
        key = plan.tables[name].key
        if not key:
            continue
        names = ", ".join('"' + k.replace('"', '""') + '"' for k in key)
        with duckdb.connect() as con:
            con.execute("SET memory_limit = '512MB'")
            twice = con.execute(
                f"SELECT {names} FROM read_parquet(?) GROUP BY {names} HAVING count(*) > 1 LIMIT 8", [str(files[name])]
            ).fetchall()
        if twice:
            raise RefitError(
                f"{name}: the keys ({', '.join(key)}) {some(twice)} occur more than once; keys must be unique"
            )


def _with_child(child: Plan, files: Mapping[str, Path], name: str, folder: Path, memory_mb: int) -> Path:
    """The table's file with its events' own features (depth 2) as further columns."""
    import pyarrow.parquet as pq

    path = folder / f"{name}.parquet"
    columns = pq.read_schema(files[name]).names
    writer = None
    for mine, made in zip(
        _chunks(files[name], columns, CHUNK), compute_from_disk(child, files, memory_mb), strict=True
    ):
        both = pd.concat([mine.reset_index(drop=True), made.reset_index(drop=True)], axis=1)
        table = pa.Table.from_pandas(both, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()
    else:  # no event, and the columns are asked for all the same
        more = [pa.field(f.name, pa.float64() if f.kind == "numeric" else pa.string()) for f in child.features]
        pq.write_table(pa.schema([*pq.read_schema(files[name]), *more]).empty_table(), path)
    return path
