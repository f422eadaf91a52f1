"""Blank databases: kept once, taken whole or not at all, and never a reason to fail."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks import blank


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as there:
        return there.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database as a library makes it, with the latest rows still in its journal beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "made.db"
    with closing(sqlite3.connect(path)) as there:
        there.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE a (x); CREATE TABLE b (y); INSERT INTO b VALUES (7)"
        )
        there.execute("INSERT INTO a VALUES (1)")
        there.commit()
        blank.keep(path, "one-1.0", without="b")
    return path


def test_what_was_kept_is_another_projects_database(made: Path, tmp_path: Path) -> None:
    assert blank.fill(tmp_path / "project" / "new.db", "one-1.0")
    assert rows(tmp_path / "project" / "new.db", "a") == [(1,)]
    assert rows(tmp_path / "project" / "new.db", "b") == [], "what belongs to the first project stays there"
    assert rows(made, "b") == [(7,)]
    assert [p.name for p in (tmp_path / "project").iterdir()] == ["new.db"]
    assert [p.name for p in (tmp_path / "cache" / "refit").iterdir()] == ["one-1.0.db"]


def test_a_database_that_is_there_stays(made: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "own.db")) as there:
        there.executescript("CREATE TABLE a (x); INSERT INTO a VALUES (5)")
    assert blank.fill(tmp_path / "own.db", "one-1.0")
    assert rows(tmp_path / "own.db", "a") == [(5,)]


def test_another_version_makes_its_own(made: Path, tmp_path: Path) -> None:
    assert not blank.fill(tmp_path / "new.db", "one-1.1")
    assert not (tmp_path / "new.db").exists()


def test_a_damaged_one_is_not_taken(made: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "refit" / "one-1.0.db"
    for harm in (kept.read_bytes()[:-4096], b"no database", b""):
        kept.write_bytes(harm)
        assert not blank.fill(tmp_path / "new.db", "one-1.0"), harm[:20]
        assert not (tmp_path / "new.db").exists()


def test_a_folder_that_cannot_be_used_is_no_mistake(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    blank.keep(made, "one-1.0")
    assert not blank.fill(tmp_path / "new.db", "one-1.0")
