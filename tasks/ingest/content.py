"""What is in a file: unpacked, read, and told apart from a file that is cut."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError, first_line, some
from tasks.files import sha256
from tasks.ingest import lazy
from tasks.ingest.files import File
from tasks.profile import read_content

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.ingest.lazy import Columns

TRIES = 3
PARQUET = b"PAR1"
MARKS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")  # of what is packed
REMEDY = "Write it under another name and rename it when it is whole, or run again when it is"


class Cut(RefitError):
    """A file that ends before its end: it was cut, or is still being written."""


@dataclass(frozen=True)
class Content:
    """A file's columns, the SHA-256 of the file and of what is in it, and whether it ends as a whole text does."""

    path: str
    columns: pa.Table | Columns  # a pyarrow table, or the columns of a large file, read when they are asked for
    sha256: str
    inside: str
    closed: bool  # not a text, or one that ends with a line end
    mark: tuple[int, int, int] | None = None  # of a file that is still read

    def check(self) -> None:
        """Refuse a file that was edited while its columns were read one after the other."""
        if self.mark is not None and marked(self.path) != self.mark:
            raise Cut(f"{self.path}: was edited while it was read. Run again when nothing writes to it.")


def read_file(file: File) -> Content:
    """Read one file, packed or not, with the columns that its folders' names give.

    Raises
    ------
    Cut
        If the file is cut, or goes on changing while it is read.
    RefitError
        If it cannot be read.
    """
    path = file.path
    large = _large(file)
    if large is not None:
        return large
    for _ in range(TRIES):
        before = marked(path)
        stored = _stored(path)
        if marked(path) == before:
            break
    else:
        raise Cut(f"{path}: was edited while it was read, {TRIES} times. Run again when nothing writes to it.")
    content = unpacked(stored, path)
    text = not content.startswith(PARQUET)
    try:
        columns = read_content(content, Path(path))
    except RefitError:
        why = _cut(content, path)
        if why:
            raise Cut(f"{path}: {why}, as in a file that is still being written. {REMEDY}.") from None
        raise
    return Content(
        path,
        _with_hive(columns, file.hive),
        hashlib.sha256(stored).hexdigest(),
        hashlib.sha256(content).hexdigest(),
        not text or content.endswith((b"\n", b"\r")),
    )


def _large(file: File) -> Content | None:
    """A large file, of which a column at a time is read; None for one that is read as a whole."""
    path = Path(file.path)
    before = marked(file.path)
    if before is None or not path.is_file() or before[1] < lazy.PARQUET_FROM or not os.access(path, os.R_OK):
        return None
    with path.open("rb") as stream:
        start = stream.read(8)
        stream.seek(-1, os.SEEK_END)
        closed = stream.read(1) in b"\n\r"
    if start.startswith(PARQUET):
        columns, closed = lazy.parquet(path), True
    elif before[1] < lazy.CSV_FROM or start.startswith(MARKS):
        return None
    else:
        columns = lazy.csv(path)
    if columns is None or not len(columns):
        return None
    digest = sha256(path)
    return Content(file.path, _with_hive(columns, file.hive), digest, digest, closed, before)


def _stored(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        if os.path.islink(path):
            raise RefitError(f"{path}: is a link to {os.readlink(path)}, which is not there.") from None
        raise RefitError(f"{path}: no such file (paths are relative to params.yaml's folder).") from None
    except IsADirectoryError:
        raise RefitError(f"{path}: is a folder.") from None
    except PermissionError:
        raise RefitError(f"{path}: may not be read; change the file's permissions.") from None


def marked(path: str) -> tuple[int, int, int] | None:
    """What changes with each write to a file; None where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def unpacked(content: bytes, path: str) -> bytes:
    """What is in a ``.gz``, ``.bz2``, ``.xz``, ``.zst`` or ``.zip`` (of one file), told by its first bytes; else the content itself."""
    try:
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
        if content.startswith(b"BZh"):
            return bz2.decompress(content)
        if content.startswith(b"\xfd7zXZ\x00"):
            return lzma.decompress(content)
        if content.startswith(b"\x28\xb5\x2f\xfd"):
            import pyarrow as pa

            with pa.input_stream(io.BytesIO(content), compression="zstd") as stream:
                return bytes(stream.read())
        if content.startswith(b"PK\x03\x04"):
            return _of_zip(content, path)
    except (EOFError, lzma.LZMAError, ValueError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise Cut(
            f"{path}: is cut or damaged ({first_line(error, 120)}), as a file that is still being written. {REMEDY}."
        ) from None
    return content


def _of_zip(content: bytes, path: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if "[Content_Types].xml" in names:
            raise RefitError(f"{path}: is a workbook of a spreadsheet program. Save its table as CSV.")
        if len(names) != 1:
            raise RefitError(
                f"{path}: holds {len(names)} files ({some(names, 3)}), and one table is read from a .zip. Unpack it."
            )
        if archive.getinfo(names[0]).flag_bits & 1:
            raise RefitError(f"{path}: needs a password. Unpack it.")
        return archive.read(names[0])


def _cut(content: bytes, path: str) -> str:
    """Why a content that cannot be read looks cut; empty where it does not."""
    if not content.strip():
        return "is empty"
    if content.startswith(PARQUET):
        return "" if content.endswith(PARQUET) and len(content) > 8 else "lacks the end of a Parquet file"
    if content.endswith((b"\n", b"\r")) or not (end := content.rfind(b"\n")) > 0:
        return ""
    if content.count(b'"') % 2:
        return "ends within a quoted value"
    try:
        read_content(content[: end + 1], Path(path))
    except RefitError:
        return ""
    return "ends within a row"


def _with_hive(columns: pa.Table | Columns, hive: dict[str, str | None]) -> pa.Table | Columns:
    import pyarrow as pa

    for name, value in hive.items():
        if name not in columns.column_names:
            columns = columns.append_column(name, pa.array([value] * len(columns), pa.string()))
    return columns
