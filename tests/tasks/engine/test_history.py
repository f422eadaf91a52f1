"""One key's events in memory, by hand: where a new one goes, what a row sees of them, and what windows answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.facts import FOREVER, MISSING, TableSchema
from tasks.engine.history import Added, Ended, KeyHistory, code_of, nan_last
from tasks.engine.primitives.base import Term
from tasks.engine.source import OneRow, moment
from tasks.engine.store import Store
from tasks.engine.views import HistoryWindow, Slice, View
from tasks.errors import RefitError
from tasks.values.durations import Span

NAN = np.nan
Event = tuple[int, int, int, float]  # when it happened, when it was known, its row in the store, its value
EVENTS: list[Event] = [(10, 12, 0, 5.0), (20, 21, 1, 3.0), (30, 31, 2, NAN), (40, 49, 3, 5.0), (50, 51, 4, 1.0)]


def values(column: Any) -> Any:
    return column.x()


def present(column: Any) -> Any:
    return column.present()


def history(events: list[Event], until: list[int] | None = None, names: list[str] | None = None) -> KeyHistory:
    event, known, row, value = (list(part) for part in zip(*events, strict=True)) if events else ([], [], [], [])
    times = np.array([event, known, row, until or [FOREVER] * len(event)], np.int64).reshape(4, -1)
    vocabulary = {} if names is None else {"x": names}
    return KeyHistory({"x": 0}, times, np.array([value], float).reshape(1, -1), vocabulary, earlier)


def earlier(a: int, b: int) -> bool:
    return a < b


def add(found: KeyHistory, event: int, known: int, row: int, value: float) -> None:
    found.change([], [Added(row, event, known, FOREVER, [value])])


def rows_of(view: View, window: int = 0) -> list[int]:
    """The store rows of the events in a window."""
    parts = view.parts(int(view.lo[window]), int(view.hi[window]))
    return [row for events, part in parts for row in events.rows[part].tolist()]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_an_event_goes_where_it_belongs_whenever_it_comes(order: list[int]) -> None:
    found = history([])
    for at in order:
        event, known, row, value = EVENTS[at]
        add(found, event, known, row, value)
        if found.size:
            found.prefix("x", values)  # sums that were made before are made anew where need be
    assert found.size == 5
    assert found.event.tolist() == [10, 20, 30, 40, 50]
    assert found.known.tolist() == [12, 21, 31, 49, 51]
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(found.column("x"), [5.0, 3.0, NAN, 5.0, 1.0], equal_nan=True)
    assert found.times[3, :5].tolist() == [12, 21, 31, 49, 51], "the latest so far"
    assert found.in_order
    assert found.prefix("x", values).to_float().tolist() == [0.0, 5.0, 8.0, 8.0, 13.0, 14.0]
    assert found.prefix("x", present).to_float().tolist() == [0.0, 1.0, 2.0, 2.0, 3.0, 4.0]


def test_room_doubles_from_eight_on() -> None:
    found, rooms = history([]), []
    for i in range(20):
        add(found, i, i, i, float(i))
        rooms.append(found.times.shape[1])
    assert rooms == [8] * 8 + [16] * 8 + [32] * 4
    assert found.column("x").tolist() == list(range(20))


@pytest.mark.parametrize(
    ("new", "place"),
    [  # among rows 0 (10, 12), 1 (20, 22), 2 (20, 22) and 3 (20, 23)
        ((20, 22, 9), 3), ((20, 22, -1), 1), ((20, 21, 9), 1), ((20, 23, 9), 4), ((20, 23, -1), 3), ((9, 30, 9), 0), ((20, 24, -1), 4),
        ((10, 12, -1), 0), ((10, 12, 9), 1),
    ],
)  # fmt: skip
def test_events_of_one_moment_stand_by_when_they_were_known_and_then_by_content(
    new: tuple[int, int, int], place: int
) -> None:
    found = history([(10, 12, 0, 0.0), (20, 22, 1, 1.0), (20, 22, 2, 2.0), (20, 23, 3, 3.0)])
    add(found, *new, 7.0)
    assert found.column("x").tolist().index(7.0) == place
    assert found.rows.tolist()[place] == new[2]


def test_known_at_times_that_do_not_rise_are_remembered() -> None:
    assert history(EVENTS).in_order
    assert not history([(10, 30, 0, 1.0), (20, 25, 1, 1.0)]).in_order
    late = history(EVENTS)
    add(late, 45, 60, 9, 1.0)
    assert not late.in_order, "known after the one that happened after it"
    at_end = history(EVENTS)
    add(at_end, 60, 51, 9, 1.0)
    assert at_end.in_order
    first = history(EVENTS)
    add(first, 5, 13, 9, 1.0)
    assert not first.in_order


SPANS = [Span("all"), Span("last 2"), Span("0.000020s"), Span("0.000001s")]


@pytest.mark.parametrize(
    ("t", "without", "rows", "head", "lo"),
    [
        (52, None, [0, 1, 2, 3, 4], 5, [0, 3, 3, 5]),  # known before 52; those of the 20 before
        (51, None, [0, 1, 2, 3], 5, [0, 2, 3, 4]),  # known at 51 is not before it
        (50, None, [0, 1, 2, 3], 5, [0, 2, 2, 4]),
        (49, None, [0, 1, 2], 5, [0, 1, 2, 3]),
        (12, None, [], 5, [0, 0, 0, 0]),
        (52, (3,), [0, 1, 2, 4], 3, [0, 2, 3, 4]),
        (52, (3, 4), [0, 1, 2], 3, [0, 1, 3, 3]),
        (13, (0,), [], 0, [0, 0, 0, 0]),
    ],
)
def test_a_row_sees_what_was_known_before_it_through_each_window(
    t: int, without: tuple[int, ...] | None, rows: list[int], head: int, lo: list[int]
) -> None:
    view = history(EVENTS).view(SPANS, t, without)
    assert (rows_of(view), view.hi.tolist(), view.lo.tolist(), view.t) == (rows, [len(rows)] * 4, lo, t)
    assert view.head == min(head, len(rows))
    assert (view.tail is None) == (without is None or head == len(rows))


def test_what_came_late_or_was_corrected_is_seen_in_its_time_only() -> None:
    """The second event was known last, the third is corrected at 45."""
    found = history(
        [(10, 12, 0, 5.0), (20, 60, 1, 3.0), (30, 31, 2, 7.0), (30, 45, 3, 8.0)], [FOREVER, FOREVER, 45, FOREVER]
    )
    assert found.size == 3, "the earlier state lies apart"
    for t, rows in ((40, [0, 2]), (45, [0, 2]), (46, [0, 3]), (61, [0, 1, 3]), (10, [])):
        assert rows_of(found.view([Span("all")], t, None)) == rows
    near = found.view([Span("last 1"), Span("0.000016s"), Span("0.000017s"), Span("0.000036s")], 46, None)
    assert [rows_of(near, window) for window in range(4)] == [[3], [3], [3], [0, 3]]
    assert (near.newest(0), found.view([Span("0.000001s")], 46, None).newest(0)) == (3, None)
    assert found.view([Span("all")], 61, None).tail is None, "all that is there is known by then, and no earlier state"
    assert rows_of(found.view([Span("all")], 45, (2,))) == [0]


STATES: list[Event] = [(10, 12, 0, 5.0), (20, 22, 1, 3.0), (20, 22, 2, 7.0), (20, 23, 3, 8.0), (30, 31, 4, 1.0)]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("ended", "added", "stands"),
    [
        ([(1, 20, 40)], [(9, 20, 40)], [0, 2, 3, 9, 4]),  # known later than others of its moment
        ([(2, 20, 23)], [(9, 20, 23)], [0, 1, 3, 9, 4]),
        ([(4, 30, 35)], [(9, 30, 35)], [0, 1, 2, 3, 9]),
        ([(4, 30, 35)], [(-9, 20, 22)], [0, -9, 1, 2, 3]),  # to another moment: before those of equal moments by content
        ([(0, 10, 13)], [(9, 40, 50)], [1, 2, 3, 4, 9]),
        ([(0, 10, 13)], [], [1, 2, 3, 4]),  # to another key
        ([(2, 20, None)], [(2, 20, 22)], [0, 1, 2, 3, 4]),  # the same moment, as if it had never been otherwise
        ([(3, 20, None)], [(3, 5, 22)], [3, 0, 1, 2, 4]),
        ([(0, 10, 13), (4, 30, 33)], [(8, 10, 13), (9, 30, 33), (7, 20, 22)], [8, 1, 2, 7, 3, 9]),
        ([(0, 10, 13), (77, 10, 13), (4, 29, 33)], [], [1, 2, 3, 4]),  # what is not there
    ],
)  # fmt: skip
def test_states_take_the_places_of_those_before_them(
    first: bool, ended: list[tuple[int, int, int | None]], added: list[tuple[int, int, int]], stands: list[int]
) -> None:
    """Sums that were made before are those that would be made anew."""
    found = history(STATES)
    if first:
        found.prefix("x", values)
    value = {row: x for _, _, row, x in STATES} | {row: float(100 + row) for row, _, _ in added}
    moments = {row: (event, known) for event, known, row, _ in STATES} | {row: moments for row, *moments in added}
    found.change([Ended(*one) for one in ended], [Added(*one, FOREVER, [value[one[0]]]) for one in added])
    assert found.rows.tolist() == stands
    assert found.column("x").tolist() == [value[row] for row in stands]
    assert list(zip(found.event.tolist(), found.known.tolist(), strict=True)) == [tuple(moments[r]) for r in stands]
    assert found.times[3, : found.size].tolist() == np.maximum.accumulate(found.known).tolist()
    assert found.prefix("x", values).to_float().tolist() == [0.0, *np.cumsum([value[row] for row in stands]).tolist()]
    for row, event, until in ended:
        if until is not None and (event, row) in {(e, r) for e, _, r, _ in STATES}:
            assert row in rows_of(found.view([Span("all")], until, None))
            assert row not in rows_of(found.view([Span("all")], until + 1, None)) or row in stands


def test_a_state_between_two_others_ends_the_one_before_it() -> None:
    found = history([])
    found.change([], [Added(0, 10, 12, 40, [1.0]), Added(1, 10, 40, FOREVER, [4.0])])
    found.change([Ended(0, 10, 30)], [Added(2, 10, 30, 40, [3.0])])
    assert [rows_of(found.view([Span("all")], t, None)) for t in (12, 13, 30, 31, 40, 41)] == [
        [],
        [0],
        [0],
        [2],
        [2],
        [1],
    ]
    found.change([Ended(2, 10, None)], [])
    assert [rows_of(found.view([Span("all")], t, None)) for t in (30, 31, 40, 41)] == [[0], [], [], [1]]
    assert found.earlier is not None
    assert found.earlier.size == 1, "it is gone"
    found.change([], [Added(2, 10, 30, 40, [5.0])])  # and there again
    found.change([Ended(2, 10, 35)], [])
    assert [rows_of(found.view([Span("all")], t, None)) for t in (30, 31, 35, 36)] == [[0], [2], [2], []]
    found.change([Ended(2, 10, None)], [])
    for row in range(3, 20):  # room for more of them
        found.change([], [Added(row, 10, 12, 20, [1.0])])
    assert len(rows_of(found.view([Span("all")], 20, None))) == 18


def windows(*views: View) -> HistoryWindow:
    return HistoryWindow(list(views), "x")


def test_windows_of_several_keys_answer_in_their_order() -> None:
    """All events, the last two, and those of the last 20; of a key in order, of one with a row left out, and of an unknown one."""
    spans = SPANS[:3]
    plain = history(EVENTS).view(spans, 52, None)
    without = history(EVENTS).view(spans, 52, (4,))
    found = windows(plain, without, View.nothing(52, 3))
    assert found.n.tolist() == [4, 2, 2, 3, 1, 1, 0, 0, 0]
    assert found.t.tolist() == [52] * 9
    assert found.sum(values).to_float().tolist() == [14.0, 6.0, 6.0, 13.0, 5.0, 5.0, 0.0, 0.0, 0.0]
    nothing = [NAN] * 3

    def same(answer: np.ndarray, wanted: list[float]) -> None:
        assert np.array_equal(answer, wanted, equal_nan=True), answer

    same(found.kth(np.zeros(9, np.int64)), [1.0, 1.0, 1.0, 3.0, 5.0, 5.0, *nothing])
    same(found.kth(found.n - 1), [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, *nothing])
    same(found.kth(np.ones(9, np.int64)), [3.0, 5.0, 5.0, 5.0, NAN, NAN, *nothing])
    same(found.kth(np.full(9, -1)), [NAN] * 9)
    same(found.newest(np.zeros(9, np.int64)), [1.0, 1.0, 1.0, 5.0, 5.0, 5.0, *nothing])
    same(found.newest(np.ones(9, np.int64)), [5.0, 5.0, 5.0, 3.0, NAN, NAN, *nothing])
    same(found.newest(np.full(9, -1)), [NAN] * 9)
    same(found.newest_time(), [50.0, 50.0, 50.0, 40.0, 40.0, 40.0, *nothing])
    assert found.distinct().tolist() == [3, 2, 2, 2, 1, 1, 0, 0, 0]
    same(found.mode(), [5.0, 1.0, 1.0, 5.0, 5.0, 5.0, *nothing])
    assert found.spread(lambda counts: counts**2).tolist() == [6, 2, 2, 5, 1, 1, 0, 0, 0]
    same(found.newer(lambda v: v == 5.0), [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, *nothing])
    same(found.newer(lambda v: v == 3.0), [2.0, NAN, NAN, 1.0, NAN, NAN, *nothing])
    same(
        found.each(lambda v, age: float(age.sum()) if len(v) else -1.0),
        [88.0, 14.0, 14.0, 86.0, 12.0, 12.0, -1, -1, -1],
    )
    assert plain.newest(0) == 4
    assert without.newest(1) == 3
    assert plain.through([0, 1, 2]) is plain
    part = plain.through([2, 0])
    assert (part.lo.tolist(), part.hi.tolist(), part.history is plain.history) == ([3, 0], [5, 5], True)


def test_of_equal_categories_the_first_by_name_is_the_mode() -> None:
    names = ["zebra", "ant", "bee"]  # in order of arrival
    events: list[Event] = [(i, i, i, float(code)) for i, code in enumerate([0, 1, 2, 2, 1, 0])]
    all_of = [Span("all"), Span("last 3"), Span("last 4")]
    found = windows(View.nothing(9, 1), history(events, names=names).view(all_of, 9, None))
    assert np.array_equal(found.mode(), [NAN, 1.0, 1.0, 2.0], equal_nan=True)
    assert Slice(history(events, names=names), "x", slice(0, 6)).equals("bee").to_float().tolist() == [0, 0, 1, 1, 0, 0]
    assert Slice(history(events, names=names), "x", slice(0, 6)).equals("cow").to_float().tolist() == [0] * 6


@pytest.mark.parametrize(("t", "this", "last"), [(40, 8.0, 5.0), (41, 0.0, 8.0), (61, 1.0, 5.0), (71, 0.0, 1.0), (81, 0.0, 0.0), (101, 0.0, 0.0)])  # fmt: skip
def test_blocks_of_time_are_those_of_the_moment_before_and_the_one_before_that(
    t: int, this: float, last: float
) -> None:
    """Blocks of 20: 0–19, 20–39, 40–59 …; a row at 40 stands at the end of the second."""
    spans: list[Term] = [values]
    events: list[Event] = [(10, 11, 0, 5.0), (20, 21, 1, 3.0), (30, 31, 2, 5.0), (50, 51, 3, 1.0)]
    if t == 61:
        events = [(10, 11, 0, 2.0), (40, 41, 1, 5.0), (60, 60, 2, 1.0)]
    found = windows(history(events).view([SPANS[0]], t, None)).blocks(spans[0], 20)
    assert [one.to_float().tolist() for one in found] == [[this], [last]]
    unknown = windows(View.nothing(t, 2)).blocks(values, 20)
    assert [one.to_float().tolist() for one in unknown] == [[0.0, 0.0], [0.0, 0.0]]
    assert [(one.narrow, one.exponent, one.bound) for one in unknown] == [(True, 0, 0)] * 2, (
        "nothing, on the plainest grid"
    )


def test_moments_and_missing_values_of_a_slice() -> None:
    found = Slice(history(EVENTS), "x", slice(1, 4))
    assert found.time().to_float().tolist() == [20.0, 0.0, 40.0]
    assert found.present().to_float().tolist() == [1.0, 0.0, 1.0]
    assert found.x() is found.x()


def test_categories_get_their_codes_as_they_arrive() -> None:
    names, places = ["b"], {"b": 0}
    assert [code_of(names, places, v) for v in ("b", "a", "c", "a")] == [0, 1, 2, 1]
    assert (names, places) == (["b", "a", "c"], {"b": 0, "a": 1, "c": 2})
    assert sorted([3.0, NAN, None, 1.0], key=nan_last)[:2] == [1.0, 3.0]
    assert nan_last(None) == nan_last(NAN) == (True, 0)


# What is kept of tables, and the row that asks ------------------------------------------------------------------------


def test_rows_are_told_apart_by_key_or_by_all_their_columns() -> None:
    columns = {"a": "numeric", "b": "categorical"}
    for key, wanted in (((), True), (("b",), False), (("a",), True)):
        store = Store(TableSchema("t", columns, key), ["b", "a"])
        store.values = {"a": [1.0, 2.0], "b": ["z", "y"]}
        assert store.before(0, 1) is wanted
        assert store.before(1, 0) is not wanted
        assert store.before(1, 1) is False
        assert store.keys(store.values) == [tuple(store.values[c][i] for c in key) for i in range(2) if key]
    store = Store(TableSchema("t", columns), ["a", "b"])
    store.values = {"a": [1.0, 1.0, NAN], "b": ["z", None, "a"]}
    assert store.before(0, 1), "a missing one comes last"
    assert store.before(1, 2)
    assert (store.names, store.places) == ({"b": []}, {"b": {}})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, MISSING), (pd.NaT, MISSING), (NAN, MISSING), ("1970-01-01T00:00:01Z", 1_000_000), ("1970-01-02", 86_400_000_000),
        ("1970-01-01T02:00:00+02:00", 0), (7, 7), (np.int64(8), 8), (datetime(1970, 1, 1, 0, 0, 0, 5), 5),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0), (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1_000_000),
        (np.datetime64("1970-01-01T00:00:02"), 2_000_000), (pd.Timestamp("1970-01-03", tz="UTC"), 2 * 86_400_000_000),
    ],
)  # fmt: skip
def test_a_moment_is_whole_microseconds_whatever_it_came_as(value: Any, wanted: int) -> None:
    assert moment(value, "at", "t") == wanted


@pytest.mark.parametrize(("value", "said"), [("soon", "expected a moment such as"), (1.5, "expected a moment, found 1.5"), (True, "expected a moment, found True")])  # fmt: skip
def test_what_is_no_moment_is_refused(value: Any, said: str) -> None:
    with pytest.raises(RefitError, match=rf"^t\.at: {said}"):
        moment(value, "at", "t")


def test_a_rows_numbers_are_finite_or_missing_and_its_texts_are_texts() -> None:
    row = OneRow(
        TableSchema("t", {}), {"a": "3.5", "b": None, "c": pd.NA, "d": 4, "e": np.inf, "f": -np.inf, "g": "x", "h": NAN}
    )
    assert [row.number(c)[0] for c in ("a", "d")] == [3.5, 4.0]
    assert all(np.isnan(row.number(c)[0]) for c in ("b", "c", "h"))
    for column in ("e", "f"):
        with pytest.raises(RefitError, match=rf"t\.{column}: infinite; make it missing, or mend it"):
            row.number(column)
    with pytest.raises(RefitError, match=r"t\.g: expected a number, found 'x'"):
        row.number("g")
    with pytest.raises(RefitError, match=r"the row lacks column 'i' of 't'\."):
        row.number("i")
    assert (row.text("d"), row.text("g")) == (["4"], ["x"])
    assert all(np.isnan(row.text(c)[0]) for c in ("b", "h"))
    assert OneRow(TableSchema("t", {}), {"at": 5}).moment("at").tolist() == [5]
