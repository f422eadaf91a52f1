"""Which rows belong together and which of them are looked at, by hand: keys, periods, samples, and cut stretches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine import draws
from tasks.engine.ahead import DAY
from tasks.engine.draws import Both, _chosen, ordered
from tasks.engine.facts import FOREVER, MISSING, TableSchema
from tasks.engine.timed_tables import TimedTable

TEXT = pd.StringDtype(na_value=np.nan)
KINDS = {"who": "categorical", "shop": "categorical", "n": "numeric"}


def side(name: str, t: Any, who: Any, keys: Any = (("who",),), asked: Any = None, **more: Any) -> TimedTable:
    frame = pd.DataFrame({"who": pd.Series(list(who), dtype=TEXT), **more})
    moments = np.array(t, np.int64)
    known = moments if asked is None else np.array(asked, np.int64)
    return TimedTable(TableSchema(name, KINDS), frame, moments, known, [], list(keys), frozenset(), name == "orders")


def alike(codes: np.ndarray) -> list[Any]:
    """Codes as the place where each first came up; -1 stays."""
    first: dict[int, int] = {}
    return [-1 if c < 0 else first.setdefault(int(c), i) for i, c in enumerate(codes)]


def test_keys_of_two_tables_share_their_numbers_and_rows_without_one_have_none() -> None:
    shop = pd.Series(["x", "y", "x", None], dtype=TEXT)
    orders = side("orders", [3, 1, 2, MISSING], ["a", "b", None, "a"], shop=shop)
    visits = side("visits", [1, 2, 3], ["b", "c", "a"], shop=pd.Series(["y", "y", "y"], dtype=TEXT))
    both = Both(orders, visits)
    assert not both.own
    mine, theirs = both.codes(("who",))
    assert alike(np.concatenate([mine, theirs])) == [0, 1, -1, -1, 1, 5, 0]
    assert both.codes(("who",))[0] is mine, "those of the last key are kept"
    mine, theirs = both.codes(("who", "shop"))
    assert alike(np.concatenate([mine, theirs])) == [0, 1, -1, -1, 1, 5, 6]
    mine, theirs = both.codes(())
    assert (mine.tolist(), theirs.tolist()) == ([0, 0, 0, -1], [0, 0, 0])
    own = Both(orders, orders)
    assert own.own
    rows, events = own.codes(("who",))
    assert rows.tolist() == events.tolist()
    assert alike(rows) == [0, 1, -1, -1]


def test_keys_are_shared_by_name_and_kind_and_the_whole_table_is_one_where_there_are_none() -> None:
    orders = side("orders", [1], "a", n=[1.0])
    visits = side("visits", [1], "a", [("who",), ("shop",), ("n",), ("who", "n")], n=[1.0])
    assert Both(orders, visits).shared() == [("who",), ("n",), ("who", "n")], "orders have no shop"
    assert Both(orders, orders).shared() == [("who",), ()]
    numbered = side("visits", [1], "a")
    numbered.spec = TableSchema("visits", {**KINDS, "who": "numeric"})
    assert Both(orders, numbered).shared() == [()]


@pytest.mark.parametrize(
    ("period", "moments", "wanted"),
    [  # days since 1970-01-01, a Thursday
        ("day", [0, 0.9, 1, -0.1], [0, 0, 2, 3]),
        ("week", [0, 3.9, 4, 10.9, 11, -3, -3.1], [0, 0, 2, 2, 4, 0, 6]),
        ("month", [0, 30.9, 31, 58.9, 59, -0.1], [0, 0, 2, 2, 4, 5]),
        ("year", [0, 364.9, 365, 729, -0.1], [0, 0, 2, 2, 4]),
    ],
)
def test_a_period_is_a_day_a_week_from_monday_a_month_or_a_year(
    period: str, moments: list[float], wanted: list[int]
) -> None:
    t = [int(m * DAY) for m in moments]
    orders = side("orders", t, "a" * len(t))
    rows, events = Both(orders, orders).in_period((np.zeros(len(t), np.int64),) * 2, period)
    assert rows.tolist() == events.tolist()
    assert alike(rows) == wanted
    twice = Both(orders, side("visits", t, "a" * len(t)))
    codes = np.zeros(len(t), np.int64)
    rows, events = twice.in_period((codes, codes), period)
    assert rows.tolist() == events.tolist()
    apart = np.arange(len(t))
    assert alike(twice.in_period((apart, apart), period)[0]) == list(range(len(t))), "each key by itself"
    none = np.where(apart == 1, -1, 0)
    assert twice.in_period((none, none), period)[1][1] == -1


def test_keys_are_drawn_that_have_two_events_and_a_row_and_together_not_too_many() -> None:
    events = np.repeat(np.arange(40), 5)
    events = np.concatenate([events, [40], np.full(3, 41), [-1, -1]])
    rows = np.concatenate([np.arange(40), [40, -1]])  # nobody asks about key 41, and key 40 has one event

    def drawn(keys: int, most: int) -> np.ndarray:
        return _chosen((rows, events), keys, most, FOREVER, np.random.default_rng(0))

    everyone = drawn(1000, 1000)
    assert everyone.tolist() == list(range(40))
    assert len(drawn(30, 1000)) == 30
    assert len(drawn(1000, 150)) == 30
    assert len(drawn(1000, 149)) == 29
    assert len(drawn(1000, 125)) == 25
    assert len(drawn(1000, 119)) == 24, "24 keys at least, however many events they have"
    assert drawn(30, 1000).tolist() == sorted(drawn(30, 1000))
    assert drawn(30, 1000).tolist() != list(range(30))


def test_where_all_keys_have_many_events_the_smallest_are_taken_as_far_as_they_go() -> None:
    sizes = np.array([9, 2, 7, 3, 5])
    events, rows = np.repeat(np.arange(5), sizes), np.arange(5)

    def drawn(most: int) -> list[int]:
        return _chosen((rows, events), 200, 1, most, np.random.default_rng(0)).tolist()

    assert drawn(100) == [0, 1, 2, 3, 4]
    assert drawn(26) == [0, 1, 2, 3, 4]
    assert drawn(25) == [1, 2, 3, 4]
    assert drawn(16) == [1, 3, 4]
    assert drawn(1) == []


def test_samples_are_in_the_order_of_key_and_time_and_say_where_their_rows_stand() -> None:
    orders = side("orders", [5, 1, 3, 2, 4], "ababa")
    found = Both(orders, orders).draw(("who",), np.random.default_rng(0))
    assert set(found.lives) == {"", *draws.PERIODS}
    life = found.lives[""]
    assert life.size == 2
    assert life.rows[0].tolist() == [0, 0, 0, 1, 1]
    assert life.rows[1].tolist() == [2, 4, 0, 1, 3]
    assert [part.tolist() for part in life.events] == [part.tolist() for part in life.rows]
    assert found.first.tolist() == [2, 1], "the first event of each key"
    assert found.size == sum(len(p) for p in (*found.rows, *found.events))
    assert set(Both(orders, orders).draw((), np.random.default_rng(0)).lives) == set(draws.PERIODS)
    assert ordered(np.array([1, 0, 0]), np.array([1, 5, 2]), np.array([0, 1, 2])).tolist() == [2, 1, 0]
    assert ordered(np.array([0, 0]), np.array([5, 5]), np.array([1, 0])).tolist() == [1, 0]


def test_the_first_events_are_those_of_the_earliest_moment_and_of_a_thousand_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = side("orders", [2, 1, 1, 7, MISSING], "aabbc")
    both = Both(orders, orders)
    assert both._firsts(both.codes(("who",))).tolist() == [1, 2]
    monkeypatch.setattr(draws, "FIRST", 1)
    assert both._firsts(both.codes(("who",))).tolist() == [1]


def test_large_keys_are_cut_to_their_newest_events_and_rows_before_them_are_left_out() -> None:
    """One key has 70 events, another 60 and a third 3: of each at most 50 stay, as there is room for 60 a key and no fewer."""
    who = "a" * 70 + "b" * 60 + "c" * 3
    t = np.concatenate([np.arange(70), np.arange(60), np.arange(3)])
    orders = side("orders", t, who)
    both = Both(orders, orders)
    found = both.stretch(both.codes(("who",)), 150, 55)
    assert np.bincount(found.group).tolist() == [50, 50, 3]
    assert found.at.tolist() == [*range(20, 70), *range(80, 130), 130, 131, 132]
    assert found.rows.tolist() == found.at.tolist()
    times = found.times
    assert times["t"].tolist() == t[found.at].tolist()
    assert times["here"].tolist() == list(range(103))
    assert times["later"].tolist() == list(range(1, 104))
    assert np.unique(times["start"]).tolist() == [0, 50, 100]
    assert np.unique(times["end"]).tolist() == [50, 100, 103]
    assert times["whole"].tolist() == [False] * 100 + [True] * 3
    assert (times["last"], times["own"]) == (69, True)
    roomy = both.stretch(both.codes(("who",)), 1000, 65)
    assert np.bincount(roomy.group).tolist() == [65, 60, 3]
    assert roomy.times["whole"].tolist() == [False] * 65 + [True] * 63


def test_a_row_that_is_asked_after_the_next_event_is_no_row_to_be_looked_at() -> None:
    orders = side("orders", [1, 2, 3, 9], "aaaa", asked=[1, 3, 4, 9])
    both = Both(orders, orders)
    found = both.stretch(both.codes(("who",)), 100, 100)
    assert found.rows.tolist() == [0, 2, 3], "the second is asked when the third happens"


def test_rows_of_another_table_stand_among_its_events_by_when_they_are_asked() -> None:
    orders = side("orders", [0, 0, 0, 0], "aaab", asked=[5, 20, 10, 15])
    visits = side("visits", [10, 20, 30, 12], "aaab")
    both = Both(orders, visits)
    found = both.stretch(both.codes(("who",)), 100, 100)
    assert found.rows.tolist() == [0, 1, 2], "b has one visit only"
    assert found.times["moment"].tolist() == [5, 20, 10]
    assert found.times["here"].tolist() == [0, 1, 0]
    assert found.times["later"].tolist() == [0, 2, 1]
    assert found.times["whole"].tolist() == [True] * 3
    many = side("visits", np.arange(120), "a" * 120)
    early = side("orders", [0, 0], "aa", asked=[60, 90])
    both = Both(early, many)
    found = both.stretch(both.codes(("who",)), 60, 60)
    assert found.at.tolist() == list(range(60, 120))
    assert found.rows.tolist() == [1], "of the first it is not known what was before"
    assert found.times["last"] == 119
    nothing = Both(orders, side("visits", [], ""))
    assert len(nothing.stretch(nothing.codes(("who",)), 9, 9).rows) == 0


def test_samples_have_bounds_of_keys_and_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key has five events. Where none fits, the smallest are taken up to eight times as many."""
    orders = side("orders", np.arange(500), np.repeat([f"k{i}" for i in range(100)], 5))
    both = Both(orders, orders)
    codes = both.codes(("who",))

    def sizes(rows: int, keys: int) -> tuple[int, int]:
        monkeypatch.setattr(draws, "ROWS", rows)
        monkeypatch.setattr(draws, "KEYS", keys)
        sample = both._sample(codes, np.random.default_rng(0))
        few = both._fewer(codes, np.random.default_rng(0))[0]
        return sample.size, len(set(few.tolist()) - {-1})

    assert sizes(10_000, 30) == (30, 100)
    assert sizes(10_000, 7) == (24, 70), "24 keys at least"
    assert sizes(4, 200) == (6, 24), "32 events hold six keys; of the fewer 20, or 160, events 24 keys"
    assert sizes(150, 200) == (30, 100)
    assert sizes(75, 200) == (24, 75)
    assert sizes(1, 200) == (1, 8)
