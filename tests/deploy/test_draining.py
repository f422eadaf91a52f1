"""The service under load and at its end: what was taken is answered, and health checks are answered meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy.launch import ask, free_port, serving, stop
from deploy.shutdown import DEATHS
from tasks.files import read_json
from tests.deploy.load import Clients
from tests.projects import ROOT
from tests.tasks.package.projects import TIMED

pytestmark = pytest.mark.service


@contextlib.contextmanager
def started(package: Path, *more: str, before: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service as a process whose end and words are looked at; yields it with its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*before, *serving(package.resolve(), "1")(port), *more], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError):
                if ask(address, "/readyz")[0] == 200:
                    break
            time.sleep(0.03)
        yield process, address
    finally:
        stop(process)
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture(scope="module")
def row(packages: dict[str, Path]) -> dict[str, Any]:
    return dict(read_json(packages[TIMED] / "golden.json")["rows"][0]["input"])


@pytest.mark.sweep
@pytest.mark.parametrize("workers", [1, 2])
def test_no_answer_is_dropped_at_the_end(
    packages: dict[str, Path], row: dict[str, Any], workers: int, full: bool
) -> None:
    """SIGTERM and SIGHUP while eight clients ask without pause, two of them batches."""
    requests = [("/predict", json.dumps(row).encode())] * 6 + [("/predict_batch", json.dumps([row] * 500).encode())] * 2
    for i in range(25 if full else 2 if workers == 1 else 1):
        with started(packages[TIMED], "--workers", str(workers), "--linger", "1") as (process, address):
            clients = Clients(address, requests).start()
            time.sleep(0.5)
            assert ask(address, "/readyz")[0] == 200
            process.send_signal(signal.SIGHUP if i % 2 else signal.SIGTERM)
            if workers == 1:
                assert ask(address, "/predict", requests[0][1])[0] == 200  # still taken
                status, said = ask(address, "/readyz")
                assert (status, said["errors"][0]["message"]) == (503, "the service is leaving; ask again in 1 s")
            assert process.wait(30) == 0
            count = clients.stop()
            assert process.stderr is not None
            assert process.stderr.read() == ""  # no semaphore left, no trace
        assert (count.dropped, set(count.answered), count.refused) == ([], {200}, 8)
        assert count.answered[200] > 8


def test_health_is_answered_beside_large_batches_and_memory_stays(
    packages: dict[str, Path], row: dict[str, Any]
) -> None:
    """19 MB of rows, and 19 MB of what is none."""
    valid = json.dumps([{**row, "shop": f"{row['shop']}{' ' * 900}"}] * 1000)
    valid = valid.replace("}, {", "}," + " " * 18_100 + "{")
    bodies = {200: valid.encode(), 422: b"[" + b"3," * 9_500_000 + b"3]"}
    with started(packages[TIMED]) as (process, address):
        before = peak(process.pid)
        for status, body in bodies.items():
            assert len(body) >= 18_900_000
            answered = 0
            with ThreadPoolExecutor(1) as pool:
                batch = pool.submit(ask, address, "/predict_batch", body)
                while not batch.done():
                    assert ask(address, "/healthz")[0] == 200
                    answered += 1
            assert batch.result()[0] == status
            assert answered > 3 or status != 200  # what is no batch is refused within milliseconds
        assert peak(process.pid) - before < 1 << 30
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def test_work_that_takes_longer_than_the_grace_is_given_up(packages: dict[str, Path], row: dict[str, Any]) -> None:
    """The process ends in time, and the client is told."""
    body = json.dumps([row] * 1000).encode()
    with started(packages[TIMED], "--grace", "1") as (process, address):
        found: list[Any] = []
        batches = [
            threading.Thread(target=lambda: found.append(ask(address, "/predict_batch", body))) for _ in range(12)
        ]
        for batch in batches:
            batch.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        for batch in batches:
            batch.join()
    assert {status for status, _ in found} <= {200, 503}
    assert all("took too long" in said["errors"][0]["message"] for status, said in found if status == 503)


def test_a_full_temporary_folder_is_told_and_two_workers_serve_on(
    packages: dict[str, Path], row: dict[str, Any]
) -> None:
    mount = 'mount --make-rprivate / && mount -t tmpfs -o size=64k tmpfs /var/tmp && exec "$@"'
    within = ("unshare", "--mount", "sh", "-c", mount, "sh", "env", "TMPDIR=/var/tmp")
    if (
        os.getuid()
        or shutil.which("unshare") is None
        or subprocess.run([*within, "true"], capture_output=True).returncode
    ):
        pytest.skip("a small folder can be mounted by root alone, where the system allows it")
    with started(packages[TIMED], "--workers", "2", before=within) as (process, address):
        for _ in range(20):
            assert ask(address, "/predict", json.dumps(row).encode())[0] == 200
        assert "refit_rows_total" in ask(address, "/metrics")[1]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "there is no room for them in /var/tmp" in said


def test_workers_that_end_again_and_again_end_the_service() -> None:
    """Each time it is said; after some it is given up."""
    serve = "import tasks.stage as s; from deploy.shutdown import run; s.run(lambda: run('tests.deploy.dying:app', '127.0.0.1', 0, 2, 0))"
    done = subprocess.run([sys.executable, "-c", serve], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr.count("a worker ended with code 7; another is started") == DEATHS - 1
    assert f"error: {DEATHS} workers ended within 60 s, the last one ended with code 7" in done.stderr


def test_an_address_that_cannot_be_had_is_said(packages: dict[str, Path]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            serving(packages["binary"].resolve(), "1")(port), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert f"error: cannot listen on 127.0.0.1 port {port}: another program listens there" in done.stderr
    assert sys.executable not in done.stderr
