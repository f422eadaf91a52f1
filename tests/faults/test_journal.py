"""The journal under kill -9, full disks and servers that are gone: what was acknowledged is there, and nothing by half."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tasks.journal import Journal, JournalUnwritable
from tests.faults.writer import event
from tests.postgres import PostgresServer, postgres_server

pytestmark = pytest.mark.faults
KILLS, ALL = 20, 100


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "journal.db")
    found: PostgresServer = request.getfixturevalue("server")
    return found.url


class Writer:
    """A process that writes, and the ids that were acknowledged to it."""

    def __init__(self, where: str, name: str, folder: Path) -> None:
        self.said, self.errors = folder / f"{name}.txt", folder / f"{name}.err"
        with open(self.said, "wb") as out, open(self.errors, "wb") as err:
            words = [sys.executable, "-m", "tests.faults.writer", where, name, "4"]
            self.process = subprocess.Popen(words, stdout=out, stderr=err)

    def wait_for(self, acknowledged: int) -> None:
        until = time.monotonic() + 120
        while self.said.stat().st_size == 0 or len(self.acknowledged()) < acknowledged:
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < until, self.errors.read_text()
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def acknowledged(self) -> list[tuple[str, str]]:
        """Kind and id of what was told to be on disk."""
        return [tuple(line.split()) for line in self.said.read_text().splitlines()]  # type: ignore[misc]


def check(where: str, writers: list[Writer]) -> int:
    """Every acknowledged entry is there, none twice, in one row of numbers; gives how many there are."""
    with Journal(where) as one:
        events, predictions = list(one.events()), list(one.predictions())
        assert sorted([e.seq for e in events] + [p.seq for p in predictions]) == list(range(1, one.seq + 1))
    there = [e.id for e in events]
    answered = {p.id for p in predictions}
    assert len(set(there)) == len(there)
    assert len(answered) == len(predictions)
    for writer in writers:
        told = writer.acknowledged()
        assert {id for _, id in told} <= set(there), "an acknowledged event is lost"
        assert {id for kind, id in told if kind == "both"} <= answered, "an acknowledged answer is lost"
    assert all(e.body["note"] == "x" * 200 for e in events)
    assert answered <= set(there), "half of what was written together"
    return len(there)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_a_writer_is_killed_at_any_moment_and_nothing_that_was_acknowledged_is_lost(
    where: str, tmp_path: Path, full: bool
) -> None:
    """One of two processes is killed, again and again; the other goes on, and a new one takes the place of the first."""
    rng, writers = random.Random(7), list[Writer]()
    steady = Writer(where, "steady", tmp_path)
    try:
        for number in range(ALL if full else KILLS if where.endswith(".db") else KILLS // 2):
            one = Writer(where, f"w{number}", tmp_path)
            writers.append(one)
            if number % 4:  # else it may be killed while it makes the tables, or opens the file
                one.wait_for(1)
            time.sleep(rng.uniform(0, 0.15))
            one.kill()
            before = len(steady.acknowledged())
            steady.wait_for(before + 3)  # nobody waits for the dead
    finally:
        steady.kill()
    assert sum(bool(one.acknowledged()) for one in writers) >= len(writers) / 2, (
        "the kills came too early to test anything"
    )
    assert check(where, [*writers, steady]) > len(writers)
    if where.endswith(".db"):
        with closing(sqlite3.connect(where)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Journal(where, write=True) as one_more:
        assert one_more.append([event("after")]).stored == 1


def test_what_is_acknowledged_was_synced_to_the_disk_before(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    path, log = tmp_path / "journal.db", tmp_path / "log"
    Journal(path, write=True).close()
    traced = [strace, "-f", "-y", "-o", str(log), "-e", "trace=fdatasync,fsync,write"]
    words = [*traced, sys.executable, "-m", "tests.faults.writer", str(path), "w", "1"]
    said = tmp_path / "said"
    with open(said, "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while said.read_bytes().count(b"\n") < 10:
            assert process.poll() is None, process.stderr
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    synced = told = 0
    for line in log.read_text(errors="replace").splitlines():
        if re.search(r"fd?a?t?a?sync\(\d+<[^>]*journal\.db-wal>\) += 0|<\.\.\. fd?a?t?a?sync resumed>\) += 0", line):
            synced += 1
        elif re.search(r'write\(1<[^>]*>, "(event|both) ', line):
            told += 1
            assert synced >= told, f"acknowledgement {told} came before its sync"
    assert told >= 10


def test_a_full_disk_is_told_and_what_came_before_is_whole(tmp_path: Path) -> None:
    """No file may grow beyond a limit of the system, as on a disk that is full; then the limit goes away."""
    path = tmp_path / "journal.db"
    code = """
import resource, sys
from tasks.journal import Journal, JournalUnwritable
from tests.faults.writer import event, prediction
with Journal(sys.argv[1], write=True) as one:
    one.append([event("first")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    stored, refused = 1, None
    for number in range(200):
        try:
            one.append([event(f"{number}/{n}") for n in range(20)], [prediction(str(number))], {"s": str(number)})
            stored += 20
        except JournalUnwritable as error:
            refused = refused or str(error)
    position = one.position("s")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert one.append([event("last")]).stored == 1
print(stored + 1, position, refused)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stored, position, refused = done.stdout.strip().split(" ", 2)
    assert refused.startswith(f"the journal ({path}) cannot be used: ")
    assert "that the disk has room" in refused
    with Journal(path) as one:
        ids = [str(e.id) for e in one.events()]
        assert one.position("s") == position
        assert len(ids) == int(stored)
        assert len(list(one.predictions())) * 20 == len(ids) - 2
        assert (ids[0], ids[-1]) == ("first", "last")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_server_that_stops_for_a_moment_is_told_of_and_work_goes_on(server: PostgresServer, tmp_path: Path) -> None:
    with closing(_connect(server)) as raw:
        raw.execute("DROP SCHEMA public CASCADE")
        raw.execute("CREATE SCHEMA public")
    with Journal(server.url, write=True) as one, Journal(server.url) as reader:
        one.append([event("before")])
        assert reader.seq == 1
        writer = Writer(server.url, "w", tmp_path)
        try:
            writer.wait_for(10)
            server.stop()
            for use in (lambda: one.append([event("meanwhile")]), lambda: reader.seq, lambda: list(reader.events())):
                with pytest.raises(JournalUnwritable, match="Check that the server is reachable") as error:
                    use()
                assert "\n" not in str(error.value)
            with pytest.raises(JournalUnwritable, match="Connection refused"):
                Journal(server.url, write=True)
            told = len(writer.acknowledged())
            server.start()
            assert one.append([event("after")]).stored == 1
            assert reader.seq >= 2
            writer.wait_for(told + 10)
        finally:
            writer.kill()
            if server._process.poll() is not None:
                server.start()
        assert "cannot be used" in writer.errors.read_text()
        ids = [e.id for e in reader.events()]
        assert [id for id in ids if id in ("before", "meanwhile", "after")] == ["before", "after"]
        assert {id for _, id in writer.acknowledged()} <= set(ids)
        assert len(set(ids)) == len(ids)


def _connect(server: PostgresServer):
    import psycopg

    return psycopg.connect(server.url, autocommit=True)
