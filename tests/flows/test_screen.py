"""The foot of a terminal: what is drawn, what stays above it, what is left at the end; and when nothing is drawn at all."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from flows import display as display_module
from flows import screen
from flows.display import Display, rows_of, say
from flows.expected import Expected
from flows.node import Outcome
from flows.screen import HIDE, SHOW, Line, Screen, fitted, is_live
from tests.flows.terminal import drawn


class Tty(io.StringIO):
    """A terminal that keeps all that was written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """Standard output and error from now on, on a terminal of 60 columns and 12 rows."""
    it = Tty()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, it)
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "60", "LINES": "12"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(screen, "EVERY", 1e6)  # drawn when something happens, and not by the clock
    return it


@pytest.mark.parametrize(
    ("tty_is", "env", "live"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (True, {"TERM": "xterm", "CI": "true"}, False),
        (True, {"TERM": "xterm", "CI": ""}, True),
    ],
)
def test_only_where_somebody_looks_is_anything_drawn(tty_is: bool, env: dict[str, str], live: bool) -> None:
    assert is_live(Tty() if tty_is else io.StringIO(), env) is live


@pytest.mark.parametrize(
    ("line", "room", "shown"),
    [
        ([("", "abc"), ("dim", "def")], 6, [("", "abc"), ("dim", "def")]),
        ([("", "abc"), ("dim", "def")], 5, [("", "abc"), ("dim", "d…")]),
        ([("", "abc"), ("dim", "def")], 4, [("", "abc"), ("dim", "…")]),
        ([("", "abc"), ("dim", "def")], 3, [("", "ab…")]),
        ([("", "売上高")], 6, [("", "売上高")]),
        ([("", "売上高")], 5, [("", "売上…")]),
        ([("", "売上高")], 4, [("", "売…")]),
        ([("", "a\x1b[2J")], 10, [("", "a\\x1b[2J")]),
    ],
)
def test_a_line_is_cut_to_its_room(line: Line, room: int, shown: list[tuple[str, str]]) -> None:
    assert fitted(line, room) == shown


def test_lines_stay_above_the_block_which_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    block: list[Line] = [[("work", "first")], [("", "second")]]
    it = Screen(tty, lambda room: block)
    it.start()
    assert tty.getvalue() == f"{HIDE}\x1b[36mfirst\x1b[0m\nsecond\n"
    it.show([("good", "done "), ("", "x" * 100)])
    assert drawn(tty.getvalue(), 60) == (["done " + "x" * 53 + "…", "first", "second", ""], False)
    block[:] = [[("", f"line {n}")] for n in range(40)]
    it.draw()
    assert drawn(tty.getvalue(), 60)[0][1:3] == ["line 29", "line 30"], "no more than the rows of the terminal"
    it.stop()
    assert drawn(tty.getvalue(), 60) == (["done " + "x" * 53 + "…", ""], True)
    assert tty.getvalue().endswith(SHOW)
    assert sys.stdout is tty
    before = tty.getvalue()
    it.stop()
    it.draw()
    assert tty.getvalue() == before
    it.show([("good", "late "), ("", "line\x07")])
    assert tty.getvalue() == before + "late line\\x07\n"


def test_what_libraries_print_comes_above_in_whole_lines_without_their_bars_and_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tty = terminal(monkeypatch)
    it = Screen(tty, lambda room: [[("", "block")]])
    it.start()
    assert not sys.stdout.isatty()
    assert (sys.stderr.writable(), sys.stderr.encoding) == (True, "utf-8")
    print("one\ntw", end="")
    print("  0%|     | 0/3\r100%|#####| 3/3\r", file=sys.stderr)
    assert drawn(tty.getvalue(), 60)[0] == ["one", "100%|#####| 3/3", "block", ""]
    print("\x1b[31mo\x1b[0m")
    it.stop()
    assert drawn(tty.getvalue(), 60)[0] == ["one", "100%|#####| 3/3", "two", ""]


def test_a_screen_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    it = Screen(tty, lambda room: [])
    it.start()
    tty.close()
    it.show([("", "line")])
    it.stop()


@pytest.mark.parametrize("no_color", [False, True])
def test_a_run_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    tty = terminal(monkeypatch)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(display_module, "time", SimpleNamespace(perf_counter=lambda: 100.0))
    needs: dict[str, tuple[str, ...]] = {"load": (), "fit@a": ("load",), "fit@b": ("load",)}
    with Display(plain=False) as display:
        display.doing("looking at what changed")
        assert drawn(tty.getvalue(), 60)[0] == ["0:00  looking at what changed", ""]
        display.expects(Expected(needs, frozenset(needs), {"load": 60.0, "fit@a": 60.0, "fit@b": 90.0}, 2))
        display.started("load")
        display.line("load", "10 rows of many\x1b[2J" + "." * 60)
        display._screen.draw()  # type: ignore[union-attr]
        shown = drawn(tty.getvalue(), 60)[0]
        assert shown[0] == "3 of 3 stages to run, about 2:30 by their last times"
        assert shown[1] == "● load 0:00  10 rows of many\\x1b[2J.......................…"
        assert shown[2] == "─" * 22 + " 1 of 3 stages  0:00  about 2:30 left"
        display.ended("load", Outcome("load", "ran", 1.25))
        display.started("fit@a")
        display.failed("fit@a", "no memory")
        display.ended("fit@b", Outcome("fit@b", "restored", 0.02))
        display.started("track")
        display.started("promote")
        display.note("something to know")
        display._screen.draw()  # type: ignore[union-attr]
        lines = drawn(tty.getvalue(), 60)[0]
        assert lines[1:4] == [
            "✓ load done (1.2 s)",
            "✗ fit@a failed: no memory",
            "✓ fit@b cached (restored from the run cache) (0.0 s)",
        ]
        assert lines[4] == "● promote 0:00  ", "an effect is over when the next one begins"
        monkeypatch.setenv("COLUMNS", "30")
        display._screen.draw()  # type: ignore[union-attr]
        assert drawn(tty.getvalue(), 60)[0][5] == "3 of 3 stages  0:00", "no room for more"
    lines, cursor = drawn(tty.getvalue(), 60)
    assert (len(lines), cursor) == (5, True)
    assert ("\x1b[32m" in tty.getvalue()) is not no_color
    assert display.notes == ["something to know"]


def test_a_terminal_without_such_signs_gets_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    monkeypatch.setattr(Tty, "encoding", "latin-1", raising=False)
    with Display(plain=False) as display:
        display.ended("load", Outcome("load", "ran", 1.25))
    assert drawn(tty.getvalue(), 60)[0] == ["+ load done (1.2 s)", ""]


DIAMOND: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


@pytest.mark.parametrize(
    ("due", "seconds", "parallel", "ended", "running", "left"),
    [
        ("abcd", {"a": 1, "b": 2, "c": 5, "d": 1}, 2, (), {}, 7),  # the longest chain
        ("abcd", {"a": 1, "b": 2, "c": 5, "d": 1}, 1, (), {}, 9),  # one after another
        ("abcd", {"a": 1, "b": 2, "c": 5, "d": 1}, 2, "a", {"c": 3.0}, 3),
        ("abcd", {"a": 1, "b": 2, "c": 5, "d": 1}, 2, "a", {"c": 30.0}, 3),
        ("abcd", {"a": 1, "b": 2, "c": 5}, 2, (), {}, None),
        ("abcd", {"b": 2, "c": 5, "d": 1}, 2, "a", {}, 6),
        ("d", {"d": 4}, 2, (), {}, 4),
        ("", {}, 2, (), {}, 0),
    ],
)
def test_the_time_left_by_what_stages_took_last(
    due: str, seconds: dict[str, float], parallel: int, ended: str, running: dict[str, float], left: float | None
) -> None:
    assert Expected(DIAMOND, frozenset(due), seconds, parallel).left(ended, running) == left


def test_what_is_before_a_run_in_a_line() -> None:
    def of(due: str, **seconds: float) -> str:
        return Expected(DIAMOND, frozenset(due), seconds, 1).sentence()

    assert of("") == "4 stages, none of them to run"
    assert of("cd", c=70, d=20.2) == "2 of 4 stages to run, about 1:30 by their last times"
    assert of("cd", c=70) == "2 of 4 stages to run"


def test_labels_and_their_texts_fit_a_terminal() -> None:
    rows = [("rows", "3 accepted"), ("note", "a\x1bb " + "word " * 5)]
    assert rows_of(rows, None) == ["rows  3 accepted", "note  a\x1bb word word word word word "]
    assert rows_of(rows, 22) == ["rows  3 accepted", "note  a\\x1bb word", "      word word word", "      word"]


def test_a_command_that_takes_a_while_shows_its_name_until_it_says_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tty = terminal(monkeypatch)
    made: list[tuple[float, Callable[[str], None], tuple[str]]] = []

    class Clock:
        def __init__(self, seconds: float, call: Callable[[str], None], given: tuple[str]) -> None:
            made.append((seconds, call, given))

        def start(self) -> None: ...

        def cancel(self) -> None: ...

    monkeypatch.setattr(screen.threading, "Timer", Clock)
    it = screen.waiting
    it.begin("history", 0.2)
    ((seconds, call, given),) = made
    assert (seconds, given) == (0.2, ("history",))
    call(*given)
    assert tty.getvalue() == "history ..."
    say("no decisions yet")
    assert drawn(tty.getvalue(), 60)[0] == ["no decisions yet", ""]
    call(*given)
    it.end()
    assert drawn(tty.getvalue(), 60)[0] == ["no decisions yet", ""], "it came too late"
    monkeypatch.setenv("CI", "true")
    it.begin("history")
    assert len(made) == 1
