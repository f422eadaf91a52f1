"""`refit run` stopped in a real terminal: it leaves soon and quietly, leaves nobody behind, and the next run goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flows.commands import WALKER
from flows.stops import SAID
from tasks.files import hash_tree
from tests.flows.project import REFIT, alone, copied, diary, make_project, recorded, refit
from tests.flows.terminal import Terminal, drawn

pytestmark = pytest.mark.flows
CTRL_C = b"\x03"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def test_ctrl_c_ends_a_run_with_its_temporary_server(project: Path) -> None:
    terminal = Terminal(project, {**alone(), "NAP_fit_p": "600"}, "run")
    assert terminal.until("fit@q done")
    while "fit_p" not in diary(project, "began"):
        assert terminal.read(0.05)
    terminal.press(CTRL_C)
    status, seconds = terminal.end()
    print(f"left {seconds:.1f} s after Ctrl-C")
    assert status == 130
    lines, cursor = drawn(terminal.said, 80)
    assert cursor, "the cursor is shown again"
    assert lines[-3:] == ["stopping ...", SAID, ""], terminal.said
    assert all(line.startswith(("4 of 4 stages to run", "✓ ")) for line in lines[:-3]), terminal.said
    assert terminal.left() == []
    assert {"load", "fit@q"} == set(recorded(project)), "what was finished is kept, and nothing else"


def test_other_ways_to_stop_a_run(project: Path, server: dict[str, str]) -> None:
    """One after the other in one project: SIGTERM, a closed window, and an impatient second Ctrl-C."""
    env = {**server, "NAP_load": "600"}

    def at_work(count: int) -> Terminal:
        terminal = Terminal(project, env, "run")
        while len(diary(project, "began")) < count:
            assert terminal.read(0.05)
        return terminal

    terminal = at_work(1)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end()[0] == 128 + signal.SIGTERM, terminal.said
    assert "Traceback" not in terminal.said
    terminal = at_work(2)
    terminal.hang_up()
    assert terminal.end()[0] == 128 + signal.SIGHUP, terminal.said
    terminal = at_work(3)
    terminal.press(CTRL_C)
    assert terminal.until("stopping ...")
    time.sleep(0.6)
    terminal.press(CTRL_C)
    assert terminal.end()[0] == 130
    assert terminal.left() == []
    assert "4 run, 0 cached" in refit(project, "run", "--plain", env=server)


def test_a_run_goes_on_where_nobody_reads_what_it_says(project: Path, server: dict[str, str]) -> None:
    env = {**server, "NAP_load": "1"}
    process = subprocess.Popen(
        [*REFIT, "run", "--plain"], cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert "looking at params.yaml" in process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    with process.stderr:
        said = process.stderr.read()
    assert (process.wait(300), said) == (0, "")
    assert set(recorded(project)) == {"load", "fit@p", "fit@q", "join"}


def test_what_a_thread_starts_while_the_others_are_ended_is_ended_too() -> None:
    program = """
import os, subprocess, sys, threading, time
from flows import commands, stops
commands.mark("/nowhere")
def work():
    while True:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
stops.end_all(seconds=0.3)
print(os.getpid(), flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(WALKER) == done.stdout.strip() and process.status() != "zombie":
                left.append(process)
    for process in left:
        process.kill()
    assert not left


@pytest.mark.sweep
def test_a_run_stopped_at_any_moment_loses_nothing(request: pytest.FixtureRequest, tmp_path: Path, full: bool) -> None:
    """Stopped at moments spread over a whole run, each run going on from the one before; the results are the same."""

    def make(name: str) -> Path:
        if full:
            return fresh(request.getfixturevalue("iris"), tmp_path / name)
        (tmp_path / name).mkdir()
        return make_project(tmp_path / name)

    env = alone() if full else {**request.getfixturevalue("server"), "NAP": "0.3"}
    whole, root = 4.0, make("stopped")
    if full:
        began, undisturbed = time.monotonic(), make("undisturbed")
        refit(undisturbed, "run", "--plain", env=env)
        whole = time.monotonic() - began
    chance, slowest = random.Random(1), 0.0
    for turn in range(30 if full else 1):
        terminal = Terminal(root, env, "run")
        if not terminal.until(None, chance.uniform(1.0, whole)):
            assert terminal.end()[0] == 0, terminal.said
            root = make(f"stopped-{turn}")
            continue
        before = len(terminal.said)
        terminal.press(CTRL_C)
        status, seconds = terminal.end()
        if status == 0:  # pressed when all was done and told
            assert "registry  this run: " in terminal.said
            root = make(f"stopped-{turn}")
            continue
        assert status == 130, terminal.said
        assert "Traceback" not in terminal.said[before:]
        assert terminal.left() == []
        print(f"left {seconds:.1f} s after Ctrl-C", flush=True)
        slowest = max(slowest, seconds)
    print(f"slowest: {slowest:.1f} s")
    refit(root, "run", "--plain", env=env)
    if full:
        assert slowest <= 6
        assert {k: v for k, v in hash_tree(root / "data").items() if compared(k)} == {
            k: v for k, v in hash_tree(undisturbed / "data").items() if compared(k)
        }
    else:
        text = (root / "data" / "join" / "text").read_text()
        assert text == "join(fit_p(load()seed: 1)seed: 1fit_q(load()seed: 1)seed: 1)seed: 1"


def compared(path: str) -> bool:
    """Left out is what says how long something took, or what was there when a stopped run began."""
    return not path.startswith(("reports", "champion", "start", "context")) and "timing" not in path


def fresh(iris: Path, to: Path) -> Path:
    """The project as it was before its first run."""
    root = copied(iris, to)
    for path in (root / ".refit", root / ".dvc" / "cache", root / "data"):
        shutil.rmtree(path)
    for name in ("dvc.lock", "champion.lock"):
        (root / name).unlink()
    for name in ("champion", "context", "expectations", "start"):
        shutil.copytree(iris / "data" / name, root / "data" / name, ignore=lambda _, names: {*names} - {"README.md"})
    return root
