"""``python -m tasks.warm FD``: a process that has loaded what stages import, and becomes each of them by a fork.

Loading pandas, SciPy and scikit-learn takes a stage about a second of the processor; a small project's stages do little
else. A walk (:mod:`flows.warm`) starts one such process and sends it, over the socket FD, which module to run where. What
it has loaded are libraries and the run's own ``tasks``, by the same path and environment as ``python -m tasks.<stage>`` would,
and ``params.yaml``, which a stage compares with its own. Nothing is computed before the fork, no thread runs, no file is open,
and a stage ends as any process does.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

# Loaded in this order: what every stage needs at once, the rest while nobody asks for a stage.
LIBRARIES = (
    "tasks.stage", "tasks.params", "pandas", "pyarrow.parquet", "tasks.engine", "scipy.stats", "sklearn.linear_model",
    "sklearn.metrics", "sklearn.ensemble", "tasks.families", "tasks.encoding", "tasks.metrics",
)  # fmt: skip
MOST = 1 << 16  # bytes of a request


@dataclass(frozen=True)
class Request:
    """A stage to run: ``python -m module *arguments`` in the folder ``wdir``, with ``DVC_STAGE=stage``."""

    module: str
    arguments: list[str]
    wdir: str
    stage: str


def serve(control: socket.socket) -> Request | None:
    """Fork a child for each request, and tell how each ends; returns the request in a child, None at the socket's end.

    A request comes with two descriptors: the child's output, and where the child's wait status is written, as decimal
    digits, once it has ended. The child answers with its process id, as the leader of its own group by then: who has the
    id can end the group. The socket's end without an answer says that there is no child.
    """
    ended, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting: dict[int, int] = {}
    libraries: list[Callable[[], object]] = [*(partial(import_module, name) for name in LIBRARIES), _params]
    while True:
        ready = select.select([control.fileno(), ended], [], [], 0 if libraries else None)[0]
        if ended in ready:
            with suppress(BlockingIOError):
                os.read(ended, MOST)
            _tell(waiting)
        if control.fileno() in ready:
            message, given, _, _ = socket.recv_fds(control, MOST, 2)
            if not message:
                return None
            request = Request(**json.loads(message))
            pid = _fork()
            if pid == 0:
                os.setsid()
                control.send(str(os.getpid()).encode())
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (control.detach(), ended, woken, *waiting.values()):
                    os.close(one)
                _become(request, *given)
                return request
            output, status = given
            os.close(output)
            waiting[pid] = status
            with suppress(OSError):
                libraries += _soon(request)
        elif libraries:
            with suppress(Exception):  # a stage that needs it tells
                libraries.pop(0)()


def _params() -> None:
    """Check the run's parameters: each stage finds the text that it reads among those that are known."""
    from tasks.params import load

    load()


def _soon(request: Request) -> list[Callable[[], object]]:
    """What the stages after this one are going to load, so that each of them has it."""
    from tasks.artifacts.folders import MODELS

    if request.module == "tasks.features":
        return [partial(import_module, "tasks.tune.search")]
    if request.module == "tasks.evaluate" and any(Path(request.wdir, MODELS).rglob("*.skops")):
        return [_skops]
    return []


def _skops() -> None:
    from tasks.fitting.archive import skops_io

    skops_io()


def _fork() -> int:
    gc.freeze()  # a child does not look through what was loaded before
    with warnings.catch_warnings():  # of threads: OpenBLAS has some, and stops them before a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _become(request: Request, output: int, status: int) -> None:
    """Make this child a process as a started one is: its own name and folder, nothing to read, one stream of output."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.close(status)
    with suppress(OSError), open("/proc/self/comm", "w") as name:  # as `top` shows it
        name.write(" ".join([request.module.removeprefix("tasks."), *request.arguments]))
    os.chdir(request.wdir)
    os.environ["DVC_STAGE"] = request.stage


def _tell(waiting: dict[int, int]) -> None:
    """Write how the children ended that have."""
    for pid in list(waiting):
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            with suppress(OSError):  # nobody wants to know
                os.write(waiting[pid], str(code).encode())
            os.close(waiting.pop(pid))


def main() -> None:
    """Serve the socket of the first argument, and in a child run what was asked for."""
    control = socket.socket(fileno=int(sys.argv[1]))
    request = serve(control)
    if request is not None:
        sys.argv = ["-m", *request.arguments]
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
