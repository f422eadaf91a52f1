"""``refit run`` in a pseudo-terminal of its own, as a person has it: keys are pressed, the window is closed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import psutil

from flows.commands import MARK
from flows.screen import HIDE, SHOW, width


def drawn(said: str, columns: int) -> tuple[list[str], bool]:
    """What stands on a terminal after all that was written there, and whether its cursor is shown.

    An error for an escape that Refit does not write, or for a line that the terminal would break.
    """
    lines, row, column, cursor = [""], 0, 0, True
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[\r\n]|[^\x1b\r\n]+", said):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif token == "\r":
            column = 0
        elif token in (HIDE, SHOW):
            cursor = token == SHOW
        elif token == "\x1b[A":
            row -= 1
            assert row >= 0, "above the first line"
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.startswith("\x1b"):
            assert re.fullmatch(r"\x1b\[\d*m", token), f"a stray escape: {token!r}"
        else:
            lines[row] = lines[row][:column] + token
            column += width(token)
            assert column <= columns, f"wider than {columns}: {lines[row]!r}"
    return lines[: row + 1], cursor


class Terminal:
    """A command in a terminal, from its start to its end; ``said`` is what was written there.

    ``job``: as a machine that runs jobs has one, where ``env`` says so.
    """

    def __init__(self, root: Path, env: dict[str, str], *arguments: str, columns: int = 80, job: bool = False) -> None:
        self.root = root
        self.began = time.monotonic()
        env = {k: v for k, v in env.items() if k not in ("COLUMNS", "LINES") and (job or k != "CI")}
        env["TERM"] = "xterm-256color"
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.chdir(root)
            os.execve(sys.executable, [sys.executable, "-m", "flows.cli", *arguments], env)
        self.said = ""
        self._open = True

    def read(self, seconds: float) -> bool:
        """Take what is written within this time; False once the command has closed its terminal."""
        if self._open and select.select([self._screen], [], [], seconds)[0]:
            try:
                chunk = os.read(self._screen, 1 << 16)
            except OSError:
                chunk = b""
            self._open = bool(chunk)
            self.said += chunk.decode("utf-8", "replace")
        return self._open

    def until(self, text: str | None = None, seconds: float = 300) -> bool:
        """Wait until a text stands there or, without one, for that time; False if the command ended before."""
        limit = time.monotonic() + seconds
        while text is None or text not in self.said:
            if not self.read(0.02):
                return False
            if time.monotonic() > limit:
                assert text is None, f"{text!r} did not come:\n{self.said}"
                return True
        return True

    def press(self, key: bytes) -> None:
        os.write(self._screen, key)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._screen)
        self._open = False

    def end(self) -> tuple[int, float]:
        """Wait for the command's end; returns its status (negative: killed by that signal) and the seconds that it took."""
        began = time.monotonic()
        while not (done := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.read(0.02)
            if not self._open:
                time.sleep(0.02)
            if time.monotonic() - began > 300:
                os.kill(self.pid, signal.SIGKILL)
        while self.read(0.1):
            continue
        with suppress(OSError):
            os.close(self._screen)
        return os.waitstatus_to_exitcode(done[1]), time.monotonic() - began

    def left(self) -> list[str]:
        """Processes of the project's runs that are still there."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.root.resolve()) and process.status() != "zombie":
                    found.append(" ".join(process.cmdline()))
        return found
