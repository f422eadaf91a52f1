"""The folder of several workers' metrics: it goes with its process, also where that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy import scratch

HOLD = """
import sys, tempfile
from deploy.scratch import folder
tempfile.tempdir = sys.argv[1]
with folder(2) as made:
    print(made, flush=True)
    sys.stdin.readline()
"""


def hold(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process that has made its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_folders_of_the_dead_are_removed_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (killed, dead), (living, alive) = hold(tmp_path), hold(tmp_path)
    killed.kill()
    killed.communicate()
    older = tmp_path / "refit-metrics-older"  # without a lock
    older.mkdir()
    (older / f"counter_{killed.pid}.db").touch()
    mine = tmp_path / "refit-metrics-mine"
    mine.mkdir()
    (mine / f"counter_{os.getpid()}.db").touch()
    (tmp_path / "refit-metrics-link").symlink_to(mine)
    (tmp_path / "refit-metrics-new").mkdir()  # perhaps one that is just being made
    assert dead.is_dir()
    with scratch.folder(2) as made:
        assert made is not None
        there = {path.name for path in tmp_path.iterdir()}
    assert there == {made.name, alive.name, mine.name, "refit-metrics-link", "refit-metrics-new"}
    assert not made.exists()
    living.communicate("\n")
    assert not alive.exists()


def test_no_room_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "ROOM", 1 << 55)  # no disk has it
    with scratch.folder(2) as made:
        assert made is None
        assert "each worker counts for itself" in capsys.readouterr().err
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        scratch.reserve()
        assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    with monkeypatch.context() as within:
        within.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        with scratch.folder(2) as made:
            assert made is None
