"""A process that fits trials, so that one that takes too long, or dies, can be ended without losing the rest."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import RefitError
from tasks.fitting.space import Settings
from tasks.process import with_threads
from tasks.tune.messages import (
    Answer,
    Attempt,
    Begin,
    Died,
    Done,
    FitFailed,
    Guess,
    Guessed,
    Pruned,
    Ready,
    Step,
    UserMistake,
)
from tasks.tune.objective import Objective

if TYPE_CHECKING:
    import optuna

# Fresh interpreters: a fork would inherit OpenMP threads that no longer run, and hang in the first fit.
CONTEXT = multiprocessing.get_context("spawn")


class Worker:
    """A worker process, seen from the parent. ``trial`` is what the search has it fit."""

    def __init__(self, objective: Objective, threads: int) -> None:
        self.objective, self.threads = objective, threads
        self.trial: optuna.Trial | None = None
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
            self.ready = isinstance(self.pipe.recv(), Ready)

    def fit(self, attempt: Attempt, deadline: float, watched: bool) -> None:
        """Begin a trial; its answers arrive on ``pipe`` (:meth:`hear`). ``deadline`` is a ``time.monotonic()``."""
        self.wait()
        self.pipe.send(Begin(attempt, deadline - time.monotonic(), watched))

    def hear(self) -> Answer:
        """The next answer; :class:`Died`, and the process ended, where there is none any more."""
        try:
            answer: Answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.kill()
            return Died()
        if isinstance(answer, Done) and not np.isfinite(answer.values).all():
            return FitFailed("the metric is not a number")
        return answer

    def least_seconds(self, params: Settings, limit: float) -> float:
        """:meth:`Objective.least_seconds`; infinite where even that takes more than ``limit`` seconds."""
        self.wait()
        self.pipe.send(Guess(params))
        if not self.pipe.poll(limit):
            self.restart()
            return math.inf
        answer = self.hear()
        return answer.seconds if isinstance(answer, Guessed) else 0.0

    def answer(self, stop: bool) -> None:
        """Reply to a reported step."""
        self.pipe.send(stop)

    def put_down(self) -> optuna.Trial:
        """The trial that was being fitted; the worker has none then."""
        trial, self.trial = self.trial, None
        assert trial is not None
        return trial

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()

    def end(self) -> None:
        """End the process for good."""
        self.kill()
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
        pipe.send(Ready())
        while True:
            asked: Begin | Guess = pipe.recv()
            pipe.send(_guess(objective, asked.params) if isinstance(asked, Guess) else _fit(objective, asked, pipe))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _guess(objective: Objective, params: Settings) -> Answer:
    try:
        return Guessed(objective.least_seconds(params))
    except Exception as error:  # no answer: what is wrong with a fit, the first trial will tell
        return FitFailed(str(error))


def _fit(objective: Objective, asked: Begin, pipe: Connection) -> Answer:
    """A trial's values, or why there are none."""
    from tasks.fitting.base import Stopped

    def watch(step: int, value: float) -> bool:
        pipe.send(Step(step, value))
        return bool(pipe.recv())

    deadline = time.monotonic() + asked.seconds
    try:
        return Done(objective.value(asked.attempt, watch if asked.watched else None, deadline))
    except Stopped:
        return Pruned()
    except RefitError as error:
        return UserMistake(str(error))
    except (ArithmeticError, ValueError, RuntimeError, MemoryError, LookupError, TypeError) as error:
        return FitFailed(f"{type(error).__name__}: {error}")


def _follow(parent: int) -> None:
    """End with the parent, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
