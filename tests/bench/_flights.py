"""The flights as the benchmarks use them: read from the bundled package, in the form of ``data/validated``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)
from tasks import params as parameters
from tasks.engine import Plan

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
    return Plan.derive(found.model_copy(update={"features": features}))


def emit(result: dict[str, Any]) -> None:
    """The last line of a benchmark: one JSON object."""
    import json

    print(json.dumps(result, allow_nan=False), flush=True)
