"""A CSV or Parquet file a piece at a time, with bounded memory: what :func:`tasks.profile.read_columns` reads at once.

Rows of a CSV file that have more or fewer values than its header are told of instead of ending everything.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from tasks.errors import RefitError, first_line
from tasks.profile.foreign import refuse_foreign
from tasks.profile.layout import Opening, layout, opening
from tasks.profile.names import renamed
from tasks.profile.reading import MAGIC, tidy

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv as pv

BLOCK = 8 << 20  # bytes of a CSV file read at a time; a row must be smaller
BATCH = 1 << 16  # rows of a Parquet file read at a time
WHOLE = 64 << 20  # bytes of a CSV file that is looked at as a whole first: its encoding, notes at its end
HEAD = 1 << 20
PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@dataclass(frozen=True)
class Piece:
    """Some rows in source order: ``rows`` of them, of which ``table`` holds those at ``positions``; the others are broken.

    ``remarks``: what reading decided by itself, with the first piece.
    """

    table: pa.Table
    rows: int
    positions: np.ndarray
    broken: list[tuple[int, str]] = field(default_factory=list)  # position, why
    remarks: list[str] = field(default_factory=list)


def read_pieces(path: str | Path) -> Iterator[Piece]:
    """The rows of a CSV file (also packed by gzip, bzip2 or xz) or of a Parquet file.

    A CSV file of more than :data:`WHOLE` bytes must be UTF-8; a smaller one may be in any encoding that files of a
    project may be in.

    Raises
    ------
    RefitError
        If the file is missing, empty or damaged, or in another encoding.
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
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise RefitError(f"{path}: damaged ({first_line(error)}). Write or fetch it again.") from None


def _parquet(path: Path) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for i, batch in enumerate(file.iter_batches(BATCH, use_threads=False)):
                table, remarks = tidy(pa.Table.from_batches([batch]))
                yield Piece(table, len(batch), np.arange(len(batch)), remarks=[] if i else remarks)
    except (pa.ArrowException, OSError) as error:
        raise RefitError(
            f"{path}: not a readable Parquet file ({first_line(error)}). Write or fetch it again."
        ) from None


class _Utf8:
    """A stream whose beginning was read already, as :mod:`pyarrow` takes it, while it is UTF-8."""

    def __init__(self, head: bytes, stream: BinaryIO, path: Path) -> None:
        self.head, self.stream, self.path, self.closed = head, stream, path, False
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def read(self, size: int = -1) -> bytes:
        given = self.head if size < 0 else self.head[:size]
        self.head = self.head[len(given) :]
        given = given or self.stream.read(size)
        try:
            self._decoder.decode(given, final=not given)
        except UnicodeDecodeError as error:
            raise RefitError(
                f"{self.path}: not UTF-8 (byte 0x{error.object[error.start]:02x}), which a file of more than "
                f"{WHOLE >> 20} MiB must be. Save it as UTF-8, as in `iconv -f latin1 -t utf-8 {self.path.name}`."
            ) from None
        return given

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


@contextmanager
def _opened(stream: BinaryIO, path: Path) -> Iterator[tuple[Opening, io.BytesIO | _Utf8]]:
    """How a CSV file begins, and its rows as a stream of UTF-8."""
    content = stream.read(WHOLE + 1)
    if not content.strip(b"\0 \t\r\n"):
        raise RefitError(f"{path}: the file is empty; expected a CSV or Parquet file with a header and rows.")
    refuse_foreign(content, str(path))
    if len(content) <= WHOLE:
        found = layout(content, str(path))
        yield Opening(found.names, found.delimiter, 0, found.remarks), io.BytesIO(found.body)
        return
    content = content.removeprefix(b"\xef\xbb\xbf")
    head = content[:HEAD]
    begin = opening(head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head)
    yield begin, _Utf8(content[begin.size :], stream, path)


def _csv(stream: BinaryIO, path: Path) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.csv as pv

    skipped: list[tuple[int, str]] = []  # number of the row, from 1

    def skip(row: pv.InvalidRow) -> str:
        skipped.append((row.number, f"has {row.actual_columns} values, and the header {row.expected_columns}"))
        return "skip"

    with _opened(stream, path) as (begin, rows):
        names, remarks = renamed(begin.names)
        nothing = pa.table({name: pa.array([], pa.string()) for name in names})
        try:
            reader = pv.open_csv(
                pa.PythonFile(rows, "r"),
                read_options=pv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
                parse_options=pv.ParseOptions(
                    delimiter=begin.delimiter, newlines_in_values=True, invalid_row_handler=skip
                ),
                convert_options=pv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                raise RefitError(f"{path}: not a CSV file with one header ({first_line(error)}).") from None
            yield Piece(nothing, 0, np.zeros(0, int), remarks=begin.remarks + remarks)
            return
        done = 0  # rows before this piece
        with reader:
            while True:
                try:
                    table = pa.Table.from_batches([reader.read_next_batch()])
                except StopIteration:
                    break
                except pa.ArrowException as error:
                    raise RefitError(f"{path}: not a CSV file with one header ({first_line(error)}).") from None
                piece = _piece(table, skipped, done, [] if done else begin.remarks + remarks)
                done += piece.rows
                yield piece
        if skipped:
            yield Piece(nothing, len(skipped), np.zeros(0, int), [(i, why) for i, (_, why) in enumerate(skipped)])


def _piece(table: pa.Table, skipped: list[tuple[int, str]], done: int, remarks: list[str]) -> Piece:
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
    return Piece(table, table.num_rows + len(broken), positions, broken, remarks)
