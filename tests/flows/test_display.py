"""What a run shows of itself: it is told as any watcher is, and keeps what the summary needs."""

from __future__ import annotations

import re

import pytest

from flows.display import Display
from flows.node import Outcome
from flows.watcher import Watcher


def tell(watcher: Watcher) -> None:
    """A run of three stages, one of which fails."""
    watcher.note("dvc.lock was not there")
    watcher.started("load")
    watcher.line("load", "10 rows\x1b[2J")
    watcher.ended("load", Outcome("load", "ran", 1.25))
    watcher.started("fit@a")
    watcher.failed("fit@a", "no memory")
    watcher.ended("fit@b", Outcome("fit@b", "restored", 0.02))


def test_without_a_terminal_each_event_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(plain=True) as display:
        tell(display)
    lines = [re.sub(r"^ *[\d.]+ s  ", "", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "run | dvc.lock was not there",
        "load ...",
        "load | 10 rows\\x1b[2J",
        "load done (1.2 s)",
        "fit@a ...",
        "fit@a failed: no memory",
        "fit@b cached (restored from the run cache) (0.0 s)",
    ]
    assert {name: outcome.how for name, outcome in display.outcomes.items()} == {"load": "ran", "fit@b": "restored"}
    assert display.notes == ["dvc.lock was not there"]
    display.line("load", "too late")
    assert capsys.readouterr().out == "", "a closed display shows nothing"


def test_who_only_watches_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Watcher())
    assert capsys.readouterr() == ("", "")
