"""`refit serve` and two plain services of the same package: requests per second and the time of one.

``python -m tests.bench.serving [--quick] [--package DIR]``. The package has the 146 features of the flights
(:mod:`tests.bench._package`), or is the one given. Each service is one process and reads a row of JSON, computes its features by
the same engine, asks the same model and answers: ``refit`` is the command `refit serve` without its journal, since the others keep
nothing either, ``refit_kept`` the same with it, ``fastapi`` the same in a few
lines of FastAPI under uvicorn with uvloop and httptools, ``bentoml`` a service class as BentoML's introduction has it. All
answers to the package's golden rows must be the pipeline's to the last bit. Then wrk sends these rows by turns to one service after
the other, eight at once (``requests_per_second``, ``p50_ms``, ``p99_ms``, and ``cpu_ms``: processor milliseconds of the service's processes for each
request; medians over the rounds), and another client one at a time (``alone_p50_ms``). The last line is one JSON object: this
service's figures, ``services`` (everybody's), ``ratio_fastapi`` and ``ratio_bentoml`` (our requests per second over theirs,
median over the rounds), ``cpu_fastapi`` and ``cpu_bentoml`` (their processor time for a request over ours), ``kept``, the requests per second with every answer on disk before it is given over those without,
and ``differing`` answers (0).
"""

from __future__ import annotations

import tasks.stage  # isort: skip

import argparse
import http.client
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from deploy.launch import ask, running
from tasks.errors import RefitError
from tasks.files import read_json, sha256
from tests.bench._flights import ROOT, emit
from tests.bench._package import made
from tests.bench._plain import BENTOML, FASTAPI, Service

ROUNDS = 5
KEPT = "refit_kept"
LUA = """
local bodies = {%s}
local next = 0
wrk.method = 'POST'
wrk.headers['Content-Type'] = 'application/json'
request = function()
  next = next %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[next])
end
done = function(s, l, r)
  local bad = s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout
  io.write(string.format('FIGURES %%d %%f %%f %%f %%d\\n', s.requests, s.requests / (s.duration / 1e6), l:percentile(50) / 1e3, l:percentile(99) / 1e3, bad))
end
"""


def load(address: str, bodies: list[bytes], seconds: float, scratch: Path) -> dict[str, float]:
    """wrk's figures for POST /predict with eight connections, and the service's processor time; every answer must be good."""
    script = scratch / "post.lua"
    script.write_text(LUA % ", ".join(f"[==[{body.decode()}]==]" for body in bodies))
    command = ["wrk", "-t1", "-c8", f"-d{seconds:g}s", "-s", str(script), f"{address}/predict"]
    before = processor(address)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = processor(address) - before
    found = re.search(r"FIGURES (\d+) (\S+) (\S+) (\S+) (\d+)", said)
    assert found, said
    requests, rate, p50, p99, bad = (float(x) for x in found.groups())
    assert bad == 0, said
    return {"requests_per_second": rate, "cpu_ms": spent / requests * 1e3, "p50_ms": p50, "p99_ms": p99}


def processor(address: str) -> float:
    """Processor seconds so far of the service at this address, and of its children."""
    port = address.rpartition(":")[2]
    (own,) = (p for p in psutil.Process().children() if port in p.cmdline())
    return sum(sum(p.cpu_times()[:2]) for p in [own, *own.children(recursive=True)])


def alone(address: str, bodies: list[bytes], seconds: float) -> float:
    """Median milliseconds of one request at a time, end to end."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    taken = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("POST", "/predict", bodies[len(taken) % len(bodies)], {"Content-Type": "application/json"})
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(taken) * 1e3


def differing(address: str, bodies: list[bytes], golden: list[dict[str, Any]]) -> int:
    """Golden rows that are not answered with the pipeline's bits."""
    wrong = 0
    for body, row in zip(bodies, golden, strict=True):
        status, found = ask(address, "/predict", body)
        same = status == 200 and (found["probability"], found["decision"]) == (row["scores"][1], row["decision"])
        wrong += not same
    return wrong


def refit(name: str, package: Path) -> Service:
    """The command that a user serves with, in a folder with the flights' ``params.yaml``."""
    given = ["--package", str(package), "--sha256", sha256(package / "bundle.json")]
    return Service(name, lambda port: [sys.executable, "-m", "flows.cli", "serve", *given, "--port", str(port)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--package", type=Path)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise RefitError("wrk is not installed; `apt-get install wrk`")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no service is left where this is ended
    seconds = 2 if given.quick else 10
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder, ExitStack() as up:
        scratch, root = Path(folder), Path(folder) / "project"
        root.mkdir()
        if given.package is None:
            path = made(root, given.quick)
        else:
            path = given.package.resolve()
            shutil.copy(ROOT / "params.yaml", root)
        golden = read_json(path / "golden.json")["rows"]
        forgets = Path(folder) / "forgets"
        forgets.mkdir()
        tree = YAML().load(root / "params.yaml")
        tree["serving"]["journal"] = False
        YAML().dump(tree, forgets / "params.yaml")
        services = (refit("refit", path), FASTAPI, BENTOML, refit(KEPT, path))
        env = {"REFIT_PACKAGE": str(path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        places, bodies, wrong = {}, {}, 0
        for one in services:
            places[one.name] = up.enter_context(
                running(one.command, env=env, folder=root if one.name == KEPT else forgets)
            )
            bodies[one.name] = [json.dumps(one.single(row["input"])).encode() for row in golden]
            wrong += differing(places[one.name], bodies[one.name], golden)
            load(places[one.name], bodies[one.name], 1, scratch)
        rounds: list[dict[str, dict[str, float]]] = []
        for _ in range(ROUNDS):
            rounds.append({name: load(places[name], bodies[name], seconds, scratch) for name in places})
            for name in places:
                rounds[-1][name]["alone_p50_ms"] = alone(places[name], bodies[name], seconds / 2)
            print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
        figures = {
            name: {k: round(statistics.median(r[name][k] for r in rounds), 3) for k in rounds[0][name]}
            for name in places
        }

        def ratio(name: str) -> float:
            rates = (r["refit"]["requests_per_second"] / r[name]["requests_per_second"] for r in rounds)
            return round(statistics.median(rates), 2)

        def cpu(name: str) -> float:
            return round(statistics.median(r[name]["cpu_ms"] / r["refit"]["cpu_ms"] for r in rounds), 2)

        emit(
            {
                **figures["refit"],
                **{f"ratio_{one.name}": ratio(one.name) for one in services[1:3]},
                **{f"cpu_{one.name}": cpu(one.name) for one in services[1:3]},
                "kept": round(1 / ratio(KEPT), 2),
                "differing": wrong,
                "rows": len(golden),
                "services": figures,
            }
        )


if __name__ == "__main__":
    tasks.stage.run(main)
