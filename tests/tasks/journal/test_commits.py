"""Group commit: many callers at once, each with its own result, and few commits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tasks.journal import Commits, Event, Journal, JournalUnwritable
from tests.tasks.journal.test_journal import answer, events_of, everything, order, seq_of


class Held:
    """Keeps a journal's writer busy until it is let go, so that callers pile up behind it."""

    def __init__(self, journal: Journal) -> None:
        self.sizes: list[int] = []
        self._append, self._go, self._busy = journal.append_all, threading.Event(), threading.Event()
        journal.append_all = self._held  # type: ignore[method-assign]

    def _held(self, callers):
        self._busy.set()
        assert self._go.wait(60)
        self.sizes.append(len(callers))
        return self._append(callers)

    def pile_up(self, commits: Commits) -> None:
        commits.append([order(0)])
        assert self._busy.wait(60)

    def go(self) -> None:
        self._go.set()


def test_many_callers_share_a_commit_and_each_has_its_own_result(where: str) -> None:
    journal = Journal(where, write=True)
    held = Held(journal)
    with Commits(journal) as commits:
        held.pile_up(commits)
        same = [commits.append([order(1, "same"), order(2, f"own {n}")], [answer(f"p{n}")]) for n in range(50)]
        twice = commits.append([order(1, "same"), order(1, "same")])
        held.go()
        results = [future.result(60) for future in same]
        assert held.sizes == [1, 51]
        assert [r.stored for r in results] == [3] + [2] * 49
        assert [r.again for r in results] == [frozenset()] + [frozenset({"same"})] * 49
        assert {r.seq for r in results} == {1 + 51 + 50}
        assert (twice.result(60).stored, twice.result(60).again) == (0, {"same"})
    with Journal(where) as reader:
        assert everything(reader) == list(range(1, 103))


def test_a_callers_bad_entry_fails_alone_and_at_once(where: str) -> None:
    journal = Journal(where, write=True)
    held = Held(journal)
    with Commits(journal) as commits:
        held.pile_up(commits)
        good = [commits.append([order(n)]) for n in range(3)]
        with pytest.raises(ValueError, match="Out of range float"):
            commits.append([order(1), Event("orders", {"amount": float("nan")})])
        good.append(commits.append([order(4)]))
        held.go()
        assert {future.result(60).seq for future in good} == {5}
    assert [e.body["id"] for e in events_of(where)] == [0.0, 0.0, 1.0, 2.0, 4.0]


def test_who_no_longer_waits_changes_nothing_for_the_others(where: str) -> None:
    journal = Journal(where, write=True)
    held = Held(journal)
    with Commits(journal) as commits:
        held.pile_up(commits)
        gone, there = commits.append([order(1)]), commits.append([order(2)])
        assert gone.cancel()
        held.go()
        assert there.result(60).seq == 3
    assert [e.body["id"] for e in events_of(where)] == [0.0, 1.0, 2.0]


def test_trouble_is_told_to_everybody_once_and_is_over_when_it_is_over(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(where, write=True)
    tries = []

    def broken(callers):
        tries.append(len(callers))
        raise JournalUnwritable("no room")

    held = Held(journal)
    with Commits(journal) as commits:
        held.pile_up(commits)
        held._append, whole = broken, held._append
        waiting = [commits.append([order(n)]) for n in range(20)]
        held.go()
        wait(waiting, 60)
        for future in waiting:
            with pytest.raises(JournalUnwritable, match="no room"):
                future.result()
        assert tries in ([21], [1, 20])
        held._append = whole
        assert commits.append([order(1)]).result(60).stored == 1


def test_what_was_given_is_written_before_the_end_and_nothing_is_taken_after_it(where: str) -> None:
    journal = Journal(where, write=True)
    held = Held(journal)
    commits = Commits(journal)
    held.pile_up(commits)
    waiting = [commits.append([order(n)]) for n in range(30)]
    ending = threading.Thread(target=commits.close)
    ending.start()
    held.go()
    ending.join(60)
    assert {future.result(0).seq for future in waiting} == {31}
    with pytest.raises(RuntimeError, match="closed"):
        commits.append([order(1)])
    assert seq_of(where) == 31


def test_a_large_caller_is_not_cut_and_a_commit_has_a_bound(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.journal.commits.MOST", 25)
    journal = Journal(where, write=True)
    held = Held(journal)
    with Commits(journal) as commits:
        held.pile_up(commits)
        waiting = [commits.append([order(n)] * size) for n, size in enumerate((10, 10, 60, 10))]
        held.go()
        assert [future.result(60).seq for future in waiting] == [81, 81, 81, 91]
    assert held.sizes == [1, 3, 1]


def test_answers_and_events_of_many_threads(where: str) -> None:
    with Commits(Journal(where, write=True)) as commits, ThreadPoolExecutor(8) as pool:

        def one(n: int) -> int:
            made = commits.append([order(n)] if n % 3 else [], [answer(f"p{n}", f"[{n}.0]")]).result(60)
            assert made.stored == 1 + bool(n % 3)
            return made.seq

        seen = list(pool.map(one, range(120)))
    with Journal(where) as reader:
        assert everything(reader) == list(range(1, 201))
        assert max(seen) == 200
