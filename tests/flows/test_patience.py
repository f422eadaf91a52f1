"""A run that a schedule made waits for its turn, and takes it however the other one ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows import alone, patience
from flows.alone import at_work, take_lock
from tasks.errors import RefitError
from tests.flows.project import PARAMS

HOLD = "import fcntl, sys, time; f = open(sys.argv[1], 'a+'); fcntl.flock(f, fcntl.LOCK_EX); print('has it', flush=True); time.sleep(600)"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said in the log, and shown as the run's state."""
    lines: list[str] = []
    monkeypatch.setattr(patience, "log", lines.append)
    monkeypatch.setattr("flows.run_page.state", lambda name, message=None: lines.append(f"{name}: {message}"))
    return lines


def test_nobody_is_waited_for_where_nobody_is_at_work(tmp_path: Path, told: list[str]) -> None:
    one = patience.Patience()
    one.take(tmp_path).close()
    assert (one.waited, told) == (False, [])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_on_when_the_other_one_ends_or_is_killed(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    take_lock(tmp_path).close()
    lock = tmp_path / alone.LOCK
    other = subprocess.Popen([sys.executable, "-S", "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            other.send_signal(end)
            other.wait()

    monkeypatch.setattr("time.sleep", nap)
    assert other.stdout is not None
    with other.stdout:
        assert other.stdout.readline() == b"has it\n"
        lock.write_text(f"{other.pid} 2026-11-27T14:05:09+00:00")
        one = patience.Patience()
        with one.take(tmp_path):
            who = at_work(tmp_path)
    assert (one.waited, naps) == (True, [patience.LOOK] * 3)
    assert who is not None
    assert who.process != other.pid
    line = f"waits for `refit run` (process {other.pid}, since 2026-11-27 14:05 UTC), which is at work in the project"
    assert told == [
        line,
        f"Waiting: {line}",
        "nobody is at work here any more; goes on after 0 minutes",
        "Running: None",
    ], "once, however often it looked"


@pytest.mark.parametrize(("hours", "looks"), [(0, 0), (0.5, 1), (1, 3)])
def test_who_is_at_work_is_waited_for_as_long_as_asked(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, hours: float, looks: int
) -> None:
    """A quarter of an hour passes between two looks."""
    (tmp_path / "params.yaml").write_text(PARAMS.replace("{parallel", f"{{wait_hours: {hours}, parallel"))
    clock = iter(range(0, 36000, 900))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    (tmp_path / ".refit").mkdir()
    with take_lock(tmp_path):
        said = (
            rf"`refit run` is still at work here \(process \d+, since .* UTC\), and this run has waited {hours:g} hours"
        )
        with pytest.raises(RefitError, match=said):
            patience.Patience().take(tmp_path)
    assert naps == [patience.LOOK] * looks
    assert len([line for line in told if line.startswith("Waiting")]) == min(looks, 1)
