"""Commands of stages as processes of ours: split without a shell, ended with their children, never left behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from flows.warm import Process, Warm
from tasks.errors import RefitError
from tasks.params import START

# In the environment of every process that a walk starts: the project, and the process id of the walk.
MARK, WALKER = "REFIT_WALK", "REFIT_WALKER"
GRACE = 2.5  # seconds that a stage gets between a polite signal and a kill; a stopped run leaves within six


class StageFailed(RefitError):
    """A stage's command failed. ``mistake``: it said so in plain words, and repeating it cannot help."""

    def __init__(self, message: str, mistake: bool = False) -> None:
        super().__init__(message)
        self.mistake = mistake


class CommandFailed(StageFailed):
    """The command itself failed, here or on a worker; nothing else is wrong with the walk."""


class Cancelled(RefitError):
    """The walk was stopped."""


def words(cmd: str | list[str]) -> list[list[str]]:
    """Split a stage's command(s) into arguments; shell operators are refused, since no shell runs them.

    >>> words("python -m tasks.train 'my family'")
    [['python', '-m', 'tasks.train', 'my family']]
    >>> words("python a.py | tee log")
    Traceback (most recent call last):
        ...
    tasks.errors.RefitError: dvc.yaml: cmd 'python a.py | tee log' uses the shell's '|'. Refit runs commands without \
a shell; put the logic into the Python module that the stage runs.
    """
    commands = []
    for line in cmd if isinstance(cmd, list) else cmd.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for token in lexer:
            if token and not token.strip("|&;<>()"):
                raise RefitError(
                    f"dvc.yaml: cmd {line!r} uses the shell's {token!r}. Refit runs commands without a shell; "
                    "put the logic into the Python module that the stage runs."
                )
        commands.append(shlex.split(line))
    return [c for c in commands if c]


def is_stage(command: list[str]) -> bool:
    """Whether a command runs a package of ``tasks``, which reads ``params.yaml`` through :mod:`tasks.params` alone.

    >>> is_stage(["python", "-m", "tasks.train", "xgboost"]), is_stage(["python", "work.py"])
    (True, False)
    """
    return Path(command[0]).name.startswith("python") and command[1:2] == ["-m"] and command[2].startswith("tasks.")


def environment(root: Path, stage: str) -> dict[str, str]:
    """The environment of a stage's command: this interpreter first on the path, and what DVC itself sets."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "DVC_ROOT": str(root),
        "DVC_STAGE": stage,
        MARK: str(root),
        WALKER: str(os.getpid()),
    }


def sealed_environment(sealed: Path, wdir: Path) -> dict[str, str]:
    """What has a stage read ``params.yaml``, ``dvc.yaml`` and the code of ``tasks`` from where a run keeps them.

    Python then does not put the working directory first on its path; it comes after the run's code.
    """
    paths = [str(sealed), str(wdir.resolve()), os.environ.get("PYTHONPATH", "")]
    return {START: str(sealed), "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def mark(root: Path) -> None:
    """Mark whatever this process starts from now on (Prefect's temporary server, the package's check) as the walk's."""
    os.environ |= {MARK: str(root), WALKER: str(os.getpid())}


def failure(name: str, code: int, lines: list[str]) -> CommandFailed:
    """Turn a failed command into a message: a stage's own ``error:`` lines, or the last lines it printed."""
    at = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith("error: ")), None)
    if at is not None:
        return CommandFailed(
            f"{name}: " + "\n".join([lines[at].removeprefix("error: "), *lines[at + 1 :]]), mistake=True
        )
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    hint = " (out of memory?)" if code in (-9, 137) else ""
    last = "\n".join(f"  {line}" for line in lines[-8:])
    return CommandFailed(f"{name}: the command {how}{hint}." + (f" Its last lines:\n{last}" if last else ""))


def start(
    name: str, command: list[str], wdir: str | Path, root: Path, sealed: Path | None = None, warm: Warm | None = None
) -> Process:
    """Start one command of a stage in a process group of its own, its two outputs in one stream of lines.

    ``sealed`` is the folder of what the run began with (:mod:`flows.seal`), for commands that know how to read it; those are
    forked from ``warm``, where it is given.
    """
    env = environment(root, name)
    if sealed is not None and is_stage(command):
        env |= sealed_environment(sealed, Path(wdir))
        if warm is not None and (forked := warm.start(name, command, wdir, env)) is not None:
            return forked
    try:
        return subprocess.Popen(
            command,
            cwd=wdir,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            start_new_session=True,
        )
    except OSError as error:
        raise StageFailed(f"{name}: cannot run {command[0]!r}: {error.strerror}.", mistake=True) from None


def follow(process: Process, log: Callable[[str], None]) -> tuple[int, list[str]]:
    """Hand its lines to ``log`` until it ends; returns its code and its last lines. What it started ends with it."""
    lines: deque[str] = deque(maxlen=30)
    assert process.stdout is not None
    with process.stdout:
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                log(lines[-1])
            return process.wait(), list(lines)
        except BaseException:
            end_group(process)
            raise


def end_group(process: Process) -> None:
    """End a process and its group: politely, then for sure."""
    for number, seconds in ((signal.SIGINT, GRACE), (signal.SIGKILL, 60.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    # The leader may be gone before its children: end what is left of the group.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def end_orphans(root: Path) -> list[int]:
    """Kill what an earlier, killed walk of this project left running, so that it writes nothing more.

    Call only while holding the walk lock: then no other walk of this project is alive.
    """
    import psutil

    killed = []
    for process in psutil.process_iter():
        try:
            marks = process.environ()
            if process.pid != os.getpid() and marks.get(MARK) == str(root) and marks.get(WALKER) != str(os.getpid()):
                process.kill()
                killed.append(process)
        except psutil.Error:
            continue
    psutil.wait_procs(killed, timeout=10)
    return [p.pid for p in killed]
