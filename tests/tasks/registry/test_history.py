"""The history: one champion always, nobody overtakes unseen, nothing is rewritten."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import RefitError
from tasks.registry import history as module
from tasks.registry.history import (
    Action,
    Decision,
    DecisionHistory,
    Overtaken,
    champions_in_order,
    current_champion,
    highest,
    knows,
    mark,
    named,
    rolled_back,
)


def decision(version: str, action: Action = "promote", key: str | None = None, champion: str | None = None) -> Decision:
    return Decision("toy", action, version, champion or version, f"sha-{version}", "because", "a test", key or version)


def test_no_database_is_no_champion_and_makes_none(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    assert history.champion("toy") is None
    assert history.decisions("toy") == []
    assert not (tmp_path / ".refit").exists()


def test_the_last_row_says_who_is_champion_and_when_it_was(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    first = history.record(decision("1"), expected=None)
    kept = history.record(decision("2", "keep", champion="1"), expected="sha-1")
    second = history.record(decision("3"), expected="sha-1")
    assert [d.number for d in history.decisions("toy")] == [1, 2, 3]
    assert (first.previous, kept.previous, second.previous) == (None, "1", "1")
    champion = history.champion("toy")
    assert champion == second
    between = datetime.fromisoformat(second.at) - timedelta(microseconds=1)
    then = history.champion("toy", between)
    assert then is not None
    assert (then.champion, then.number) == ("1", 1)
    assert history.champion("toy", datetime.fromisoformat(first.at) - timedelta(seconds=1)) is None
    assert history.champion("another model") is None


def test_the_same_occasion_is_recorded_once(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    first = history.record(decision("1"), expected=None)
    assert history.record(decision("1"), expected=None) == first
    assert len(history.decisions("toy")) == 1


def test_what_a_look_counted_stays_beside_its_decision(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    assert history.counted("toy") == {}
    history.record(decision("1"), None, b"rows of look 1")
    history.record(decision("2", "keep", champion="1"), "sha-1")
    history.record(decision("3", "keep", champion="1"), "sha-1", b"\x00\xff")
    history.record(decision("3", "keep", champion="1"), "sha-1", b"never written: the same occasion")
    with pytest.raises(Overtaken):
        history.record(decision("4"), "sha-9", b"never written: overtaken")
    assert history.counted("toy") == {1: b"rows of look 1", 3: b"\x00\xff"}
    assert history.counted("another model") == {}
    path = tmp_path / ".refit" / "history.db"
    with closing(sqlite3.connect(path)) as raw, pytest.raises(sqlite3.Error, match="append-only"):
        raw.execute("DELETE FROM looks")


def test_several_rows_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    rows = [
        (decision("1", "keep", "look 1"), b"one"), (decision("1", "adopt", "crown"), None),
        (decision("1", "keep", "look 2"), b"two"),
    ]  # fmt: skip
    made = history.record_all(rows, None)
    assert [(d.number, d.action, d.previous, d.champion) for d in made] == [
        (1, "keep", None, None), (2, "adopt", None, "1"), (3, "keep", "1", "1"),
    ]  # fmt: skip
    assert history.counted("toy") == {1: b"one", 3: b"two"}
    assert history.record_all(rows, None) == made
    with pytest.raises(Overtaken):
        history.record_all([(decision("2"), None), (decision("3"), None)], None)
    assert len(history.decisions("toy")) == 3


def test_a_champion_is_its_package_whatever_its_version_is_called(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    history.record(decision("1"), None)
    other = Decision(**{**decision("1", key="again").__dict__, "package_sha256": "sha-other"})
    with pytest.raises(Overtaken):
        history.record(other, "sha-other")
    history.record(other, "sha-1")
    rows = history.decisions("toy")
    last = current_champion(rows)
    assert last is not None
    assert last.package_sha256 == "sha-other"
    assert named(rows, "1") == ["sha-1", "sha-other"]
    assert [d.package_sha256 for d in champions_in_order(rows)] == ["sha-1", "sha-other"]
    assert highest(rows) == 1


def test_a_mark_is_known_to_its_own_history_only(tmp_path: Path) -> None:
    first, second = DecisionHistory(tmp_path / "a"), DecisionHistory(tmp_path / "b")
    row = first.record(decision("1"), None)
    second.record(decision("1"), None)  # the same decision, at another moment
    assert knows(first.decisions("toy"), mark(row))
    assert not knows(second.decisions("toy"), mark(row))
    later = first.record(decision("2"), "sha-1")
    assert knows(first.decisions("toy"), mark(row))
    assert not knows([row], mark(later))


def test_an_adoption_of_nothing_leaves_no_champion(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    history.record(decision("1"), None)
    nothing = Decision("toy", "adopt", "none", None, "", "anew", "a test", "n")
    assert history.record(nothing, "sha-1").previous == "1"
    assert history.champion("toy") is None
    assert champions_in_order(history.decisions("toy")) == []
    history.record(decision("2"), None)
    assert [d.version for d in champions_in_order(history.decisions("toy"))] == ["2"]


def test_who_expects_another_champion_is_overtaken(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    history.record(decision("1"), expected=None)
    with pytest.raises(
        Overtaken, match=r"version 2 was not made champion: it was to replace no champion, and version 1"
    ):
        history.record(decision("2"), expected=None)
    assert [d.version for d in history.decisions("toy")] == ["1"]


def test_a_clock_behind_the_last_decision_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = DecisionHistory(tmp_path)
    history.record(decision("1"), expected=None)

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=1)

    monkeypatch.setattr(module, "datetime", Yesterday)
    with pytest.raises(RefitError, match=r"the clock says .* Set the clock right"):
        history.record(decision("2"), expected="sha-1")
    monkeypatch.undo()
    champion = history.champion("toy")
    assert champion is not None
    assert champion.version == "1"


def test_rows_cannot_be_changed_or_removed(tmp_path: Path) -> None:
    DecisionHistory(tmp_path).record(decision("1"), expected=None)
    raw = sqlite3.connect(tmp_path / ".refit" / "history.db")
    for sql in ("UPDATE decisions SET version = '9'", "DELETE FROM decisions"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(sql)
    raw.close()


def test_a_locked_database_is_a_plain_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT", 0.1)
    history = DecisionHistory(tmp_path)
    history.record(decision("1"), expected=None)
    other = sqlite3.connect(tmp_path / ".refit" / "history.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RefitError, match=r"cannot be used: database is locked\. The champion is unchanged"):
        history.record(decision("2"), expected="sha-1")
    other.execute("ROLLBACK")
    other.close()
    champion = history.champion("toy")
    assert champion is not None
    assert champion.version == "1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "REFIT_HISTORY: 'nonsense' is not a usable database URL"),
        ("mysterydb://me:secret@x", "REFIT_HISTORY: 'x' is not a usable database URL"),
        (
            "sqlite:////proc/no/such/history.db",
            "history.db) cannot be made: /proc/no: No such file or directory. Check",
        ),
        ("sqlite:////dev/null/history.db", "history.db) cannot be made: /dev/null: File exists. Check REFIT_HISTORY."),
    ],
)
def test_an_unusable_database_is_a_plain_error(url: str, said: str) -> None:
    with pytest.raises(RefitError, match=re.escape(said)) as told:
        DecisionHistory(url=url).record(decision("1"), expected=None)
    assert "secret" not in str(told.value)


def test_rollback_takes_versions_away() -> None:
    rows = [decision("1"), decision("2"), decision("3")]
    assert [d.version for d in champions_in_order(rows)] == ["1", "2", "3"]
    back = decision("2", "rollback")
    rows.append(Decision(**{**back.__dict__, "previous": "3"}))
    assert [d.version for d in champions_in_order(rows)] == ["1", "2"]
    last = current_champion(rows)
    assert last is not None
    assert last.version == "2"
    removed = rolled_back(rows, "sha-3")
    assert removed is not None
    assert removed.reason == "because"
    assert rolled_back(rows, "sha-2") is None
    assert rolled_back([*rows, decision("3")], "sha-3") is None


PROMOTER = """
import sys
from tasks.registry.history import Decision, DecisionHistory, Overtaken
version = sys.argv[1]
sys.stdin.readline()  # all start together
try:
    DecisionHistory(sys.argv[2]).record(
        Decision("toy", "promote", version, version, "sha-" + version, "race", "promoter " + version, version), "sha-0"
    )
    print("won")
except Overtaken as error:
    print("lost:", error)
"""


def test_of_twenty_promoters_at_once_one_wins(tmp_path: Path) -> None:
    history = DecisionHistory(tmp_path)
    history.record(decision("0"), expected=None)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTER, str(i), str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for i in range(1, 21)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].strip() for racer in racers]
    assert said.count("won") == 1, said
    winner = str(said.index("won") + 1)
    lost = [line for line in said if line != "won"]
    assert len(lost) == 19
    assert all(f"and version {winner} became champion" in line and "Run again to compare" in line for line in lost)
    champion = history.champion("toy")
    assert champion is not None
    assert champion.version == winner
    assert len(history.decisions("toy")) == 2
