"""The joints of the engine over whole tables, by hand: who sees itself, what a correction touches, where values are put."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.columns import UNTIL
from tasks.engine.compute import (
    FeatureBlock,
    KeyCodes,
    _overtaken,
    as_feature,
    check_zones,
    compute,
    corrected,
    looked_up,
    named,
    rows_that_see_themselves,
    too_wide,
)
from tasks.engine.derive import derive
from tasks.engine.exact import TooWide
from tasks.engine.facts import HOUR, MISSING, Events
from tasks.engine.local import Index
from tasks.engine.plan import Plan
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.errors import RefitError
from tasks.params import parse

NAN = np.nan


def hours(*moments: float | None) -> pd.Series:
    """Hours after 1970 as UTC moments."""
    return pd.Series(pd.to_datetime([None if m is None else int(m * HOUR) for m in moments], unit="us", utc=True))


def texts(*values: str | None) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def plan(windows: tuple[str, ...] = ("all", "last 2"), on: str | tuple[str, ...] = "who") -> Plan:
    """Orders with a history of their own, a lookup of prices by time, and one of people whatever the time."""
    columns = {"id": "numeric", "asked": "datetime", "at": "datetime", "told": "datetime", "who": "categorical",
               "shop": "categorical", "n": "numeric", "paid": "datetime", "y": "boolean"}  # fmt: skip
    return derive(parse({
        "problem": {"name": "w", "kind": "binary", "table": "orders", "target": "y", "prediction_time": "asked"},
        "data": {"tables": {
            "orders": {"source": "x", "key": ["id"], "event_time": "at", "known_at": "told", "columns": columns,
                       "outcome": ["at", "told", "n", "shop", "paid", "y"]},
            "prices": {"source": "x", "event_time": "since", "columns": {
                "who": "categorical", "since": "datetime", "price": "numeric", "label": "categorical", "until": "datetime"}},
            "people": {"source": "x", "key": ["who"], "columns": {"who": "categorical", "age": "numeric"}},
        }},
        "features": {
            "columns": ["who"],
            "lookups": [{"table": "prices", "on": "who", "columns": ["price", "label", "until"]},
                        {"table": "people", "on": "who", "columns": ["age"]}],
            "history": [{"table": "orders", "by": [on if isinstance(on, str) else list(on)], "windows": list(windows),
                         "columns": {"n": ["sum", "last"], "shop": ["mode"], "paid": ["last", "count"]}}],
        },
        "models": {"logistic": {}},
    }))  # fmt: skip


def orders(**columns: Any) -> pd.DataFrame:
    """Rows of orders; a column that is not given is the same in all of them."""
    n = len(next(iter(columns.values())))
    same: dict[str, Any] = {
        "id": np.arange(float(n)), "asked": hours(*[9.0] * n), "at": hours(*[1.0] * n), "told": hours(*[2.0] * n),
        "who": texts(*"a" * n), "shop": texts(*"s" * n), "n": np.ones(n), "paid": hours(*[1.0] * n), "y": np.zeros(n),
    }  # fmt: skip
    return pd.DataFrame({**same, **columns})


def events(name: str, frame: pd.DataFrame) -> Events:
    return Events(plan().tables[name], frame)


def micros(*moments: float | None) -> np.ndarray:
    return np.array([MISSING if m is None else int(m * HOUR) for m in moments])


# Rows that see themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "row", "sees"),
    [  # (key, when it happened, when it was known), (key, when it asks)
        ((1.0, 1.0, 2.0), (1.0, 3.0), True),
        ((1.0, 1.0, 2.0), (1.0, 2.0), False),  # known at that moment is not before it
        ((1.0, 1.0, 2.0), (2.0, 3.0), False),  # another row's event
        ((1.0, 1.0, 2.0), (1.0, None), False),  # it asks at no time
        ((1.0, None, 2.0), (1.0, 3.0), False),  # an event without a moment never counts
        ((1.0, 1.0, None), (1.0, 3.0), False),
        ((NAN, 1.0, 2.0), (NAN, 3.0), False),  # without a key it is not known which event is its own
        ((NAN, 1.0, 2.0), (1.0, 3.0), False),
        ((1.0, 1.0, 2.0), (NAN, 3.0), False),
    ],
)
def test_a_row_sees_itself_where_its_own_event_was_known_before_it_asks(event: Any, row: Any, sees: bool) -> None:
    facts = events("orders", orders(id=[event[0], 7.0], at=hours(event[1], 1), told=hours(event[2], None)))
    rows = orders(id=[5.0, row[0]])
    found = rows_that_see_themselves(facts, KeyCodes(plan(), rows), micros(9, row[1]))
    assert found.tolist() == ([1] if sees else [])


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_of_a_corrected_row_the_state_that_was_known_first_is_its_event(order: list[int]) -> None:
    """The first state of row 1 was known at 2, the second at 5: who asks at 4 has seen the first."""
    frame = orders(id=[1.0, 1.0, 2.0], told=hours(5, 2, 3)).assign(**{UNTIL: hours(None, 5, None)})
    frame = frame.iloc[order].reset_index(drop=True)
    rows = orders(id=[1.0, 2.0, 3.0])
    for t, wanted in ((2, []), (3, [0]), (4, [0, 1])):
        found = rows_that_see_themselves(events("orders", frame), KeyCodes(plan(), rows), micros(t, t, t))
        assert found.tolist() == wanted, t


@pytest.mark.parametrize(
    ("told", "asking", "sees"),
    [  # keys of events, all known, and of rows that ask afterwards: some are on one side only
        ([1, 7], [5, 9, 1], [2]), ([7, 8, 9], [1, NAN, 7], [2]), ([1], [NAN, 2, 3, 1], [3]), ([5, 6, 1], [1, NAN], [0]), ([4, 3], [NAN], []),
    ],
)  # fmt: skip
def test_each_row_finds_its_own_event_whichever_side_has_more_keys(told: list[float], asking: list[float], sees: list[int]) -> None:  # fmt: skip
    facts, rows = events("orders", orders(id=np.array(told, float))), orders(id=np.array(asking, float))
    assert rows_that_see_themselves(facts, KeyCodes(plan(), rows), micros(*[9] * len(asking))).tolist() == sees


def test_nothing_is_seen_where_no_event_counts() -> None:
    facts = events("orders", orders(id=[1.0], told=hours(None)))
    found = rows_that_see_themselves(facts, KeyCodes(plan(), orders(id=[1.0])), micros(9))
    assert found.tolist() == []


# Corrections --------------------------------------------------------------------------------------------------------


def touched(frame: pd.DataFrame, asking: pd.DataFrame | None = None, t: np.ndarray | None = None, **how: Any) -> tuple[list[int], list[str]]:  # fmt: skip
    one = plan(**how)
    (group,) = (g for g in one.groups if g.table == "orders")
    rows = orders(who=texts("a", "b", "c", None)) if asking is None else asking
    facts = Events(one.tables["orders"], frame)
    at, features = corrected(group, facts, KeyCodes(one, rows), micros(*[9] * len(rows)) if t is None else t)
    return at.tolist(), [f.name for f in features]


STATES: dict[str, tuple[dict[str, Any], list[int]]] = {
    # of two states of one order, the first known from 2 to 5, and whose rows have to be computed anew
    "the next state follows in its place": ({}, []),
    "it moved to another key": ({"who": texts("a", "b")}, [0, 1]),
    "it moved in time": ({"at": hours(1, 1.5)}, [0]),
    "the next state was known later than the first one ended": ({"told": hours(2, 6)}, [0]),
    "the last state ends too": ({UNTIL: hours(5, 8)}, [0]),
    "it left the view of any key": ({"who": texts("a", None)}, [0]),
    "it came into the view of a key": ({"who": texts(None, "b")}, [1]),
}


@pytest.mark.parametrize("name", STATES)
def test_keys_whose_events_a_correction_gave_took_or_moved_are_computed_anew(name: str) -> None:
    changes, wanted = STATES[name]
    given = {"id": [1.0, 1.0], "told": hours(2, 5), "who": texts("a", "a"), UNTIL: hours(5, None), **changes}
    frame = orders(**given)
    last = ["count(", "sum(n, ", "last(n, ", "mode(shop, ", "last(paid, ", "count(paid, "]
    assert touched(frame) == (wanted, [f"who.{name}last 2)" for name in last])
    assert touched(frame.iloc[::-1].reset_index(drop=True))[0] == wanted, "in any order of the table"
    asking = orders(who=texts("b", "a", "a"))
    places = {0: [1, 2], 1: [0]}
    assert touched(frame, asking)[0] == sorted(row for key in wanted for row in places[key])
    assert touched(frame, asking, micros(9, None, 9))[0] == sorted({0: 2, 1: 0}[key] for key in wanted)


def test_windows_of_time_need_nothing_anew_and_neither_do_tables_without_corrections() -> None:
    moved = orders(id=[1.0, 1.0], told=hours(2, 5), who=texts("a", "b"), **{UNTIL: hours(5, None)})
    assert touched(moved, windows=("all", "1d")) == ([], [])
    assert touched(moved.drop(columns=UNTIL)) == ([], [])
    assert touched(moved.assign(**{UNTIL: hours(None, None)})) == ([], [])


@pytest.mark.parametrize(
    ("told", "until", "keys"),
    [  # two events of key a at one moment: the first is corrected, known from 2 to ``until`` and then from ``told`` on
        ((2, 5, 3), (5, None, None), ["a"]),  # it was the older of the two, and is the newer one afterwards
        ((2, 3, 5), (3, None, None), []),
        ((4, 5, 3), (5, None, None), []),
    ],
)
def test_a_correction_may_overtake_an_event_of_the_same_moment(told: Any, until: Any, keys: list[str]) -> None:
    frame = orders(id=[1.0, 1.0, 2.0], told=hours(*told), **{UNTIL: hours(*until)})
    facts = events("orders", frame)
    assert _overtaken(facts, np.zeros(3, np.int64)).tolist() == [0] * len(keys)
    assert _overtaken(facts, np.full(3, -1)).tolist() == []
    assert touched(frame)[0] == ([0] if keys else [])
    apart = Events(facts.table, frame.assign(at=hours(1, 1, 1.5)))
    assert _overtaken(apart, np.zeros(3, np.int64)).tolist() == [], "another moment"
    assert _overtaken(facts, np.array([3, 3, 4])).tolist() == [], "another key"


# Keys ---------------------------------------------------------------------------------------------------------------


def test_keys_of_events_and_rows_have_common_codes_and_are_encoded_once() -> None:
    rows = orders(who=texts("b", None, "a", "d"))
    facts = events("prices", pd.DataFrame({"who": texts("c", "a", None, "b"), "since": hours(1, 2, 3, 4)}))
    codes = KeyCodes(plan(), rows)
    event, row = codes.codes(facts, (("who", "who"),))
    assert (event.tolist(), row.tolist()) == ([2, 0, -1, 1], [1, -1, 0, 3])
    assert codes.column(facts, "who", "who") is codes.column(facts, "who", "who")
    assert codes.column(facts, "who", "who")[2] == 4
    shop = codes.column(facts, "shop", "who")  # the row's shop with the price's who
    assert (shop[0].tolist(), shop[1].tolist()) == ([2, 0, -1, 1], [3] * 4)
    own = KeyCodes(plan(), rows)
    same = Events(plan().tables["orders"], rows)
    event, row, count = own.column(same, "who", "who")
    assert event is row
    assert (event.tolist(), count) == ([1, -1, 0, 2], 3)
    none = orders(who=texts(None))
    assert KeyCodes(plan(), none).column(Events(same.table, none), "who", "who")[2] == 1


def test_rows_that_ask_at_no_time_see_events_of_no_time_only() -> None:
    rows = orders(who=texts("a", "a"))
    t = micros(9, None)
    by_time = np.argsort(t, kind="stable")
    codes = KeyCodes(plan(), rows)
    prices = events("prices", pd.DataFrame({"who": texts("a"), "since": hours(1)}))
    people = events("people", pd.DataFrame({"who": texts("a"), "age": [30.0]}))
    everything = plan().groups[0].lookups[0][1].within
    for facts, wanted in ((prices, [0, -1]), (people, [0, 0])):
        index = codes.index(facts, (("who", "who"),), t, by_time)
        assert index.newest_event(everything)[index.place_of_row].tolist() == wanted
    twice = events("people", pd.DataFrame({"who": texts("a", "b", "a"), "age": [30.0, 1.0, 2.0]}))
    with pytest.raises(
        RefitError, match=r"people: rows 0, 2 share their key \(who\) with another row, so a lookup has"
    ):
        KeyCodes(plan(), rows).index(twice, (("who", "who"),), t, by_time)


# Values where they belong -------------------------------------------------------------------------------------------


def feature(name: str) -> Any:
    return next(f for f in plan().features if f.name == name)


def index_of(rows: int) -> Index:
    """Rows in the order of the index: the last one first."""
    facts = events("people", pd.DataFrame({"who": texts("a"), "age": [30.0]}))
    codes = np.arange(rows)[::-1].copy()
    return Index(facts, np.array([0]), codes, np.ones(rows, np.int64), np.arange(rows))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("people.age", np.array([3.0, NAN, 1.0])),
        ("prices.label", np.array(["z", NAN, "x"], dtype=object)),
        ("prices.label", np.array([NAN, NAN, NAN])),  # a table without rows has no names
        ("people.age", np.array([3, 2, 1])),
    ],
)
def test_values_in_the_order_of_an_index_are_put_in_that_of_the_rows(name: str, values: np.ndarray) -> None:
    block = FeatureBlock(plan(), 3)
    block.put(feature(name), index_of(3), values)
    made = block.made[name]
    assert made.dtype == (object if name == "prices.label" else np.float64)
    assert pd.Series(made, dtype=object).equals(pd.Series(values[::-1], dtype=object).astype(made.dtype).astype(object))
    if name == "people.age":
        assert made.base is block.values, "in its place in the block"


def test_a_block_has_all_features_in_the_order_of_the_plan() -> None:
    block = FeatureBlock(plan(), 2)
    for made in block.made.values():
        made[:] = NAN if made.dtype == object else 0.0
    index = pd.Index([4, 9])
    found = block.frame({**block.made, "who": np.array(["a", NAN], dtype=object)}, index)
    assert list(found) == [f.name for f in plan().features]
    assert found.index.equals(index)
    assert found["who"].tolist()[0] == "a"
    assert {f.name for f in plan().features if f.kind != "numeric"} == {
        c for c in found if found[c].dtype != np.float64
    }


def test_categories_come_back_by_name_and_moments_as_hours() -> None:
    names = np.array(["x", "y"], dtype=object)
    found = named(np.array([1.0, NAN, 0.0]), names)
    assert (found[0], found[2], found.dtype) == ("y", "x", object)
    assert np.isnan(found[1])
    frame = pd.DataFrame({
        "who": texts("a", "b"), "since": hours(1, 2), "price": [5.0, NAN], "label": texts("m", "k"), "until": hours(3, None),
    })  # fmt: skip
    facts, t, at = events("prices", frame), micros(10, 10, 10), np.array([1, -1, 0])
    recipes = {f.recipe.column: (f, f.recipe) for f in plan().features if isinstance(f.recipe, LookedUp) and f.recipe.table == "prices"}  # fmt: skip
    assert np.array_equal(looked_up(facts, *recipes["price"], at, t), [NAN, NAN, 5.0], equal_nan=True)
    assert np.array_equal(looked_up(facts, *recipes["until"], at, t), [NAN, NAN, 7.0], equal_nan=True)
    label = looked_up(facts, *recipes["label"], at, t)
    assert (label[0], label[2]) == ("k", "m")
    assert np.isnan(label[1])
    empty = events("prices", frame.iloc[:0])
    assert all(np.isnan(looked_up(empty, *recipe, np.full(2, -1), t[:2])).all() for recipe in recipes.values())


def test_an_aggregate_of_moments_is_in_hours_and_a_count_of_them_a_number() -> None:
    frame = orders(id=[0.0, 1.0], shop=texts("s", "r"))
    facts = events("orders", frame)
    asked = {(f.recipe.column, f.recipe.primitive.name): (f, f.recipe) for f in plan().features
             if isinstance(f.recipe, Aggregate) and f.recipe.window.last is None}  # fmt: skip
    value, t = np.array([3.0 * HOUR, NAN]), micros(10, 10)
    for (column, primitive), wanted in {
        ("paid", "last"): [7.0, NAN], ("paid", "count"): [3.0 * HOUR, NAN], ("n", "sum"): [3.0 * HOUR, NAN],
    }.items():  # fmt: skip
        one, recipe = asked[column, primitive]
        assert np.array_equal(as_feature(facts, one, recipe, column, value, t), wanted, equal_nan=True)
    one, recipe = asked["shop", "mode"]
    assert as_feature(facts, one, recipe, "shop", np.array([1.0, 0.0]), t).tolist() == ["s", "r"]


@pytest.mark.parametrize(
    ("n", "rows"), [([5.0, -1e300, 1e-300, 0.0], "1, 2"), ([NAN, 2.0], "1"), ([0.0, 0.0], "0"), ([], "")]
)
def test_of_values_too_far_apart_the_largest_and_the_smallest_are_named(n: list[float], rows: str) -> None:
    facts = events("orders", orders(n=np.array(n, dtype=float)))
    assert str(too_wide(facts, "n", TooWide("too far apart"))) == f"orders.n: too far apart; look at rows {rows}"


def test_moments_with_and_without_a_zone_are_not_mixed() -> None:
    tables = {"orders": orders(n=[1.0]), "prices": pd.DataFrame({"since": hours(1), "until": hours(2)})}
    plain = hours(1).dt.tz_localize(None)
    check_zones(plan(), tables, tables["orders"])
    check_zones(plan(), {**tables, "strange": pd.DataFrame({"since": plain})}, tables["orders"])
    mixed = {**tables, "prices": tables["prices"].assign(until=plain)}
    with pytest.raises(
        RefitError, match=r"^mixed time zones: orders\.asked has a time zone and prices\.until has none; "
    ):
        check_zones(plan(), mixed, tables["orders"])
    with pytest.raises(RefitError, match=r"orders\.at has a time zone and orders\.asked has none"):
        check_zones(plan(), tables, tables["orders"].assign(asked=plain))
    all_plain = {n: f.assign(**{c: plain for c, k in plan().tables[n].columns.items() if k == "datetime"}) for n, f in tables.items()}  # fmt: skip
    check_zones(plan(), all_plain, all_plain["orders"])


def test_the_whole_by_hand() -> None:
    """Three orders: the second sees the first, the third both; who sees itself leaves its own event out."""
    frame = orders(
        id=[1.0, 2.0, 3.0], at=hours(1, 3, 5), told=hours(2, 4, 6), asked=hours(1, 3, 7), n=[1.0, 2.0, 4.0],
        shop=texts("s", "r", "r"), paid=hours(1, 2, 3), who=texts("a", "a", "a"),
    )  # fmt: skip
    prices = pd.DataFrame({"who": texts("a", "a"), "since": hours(2, 6), "price": [5.0, 6.0], "label": texts("x", "y"), "until": hours(4, 8)})  # fmt: skip
    people = pd.DataFrame({"who": texts("b"), "age": [30.0]})
    found = compute(plan(), {"orders": frame, "prices": prices, "people": people}, frame)
    wanted: dict[str, list[Any]] = {
        "prices.price": [NAN, 5.0, 6.0], "prices.label": [NAN, "x", "y"], "prices.until": [NAN, -1.0, -1.0],
        "people.age": [NAN] * 3, "who.sum(n, all)": [0.0, 1.0, 3.0], "who.sum(n, last 2)": [0.0, 1.0, 3.0],
        "who.last(n, all)": [NAN, 1.0, 2.0], "who.last(paid, all)": [NAN, 2.0, 5.0], "who.count(paid, all)": [0.0, 1.0, 2.0],
    }  # fmt: skip
    for name, values in wanted.items():
        assert pd.Series(values, dtype=object).equals(found[name].astype(object)), (name, found[name].tolist())
