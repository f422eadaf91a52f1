"""What several tests need and takes long to make is made once, by whichever worker asks first.

Once in a session of pytest; once in all of ``make test``, which names a folder for it in ``TESTS_SHARED``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def shared(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """The folder ``name``, filled by ``build(folder)`` where no worker of this session has done so; others wait for it.

    Whoever changes something takes a copy. What failed once is not tried again: the others fail with its message.
    """
    return _once(Path(os.environ.get("TESTS_SHARED", _session(factory))), name, build)


def for_session(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """As :func:`shared`, for what does not outlive this session of pytest."""
    return _once(_session(factory), name, build)


def _session(factory: pytest.TempPathFactory) -> Path:
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _once(base: Path, name: str, build: Callable[[Path], object]) -> Path:
    folder, done, failed = (base / f"shared-{name}{end}" for end in ("", ".done", ".failed"))
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it where a worker is killed
        if failed.exists():
            pytest.fail(f"{name} could not be made: {failed.read_text()}")
        if not done.exists():
            try:
                shutil.rmtree(folder, ignore_errors=True)  # a killed worker's
                folder.mkdir()
                build(folder)
            except BaseException as error:
                failed.write_text(f"{type(error).__name__}: {error}")
                raise
            done.touch()
    return folder
