"""How a command ends before its time: Ctrl-C, SIGTERM (``timeout``, a machine that shuts down), a closed terminal.

A kill at any moment is safe (:mod:`flows.dag`), so a run need not be unwound: its work is done in a thread of its own, while
the main thread waits for signals alone and answers them at once, whatever library is at work. It has the stages
ended, waits a little for the flow to tell its server, ends what is left of its processes, and leaves with 128 and the
signal's number: 130 after Ctrl-C. A second Ctrl-C leaves at once.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import psutil

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 3.5  # seconds from the signal until whatever is left is killed
LOOKS = 5  # for processes to end, at most
AGAIN = 0.5  # `timeout` and a closing terminal send their signal twice within this time
SAID = "stopped; finished stages are kept, nothing half-written is left"


class Signalled(KeyboardInterrupt):
    """A signal that asks to end; ``status`` is what the command then exits with."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def heed(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """Have the signals handled in the main thread; those that are ignored already (``nohup``) stay so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def raise_stopped(number: int, _: FrameType | None = None) -> None:
    """The handler of commands that work in the main thread."""
    raise Signalled(number)


def first() -> None:
    """Have the signals end the process at once while Python is still loading, and not at all while it takes itself down."""
    heed(lambda number, _: os._exit(128 + number))
    atexit.register(heed, signal.SIG_IGN)  # the first to be registered is the last to be called


def leave(number: int, _: FrameType | None = None) -> None:
    """The handler where there is nothing to lose and no time to wait: end what this process has started, and leave."""
    end_all(seconds=0)
    os._exit(128 + number)


def attended(work: Callable[[], T], clear: Callable[[], None]) -> T:
    """Do the work in a thread and return what it returns; a signal meanwhile ends the process.

    ``clear`` leaves the terminal as it was before something is said there. Call in the main thread.
    """
    heard, tell = os.pipe()  # a byte a signal, written by the interpreter at once, whatever thread is busy
    ended, end = os.pipe()
    os.set_blocking(tell, False)
    result: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            result.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            os.write(end, b".")

    heed(lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    thread = threading.Thread(target=body, name="refit", daemon=True)
    thread.start()
    try:
        while not thread_ended(heard, ended, thread, clear):
            continue
    finally:
        signal.set_wakeup_fd(-1)
    heed(leave)  # what is left is to say how it went, and to end the temporary server
    for one in (heard, tell, ended, end):
        os.close(one)
    if errors:
        raise errors[0]
    return result[0]


def thread_ended(heard: int, ended: int, thread: threading.Thread, clear: Callable[[], None]) -> bool:
    """Wait for the thread's end or for a signal; does not return after one of :data:`SIGNALS`."""
    ready = select.select([heard, ended], [], [])[0]
    if heard in ready:
        for number in os.read(heard, 64):
            if number in SIGNALS and signal.getsignal(number) is not signal.SIG_IGN:
                _stop(number, thread, clear)
    return ended in ready


def _stop(number: int, thread: threading.Thread, clear: Callable[[], None]) -> None:
    began = time.monotonic()

    def once_more(again: int, _: FrameType | None) -> None:
        if time.monotonic() - began > AGAIN:
            leave(again)

    heed(once_more)
    with suppress(Exception):
        clear()
    # Threads that are cut off in the middle of something may complain: that is nobody's business now.
    with suppress(OSError):
        sys.stdout.flush()
    screen = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    _say(screen, "stopping ...\n")
    dag = sys.modules.get("flows.dag")
    if dag is not None and dag.walks:  # else nothing is at work that knows how to end
        asked = threading.Thread(target=dag.cancel_all, daemon=True)
        asked.start()
        for one in (asked, thread):
            one.join(max(0.0, began + PATIENCE - time.monotonic()))
    end_all(seconds=0.5)
    _say(screen, SAID + "\n")
    os._exit(128 + number)


def _say(stream: int, text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        os.write(stream, text.encode())


def end_all(seconds: float) -> None:
    """End all processes that this one has started, those whose parents are gone too; asked first where there is time.

    Call right before the end: from now on no thread starts another one (the temporary server, at the beginning). One that
    is just being started is found at the next look.
    """
    import subprocess

    import psutil

    subprocess.Popen.__init__ = _never  # type: ignore[method-assign]
    before: list[psutil.Process] = []
    for look in range(LOOKS):
        processes = _started()
        if look and not processes and not before:
            return
        before = processes
        if seconds and processes:
            for process in processes:
                with suppress(psutil.Error):
                    process.terminate()
            psutil.wait_procs(processes, timeout=seconds)
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=0.2)
        seconds = 0


def _never(*_: object, **__: object) -> None:
    """Instead of starting a process: whoever asks for one waits for the end."""
    threading.Event().wait()


def _started() -> list[psutil.Process]:
    """The processes that this one has started and that still run."""
    import psutil

    from flows.commands import WALKER

    me, processes = psutil.Process(), {}
    for process in me.children(recursive=True):
        processes[process.pid] = process
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != me.pid and process.environ().get(WALKER) == str(me.pid):
                processes[process.pid] = process
    running = []
    for process in processes.values():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


@contextmanager
def deaf() -> Iterator[None]:
    """What this thread starts meanwhile does not hear the terminal's signals; it is ended by SIGTERM."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
