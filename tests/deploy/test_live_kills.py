"""The service and its journal, killed at any moment under load: what was acknowledged is there."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.launch import ask, free_port, serving, stop
from tasks.journal import Journal
from tests.deploy.test_live import EVENT, ROW
from tests.tasks.package.projects import TIMED

pytestmark = pytest.mark.faults
KILLS, ALL = 6, 100


class Client(threading.Thread):
    """Tells events and asks for answers by turns, and remembers what was acknowledged."""

    def __init__(self, port: int, number: int, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.number, self.ended = port, number, ended
        self.events: list[str] = []
        self.answers: dict[str, object] = {}

    def run(self) -> None:
        """Until the end; a request that gets no answer is left alone."""
        count = 0
        while not self.ended.is_set():
            count += 1
            id = f"{self.number}-{count}"
            event = {"table": "orders", "row": {**EVENT, "order": 10_000 * self.number + count}, "id": id}
            if self._post("/events", event, {}) is not None:
                self.events.append(id)
            if answer := self._post("/predict", ROW, {"Idempotency-Key": id}):
                self.answers[id] = answer

    def _post(self, path: str, body: object, headers: dict[str, str]) -> object:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            return found if answer.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(0.02)
            return None
        finally:
            connection.close()


def start(package: Path, port: int, where: Path) -> subprocess.Popen[bytes]:
    command = [*serving(package.resolve(), "1")(port), "--workers", "2"]
    env = {**os.environ, "REFIT_JOURNAL": str(where)}
    return subprocess.Popen(
        command, env=env, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def back(port: int, since: float) -> float:
    """Seconds from a moment until a row is answered."""
    while time.monotonic() < since + 60:
        try:
            if ask(f"http://127.0.0.1:{port}", "/predict", json.dumps(ROW).encode())[0] == 200:
                return time.monotonic() - since
        except OSError:
            time.sleep(0.02)
    raise AssertionError("no answer within a minute")


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_nothing_that_was_acknowledged_is_lost(packages: dict[str, Path], tmp_path: Path, full: bool) -> None:
    draw = random.Random(11)
    where, port = tmp_path / "journal.db", free_port()
    process, ended = start(packages[TIMED], port, where), threading.Event()
    clients = [Client(port, number, ended) for number in range(1, 5)]
    took = []
    try:
        back(port, time.monotonic())
        for client in clients:
            client.start()
        for kill in range(ALL if full else KILLS):
            time.sleep(draw.uniform(0.05, 0.8))
            if kill % 2:  # one worker
                workers = [
                    p for p in psutil.Process(process.pid).children() if "resource_tracker" not in " ".join(p.cmdline())
                ]
                draw.choice(workers).kill()
                began = time.monotonic()
            else:  # everything
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                began = time.monotonic()
                process = start(packages[TIMED], port, where)
            took.append(back(port, began))
        ended.set()
        for client in clients:
            client.join(30)
    finally:
        ended.set()
        stop(process)
    with Journal(where) as journal:
        events = [event.id for event in journal.events()]
        answers = {p.id: p.answer for p in journal.predictions()}
    assert len(events) == len(set(events))
    acknowledged = {id for client in clients for id in client.events}
    assert len(acknowledged) > 20
    assert acknowledged <= set(events)
    for client in clients:
        for id, answer in client.answers.items():
            assert answers[id] == answer
    print(f"back after {sorted(round(one, 2) for one in took)} s, {len(events)} events", file=sys.stderr)
