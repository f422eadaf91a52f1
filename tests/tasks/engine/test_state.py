"""What is kept of tables for single rows, by hand: new events in any form, what is refused, and what a row sees then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import HOUR, MISSING
from tasks.engine.online import start
from tasks.engine.plan import Plan
from tasks.engine.source import OneRow
from tasks.engine.state import State, prediction_time
from tasks.errors import RefitError
from tasks.params import parse
from tests.tasks.engine import oracle
from tests.tasks.engine.worlds import moments, tree, world

NAN = np.nan


def plan(**target: Any) -> Plan:
    """Orders with a history of what is predicted, and two tables to look things up in: with moments, and without."""
    columns = {
        "id": "numeric",
        "asked": "datetime",
        "at": "datetime",
        "who": "categorical",
        "delay": "numeric",
        "shop": "categorical",
    }
    problem = {"name": "w", "kind": "regression", "table": "orders", "target": "delay", "prediction_time": "asked"}
    if target:
        problem |= {"kind": "binary", "target": {"column": "delay", "name": "late", **target}}
    name = "late" if target else "delay"
    return derive(parse({
        "problem": problem,
        "data": {"tables": {
            "orders": {"source": "x", "key": ["id"], "event_time": "at", "known_at": "at", "columns": columns, "outcome": ["at", "delay", "shop"]},
            "prices": {"source": "x", "event_time": "since", "columns": {"who": "categorical", "since": "datetime", "price": "numeric", "label": "categorical", "until": "datetime"}},
            "people": {"source": "x", "key": ["who"], "columns": {"who": "categorical", "age": "numeric"}},
        }},
        "features": {
            "columns": ["who"],
            "lookups": [{"table": "prices", "on": "who", "columns": ["price", "label", "until"]}, {"table": "people", "on": "who", "columns": ["age"]}],
            "history": [{"table": "orders", "by": ["who"], "windows": ["all"], "columns": {name: ["sum", "count"], "shop": ["mode"]}}],
        },
        "models": {"ridge" if not target else "logistic": {}},
    }))  # fmt: skip


def at(*hours: float | None) -> pd.Series:
    return pd.Series(pd.to_datetime([None if h is None else int(h * HOUR) for h in hours], unit="us", utc=True)).astype(
        "datetime64[us, UTC]"
    )


def texts(*values: str | None) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def orders(*rows: tuple[float, float, str | None, float]) -> pd.DataFrame:
    """Rows of number, hour, person and delay."""
    ids, hours, who, delay = (list(part) for part in zip(*rows, strict=True)) if rows else ([], [], [], [])
    return pd.DataFrame({
        "id": np.array(ids, float), "asked": at(*hours), "at": at(*hours), "who": texts(*who), "delay": np.array(delay, float), "shop": texts(*["s"] * len(ids)),
    })  # fmt: skip


def tables() -> dict[str, pd.DataFrame]:
    prices = pd.DataFrame({"who": texts("a"), "since": at(2), "price": [5.0], "label": texts("x"), "until": at(8)})
    people = pd.DataFrame({"who": texts("a"), "age": [30.0]})
    return {"orders": orders((1, 1, "a", 20.0), (2, 2, "b", 10.0)), "prices": prices, "people": people}


def asked(state: State, who: str | None = "a", hour: float = 10, number: float = 99) -> dict[str, Any]:
    return state.compute_row({"id": number, "asked": int(hour * HOUR), "who": who})


ONE = {"id": 3, "asked": "1970-01-01T03:00:00Z", "at": 3 * HOUR, "who": "a", "delay": 16.0, "shop": "t"}


@pytest.mark.parametrize("form", ["a mapping", "a list", "a generator", "a frame"])
@pytest.mark.parametrize("known", [True, False])
def test_a_new_event_comes_in_any_form_with_or_without_the_derived_target(form: str, known: bool) -> None:
    """Late is above 15: the row may say so itself, and what it says counts."""
    given = tables()
    given["orders"] = given["orders"].assign(late=[1.0, 0.0])
    state = start(plan(above=15), given)
    assert (asked(state)["who.sum(late, all)"], asked(state)["who.count(late, all)"]) == (1.0, 1.0)
    one = {**ONE, "late": 0.0} if known else ONE
    frame = orders((3, 3, "a", 16.0)).assign(shop=texts("t"))
    frame = frame.assign(late=0.0) if known else frame
    events = {"a mapping": one, "a list": [one], "a generator": (row for row in [one]), "a frame": frame}[form]
    state.update("orders", events)
    assert (asked(state)["who.sum(late, all)"], asked(state)["who.count(late, all)"]) == (1.0 if known else 2.0, 2.0)
    assert asked(state)["who.mode(shop, all)"] == "s"
    assert asked(state, hour=3)["who.count(late, all)"] == 1.0, "known at 3 is not known before 3"


def test_a_target_that_is_a_column_is_taken_as_it_is() -> None:
    state = start(plan(), tables())
    state.update("orders", [ONE, {**ONE, "id": 4, "delay": None}])
    found = asked(state)
    assert (found["who.sum(delay, all)"], found["who.count(delay, all)"]) == (36.0, 2.0)
    state.update("orders", [])
    state.update("orders", orders())
    assert asked(state) == found


@pytest.mark.parametrize(
    ("table", "events", "said"),
    [
        ("orders", [{**ONE, "id": 5}, {**ONE, "id": None}, {**ONE, "id": np.nan}], r"orders: row 2 shares its key \(id\), of which a part is missing, with another row; keys must be unique"),
        ("order", [ONE], r"update: 'order' is not a table of the plan\. .*orders"),
        ("people", [{"who": "b", "age": 1.0}, {"who": None, "age": 2.0}, {"who": None, "age": 3.0}], r"people: row 2 shares its key \(who\)"),
        ("orders", [{k: v for k, v in ONE.items() if k != "shop"}], r"update of 'orders': column 'shop' is missing"),
        ("orders", [{**ONE, "delay": np.inf}], r"orders\.delay: infinite"),
        ("orders", [ONE, {**ONE, "id": 6, "delay": "much"}], r"orders\.delay: expected numbers, found"),
        ("orders", [{k: v for k, v in ONE.items() if k != "at"}], r"table 'orders' lacks column 'at'\."),
        ("orders", [{k: v for k, v in ONE.items() if k != "id"}], r"table 'orders' lacks column 'id'\."),
        ("orders", [ONE, {**ONE, "id": 6, "at": "soon"}], r"orders\.at: expected a moment such as"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_everything_as_it_was(table: str, events: Any, said: str) -> None:
    state = start(plan(), tables())
    before = asked(state)
    with pytest.raises(RefitError, match=said):
        state.update(table, events)
    assert asked(state) == before
    state.update("orders", {**ONE, "id": 5})
    assert asked(state)["who.count(delay, all)"] == before["who.count(delay, all)"] + 1, "nothing of it was taken in"


def test_lookups_see_what_came_and_people_without_a_name_nothing() -> None:
    state = start(plan(), tables())
    names = ["prices.price", "prices.label", "prices.until", "people.age"]
    assert [asked(state)[n] for n in names] == [5.0, "x", 2.0, 30.0]
    state.update("prices", {"who": "a", "since": 6 * HOUR, "price": None, "label": None, "until": None})
    found = asked(state)
    assert all(np.isnan(found[n]) for n in names[:3]), "the newest counts, whatever it says"
    assert [asked(state, hour=6)[n] for n in names] == [5.0, "x", -2.0, 30.0]
    state.update("people", {"who": "b", "age": 7.0})
    assert asked(state, "b")["people.age"] == 7.0
    state.update("prices", {"who": None, "since": 6 * HOUR, "price": 1.0, "label": "z", "until": 7 * HOUR})
    nobody = asked(state, None)
    assert all(np.isnan(nobody[n]) for n in [*names, "who.mode(shop, all)"])
    assert nobody["who.count(delay, all)"] == 0.0


@pytest.mark.parametrize(("number", "hour", "seen"), [(1, 10, 0.0), (1, 1, 0.0), (99, 10, 1.0), (99, 1, 0.0)])
def test_a_row_that_asks_after_its_own_event_leaves_it_out(number: float, hour: float, seen: float) -> None:
    state = start(plan(), tables())
    assert asked(state, "a", hour, number)["who.count(delay, all)"] == seen


def test_a_row_without_a_moment_sees_tables_without_moments_only() -> None:
    state = start(plan(), tables())
    found = state.compute_row({"id": 99, "asked": None, "who": "a"})
    assert (found["people.age"], found["who.count(delay, all)"]) == (30.0, 0.0)
    assert np.isnan(found["prices.price"])
    row = {"id": 99, "asked": None, "who": "a"}
    assert prediction_time(plan(), OneRow(plan().own, row)) == MISSING
    assert prediction_time(plan(), OneRow(plan().own, {**row, "asked": 7})) == 7


def test_events_that_come_in_their_order_have_the_features_that_the_ones_before_give_them() -> None:
    """Depth 2: each is computed when it comes, without all being made anew; a table that one child alone knows may grow too."""
    columns = {"who.mean(amount, all)": ["max"], "prices.price": ["last"], "amount": ["sum"]}
    spec = tree(["all"], columns)
    spec["features"]["history"].append(
        {"table": "prices", "by": ["who"], "windows": ["all"], "columns": {"people.age": ["max"]}}
    )
    deep = derive(parse(spec))
    assert set(deep.children) == {"orders", "prices"}
    tables = world(3, 24, late=False)
    orders = tables["orders"].assign(happened=moments(np.arange(24.0)), known=moments(np.arange(24.0) + 0.25))
    tables["orders"] = orders.assign(asked=orders["happened"])
    early = moments(np.arange(len(tables["prices"])) / 100 - 9)
    tables["prices"] = tables["prices"].assign(since=early, told=early)
    whole = compute(deep, tables, tables["orders"])
    state = start(deep, {**tables, "orders": tables["orders"].iloc[:2], "people": tables["people"].iloc[:0]})
    state.update("people", tables["people"])
    built: list[int] = []
    build = state._build
    state._build = lambda given: (built.append(1), build(given))[1]  # type: ignore[method-assign]
    for at in range(2, 24):
        row = state.compute_row(tables["orders"].iloc[at].to_dict())
        expected = whole.iloc[at]
        assert all(oracle.same_bits(row[name], expected[name]) for name in deep.names), at
        state.update("orders", tables["orders"].iloc[[at]])
    assert built == [], "nothing was known before an event that was there already"
    with pytest.raises(RefitError, match="update: 'orderz' is not a table of the plan"):
        state.update("orderz", tables["orders"])
