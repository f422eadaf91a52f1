"""CSV and Parquet files to Arrow columns, with errors a person can act on.

CSV values stay text: what they mean, and which are missing, is decided by what a column declares
(:mod:`tasks.profile.kinds`), so that ``007`` stays a category and a number too long for a float is noticed. Parquet keeps
its types. What reading decided by itself is told by :func:`remarks_of`.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError, first_line, some
from tasks.profile.foreign import refuse_foreign
from tasks.profile.layout import layout
from tasks.profile.names import renamed

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"PAR1"
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # to a second
YEARS = (-719_162, 2_932_897)  # days since 1970 of the years 1 to 9999
_REMARKS = b"refit.remarks"


def read_columns(path: str | Path) -> pa.Table:
    """Read a CSV or Parquet file, told apart by content; columns in source order.

    CSV: a line of names, one of ``, ; tab |`` between values, UTF-8 (or UTF-16, or Windows-1252: :mod:`tasks.profile.layout`);
    every column comes back as text, an empty value as an empty text. Names are made whole (:mod:`tasks.profile.names`).

    Raises
    ------
    RefitError
        If the file is missing, empty, without rows, in another encoding, or damaged.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RefitError(f"{path}: no such file (paths are relative to {Path('params.yaml')}'s folder).") from None
    except IsADirectoryError:
        raise RefitError(f"{path}: is a folder; name one CSV or Parquet file.") from None
    except PermissionError:
        raise RefitError(f"{path}: may not be read; change the file's permissions.") from None
    table = read_content(content, path)
    if table.num_rows == 0:
        raise RefitError(f"{path}: has columns ({some(table.column_names)}) but no rows.")
    return table


def read_content(content: bytes, path: Path) -> pa.Table:
    """:func:`read_columns` of what is in a file, also without rows; ``path`` is what messages call it."""
    if not content.strip(b"\0 \t\r\n"):
        raise RefitError(f"{path}: the file is empty; expected a CSV or Parquet file with a header and rows.")
    named_parquet = path.suffix.lower() in (".parquet", ".pq")
    parquet = content.startswith(MAGIC) or named_parquet
    if not parquet:
        refuse_foreign(content, str(path))
    table, remarks = _parquet(content, path) if parquet else _csv(content, path)
    return table.replace_schema_metadata(with_remarks(table.schema, remarks).metadata)


def with_remarks(schema: pa.Schema, remarks: list[str]) -> pa.Schema:
    """A schema that carries what reading decided by itself (:func:`remarks_of`)."""
    return schema.with_metadata({**(schema.metadata or {}), _REMARKS: json.dumps(remarks).encode()})


def remarks_of(table: pa.Table) -> list[str]:
    """What reading a file decided by itself: its encoding, lines left out, names changed, types it cannot use."""
    found: list[str] = json.loads((table.schema.metadata or {}).get(_REMARKS, b"[]"))
    return found


def _parquet(content: bytes, path: Path) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(io.BytesIO(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise RefitError(
            f"{path}: not a readable Parquet file ({first_line(error)}). Write or fetch it again; "
            "a CSV file must not be named .parquet."
        ) from None
    return tidy(table)


def tidy(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """A Parquet file's columns under names that can be used, without what only wraps their values; and remarks."""
    import pyarrow as pa

    names, remarks = renamed(table.column_names)
    return pa.table([plain(column) for column in table.columns], names=names), remarks


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without what only wraps its values: dictionaries, types of extensions, bytes that are texts."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "pandas.period":
            return _days(column)
        if kind.extension_name == "arrow.uuid":
            return pa.chunked_array(
                [pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())]
            )
        return plain(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pt.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind) or pt.is_binary_view(kind):
        try:
            return column.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid:
            return column
    if pt.is_string_view(kind):
        return column.cast(pa.large_string())
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return _moments(column)
    if pt.is_duration(kind):  # in seconds
        return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), float(UNITS[kind.unit]))
    return column


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times in UTC, since a zone is a way of writing; as texts where some lie beyond the years 1 to 9999."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    kind = column.type
    day = {pt.is_date32: 1, pt.is_date64: 86_400_000}
    unit = next((size for is_kind, size in day.items() if is_kind(kind)), 0) or 86_400 * UNITS[kind.unit]
    if pt.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.timestamp(kind.unit, tz="UTC"))
    number = column.cast(pa.int32() if pt.is_date32(kind) else pa.int64())
    least, most = pc.min_max(number).as_py().values()
    inside = least is None or (YEARS[0] * unit <= least and most < YEARS[1] * unit)
    if inside:
        return column
    return pc.replace_substring_regex(column.cast(pa.large_string()), "^<value out of range: (.*)>$", r"@\1")


def _days(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Periods of pandas as the times at which they begin."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    ordinals = _ordinals(column)
    given = np.array([value is not None for value in ordinals])
    periods = pd.arrays.PeriodArray(
        np.array([value or 0 for value in ordinals], np.int64), dtype=pd.PeriodDtype(column.type.freq)
    )
    begins = pd.Series(periods.to_timestamp()).astype("datetime64[us]").where(given)
    return pa.chunked_array([pa.Array.from_pandas(begins)])


def _ordinals(column: pa.ChunkedArray) -> list[int | None]:
    return [value for chunk in column.chunks for value in chunk.storage.to_pylist()]


def _csv(content: bytes, path: Path) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa
    import pyarrow.csv as pv

    found = layout(content, str(path))
    names, remarks = renamed(found.names)
    empty = pa.table({name: pa.array([], pa.string()) for name in names})
    if not found.body.strip(b"\r\n"):
        return empty, remarks
    parse = pv.ParseOptions(delimiter=found.delimiter, newlines_in_values=b'"' in found.body)
    convert = pv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    for block in (1 << 20, len(found.body) + 1):
        read = pv.ReadOptions(column_names=names, block_size=block)
        try:
            table = pv.read_csv(io.BytesIO(found.body), read_options=read, parse_options=parse, convert_options=convert)
        except pa.ArrowException as error:
            if "straddling" in str(error) and block <= len(found.body):  # a row larger than a block
                continue
            raise RefitError(
                f"{path}: not a CSV file with one header and as many values in every row ({first_line(error)})."
            ) from None
        return table, found.remarks + remarks
    raise AssertionError("the second block holds the whole file")
