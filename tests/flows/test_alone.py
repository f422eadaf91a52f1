"""One walk of a project at a time, and none beside a DVC command that runs its stages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import alone
from flows.alone import AtWork, Holder, at_work, take_lock


def test_a_project_has_one_walk_and_who_asks_hears_whose_and_since_when(tmp_path: Path) -> None:
    assert at_work(tmp_path) is None
    began = datetime.now(UTC)
    with take_lock(tmp_path):
        who = at_work(tmp_path)
        assert who is not None
        assert who.since is not None
        assert (who.command, who.process, began <= who.since <= datetime.now(UTC)) == ("refit run", os.getpid(), True)
        said = rf"another `refit run` is at work here \(process {os.getpid()}, since {who.since:%Y-%m-%d %H:%M} UTC\)\. Wait"
        with pytest.raises(AtWork, match=said) as error:
            take_lock(tmp_path)
        assert error.value.who == who == at_work(tmp_path), "a refused one leaves the owner's"
    assert at_work(tmp_path) is None


@pytest.mark.parametrize(("written", "said"), [("123456789", "process 123456789"), ("", "process unknown")])
def test_what_an_older_walk_wrote_is_read(tmp_path: Path, written: str, said: str) -> None:
    with take_lock(tmp_path):
        (tmp_path / alone.LOCK).write_text(written)
        assert str(at_work(tmp_path)) == said
    with take_lock(tmp_path):
        assert str(at_work(tmp_path)).startswith(f"process {os.getpid()}, since ")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def runs(root: Path, process: int, command: str = "/usr/bin/dvc repro train", way: str = "write") -> Path:
    """What DVC writes down where that process runs a stage."""
    path = root / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    info = {"pid": process, "cmd": command}
    path.write_text(json.dumps({way: {"/p/data/raw": info if way == "write" else [info]}}))
    return path


@pytest.mark.parametrize("way", ["write", "read"])
def test_no_walk_begins_while_dvc_runs_a_stage(tmp_path: Path, sleeper: subprocess.Popen[bytes], way: str) -> None:
    runs(tmp_path, sleeper.pid, way=way)
    who = at_work(tmp_path)
    assert who is not None
    assert (who.command, who.process) == ("dvc repro", sleeper.pid)
    with pytest.raises(
        AtWork, match=rf": `dvc repro` is at work here \(process {sleeper.pid}, since .* UTC\)\. Wait for it"
    ):
        take_lock(tmp_path)
    sleeper.kill()
    sleeper.wait()
    assert at_work(tmp_path) is None, "a killed one leaves its number"
    take_lock(tmp_path).close()


def test_a_number_that_another_process_has_by_now_holds_nobody_up(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    written = runs(tmp_path, sleeper.pid)
    os.utime(written, (0, time.time() - 60))
    assert at_work(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"write": {"a": {}}}', '{"read": {"a": 1}}', '{"write": 3}'])
def test_what_dvc_left_half_written_is_passed_over(tmp_path: Path, text: str) -> None:
    runs(tmp_path, 1).write_text(text)
    take_lock(tmp_path).close()


def test_of_this_process_itself_nobody_need_hear(tmp_path: Path) -> None:
    runs(tmp_path, os.getpid())
    assert at_work(tmp_path) is None


def test_a_command_of_dvc_that_runs_no_stage_is_waited_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zc.lockfile

    monkeypatch.setattr(alone, "SHORT", 0.0)
    path = tmp_path / ".dvc" / "tmp" / "lock"
    path.parent.mkdir(parents=True)
    held = zc.lockfile.LockFile(str(path))
    said = re.escape(f"`dvc` is at work here (process {os.getpid()}). Wait for it")
    with pytest.raises(AtWork, match=said):
        take_lock(tmp_path)
    assert at_work(tmp_path) is None, "the walk's lock was given back"
    held.close()
    with take_lock(tmp_path):
        zc.lockfile.LockFile(str(path)).close()  # DVC is halted no longer


def test_a_holder_is_told_by_its_process_and_since_when() -> None:
    assert str(Holder("refit run", None)) == "process unknown"
    assert (
        str(Holder("dvc repro", 7, datetime(2026, 11, 27, 14, 5, tzinfo=UTC)))
        == "process 7, since 2026-11-27 14:05 UTC"
    )
