"""Reading and writing files. Every write is atomic: beside the target first, then renamed onto it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import RefitError

if TYPE_CHECKING:
    import pandas as pd

    from tasks.stored import Frame


PART = re.compile(r"\..*\.([0-9a-f]{8})-([0-9]+)\.part")  # name of what is being written: by which machine and process

WHOLE_GROUP = 1 << 20  # rows of a Parquet row group, as its writers have it
SMALL_GROUP = 1 << 16  # of a table of more than LARGE_TABLE cells
LARGE_TABLE = 1 << 26
DICTIONARY = 1 << 17  # bytes: a column of more different values is written as it is, which is quicker, and smaller


def _part() -> str:
    """End of the name of something unfinished. DVC passes it over (``.dvcignore``), and :func:`sweep` finds whose it is."""
    return f".{_machine()}-{os.getpid()}.part"


def _machine() -> str:
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


def sweep(folder: str | Path) -> list[Path]:
    """Remove what killed processes left unfinished below a folder; returns what was removed.

    What a living process of this machine writes stays. Of another machine's processes, which cannot be asked, stays what
    was written within a day.
    """
    import psutil

    removed = []
    for path in sorted(Path(folder).rglob(".*.part")):
        owner = PART.fullmatch(path.name)
        try:
            if owner is None or (
                psutil.pid_exists(int(owner[2]))
                if owner[1] == _machine()
                else time.time() - path.stat().st_mtime < 86400
            ):
                continue
        except FileNotFoundError:  # finished just now
            continue
        removed.append(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return removed


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@contextmanager
def replacing(path: str | Path, *, first: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success rename it onto ``path``, on failure remove it.

    With ``first``, what another process put there meanwhile stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_part(), dir=path.parent)
    os.close(handle)
    os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only the owner may read
    try:
        yield Path(name)
        if first:
            with suppress(FileExistsError):
                os.link(name, path)
        else:
            os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def replacing_dir(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it takes the place of the folder ``path``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_part(), dir=path.parent))
    os.chmod(fresh, 0o777 & ~_umask())
    try:
        yield fresh
        for file in fresh.rglob("*"):  # safetensors writes files that only the owner may read
            if file.is_file() and file.stat().st_mode & 0o777 == 0o600:
                os.chmod(file, 0o666 & ~_umask())
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", suffix=_part(), dir=path.parent))
            os.replace(path, old / "it")
            os.replace(fresh, path)
            shutil.rmtree(old)
        else:
            os.replace(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON; non-finite numbers are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file. Raises :class:`RefitError` where there is none, or it is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise no_file(path) from None
    except json.JSONDecodeError as error:
        raise RefitError(f"{path}: not valid JSON ({error}). Remove it and run `refit run` again.") from None


def optional_json(path: str | Path) -> Any:
    """The value of a JSON file; None where there is no such file. Raises as :func:`read_json` where it is no JSON."""
    return read_json(path) if Path(path).exists() else None


def write_table(path: str | Path, frame: Frame) -> None:
    """Write Parquet (zstd), of a frame in memory or on disk. The bytes depend on it alone; a large one goes by row groups."""
    if len(frame) > WHOLE_GROUP:
        return append_tables(path, (frame.iloc[at : at + WHOLE_GROUP] for at in range(0, len(frame), WHOLE_GROUP)))
    with replacing(path) as beside:
        frame.iloc[: len(frame)].to_parquet(beside, index=False, compression="zstd")  # of one on disk, its rows


def row_group(rows: int, columns: int) -> int:
    """Rows of a Parquet file's row groups. A large table has smaller ones, so that it can be written piece by piece.

    It follows from the table's size alone, so the bytes do not depend on how the table was made.
    """
    return SMALL_GROUP if rows * columns > LARGE_TABLE else WHOLE_GROUP


def append_tables(path: str | Path, parts: Iterable[pd.DataFrame]) -> None:
    """Write frames, each with the next rows, as one Parquet file (zstd) with a row group for each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as beside, ExitStack() as stack:
        writer = None
        for frame in parts:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            if writer is None:
                how = {"compression": "zstd", "dictionary_pagesize_limit": DICTIONARY}
                writer = stack.enter_context(pq.ParquetWriter(beside, table.schema, **how))
            writer.write_table(table, row_group_size=WHOLE_GROUP)


def read_table(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file, or some of its columns, as a frame in memory. Raises :class:`RefitError` where there is none."""
    import pandas as pd

    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise no_file(path) from None


def no_file(path: str | Path) -> RefitError:
    """The error that a file of a stage is not there, with the remedy."""
    return RefitError(f"{path}: no such file. Run `refit run` (or `dvc repro`) to make it.")


def folder_size(path: str | Path) -> int:
    """Bytes of all files below a folder."""
    return sum(p.stat().st_size for p in Path(path).rglob("*") if p.is_file())


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def optional_sha256(path: str | Path) -> str | None:
    """Hex SHA-256 of a file; None where there is no such file."""
    return sha256(path) if Path(path).is_file() else None


def hash_tree(path: str | Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative POSIX path, sorted; what is unfinished does not count."""
    root = Path(path)
    paths = {p: p.relative_to(root) for p in sorted(root.rglob("*"))}
    return {
        inner.as_posix(): sha256(p)
        for p, inner in paths.items()
        if not any(PART.fullmatch(part) for part in inner.parts) and p.is_file()
    }
