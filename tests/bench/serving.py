"""Requests per second of the service, and of two plain ways to serve the same model, in one run.

``python -m tests.bench.serving [--quick] [--package DIR]``. Without ``--package`` it makes a package of a
small problem with time. Load comes from wrk (8 connections); everything shares this machine's cores, so
the ratios mean more than the figures.
"""

from __future__ import annotations

import tasks.stage  # isort: skip

import argparse
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.launch import Command, ask, running, serving
from tasks.errors import RefitError
from tasks.files import read_json
from tests.tasks.package.projects import TIMED, package, project

RIVAL = "plain BentoML endpoint of the same package"
# What a service looks like when it is written straight after BentoML's introduction: the same bundle.
PLAIN = """
import os
import bentoml
from pydantic import BaseModel
from tasks.bundle import Bundle
from tasks.bundle.rows import from_json


@bentoml.service(http={"host": "127.0.0.1"})
class Plain:
    def __init__(self) -> None:
        self.bundle = Bundle.load(os.environ["REFIT_PACKAGE"]).start()
        self.fields = self.bundle.schema["fields"]

    @bentoml.api
    def predict(self, row: dict) -> dict:
        answer = self.bundle.predict_row(from_json(row, self.fields))
        return {"scores": list(answer.scores), "decision": self.bundle.label(answer.decision)}
"""


def load(address: str, body: bytes, seconds: int, scratch: Path) -> dict[str, float]:
    """wrk's figures for POST /predict."""
    script = scratch / "post.lua"
    text = body.decode().replace("\\", "\\\\").replace("'", "\\'")
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{text}'\nwrk.headers['Content-Type'] = 'application/json'\n"
        "done = function(s, l, r) io.write(string.format('FIGURES %f %f %f %d\\n', "
        "s.requests / (s.duration / 1e6), l:percentile(50) / 1e3, l:percentile(99) / 1e3, s.errors.status)) end\n"
    )
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", str(script), f"{address}/predict"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"FIGURES (\S+) (\S+) (\S+) (\d+)", said)
    assert found, said
    rate, p50, p99, errors = (float(x) for x in found.groups())
    return {"requests_per_second": round(rate, 1), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3), "errors": errors}


def alone(address: str, body: bytes, seconds: int, scratch: Path) -> float:
    """Median milliseconds of one request at a time, end to end."""
    import http.client
    import statistics
    import time

    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    taken = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
    connection.close()
    return round(statistics.median(taken) * 1e3, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--package", type=Path)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise RefitError("wrk is not installed; `apt-get install wrk`")
    seconds = 2 if given.quick else 10
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        scratch = Path(folder)
        path = given.package
        if path is None:
            with contextlib.redirect_stdout(io.StringIO()):
                path = package(project(scratch / "project", TIMED))
        row = read_json(path / "golden.json")["rows"][0]["input"]
        (scratch / "plain.py").write_text(PLAIN)

        def rival(port: int) -> list[str]:
            where = ["--working-dir", str(scratch), "--host", "127.0.0.1", "--port", str(port)]
            return [sys.executable, "-m", "bentoml", "serve", "plain:Plain", *where]

        env = {"REFIT_PACKAGE": str(path.resolve()), "OMP_NUM_THREADS": "1"}
        commands: list[tuple[str, Command, object]] = [
            ("refit", serving(path.resolve(), "1"), row),
            (RIVAL, rival, {"row": row}),
        ]
        figures = {}
        for name, command, document in commands:
            body = json.dumps(document).encode()
            with running(command, env=env) as address:
                assert ask(address, "/predict", body)[0] == 200
                load(address, body, 1, scratch)
                figures[name] = {"one_at_a_time_p50_ms": alone(address, body, seconds, scratch)}
                figures[name] |= load(address, body, seconds, scratch)
            print(name, json.dumps(figures[name]), flush=True)
    ours, theirs = figures["refit"], figures[RIVAL]
    ratio = round(ours["requests_per_second"] / theirs["requests_per_second"], 2)
    rival_rate = theirs["requests_per_second"]
    print(json.dumps({**ours, "rival": RIVAL, "rival_requests_per_second": rival_rate, "ratio": ratio}))


if __name__ == "__main__":
    tasks.stage.run(main)
