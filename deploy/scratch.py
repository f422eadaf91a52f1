"""The folder in which several workers count together, and what is done where there is no room for one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PREFIX = "refit-metrics-"
LOCK = "alive"
ROOM = 1 << 20  # bytes for a worker's file of one kind of metric; about 8,000 values
FILES = ("counter", "histogram")


@contextlib.contextmanager
def folder(workers: int) -> Iterator[Path | None]:
    """A folder for the metrics of several workers, removed at the end; those of dead processes are removed first.

    None where the temporary folder has no room: that is told, and each worker counts for itself.
    """
    made: Path | None = None
    lock = None
    try:
        try:
            sweep(Path(tempfile.gettempdir()))
            made = Path(tempfile.mkdtemp(prefix=PREFIX))
            lock = (made / LOCK).open("wb")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with (made / "room").open("wb") as room:
                _take(room, 2 * workers * len(FILES) * ROOM)
            (made / "room").unlink()
        except OSError as error:
            print(
                f"metrics: there is no room for them in {_temporary()} ({error.strerror}); each worker counts for itself, "
                "and /metrics shows those of the one that answers. TMPDIR names another folder.",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            yield None
        else:
            yield made
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            lock.close()


def reserve() -> None:
    """Called by a worker before it counts: its files get their room now, as a write into a full folder would kill it."""
    where = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not where:
        return
    try:
        for name in FILES:
            with (Path(where) / f"{name}_{os.getpid()}.db").open("ab") as file:
                _take(file, ROOM)
    except OSError as error:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        print(f"metrics: {where}: {error.strerror}; this worker counts for itself", file=sys.stderr, flush=True)


def sweep(temporary: Path) -> None:
    """Remove the folders of processes that are gone. Their owner holds a lock; of older ones, the files name it."""
    for path in temporary.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
                continue
            lock = path / LOCK
            if lock.exists():
                with lock.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            elif not any(path.iterdir()):
                if path.stat().st_mtime < time.time() - 3600:  # perhaps one that is just being made
                    path.rmdir()
            elif not any(_runs(p.stem.rpartition("_")[2]) for p in path.glob("*.db")):
                shutil.rmtree(path, ignore_errors=True)


def _take(file: IO[bytes], size: int) -> None:
    """Take room on the disk for so many zeros. A longer file alone would take it when it is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.write(bytes(size))


def _runs(pid: str) -> bool:
    import psutil

    return pid.isdecimal() and psutil.pid_exists(int(pid))


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "any temporary folder"
