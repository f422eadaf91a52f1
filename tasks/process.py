"""Settings of every process of Refit: quiet, and fast beside others. Importing this applies them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

# Set before numpy, torch or xgboost load. Spinning OpenMP threads make XGBoost 14 times slower
# when another process wants a core; telemetry of every component is off.
SETTINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUTF8": "1",
    "MPLBACKEND": "Agg",
}
# New objects until Python looks for garbage, of old ones too: by default 700, which is a tenth of what an import of libraries takes.
COLLECT = 20_000
FORCED = {k for k in SETTINGS if "TRACK" in k or "ANALYTICS" in k or "TELEMETRY" in k}


def settle() -> None:
    """Apply :data:`SETTINGS` to this process and its children; what a user set for speed is kept."""
    gc.set_threshold(COLLECT)
    for name, value in SETTINGS.items():
        if name in FORCED:
            os.environ[name] = value
        else:
            os.environ.setdefault(name, value)


def threads() -> int:
    """Threads a fit may use: ``OMP_NUM_THREADS`` if set, else the cores this process may run on (at most 8)."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else min(8, len(os.sched_getaffinity(0)))


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Processes that are started meanwhile have so many threads (:func:`threads`)."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


settle()
