"""A command that runs in the background until a process is gone: ``python -S -m tests.until PID COMMAND …``.

What all workers of a session of pytest share, none of them can end: who started it may be through before the others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


def main(pid: int, command: list[str]) -> None:
    """Return at once; a child of nobody, in a session of its own, sees to the command."""
    if os.fork():
        return
    os.setsid()
    process = subprocess.Popen(command, process_group=0)
    while process.poll() is None:
        time.sleep(0.5)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
