"""Who is at work in a project: one walk at a time, and none beside a DVC command that runs its stages.

The walk's lock is the kernel's, so it is given back however its process ends. DVC writes down which process runs a stage
(``.dvc/tmp/rwlock``) while it holds a lock of its own; both are asked before a walk begins.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tasks.errors import RefitError
from tasks.registry.history import minute

LOCK = ".refit/walk.lock"
RUN = "refit run"
SHORT = 30.0  # seconds that a walk waits for a DVC command that runs no stage
DRIFT = 2.0  # seconds that a process's beginning may be off, as the system reckons it


@dataclass(frozen=True)
class Holder:
    """Who is at work in a project: a command, its process (None: it does not say), and since when."""

    command: str
    process: int | None
    since: datetime | None = None

    def __str__(self) -> str:
        since = f", since {minute(self.since.isoformat())}" if self.since else ""
        return f"process {self.process or 'unknown'}{since}"


class AtWork(RefitError):
    """Somebody else is at work in the project; ``who`` says who."""

    def __init__(self, root: Path, who: Holder) -> None:
        command = f"another `{RUN}`" if who.command == RUN else f"`{who.command}`"
        super().__init__(f"{root}: {command} is at work here ({who}). Wait for it, or stop it.")
        self.who = who


def at_work(root: Path) -> Holder | None:
    """Who is at work in a project; None: nobody. Nothing is written."""
    try:
        with open(root / LOCK, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _walker(file)
    except OSError:
        pass
    return running_stage(root)


def take_lock(root: Path) -> TextIO:
    """Take the project's walk lock; closing the file gives it back, and so does the end of this process, however it ends.

    Raises :class:`AtWork` where another walk of the project holds it, or a DVC command runs its stages.
    """
    (root / LOCK).parent.mkdir(exist_ok=True)
    file = open(root / LOCK, "a+", encoding="utf-8")  # noqa: SIM115 - held until the walk ends
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AtWork(root, _walker(file)) from None
        with _dvc_halted(root):
            if (who := running_stage(root)) is not None:
                raise AtWork(root, who)
        file.truncate(0)
        file.write(f"{os.getpid()} {datetime.now(UTC).isoformat()}")
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _walker(file: TextIO) -> Holder:
    """The walk that wrote its lock's file."""
    file.seek(0)
    process, _, since = file.read().strip().partition(" ")
    return Holder(RUN, int(process) if process.isdigit() else None, datetime.fromisoformat(since) if since else None)


def running_stage(root: Path) -> Holder | None:
    """The DVC command of another process that runs a stage of the project now; None: there is none."""
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        held, written = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime
        infos = [*held.get("write", {}).values(), *(one for many in held.get("read", {}).values() for one in many)]
        commands = {int(one["pid"]): str(one["cmd"]) for one in infos}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nobody has it, or DVC will complain
    commands.pop(os.getpid(), None)
    return next((who for one, command in commands.items() if (who := _owner(one, command, written))), None)


def _owner(process: int, command: str, written: float) -> Holder | None:
    """The process of this number, if it was there already when it was written down: what is killed leaves its number."""
    import psutil

    try:
        began = psutil.Process(process).create_time()
    except psutil.Error:
        return None
    if began > written + DRIFT:
        return None
    name = next((word for word in command.split()[1:] if word.isalpha()), "")
    return Holder(f"dvc {name}".strip(), process, datetime.fromtimestamp(began, UTC))


@contextmanager
def _dvc_halted(root: Path) -> Iterator[None]:
    """Within it no DVC command begins a stage. Raises :class:`AtWork` where one that runs no stage does not end either."""
    path = root / ".dvc" / "tmp" / "lock"
    if not path.exists():
        yield
        return
    with closing(open(path, encoding="utf-8")) as file:
        until = time.monotonic() + SHORT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if (who := running_stage(root)) is not None:
                    raise AtWork(root, who) from None
                if time.monotonic() > until:
                    process = file.read().strip()
                    raise AtWork(root, Holder("dvc", int(process) if process.isdigit() else None)) from None
                time.sleep(0.05)
        yield
