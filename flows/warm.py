"""Stages forked from one process that has loaded their libraries (:mod:`tasks.warm`), for a walk that runs many.

A forked stage is a process in a session of its own, with the same environment, folder, code and output as a started one
(:func:`flows.commands.start`). Where it cannot be forked, it is started.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol


class Process(Protocol):
    """What a walk asks of a running command: a :class:`subprocess.Popen`, or :class:`Forked`."""

    @property
    def pid(self) -> int:
        """Of the process, which leads a group of its own."""

    @property
    def stdout(self) -> IO[str] | None:
        """The lines of both its outputs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative where a signal ended it. Raises :class:`subprocess.TimeoutExpired`."""


class Forked:
    """A stage that was forked. ``stdout``: the lines of both its outputs."""

    def __init__(self, pid: int, stdout: IO[str], status: int) -> None:
        self.pid, self.stdout = pid, stdout
        self._status = status
        self._code: int | None = None
        self._waiting = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative where a signal ended it; of one whose end nobody saw, that of a kill.

        Raises
        ------
        subprocess.TimeoutExpired
            If it has not ended after ``timeout`` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._waiting.acquire(timeout=-1 if left is None else left):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            try:
                if self._code is None:
                    if not select.select([self._status], [], [], left)[0]:
                        raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
                    told = os.read(self._status, 16)
                    self._code = os.waitstatus_to_exitcode(int(told)) if told else -signal.SIGKILL
                    os.close(self._status)
            finally:
                self._waiting.release()
        return self._code


class Warm:
    """The process that stages are forked from: started with the first of them, ended by :meth:`close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._environment: Mapping[str, str] = {}
        self._turn = threading.Lock()
        self._fails = sys.platform != "linux"  # elsewhere a fork with loaded libraries is not safe

    def start(self, name: str, command: list[str], wdir: str | Path, environment: Mapping[str, str]) -> Forked | None:
        """Fork ``python -m module …`` for the stage ``name``; None where that cannot be done, and it is to be started.

        It gets what the first stage had as environment, so another one that has more, or less, is to be started too.
        """
        own = {key: value for key, value in environment.items() if key != "DVC_STAGE"}
        with self._turn:
            if self._fails or not _this_python(command[0], own):
                return None
            try:
                if self._control is None:
                    self._open(own, wdir)
                return self._ask(name, command, wdir) if own == self._environment else None
            except (OSError, ValueError):
                self._fails = True
                return None

    def _open(self, environment: Mapping[str, str], wdir: str | Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = environment
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.warm", str(theirs.fileno())],
                cwd=wdir,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def _ask(self, name: str, command: list[str], wdir: str | Path) -> Forked:
        assert self._control is not None
        asked = {"module": command[2], "arguments": command[3:], "wdir": str(Path(wdir).resolve()), "stage": name}
        output, written = os.pipe2(os.O_CLOEXEC)
        status, told = os.pipe2(os.O_CLOEXEC)
        try:
            socket.send_fds(self._control, [json.dumps(asked).encode()], [written, told])
            # Without a limit: a stage that came after it would run twice. Where nobody is left to answer, it is empty.
            pid = int(self._control.recv(16))
        except BaseException:
            os.close(output)
            os.close(status)
            raise
        finally:
            os.close(written)
            os.close(told)
        return Forked(pid, open(output, encoding="utf-8", errors="replace", buffering=1), status)

    def close(self) -> None:
        """End it; stages that still run go on."""
        with self._turn:
            self._fails = True
            if self._control is not None:
                self._control.close()
            if self._process is not None:
                try:
                    self._process.wait(5)
                except subprocess.TimeoutExpired:
                    with suppress(OSError):
                        self._process.kill()
                    self._process.wait()


def _this_python(name: str, environment: Mapping[str, str]) -> bool:
    """Whether the command is this interpreter; one of another environment may be a link to the same program."""
    found, own = shutil.which(name, path=environment.get("PATH")), Path(sys.executable)
    return found is not None and Path(found).absolute().parent == own.parent and os.path.samefile(found, own)
