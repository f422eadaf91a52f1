"""The foot of a terminal: a few lines that are drawn again and again, and lines above them that stay.

Half of what a library for this takes to load is the time in which a command has to say its first word.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from tasks.errors import visible

EVERY = 0.25  # seconds between two drawings
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor
EMPTY, UP = "\r\x1b[2K", "\x1b[A\x1b[2K"  # this line, and the one above; a screen that is cleared some terminals keep
COLORS = {"": "", "good": "32", "bad": "31", "work": "36", "dim": "2"}

Part = tuple[str, str]  # one of COLORS, and text
Line = Sequence[Part]


def is_live(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody looks at the stream on a terminal that can draw; a machine that runs jobs says ``CI``."""
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb" and not environment.get("CI")


def silence_dvc() -> None:
    """Have DVC draw no bars and log no errors here: what goes wrong it raises, too."""
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def columns() -> int:
    """How many characters fit in a line of the terminal."""
    return max(shutil.get_terminal_size().columns, 10)


def width(text: str) -> int:
    """Columns that a text takes: two for the wide characters of East Asia and most pictures, none for accents.

    >>> width("fit"), width("売上"), width("e\\u0301")
    (3, 4, 1)
    """
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def fitted(line: Line, room: int) -> list[Part]:
    """A line cut to so many columns, with a sign that it goes on; control characters are written out.

    >>> fitted([("good", "done "), ("", "in ten seconds")], 10)
    [('good', 'done '), ('', 'in t…')]
    """
    parts = [(color, visible(text)) for color, text in line]
    if sum(width(text) for _, text in parts) <= room:
        return parts
    cut: list[Part] = []
    left = room - 1
    for color, text in parts:
        kept = ""
        for sign in text:
            if width(sign) > left:
                return [*cut, (color, kept + "…")]
            kept, left = kept + sign, left - width(sign)
        cut.append((color, kept))
    return cut


class Screen:
    """Draws ``block(columns)`` at the foot of a terminal until :meth:`stop`, from a thread of its own.

    Whatever the process prints meanwhile comes above it. Without colours where ``NO_COLOR`` is set.
    """

    def __init__(self, stream: TextIO, block: Callable[[int], Sequence[Line]]) -> None:
        self._stream, self._block = stream, block
        self._plain = bool(os.environ.get("NO_COLOR"))
        self._lock = threading.RLock()
        self._drawn = 0
        self._ended = threading.Event()
        self._before: tuple[TextIO, TextIO] | None = None

    def start(self) -> None:
        """Begin to draw."""
        self._before = sys.stdout, sys.stderr
        sys.stdout = Above(self)
        if sys.stderr.isatty():
            sys.stderr = Above(self)
        self._write(HIDE)
        self.draw()
        threading.Thread(target=self._go_on, name="screen", daemon=True).start()

    def stop(self) -> None:
        """Take the block away and give the terminal back as it was."""
        with self._lock:
            if self._ended.is_set() or self._before is None:
                return
            self._ended.set()
            sys.stdout, sys.stderr = self._before
            self._write(self._erased() + SHOW)

    def draw(self) -> None:
        """Draw the block anew."""
        with self._lock:
            if not self._ended.is_set():
                self._write(self._erased() + self._foot())

    def show(self, line: Line) -> None:
        """Print a line above the block, cut to the terminal's width; after the end, as it is."""
        with self._lock:
            if self._ended.is_set():
                self._write("".join(visible(text) for _, text in line) + "\n")
            else:
                self._write(self._erased() + self._painted(line, columns() - 1) + self._foot())

    def _go_on(self) -> None:
        while not self._ended.wait(EVERY):
            self.draw()

    def _foot(self) -> str:
        room = columns() - 1
        rows = shutil.get_terminal_size().lines - 1
        lines = [self._painted(line, room) for line in self._block(room)[-max(rows, 1) :]]
        self._drawn = len(lines)
        return "".join(lines)

    def _erased(self) -> str:
        up, self._drawn = self._drawn, 0
        return EMPTY + UP * up if up else ""  # a ^C may stand below

    def _painted(self, line: Line, room: int) -> str:
        parts = fitted(line, room)
        return (
            "".join(
                text if self._plain or not color else f"\x1b[{COLORS[color]}m{text}\x1b[0m" for color, text in parts
            )
            + "\n"
        )

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a screen that is gone does not end what it showed
            self._stream.write(text)
            self._stream.flush()


class Above(io.TextIOBase):
    """Standard output while a block is drawn: whole lines come above it, without colours and bars of others."""

    def __init__(self, screen: Screen) -> None:
        self._screen, self._rest = screen, ""

    def write(self, text: str) -> int:
        """Show the lines that are whole."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.rstrip("\r").rpartition("\r")[2])
            self._screen.show([("", last)])
        return len(text)

    def isatty(self) -> bool:
        """No library is to draw here."""
        return False

    def writable(self) -> bool:
        """It can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of any text."""
        return "utf-8"


class Waiting:
    """The name of a command on a terminal's error stream while it has said nothing yet; gone once it says something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._shown = False

    def begin(self, name: str, seconds: float = 0.1) -> None:
        """Show it after so many seconds, unless :meth:`end` comes first."""
        if is_live(sys.stderr):
            self._timer = threading.Timer(seconds, self._show, (name,))
            self._timer.daemon = True
            self._timer.start()

    def _show(self, name: str) -> None:
        with self._lock:
            if self._timer is not None:
                self._shown = True
                self._write(f"{name} ...")

    def end(self) -> None:
        """Take it away, and show it no more."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._shown:
                self._write("\r\x1b[2K")
            self._timer, self._shown = None, False

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


waiting = Waiting()  # of this process
