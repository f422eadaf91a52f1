"""One thread for batches. They take turns step by step, and each step waits while single requests are in flight."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Generator
from typing import Generic, TypeVar, cast

T = TypeVar("T")
Steps = Generator[None, None, T]

PATIENCE = 0.005  # seconds that a step waits at most, so that batches go on under any load
FRESH = 0.05  # seconds for which a request goes first: one whose body takes longer to come holds no batch up
WORK = 0.0005  # seconds after which the thread rests, at the end of a step
REST = 0.0001  # seconds; long enough for a waiting loop to wake up and take the interpreter
SWITCH = 0.0005  # seconds after which a running thread has to let another have the interpreter (5 ms by default)


class Turns:
    """Runs generators whose steps are short, in a thread of their own.

    The event loop stays free: it answers single rows and health checks, and the thread steps aside for them.
    ``begin`` and ``end`` are called by the loop around each request that goes first.
    """

    def __init__(self) -> None:
        self._first = 0
        self._newest = 0.0
        self._free = threading.Event()
        self._free.set()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """A request that goes first has come."""
        self._first += 1
        self._newest = time.monotonic()
        self._free.clear()

    def end(self) -> None:
        """It is answered."""
        self._first -= 1
        if not self._first:
            self._free.set()

    async def run(self, steps: Steps[T]) -> T:
        """The generator's value, once its turns are over; if this is cancelled, it gets no more turns."""
        if self._thread is None:
            sys.setswitchinterval(SWITCH)
            self._thread = threading.Thread(target=self._work, name="refit-batches", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        job = _Job(steps, loop, loop.create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    def stop(self, seconds: float = 1.0) -> None:
        """End the thread after its step; what waits gets no turn any more."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(seconds)
            self._thread = None

    def _work(self) -> None:
        rested = time.monotonic()
        while (job := self._jobs.get()) is not None:
            # Libraries give the interpreter back for some microseconds within a step. Who waits for it is woken each
            # time, comes too late, and begins anew to count to the moment at which it may insist: for 20 ms and more.
            if time.monotonic() > rested + WORK:
                time.sleep(REST)
                rested = time.monotonic()
            if time.monotonic() < self._newest + FRESH:
                self._free.wait(PATIENCE)
            if job.future.cancelled():
                job.steps.close()
                continue
            try:
                next(job.steps)
            except StopIteration as done:
                job.settle(done.value, None)
            except BaseException as error:
                job.settle(None, error)
            else:
                self._jobs.put(job)


class _Job(Generic[T]):
    def __init__(self, steps: Steps[T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
        self.steps, self.loop, self.future = steps, loop, future

    def settle(self, value: T | None, error: BaseException | None) -> None:
        """Hand the result to the loop; if that is gone, nobody waits for it."""

        def hand() -> None:
            if self.future.done():
                return
            if error is None:
                self.future.set_result(cast(T, value))
            else:
                self.future.set_exception(error)

        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(hand)
