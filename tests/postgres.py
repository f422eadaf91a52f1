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
from typing import Any

import pytest


def program(name: str) -> Path | None:
    """A program of PostgreSQL's server; Debian keeps them out of PATH."""
    found = [Path(p) for p in (shutil.which(name),) if p] + sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else None


class PostgresServer:
    """A server on a free port that can be stopped and started again; what it holds stays."""

    def __init__(self, folder: Path, words: list[str | Path], how: dict[str, Any], port: int) -> None:
        self._log, self._words, self._how = folder / "log", words, how
        self.url = f"postgresql://refit@127.0.0.1:{port}/postgres"
        self.start()

    def start(self) -> None:
        with open(self._log, "a") as log:
            self._process = subprocess.Popen(self._words, stdout=log, stderr=log, **self._how)
        _until_it_answers(self.url, self._process, self._log)

    def stop(self) -> None:
        """A fast shutdown, which does not wait for connections to close."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database on a free port of this machine."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server with an empty database, on a free port of this machine."""
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
        found = PostgresServer(
            folder, [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"], how, port
        )
        try:
            yield found
        finally:
            found.stop()
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
