"""A CSV or Parquet file a piece at a time, with bounded memory: what :func:`tasks.profile.read_columns` reads at once.

Rows of a CSV file that have more or fewer values than its header are told of instead of ending everything.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from tasks.errors import RefitError
from tasks.profile.reading import DELIMITERS, MAGIC, _distinct, _first_line, _header

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 8 << 20  # bytes of a CSV file read at a time
BATCH = 1 << 16  # rows of a Parquet file read at a time
HEAD = 1 << 20  # bytes within which a CSV file's header ends
PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Piece:
    """Some rows in source order: ``rows`` of them, of which ``table`` holds those at ``positions``; the others are broken."""

    table: pa.Table
    rows: int
    positions: np.ndarray
    broken: list[tuple[int, str]]  # position, why


def read_pieces(path: str | Path) -> Iterator[Piece]:
    """The rows of a CSV file (also packed by gzip, bzip2 or xz) or of a Parquet file.

    Raises
    ------
    RefitError
        If the file is missing, empty, damaged, not UTF-8, or repeats a column name.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise RefitError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise RefitError(f"{path}: is a folder; name one CSV or Parquet file.") from None
    except PermissionError:
        raise RefitError(f"{path}: may not be read; change the file's permissions.") from None
    if start.startswith(MAGIC):
        yield from _parquet(path)
        return
    unpack = next((way for mark, way in PACKED.items() if start.startswith(mark)), None)
    try:
        with cast(BinaryIO, unpack(path, "rb") if unpack else path.open("rb")) as stream:
            yield from _csv(stream, path)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, OSError) as error:
        raise RefitError(f"{path}: damaged ({_first_line(error)}). Write or fetch it again.") from None


def _parquet(path: Path) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _distinct(file.schema_arrow.names, path)
            for batch in file.iter_batches(BATCH, use_threads=False):
                yield Piece(pa.Table.from_batches([batch]), len(batch), np.arange(len(batch)), [])
    except (pa.ArrowException, OSError) as error:
        raise RefitError(
            f"{path}: not a readable Parquet file ({_first_line(error)}). Write or fetch it again."
        ) from None


class _Joined:
    """A stream whose beginning was read already, as :mod:`pyarrow` takes it."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self.head, self.stream, self.closed = head, stream, False

    def read(self, size: int = -1) -> bytes:
        if not self.head:
            return self.stream.read(size)
        given, self.head = (self.head, b"") if size < 0 else (self.head[:size], self.head[size:])
        return given

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _csv(stream: BinaryIO, path: Path) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.csv as pv

    head = stream.read(HEAD).removeprefix(BOM)
    if not head.strip():
        raise RefitError(f"{path}: the file is empty; expected a CSV or Parquet file with a header and rows.")
    skipped: list[tuple[int, str]] = []  # number of the record, from 1 for the first after the header

    def skip(row: Any) -> str:
        skipped.append((row.number - 1, f"has {row.actual_columns} values, and the header {row.expected_columns}"))
        return "skip"

    try:
        header = _header(head)
        delimiter = max(DELIMITERS, key=header.count)
        parse = pv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip)
        names = pv.open_csv(pa.py_buffer(header.encode() + b"\n"), parse_options=parse).schema.names
        _distinct(names, path)
        reader = pv.open_csv(
            pa.PythonFile(_Joined(head, stream), "r"),
            read_options=pv.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=parse,
            convert_options=pv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        done = 0  # records before this piece
        with reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                piece = _piece(pa.Table.from_batches([batch]), skipped, done)
                done += piece.rows
                yield piece
        if skipped:
            empty = pa.table({name: pa.array([], pa.string()) for name in names})
            yield Piece(empty, len(skipped), np.zeros(0, int), [(i, why) for i, (_, why) in enumerate(skipped)])
    except UnicodeDecodeError:
        raise RefitError(_not_utf8(path)) from None
    except pa.ArrowException as error:
        said = _first_line(error)
        if "UTF8" in said or "UTF-8" in said:
            raise RefitError(_not_utf8(path)) from None
        raise RefitError(f"{path}: not a CSV file with one header ({said}).") from None


def _not_utf8(path: Path) -> str:
    return f"{path}: not UTF-8. Save the file as UTF-8, as in `iconv -f latin1 -t utf-8 {path.name}`."


def _piece(table: pa.Table, skipped: list[tuple[int, str]], done: int) -> Piece:
    """The rows of a block with the broken ones between them, which are taken out of ``skipped``."""
    positions = np.arange(table.num_rows)
    broken: list[tuple[int, str]] = []
    while skipped:
        place = skipped[0][0] - 1 - done
        before = place - len(broken)  # whole rows of this block that come before it
        if before >= table.num_rows:
            break
        positions[before:] += 1
        broken.append((place, skipped.pop(0)[1]))
    return Piece(table, table.num_rows + len(broken), positions, broken)
