"""A process that fits trials, so that one that takes too long, or dies, can be ended without losing the rest."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from tasks.errors import RefitError
from tasks.process import with_threads
from tasks.tune.objective import Objective

# Fresh interpreters: a fork would inherit OpenMP threads that no longer run, and hang in the first fit.
CONTEXT = multiprocessing.get_context("spawn")


class Worker:
    """A worker process, seen from the parent."""

    def __init__(self, objective: Objective, threads: int) -> None:
        self.objective, self.threads = objective, threads
        self.trial: Any = None
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        with with_threads(self.threads):  # read once, when the child loads its libraries
            self.process = CONTEXT.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
            self.process.start()
        theirs.close()
        self.pipe.send(self.objective)
        self.ready = False

    def wait(self) -> None:
        """Return when a process is there and has its libraries and its rows."""
        if not self.process.is_alive():
            self.restart()
        if not self.ready:
            self.ready = self.pipe.recv() == "ready"

    def fit(self, params: dict[str, Any], deadline: float, watched: bool) -> None:
        """Begin a trial; its messages arrive on ``pipe``. ``deadline`` is a ``time.monotonic()``."""
        self.wait()
        self.pipe.send((params, deadline - time.monotonic(), watched))

    def least_seconds(self, params: dict[str, Any], limit: float) -> float:
        """:meth:`Objective.least_seconds`; infinite where even that takes more than ``limit`` seconds."""
        self.wait()
        self.pipe.send((params, None, False))
        if not self.pipe.poll(limit):
            self.restart()
            return math.inf
        try:
            what, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            what = "died"
        return content if what == "done" else 0.0

    def answer(self, stop: bool) -> None:
        """Reply to a reported step."""
        self.pipe.send(stop)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def restart(self) -> None:
        """End the process, whatever it does, and start another."""
        self.end()
        self._start()


def _serve(pipe: Connection, parent: int) -> None:
    import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    try:
        objective: Objective = pipe.recv()
        pipe.send("ready")
        while True:
            params, seconds, watched = pipe.recv()
            deadline = None if seconds is None else time.monotonic() + seconds
            pipe.send(_one(objective, params, deadline, pipe if watched else None))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _one(
    objective: Objective, params: dict[str, Any], deadline: float | None, pipe: Connection | None
) -> tuple[str, Any]:
    """What to send back: a trial's values, or without a deadline the guess at its least seconds."""
    from tasks.fitting.base import Stopped

    def watch(step: int, value: float) -> bool:
        assert pipe is not None
        pipe.send(("step", (step, value)))
        return bool(pipe.recv())

    if deadline is None:
        try:
            return "done", objective.least_seconds(params)
        except Exception as error:  # no answer: what is wrong with a fit, the first trial will tell
            return "failed", str(error)
    try:
        return "done", objective.value(params, watch if pipe else None, deadline)
    except Stopped:
        return "pruned", None
    except RefitError as error:
        return "mistake", str(error)
    except (ArithmeticError, ValueError, RuntimeError, MemoryError, LookupError, TypeError) as error:
        return "failed", f"{type(error).__name__}: {error}"


def _follow(parent: int) -> None:
    """End with the parent, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
