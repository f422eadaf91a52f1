"""What all workers share ends with the session, whoever started it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.projects import ROOT

WAITS = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()}\\n'); time.sleep(600)"


def test_a_command_runs_until_the_process_is_gone(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    python = [sys.executable, "-S"]
    with subprocess.Popen([*python, "-c", "input()"], stdin=subprocess.PIPE) as session:
        until = [*python, "-m", "tests.until", str(session.pid), *python, "-c", WAITS, str(told)]
        subprocess.run(until, cwd=ROOT, check=True, timeout=60)
        while not (told.exists() and told.read_text().endswith("\n")):
            time.sleep(0.02)
        command = psutil.Process(int(told.read_text()))
        assert command.is_running()
        session.kill()
    command.wait(60)
    assert not command.is_running()
