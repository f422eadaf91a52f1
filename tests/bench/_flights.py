"""The flights as the benchmarks use them: read from the bundled package, in the form of ``data/validated``."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)
from tasks import params as parameters
from tasks.engine import Plan
from tasks.engine.derive import derive

ROOT = Path(__file__).resolve().parents[2]


@cache
def params() -> parameters.Params:
    return parameters.load(ROOT / "params.yaml")


@cache
def tables() -> dict[str, pd.DataFrame]:
    """flights, planes and weather: all of 2013, each row as if everything about it were known by now.

    Made by the project's own ingest stage from the package's CSV files; the target column is added.
    """
    from tasks.ingest.tables import ingest

    found = {name: ingest(name, spec).frame for name, spec in params().data.tables.items()}
    flights, target = found["flights"], params().problem.target
    value = flights[target.column]
    found["flights"] = flights.assign(**{target.name: (value > target.above).astype(float).where(value.notna())})
    return found


def history_plan() -> Plan:
    """The 120 windowed features alone: 6 keys, 4 windows, count, mean, std, max and late rate."""
    found = params()
    features = found.features.model_copy(
        update={"columns": (), "lookups": (), "transforms": {}, "polynomial": None, "dates": {}}
    )
    return derive(found.model_copy(update={"features": features}))


def history_project(
    root: Path, primitives: Sequence[str] = ("mean", "std", "max"), memory_gb: float | None = None
) -> None:
    """A project of the flights alone, up to its validated table, which is left to write, and with the windowed features.

    ``primitives`` of the delay; with the default 120 features, without one of them 96.
    """
    from ruamel.yaml import YAML

    from tasks.artifacts import Validation

    tree = YAML().load(ROOT / "params.yaml")
    tree["data"] |= {"as_of": None, "tables": {"flights": tree["data"]["tables"]["flights"]}}
    tree["features"] = {"columns": [], "history": tree["features"]["history"]}
    tree["features"]["history"][0]["columns"]["arr_delay"] = list(primitives)
    tree["evaluation"] = {}
    if memory_gb is not None:
        tree["training"]["memory_gb"] = memory_gb
    Validation(as_of=None, tables={}, expectations=[]).write(root / "data" / "validated")
    YAML().dump(tree, root / "params.yaml")


def measured(command: list[str], folder: Path, **environment: str) -> dict[str, Any]:
    """A process's seconds by the clock and of processors, its largest memory, and the JSON of its last line, if any."""
    import json

    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=out)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
        out.seek(0)
        last = (out.read().strip().splitlines() or [""])[-1]
    found = {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss * 1024 / 1e6}
    return found | (json.loads(last) if last.startswith("{") else {})


def emit(result: dict[str, Any]) -> None:
    """The last line of a benchmark: one JSON object."""
    import json

    print(json.dumps(result, allow_nan=False), flush=True)
