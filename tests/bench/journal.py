"""What is kept by the journal in a second, what one answer waits for its commit, and what kills lose of it.

``python -m tests.bench.journal [--quick]``. Four callers send batches of events, one after the other, beside four that have single
answers kept; each waits for its own acknowledgement, as the service does for its clients. Arms take turns, each in a file of its own on the same
disk, all with WAL and ``synchronous=FULL``. The last line is one JSON object:

``events_per_second``  events that were acknowledged by the journal, with the answers beside them
``commit_p50_ms``, ``commit_p99_ms``  what an answer waits meanwhile from being handed over until it is on disk
``alone_p50_ms``, ``alone_p99_ms``    the same of one caller with nobody beside it
``batches``            the best that one can do by hand: `sqlite3`, a connection each, ``BEGIN IMMEDIATE``, the same batches and answers, each
                       caller with a commit of its own; the same figures
``each``               the plain script: one caller that commits each event by itself, events per second
``sync_ms``            median of a bare ``fdatasync`` after 4 kB, of the same disk: no commit can be quicker
``kills``, ``lost``    writers that were killed with -9 under load, and acknowledged entries that were not there afterwards
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tasks.journal import Commits, Event, Journal, Prediction
from tests.bench._flights import emit
from tests.faults.test_journal import Writer

BATCH, SENDERS, ASKERS = 200, 4, 4
BODY = {
    "flight": 0.0, "time_hour": "2013-10-31T18:00:00Z", "carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400.0,
    "tailnum": "N14228", "dep_delay": 2.0, "arr_delay": 11.0, "cancelled": False,
}  # fmt: skip


def event(n: int, id: str) -> Event:
    return Event("flights", {**BODY, "flight": float(n)}, f"[{n}.0]", id)


def prediction(n: int, id: str) -> Prediction:
    answer = {"probability": 0.25, "decision": "0", "id": id, "version": "3", "warnings": []}
    return Prediction(
        id, BODY, answer, f"[{n}.0]", "ab" * 32, "3", (0.75, 0.25), 0.0, 0.3, n, "cd" * 32, 1_383_242_400_000_000
    )


@dataclass
class Load:
    """What callers had acknowledged in some seconds, and how long each answer waited."""

    seconds: float
    events: int = 0
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self, send: Callable[[str], Callable[[int], None]], ask: Callable[[str], Callable[[int], None]], senders: int
    ) -> None:
        """``send`` and ``ask`` make what a caller does again and again, given its number, until the time is over."""
        until = time.monotonic() + self.seconds

        def sending(name: str) -> None:
            work, n = send(name), 0
            while time.monotonic() < until:
                work(n)
                n += 1
                with self.lock:
                    self.events += BATCH

        def asking(name: str) -> None:
            work, n, waits = ask(name), 0, []
            while (began := time.monotonic()) < until:
                work(n)
                n += 1
                waits.append(time.monotonic() - began)
            with self.lock:
                self.waits += waits

        threads = [threading.Thread(target=sending, args=(f"s{i}",)) for i in range(senders)]
        threads += [threading.Thread(target=asking, args=(f"a{i}",)) for i in range(ASKERS if senders else 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def figures(self) -> dict[str, float]:
        waits = sorted(self.waits)
        return {
            "events_per_second": round(self.events / self.seconds),
            "commit_p50_ms": round(1000 * statistics.median(waits), 2),
            "commit_p99_ms": round(1000 * waits[int(len(waits) * 0.99)], 2),
        }


def ours(path: Path, load: Load, senders: int = SENDERS) -> None:
    with Commits(Journal(path, write=True)) as commits:

        def send(name: str) -> Callable[[int], None]:
            return lambda n: _done(commits.append([event(i, f"{name}-{n}-{i}") for i in range(BATCH)]), BATCH)

        def ask(name: str) -> Callable[[int], None]:
            return lambda n: _done(commits.append(predictions=[prediction(n, f"{name}-{n}")]), 1)

        load.run(send, ask, senders)
    with Journal(path) as reader:
        assert sum(reader.about().events.values()) >= load.events


def _done(future, count: int) -> None:
    assert future.result().stored == count


def _plain(path: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute(
        "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, named TEXT, entity TEXT, body TEXT, received INTEGER)"
    )
    raw.execute(
        "CREATE TABLE IF NOT EXISTS predictions (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, entity TEXT, row TEXT, answer TEXT, at INTEGER)"
    )
    return raw


def _rows(name: str, n: int) -> list[tuple[object, ...]]:
    made = [event(i, f"{name}-{n}-{i}") for i in range(BATCH)]
    at = time.time_ns() // 1000
    return [(e.id, e.table, e.key, json.dumps(e.body), at) for e in made]


INSERT = "INSERT OR IGNORE INTO events (id, named, entity, body, received) VALUES (?, ?, ?, ?, ?)"


def by_hand(path: Path, load: Load) -> None:
    """A connection for each caller, and a transaction for each batch and each answer."""
    made: list[sqlite3.Connection] = []

    def opened() -> sqlite3.Connection:
        with load.lock:
            made.append(_plain(path))
            return made[-1]

    def send(name: str) -> Callable[[int], None]:
        raw = opened()

        def one(n: int) -> None:
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(INSERT, _rows(name, n))
            raw.execute("COMMIT")

        return one

    def ask(name: str) -> Callable[[int], None]:
        raw = opened()

        def one(n: int) -> None:
            p = prediction(n, f"{name}-{n}")
            raw.execute("BEGIN IMMEDIATE")
            raw.execute(
                "INSERT OR IGNORE INTO predictions (id, entity, row, answer, at) VALUES (?, ?, ?, ?, ?)",
                (p.id, p.key, json.dumps(p.row), json.dumps(p.answer), time.time_ns() // 1000),
            )
            raw.execute("COMMIT")

        return one

    load.run(send, ask, SENDERS)
    for raw in made:
        raw.close()


def each(path: Path, seconds: float) -> int:
    """Events per second of a script that commits each one."""
    count, until = 0, time.monotonic() + seconds
    with closing(_plain(path)) as raw:
        while time.monotonic() < until:
            for row in _rows("e", count):
                raw.execute(INSERT, row)  # autocommit
                count += 1
                if time.monotonic() >= until:
                    break
    return round(count / seconds)


def sync(folder: Path) -> float:
    """Milliseconds of a bare fdatasync (median)."""
    times = []
    with open(folder / "bare", "wb", buffering=0) as file:
        for _ in range(100):
            file.write(b"x" * 4096)
            began = time.monotonic()
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - began)
    return round(1000 * statistics.median(times), 2)


def kills(folder: Path, count: int) -> tuple[int, int]:
    """Writers that were killed after something was acknowledged to them, and acknowledged entries that are not there."""
    rng, writers = random.Random(1), []
    for number in range(count):
        one = Writer(str(folder / "killed.db"), f"w{number}", folder)
        one.wait_for(1)
        time.sleep(rng.uniform(0, 0.2))
        one.kill()
        writers.append(one)
    with Journal(folder / "killed.db") as reader:
        events, answers = [e.id for e in reader.events()], {p.id for p in reader.predictions()}
    assert len(set(events)) == len(events)
    told = [entry for one in writers for entry in one.acknowledged()]
    there = set(events)
    return len(writers), sum(id not in there or (kind == "both" and id not in answers) for kind, id in told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter turns, fewer kills")
    quick = parser.parse_args().quick
    rounds, seconds = (2, 4.0) if quick else (3, 15.0)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "batches": [], "alone": []}
    singles, syncs = [], []
    with tempfile.TemporaryDirectory(prefix="refit-journal-") as name:
        folder = Path(name)
        for i in range(rounds):
            arms: dict[str, Callable[[Path, Load], None]] = {
                "ours": ours, "batches": by_hand, "alone": lambda path, load: ours(path, load, senders=0),
            }  # fmt: skip
            for arm in arms if i % 2 == 0 else reversed(arms):
                load = Load(seconds)
                arms[arm](folder / f"{arm}-{i}.db", load)
                found[arm].append(load.figures())
                print(f"round {i + 1}, {arm}: {found[arm][-1]}, {len(load.waits):,} answers", flush=True)
            singles.append(each(folder / f"each-{i}.db", seconds / 2))
            syncs.append(sync(folder))
            print(f"round {i + 1}, each: {singles[-1]} events per second; a bare sync {syncs[-1]} ms", flush=True)
        killed, lost = kills(folder, 10 if quick else 100)
    middle = {
        arm: {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        for arm, figures in found.items()
    }
    emit(
        {
            **middle["ours"],
            "alone_p50_ms": middle["alone"]["commit_p50_ms"],
            "alone_p99_ms": middle["alone"]["commit_p99_ms"],
            "batches": middle["batches"],
            "each": statistics.median(singles),
            "sync_ms": statistics.median(syncs),
            "kills": killed,
            "lost": lost,
        }
    )


if __name__ == "__main__":
    main()
