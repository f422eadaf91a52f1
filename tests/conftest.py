"""Shared by all tests: quiet settings before any heavy import, the order, the size of sweeps, and a finished run."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest

import tasks.stage  # noqa: F401  (applies the settings)
from tests import skips, times
from tests.shared import shared

collect_ignore = ["bench"]  # programs, one of them for another environment; doctests would import them
# Workers share the machine: no test is about time.
hypothesis.settings.register_profile("refit", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("refit")
# A worker's main module has neither file nor specification. PySpark, which Great Expectations loads, takes such a process
# for its own doctests and ends it. A specification without a name changes nothing else.
if (main := sys.modules["__main__"]).__spec__ is None and not hasattr(main, "__file__"):
    main.__spec__ = SimpleNamespace(name=None)  # type: ignore[assignment]
# In the background of a script Ctrl-C is ignored, under nohup a closed terminal; what is started from there would ignore them too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Files that take more than about forty seconds, the longest first: a worker that gets one of them last makes the
# other wait for it. Files are handed out whole.
LONG = (
    "tests/flows/test_main_job.py",
    "tests/flows/test_run.py",
    "tests/flows/test_server.py",
    "tests/tasks/tune/test_auto.py",
    "tests/flows/test_champion.py",
    "tests/tasks/tune/test_stage.py",
    "tests/flows/test_machines.py",
    "tests/flows/test_edits.py",
    "tests/deploy/test_service.py",
    "tests/tasks/tune/test_search.py",
    "tests/flows/test_newcomer.py",
    "tests/flows/test_tables.py",
    "tests/flows/test_drift.py",
    "tests/flows/test_kills.py",
    "tests/flows/test_stops.py",
    "tests/flows/test_schedule.py",
    "tests/flows/test_tutorial.py",
    "tests/flows/test_failed_families.py",
    "tests/flows/test_labels.py",
    "tests/flows/test_weeks.py",
    "tests/faults/test_tuner.py",
    "tests/faults/test_promotion.py",
    "tests/tasks/families/test_xgboost_large.py",
    "tests/tasks/families/test_tabular_networks.py",
    "tests/tasks/families/test_xgboost_memory.py",
    "tests/flows/test_preflight.py",
    "tests/flows/test_dag.py",
    "tests/flows/test_seal.py",
    "tests/flows/test_elsewhere.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run sweeps at their full size")
    parser.addoption("--no-skips", action="store_true", help="fail where a test is skipped that needs no GPU")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(times, "times")
    if config.getoption("--no-skips"):
        config.pluginmanager.register(skips, "skips")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave tests and libraries, millions of objects, out of every look for garbage: of all of them one takes a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then the slow kinds, then the others."""

    def place(item: pytest.Item) -> tuple[int, int]:
        file = item.nodeid.partition("::")[0]
        return (LONG.index(file) if file in LONG else len(LONG), times.kind(item) == "unit")

    items.sort(key=place)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """True where sweeps shall run at their full size."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished binary run with times, history and a champion to compare with."""
    from tests.tasks.report import runs

    return shared(tmp_path_factory, "finished", runs.finish) / "orders"


@pytest.fixture(scope="session")
def reported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A finished run of a kind: ``finished`` of binary, and without a champion of multiclass and regression."""
    from tests.tasks.report import runs

    def of(kind: str) -> Path:
        if kind == "binary":
            return finished
        return shared(tmp_path_factory, f"reported-{kind}", lambda folder: runs.reported(folder, kind)) / kind

    return of
