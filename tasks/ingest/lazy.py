"""Large files column by column: what :func:`tasks.profile.read_content` gives at once, without the file in memory.

A Parquet file is read where it lies. A CSV file is first written as Arrow columns of texts into a folder of its own, a
block at a time; where that cannot be told from the beginning and the end alone to be what the whole would give (another
encoding, notes at the end, a row of other width), the file is read as a whole, as small ones are.
"""

from __future__ import annotations

import codecs
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tasks import memory
from tasks.errors import RefitError, first_line
from tasks.profile.layout import HEAD, TAIL, Opening, opening, without_notes
from tasks.profile.names import renamed
from tasks.profile.reading import plain, with_remarks

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_FROM = 8 << 20  # bytes of a file that is read column by column; smaller ones as a whole
CSV_FROM = 64 << 20
BLOCK = 8 << 20  # bytes at a time; a row must be smaller
ODD = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")  # marks of other encodings than UTF-8


@dataclass(frozen=True)
class Columns:
    """A file's columns by name, each read when it is asked for: the part of :class:`pyarrow.Table` that ingest uses."""

    column_names: list[str]
    num_rows: int
    read: Callable[[str], pa.ChunkedArray]
    remarks: list[str]
    kept: object = field(default=None, repr=False)  # what must stay open, or not be removed, until then

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self.read(name)

    @property
    def schema(self) -> pa.Schema:
        """The names alone, with the remarks."""
        import pyarrow as pa

        return with_remarks(pa.schema([(name, pa.null()) for name in self.column_names]), self.remarks)

    def append_column(self, name: str, values: pa.Array) -> Columns:
        """The same with one more column, of as many values."""
        import pyarrow as pa

        def read(asked: str) -> pa.ChunkedArray:
            return pa.chunked_array([values]) if asked == name else self.read(asked)

        return Columns([*self.column_names, name], self.num_rows, read, self.remarks, self.kept)


def parquet(path: Path) -> Columns | None:
    """The columns of a Parquet file; None where it is read as a whole: damaged, or of names or kinds that are no plain columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.types as pt

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        return None
    schema = file.schema_arrow
    if len(set(schema.names)) < len(schema.names) or any(pt.is_nested(kind) or "." in n for n, kind in zip(schema.names, schema.types, strict=True)):  # fmt: skip
        return None
    names, remarks = renamed(schema.names)
    stored = dict(zip(names, schema.names, strict=True))

    def read(name: str) -> pa.ChunkedArray:
        try:
            return plain(file.read([stored[name]], use_threads=False).column(0))
        except (pa.ArrowException, OSError) as error:
            raise RefitError(
                f"{path}: not a readable Parquet file ({first_line(error)}). Write or fetch it again."
            ) from None

    return Columns(names, file.metadata.num_rows, read, remarks, file)


def csv(path: Path) -> Columns | None:
    """The columns of a large CSV file, as texts; None where it has to be read as a whole."""
    begin, body, quoted = _looked(path) or (None, (0, 0), False)
    if begin is None:
        return None
    import pyarrow as pa
    import pyarrow.csv as pv

    names, remarks = renamed(begin.names)
    folder = Path(tempfile.mkdtemp(prefix="ingest-", dir=memory.scratch()))
    out, rows = folder / "columns.arrow", 0
    try:
        with path.open("rb") as file:
            file.seek(body[0])
            reader = pv.open_csv(
                pa.PythonFile(_Until(file, body[1] - body[0]), "r"),
                read_options=pv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
                parse_options=pv.ParseOptions(delimiter=begin.delimiter, newlines_in_values=quoted),
                convert_options=pv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
            )  # fmt: skip
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with reader, pa.ipc.new_file(out, reader.schema, options=options) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    rows += len(batch)
    except BaseException as error:
        shutil.rmtree(folder)
        if isinstance(error, pa.ArrowException):
            return None
        raise

    def read(name: str) -> pa.ChunkedArray:
        chosen = pa.ipc.IpcReadOptions(included_fields=[names.index(name)])
        with pa.OSFile(str(out)) as source, pa.ipc.open_file(source, options=chosen) as stored:
            return stored.read_all().column(0)

    weakref.finalize(read, shutil.rmtree, folder, ignore_errors=True)  # when nobody can ask for a column any more
    return Columns(names, rows, read, begin.remarks + remarks)


def _looked(path: Path) -> tuple[Opening, tuple[int, int], bool] | None:
    """How a CSV file begins, where its rows begin and end, and whether values are quoted; None where that is not plain UTF-8."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head.startswith(ODD) or b"\0" in head[:2000]:
            return None
        mark = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        begin = opening(head[mark:])
        decoder, quoted, size = codecs.getincrementaldecoder("utf-8")(), False, 0
        file.seek(start := mark + begin.size)
        while block := file.read(BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return None
            quoted = quoted or b'"' in block
            size += len(block)
        file.seek(max(start, start + size - 8 * TAIL))
        tail = file.read()
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    if without_notes(tail[tail.find(b"\n") + 1 :], begin.delimiter, len(begin.names))[1]:
        return None
    return begin, (start, start + size), quoted


class _Until:
    """A file's next bytes, so many of them, as :mod:`pyarrow` takes a stream."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left, self.closed = file, size, False

    def read(self, size: int = -1) -> bytes:
        found: bytes = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(found)
        return found

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
