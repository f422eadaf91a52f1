"""What every ``python -m tasks.<stage>`` shares: quiet, fast settings first, then plain errors."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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


def log(message: str) -> None:
    """One line of progress on standard output, at once (the flow reads it line by line)."""
    from tasks.errors import visible

    print(visible(message), flush=True)


def run(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a user's mistake is printed as its message and exits with 1."""
    from tasks.code import check
    from tasks.errors import RefitError, visible

    module = sys.modules["__main__"].__spec__
    try:
        if module is not None and (module.name or "").startswith("tasks."):
            check(module.name.split(".")[1])
            _sparing()
        main()
    except RefitError as error:
        print(visible(f"error: {error}"), file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr, flush=True)
        raise SystemExit(130) from None


def _sparing() -> None:
    """Hold the stage to ``training.memory_gb``."""
    from tasks.errors import RefitError
    from tasks.memory import limit_to
    from tasks.params import load

    with suppress(RefitError):  # which the stage tells itself, if it needs parameters
        if (gigabytes := load().training.memory_gb) is not None:
            limit_to(gigabytes)


settle()
