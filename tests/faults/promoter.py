"""A process that has everything imported and forks a child per command, so that a kill meets the work, not imports.

Reads lines ``promote VERSION`` or ``rollback VERSION`` on its input; answers ``PID`` and later ``done STATUS``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlflow
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from sqlalchemy.dialects import sqlite  # noqa: F401

from flows import hand


def main() -> None:
    root = Path(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        action, version = line.split()
        pid = os.fork()
        if pid == 0:
            if action == "promote":
                hand.promote(root, "toy", version, f"promote {version}", None)
            else:
                hand.rollback(root, "toy", version, f"rollback to {version}")
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("done", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
