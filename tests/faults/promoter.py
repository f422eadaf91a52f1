"""A process that has everything imported and forks a child per command, so that a kill meets the work, not imports.

Reads lines ``HISTORY ACTION VERSION`` on its input; answers ``PID`` and later ``done STATUS``. Actions: ``promote``,
``rollback``, ``adopt``, and ``effects`` of a run that left package VERSION and a verdict to promote it. Status 3: refused
in plain words, which stand on standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlflow
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import psycopg  # noqa: F401
from sqlalchemy.dialects import postgresql, sqlite  # noqa: F401

from flows import hand, packages, promotion, standing
from tasks.errors import RefitError
from tasks.files import sha256
from tasks.registry.tracking import Registry, RunResult
from tests.tasks.registry.packages import MODEL


def main() -> None:
    root = Path(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        history, action, version = line.split()
        pid = os.fork()
        if pid == 0:
            os.environ["REFIT_HISTORY"] = history
            try:
                carry_out(root, action, version)
            except RefitError as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(3)
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("done", os.waitstatus_to_exitcode(status), flush=True)


def carry_out(root: Path, action: str, version: str) -> None:
    reason = f"{action} {version}"
    if action == "promote":
        hand.promote(root, MODEL, version, reason, None)
    elif action == "rollback":
        hand.rollback(root, MODEL, version, reason)
    elif action == "adopt":
        hand.adopt(root, MODEL, None if version == "-" else version, reason, None)
    else:
        digest = sha256(root / packages.PACKAGE / "bundle.json")
        found = RunResult(root, MODEL, digest, None, {}, None, ("tree",))
        registered = promotion.register(root, found, Registry(root).track(found))
        standing.finish(root, found, promotion.decide(root, registered), 0.0)


if __name__ == "__main__":
    main()
