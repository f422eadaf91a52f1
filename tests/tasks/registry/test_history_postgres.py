"""The history in a real PostgreSQL, which several machines share: of many at once none is lost, and one wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tasks.registry.history import Action, Decision, DecisionHistory, Overtaken
from tests.postgres import postgres

pytestmark = pytest.mark.slow
MANY = 12


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres() as found:
        yield found


def decision(model: str, version: str, action: Action, key: str) -> Decision:
    return Decision(model, action, version, version, f"sha-{version}", "race", f"person {version}", key)


def at_once(ask: Callable[[int], str]) -> list[str]:
    """What each of many callers got, who all begin in one moment."""
    start = Barrier(MANY)

    def one(i: int) -> str:
        start.wait(60)
        return ask(i)

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(one, range(1, MANY + 1)))


def test_many_who_come_first_make_one_history(url: str) -> None:
    """The tables are not there yet; all read, and each records a look, which changes no champion."""

    def keep(i: int) -> str:
        history = DecisionHistory(url=url)
        assert history.champion("looks") is None
        made = history.record(decision("looks", str(i), "keep", f"look {i}"), None, b"rows of %d" % i)
        return f"{made.number}:{made.champion}"

    assert sorted(int(said.partition(":")[0]) for said in at_once(keep)) == list(range(1, MANY + 1))
    history = DecisionHistory(url=url)
    rows = history.decisions("looks")
    assert [d.number for d in rows] == list(range(1, MANY + 1))
    assert {d.champion for d in rows} == {None}
    assert history.counted("looks") == {d.number: b"rows of %d" % int(d.version) for d in rows}


def test_of_many_promoters_one_wins_and_the_others_are_told(url: str) -> None:
    history = DecisionHistory(url=url)
    history.record(decision("race", "0", "promote", "first"), None)

    def promote(i: int) -> str:
        try:
            DecisionHistory(url=url).record(decision("race", str(i), "promote", f"try {i}"), "sha-0")
        except Overtaken as error:
            return str(error)
        return "won"

    said = at_once(promote)
    assert said.count("won") == 1
    champion = history.champion("race")
    assert champion is not None
    assert said.index("won") + 1 == int(str(champion.champion))
    lost = [line for line in said if line != "won"]
    assert all(f"and version {champion.champion} became champion" in line for line in lost)
    assert len(history.decisions("race")) == 2


def test_one_occasion_of_many_callers_is_one_row(url: str) -> None:
    assert (
        len(set(at_once(lambda i: str(DecisionHistory(url=url).record(decision("one", "1", "promote", "same"), None)))))
        == 1
    )
    assert len(DecisionHistory(url=url).decisions("one")) == 1
