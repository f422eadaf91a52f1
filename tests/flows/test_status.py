"""`refit status`: who is champion since when, what was decided last, what a run would do; each part told or its trouble."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.status import Status, champion_of, lines, verdicts_of
from tasks.artifacts import ChampionLock
from tasks.registry.history import Decision, DecisionHistory
from tests.flows.project import alone, copied, make_project, refit
from tests.flows.terminal import Terminal
from tests.samples import drift

SENTENCE = "Keep: the challenger is worse."


def decide(root: Path) -> list[Decision]:
    """A first champion, a challenger that was kept out, and a rollback by a person."""
    book = DecisionHistory(root)
    verdict = {"verdict": "promote", "n": 90}
    book.record(Decision("toy", "promote", "1", "1", "a" * 64, "Promote: the first.", "refit run", "k1", verdict), None)
    book.record(Decision("toy", "promote", "2", "2", "b" * 64, "fewer alarms", "ann", "k2"), "a" * 64)
    kept = {"verdict": "keep", "n": 120}
    book.record(Decision("toy", "keep", "3", None, "c" * 64, SENTENCE, "refit run", "k3", kept), "b" * 64)
    book.record(Decision("toy", "rollback", "1", "1", "a" * 64, "complaints", "bob", "k4"), "b" * 64)
    return book.decisions("toy")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("status") / "project")


def test_champion_and_verdicts_are_those_of_the_history(tmp_path: Path) -> None:
    assert champion_of(tmp_path, []) is None
    past = decide(tmp_path)
    champion = champion_of(tmp_path, past)
    assert champion is not None
    assert (champion.version, champion.by, champion.reason, champion.since) == ("1", "bob", "complaints", past[-1].at)
    assert [(v.version, v.verdict, v.rows, v.champion) for v in verdicts_of(past)] == [
        ("1", "promote", 90, "1"),
        ("3", "keep", 120, "2"),
    ]


def test_the_lines_say_how_the_project_stands(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    root = copied(made, tmp_path / "project")
    rows = dict(Status(root).rows())
    assert rows == {
        "problem": "toy: y (binary, by roc_auc)",
        "champion": "none yet; `refit run` makes the first",
        "next run": "4 of 4 stages to run: never ran (no record in dvc.lock) (`refit run --explain`)",
    }
    decide(root)
    drift(True).write(root / "data" / "drift")
    rows = dict(Status(root).rows())
    assert rows["champion"].startswith("version 1 since ")
    assert rows["champion"].endswith(" UTC, by bob: complaints")
    assert rows["verdict"].endswith(f"version 3. {SENTENCE}")
    assert rows["drift"] == drift(True).sentence
    narrow = list(lines(iter(rows.items()), 60))
    assert max(map(len, narrow)) <= 60
    assert len(list(lines(iter(rows.items()), None))) == len(rows)


def test_what_cannot_be_told_is_a_line_and_not_the_end(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copied(made, tmp_path / "project")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    ChampionLock(model="toy", version="1", package_sha256="a" * 64, decision="1:00").write(root)
    (root / "dvc.lock").write_text("<<<<<<< ours\n")
    rows = dict(Status(root).rows())
    assert "which is not in the history here" in rows["champion"]
    assert rows["schedule"].startswith("PREFECT_API_URL: http://127.0.0.1:9/api does not answer")
    assert "dvc.lock: cut or in conflict" in rows["next run"]
    found = Status(root).as_json()
    assert sorted(found["errors"]) == ["champion", "next_run", "schedule"]
    assert found["champion"] is None


def test_on_a_terminal_nothing_is_wider_than_it_and_no_escape_is_left(made: Path) -> None:
    terminal = Terminal(made, {**alone(), "TERM": "xterm"}, "status", columns=60)
    assert terminal.end()[0] == 0
    assert "4 of 4 stages to run" in terminal.said
    first, _, shown = terminal.said.partition("\x1b[2K")  # what it is at, taken away when there is something to show
    assert first.startswith("status ...")
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 60


@pytest.mark.flows
def test_a_project_after_two_runs(twice: Path, server: dict[str, str]) -> None:
    found = json.loads(refit(twice, "status", "--json"))
    assert (found["champion"]["version"], found["verdict"]["version"]) == ("1", "2")
    assert found["champion"]["family"]
    assert found["next_run"]["due"] == []
    assert found["errors"] == {}
    said = refit(twice, "status", env=server)
    assert "nothing to run: everything is up to date" in said
    assert "schedule  none on this server (`refit deploy`)" in said
