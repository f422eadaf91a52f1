"""The service under pressure: single rows beside a batch of 19 MB, and the end under load.

``python -m tests.bench.pressure [--quick]``. The package has the 146 features of the flights (:mod:`tests.bench._package`). Single
rows come at 50 a second, alone and while one batch of 19 MB (1,000 rows) after another is sent; ``p99_ratio`` is the 99th percentile of
the second over the first, ``more_mb`` what the process took at most beyond what it had. Then the service is ended by SIGTERM while
eight clients ask without pause; ``dropped`` counts requests that it took and did not answer. The rivals are the plain
services of :mod:`tests.bench._plain` with the same package under the same load. The last line is one JSON object: our
figures, and everybody's in ``services``.
"""

from __future__ import annotations

import tasks.stage  # isort: skip

import argparse
import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from deploy.launch import ask, free_port, running, serving, stop
from tasks.files import read_json
from tests.bench._flights import ROOT, emit
from tests.bench._package import made
from tests.bench._plain import BENTOML, FASTAPI, Service
from tests.deploy.load import Clients

MEGABYTES = 19
ROUNDS = 3
# Another process, so that its work does not count for the clients of single rows.
SENDER = """
import http.client, sys, time
address, path, until = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
body, statuses = open(path, "rb").read(), []
while time.monotonic() < until:
    connection = http.client.HTTPConnection(address, timeout=300)
    connection.request("POST", "/predict_batch", body, {"Content-Type": "application/json"})
    statuses.append(connection.getresponse().status)
    connection.close()
print(*statuses)
"""


def percentile(taken: list[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(taken)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] * 1e3


def paced(address: str, body: bytes, rate: float, until: Callable[[], bool]) -> list[float]:
    """Seconds of each single row from when it was due, so that waiting in a queue counts too."""
    import http.client
    from concurrent.futures import ThreadPoolExecutor
    from threading import local

    own, taken = local(), []

    def one(due: float) -> None:
        for again in (True, False):  # one that was idle may have been closed
            if not hasattr(own, "connection"):
                own.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=300)
            try:
                own.connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                answer = own.connection.getresponse()
                answer.read()
                break
            except (OSError, http.client.HTTPException):
                own.connection.close()
                if not again:
                    raise
        assert answer.status == 200, answer.status
        taken.append(time.perf_counter() - due)

    with ThreadPoolExecutor(16) as pool:
        began, n, asked = time.perf_counter(), 0, []
        while not until():
            due = began + n / rate
            time.sleep(max(due - time.perf_counter(), 0))
            asked.append(pool.submit(one, due))
            n += 1
        for each in asked:
            each.result()
    return taken


def peak(process: psutil.Process) -> float:
    """Megabytes that a process and its children had at most, each by itself."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error, OSError):
            status = Path(f"/proc/{each.pid}/status").read_text()
            total += int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    return total / 1024


def beside(command: Any, single: bytes, batch: Path, seconds: float, env: dict[str, str]) -> dict[str, float]:
    """Single rows alone, then beside batches."""
    with running(command, env=env) as address:
        (child,) = (p for p in psutil.Process().children() if _port(address) in shlex.join(p.cmdline()))

        def lasting(length: float) -> Callable[[], bool]:
            end = time.monotonic() + length
            return lambda: time.monotonic() > end

        paced(address, single, 50, lasting(1))
        before, where = peak(child), address.removeprefix("http://")
        alone: list[float] = []
        pressed: list[float] = []
        statuses: list[str] = []
        for _ in range(ROUNDS):  # by turns, as the machine may be busier at one time than at another
            alone += paced(address, single, 50, lasting(seconds / ROUNDS))
            sender = subprocess.Popen(
                [sys.executable, "-c", SENDER, where, str(batch), str(seconds / ROUNDS)],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            pressed += paced(address, single, 50, lambda one=sender: one.poll() is not None)
            statuses += sender.communicate()[0].split()
        return {
            "alone_p50_ms": round(percentile(alone, 0.5), 2),
            "alone_p99_ms": round(percentile(alone, 0.99), 2),
            "p50_ms": round(percentile(pressed, 0.5), 2),
            "p99_ms": round(percentile(pressed, 0.99), 2),
            "p99_ratio": round(percentile(pressed, 0.99) / percentile(alone, 0.99), 2),
            "more_mb": round(peak(child) - before),
            "batches": len(statuses),
            "answered": statuses.count("200"),
        }


def ended(command: Any, one: bytes, many: bytes, times: int, env: dict[str, str]) -> dict[str, int]:
    """End the service under load, ``times`` times."""
    answered = dropped = 0
    slowest = 0.0
    for _ in range(times):
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        process = subprocess.Popen(
            command(port), env={**os.environ, **env}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _ready(address)
            clients = Clients(address, [("/predict", one)] * 6 + [("/predict_batch", many)] * 2).start()
            time.sleep(0.7)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(90)
            slowest = max(slowest, time.monotonic() - began)
            count = clients.stop()
        finally:
            stop(process)
        answered += sum(count.answered.values())
        dropped += len(count.dropped)
    return {"ends": times, "taken": answered + dropped, "dropped": dropped, "slowest_end_s": round(slowest, 1)}


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def _ready(address: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if ask(address, "/readyz")[0] == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{address} was not ready within 60 s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no service is left where this is ended
    seconds, ends, rival_ends = (6.0, 3, 1) if given.quick else (30.0, 50, 10)
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        scratch = Path(folder)
        path = made(scratch, given.quick).resolve()
        row = read_json(path / "golden.json")["rows"][0]["input"]
        # Valid rows, a thousand, whose carrier has a long tail of blanks.
        blanks = MEGABYTES * 1000 - len(json.dumps(row))
        wide = json.dumps([{**row, "carrier": f"{row['carrier']}{' ' * 900}"}] * 1000)
        wide = wide.replace("}, {", "}," + " " * (blanks - 900) + "{")

        def lingering(port: int) -> list[str]:
            return [*serving(path, "1")(port), "--linger", "1"]

        env = {"REFIT_PACKAGE": str(path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        figures: dict[str, dict[str, Any]] = {}
        for one, times in ((Service("refit", lingering), ends), (FASTAPI, rival_ends), (BENTOML, rival_ends)):
            (scratch / "batch").write_text(f'{{"rows":{wide}}}' if one.wrapped else wide)
            single = json.dumps(one.single(row)).encode()
            figures[one.name] = beside(one.command, single, scratch / "batch", seconds, env)
            figures[one.name] |= ended(one.command, single, json.dumps(one.batch([row] * 500)).encode(), times, env)
            print(one.name, json.dumps(figures[one.name]), file=sys.stderr, flush=True)
    emit({**figures["refit"], "services": figures})


if __name__ == "__main__":
    tasks.stage.run(main)
