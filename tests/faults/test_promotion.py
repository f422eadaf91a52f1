"""Killed at random moments of promote and rollback: always exactly one champion, and a complete history."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.registry.history import History
from tasks.registry.tracking import Registry
from tests.tasks.registry.packages import MODEL, make_versions

pytestmark = pytest.mark.faults


class Promoter:
    """Starts one command in a process that can be killed after a delay."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.promoter", str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(self, command: str, kill_after: float | None = None) -> int:
        """Exit code of the command; -9 where the kill came first."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        pid = int(self._read())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it was quicker than the kill
                os.kill(pid, signal.SIGKILL)
        return int(self._read().split()[1])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def state(root: Path) -> tuple[str | None, str | None, int]:
    """Champion by the history, by MLflow's alias, and the number of decisions; checks that the history is whole."""
    rows = History(root).decisions(MODEL)
    assert [d.number for d in rows] == list(range(1, len(rows) + 1))
    for before, after in itertools.pairwise(rows):
        assert after.previous == before.champion, "a change of champion is missing from the history"
    aliases = Registry(root).client.get_registered_model(MODEL).aliases
    return rows[-1].champion, str(aliases["champion"]), len(rows)


@pytest.mark.sweep
def test_a_kill_leaves_the_old_champion_or_the_new(tmp_path: Path, full: bool) -> None:
    make_versions(tmp_path, 3)
    promoter = Promoter(tmp_path)
    rng = random.Random(7)
    try:
        assert promoter.run("promote 1") == 0
        began = time.perf_counter()
        assert promoter.run("promote 2") == 0
        whole = time.perf_counter() - began
        champion, killed, moved = "2", 0, 0
        for _ in range(200 if full else 20):
            target = rng.choice([v for v in "123" if v != champion])
            command = f"{rng.choice(['promote', 'rollback'])} {target}"
            before = state(tmp_path)[2]
            code = promoter.run(command, kill_after=rng.uniform(0, 1.1 * whole))
            now, alias, rows = state(tmp_path)
            killed += code == -9
            moved += code == -9 and now == target
            assert now in (champion, target)
            assert alias in (champion, target)
            assert rows - before == (now == target)
            # The same command again ends what was begun, and repeats nothing that was done.
            assert promoter.run(command) == 0
            assert state(tmp_path) == (target, target, before + 1)
            champion = target
    finally:
        promoter.close()
    assert killed >= (100 if full else 8), "the kills came too late to test anything"
    print(f"killed {killed}, of which {moved} after the new champion was recorded")
