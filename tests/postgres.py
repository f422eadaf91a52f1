"""A real PostgreSQL server for the tests that need one; skipped where none is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def program(name: str) -> Path | None:
    """A program of PostgreSQL's server; Debian keeps them out of PATH."""
    found = [Path(p) for p in (shutil.which(name),) if p] + sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else None


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database on a free port of this machine."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    initdb, server = program("initdb"), program("postgres")
    if initdb is None or server is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path("/tmp") / f"refit-postgres-{os.getpid()}"  # pytest's own folders are closed to other users
    folder.mkdir()
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        how = {"user": user, "cwd": folder}
        words = [initdb, "-D", data, "-A", "trust", "-U", "refit", "--no-sync"]
        subprocess.run(words, check=True, capture_output=True, **how)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, **how)
        try:
            url = f"postgresql://refit@127.0.0.1:{port}/postgres"
            _until_it_answers(url, process, folder / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for connections to close
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
