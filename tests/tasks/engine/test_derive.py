"""What a plan is made of, and what no plan can be made of: each refusal by its words, and its neighbour that is taken."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.engine.derive import derive
from tasks.engine.facts import HOUR, Time
from tasks.engine.plan import Plan
from tasks.engine.recipes import Power
from tasks.errors import RefitError
from tasks.params import parse

ORDERS: dict[str, Any] = {
    "source": "x", "key": ["id"], "event_time": "at", "known_at": "told", "outcome": ["at", "told", "paid", "shop", "y"],
    "columns": {"id": "numeric", "asked": "datetime", "at": "datetime", "told": "datetime", "born": "datetime",
                "who": "categorical", "n": "numeric", "flag": "boolean", "note": "text", "paid": "numeric",
                "shop": "categorical", "code": "ignore", "y": "boolean"},
}  # fmt: skip
PRICES: dict[str, Any] = {
    "source": "x", "event_time": "since", "known_at": {"*": "since", "label": "since + 3h"},
    "columns": {"who": "categorical", "n": "numeric", "since": "datetime", "price": "numeric", "label": "categorical",
                "code": "ignore", "words": "text"},
}  # fmt: skip
PEOPLE: dict[str, Any] = {
    "source": "x",
    "key": ["who"],
    "columns": {"who": "categorical", "age": "numeric", "born": "datetime"},
}


def plan(problem: dict[str, Any] | None = None, orders: dict[str, Any] | None = None, **features: Any) -> Plan:
    asked = {
        "name": "w",
        "kind": "binary",
        "table": "orders",
        "target": "y",
        "prediction_time": "asked",
        **(problem or {}),
    }
    asked = {k: v for k, v in asked.items() if v is not None}
    table = {k: v for k, v in {**ORDERS, **(orders or {})}.items() if v is not None}
    return derive(parse({
        "problem": asked, "data": {"tables": {"orders": table, "prices": PRICES, "people": PEOPLE}},
        "features": {"columns": ["who"], **features}, "models": {"logistic": {}},
    }))  # fmt: skip


def history(table: str = "orders", by: Any = ("who",), windows: Any = ("1d",), **columns: list[str]) -> dict[str, Any]:
    return {"history": [{"table": table, "by": list(by), "windows": list(windows), "columns": columns}]}


def lookup(table: str, columns: list[str], on: Any = "who", **more: Any) -> dict[str, Any]:
    return {"lookups": [{"table": table, "on": on, "columns": columns, **more}]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a moment as a column": ({"columns": ["born"]}, r"features\.columns: 'born' is of kind datetime; name its parts under features\.dates"),
    "a date of an outcome": ({"dates": {"told": ["hour"]}}, r"features\.dates: 'told' is an outcome of the row itself, and would leak"),
    "no part of a date": ({"dates": {"born": ["hours"]}}, r"features\.dates\.born: part 'hours' is not known\. .*hour"),
    "a lookup of another kind": (lookup("prices", ["price"], on={"n": "who"}), r"features\.lookups\[0\]: key orders\.n is of kind numeric, and prices\.who of kind categorical"),
    "a lookup by what is known later": (lookup("prices", ["price"], on={"shop": "label"}), r"features\.lookups\[0\]: 'label' is known only after its row of 'prices'"),
    "a history by what is known later": ({**history("prices", by=["label"]), "columns": []}, r"features\.history\[0\]\.by: "),
    "a primitive of another kind": (history(shop=["mean"]), r"features\.history\[0\]\.columns\.shop: 'mean' is for .* columns, and 'shop' is categorical"),
    "no primitive": (history(n=["meen"]), r"features\.history\[0\]\.columns\.n: .*meen"),
    "a decayed mean of the last so many": (history(windows=["last 3"], n=["decayed_mean(1d)"]), r"features\.history\[0\]\.windows: 'decayed_mean\(1d\)' takes windows by time, not 'last 3'"),
    "a transform of an outcome": ({"transforms": {"t": "paid + 1"}}, r"features\.transforms\.t: 'paid' is an outcome of the row itself, and would leak"),
    "a transform of a text": ({"transforms": {"t": "who + 1"}}, r"features\.transforms\.t: 'who' is categorical; expressions take numbers"),
    "a transform of nothing": ({"transforms": {"t": "m + 1"}}, r"features\.transforms\.t: 'm' is neither a feature nor a column of 'orders'"),
    "a transform of a later one": ({"transforms": {"t": "u + 1", "u": "n + 1"}}, r"features\.transforms\.t: 'u' is neither a feature nor"),
    "no expression": ({"transforms": {"t": "n +"}}, r"features\.transforms\.t: "),
    "twice": ({"columns": ["n", "n"]}, r"features: 'n' would be made twice; rename or remove one|columns"),
    "a transform named like a feature": ({"columns": ["n"], "transforms": {"n": "n * 2"}}, r"features: 'n' would be made twice; rename or remove one"),
    "powers of a text": ({"polynomial": {"columns": ["who", "n"]}, "columns": ["who", "n"]}, r"features\.polynomial\.columns: 'who' is categorical; numeric features are needed"),
    "powers of no feature": ({"polynomial": {"columns": ["n", "flag"]}, "columns": ["n"]}, r"features\.polynomial\.columns: 'flag' is not a feature; numeric features are needed"),
    "no aggregate": (history(**{"people.aged": ["mean"]}), r"features\.history\[0\]\.columns: 'people\.aged': table 'people' has no column 'aged'"),
    "neither column nor aggregate": (history(**{"persons.age": ["mean"]}), r"features\.history\[0\]\.columns: 'persons\.age' is neither a column, nor table\.column, nor an aggregate"),
    "an aggregate by no column": (history(**{"whom.mean(n, 1d)": ["max"]}), r"'whom\.mean\(n, 1d\)': table 'orders' has no column 'whom'"),
    "an aggregate over no window": (history(**{"who.mean(n, soon)": ["max"]}), r"'who\.mean\(n, soon\)': "),
    "an event's own lookup without a key": (history("prices", price=["mean"], **{"orders.n": ["mean"]}), r"'orders\.n': 'prices' has none of the key columns of 'orders'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_plan_can_be_made_of_is_told_with_its_place(name: str) -> None:
    features, said = REFUSED[name]
    with pytest.raises(RefitError, match=said):
        plan(**features)


TAKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "columns": ({"columns": ["n", "flag", "note", "who"]}, ["n", "flag", "note", "who"]),
    "dates": ({"dates": {"born": ["hour", "month"], "asked": ["hour"]}}, ["who", "born.hour", "born.month", "asked.hour"]),
    "a lookup": (lookup("people", ["age", "born"]), ["who", "people.age", "people.born"]),
    "a lookup by another name": (lookup("people", ["age"], on={"shop": "who"}), ["who", "people.age"]),
    "a history": (history(n=["mean", "max"]), ["who", "who.count(1d)", "who.mean(n, 1d)", "who.max(n, 1d)"]),
    "of two windows": (history(windows=["1d", "last 3"], n=["max"]),
                       ["who", "who.count(1d)", "who.max(n, 1d)", "who.count(last 3)", "who.max(n, last 3)"]),
    "of another table": (history("prices", price=["max"]), ["who", "prices[who].count(1d)", "prices[who].max(price, 1d)"]),
    "transforms": ({"transforms": {"t": "n * 2", "u": "t + flag"}}, ["who", "t", "u"]),
    "powers": ({"columns": ["n", "flag"], "polynomial": {"columns": ["n", "flag"], "degree": 3}},
               ["n", "flag", "n^2", "n flag", "flag^2", "n^3", "n^2 flag", "n flag^2", "flag^3"]),
    "products": ({"columns": ["n", "flag"], "polynomial": {"columns": ["n", "flag"], "interaction_only": True}}, ["n", "flag", "n flag"]),
    "auto": ({"columns": "auto"}, ["asked.hour", "who", "n", "flag", "note"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_plan_has_its_features_in_the_order_of_params(name: str) -> None:
    features, wanted = TAKEN[name]
    names = [f.name for f in plan(**features).features]
    if name == "auto":  # date parts of moments that are known when the row asks, and of no others
        assert {n.partition(".")[0] for n in names} == {"asked", "born", "who", "n", "flag", "note"}
        assert len({n for n in names if n.startswith("asked.")}) == len({n for n in names if n.startswith("born.")}) > 1
    else:
        assert names == wanted


def test_a_power_has_each_column_once_with_how_often_it_counts() -> None:
    made = plan(columns=["n", "flag"], polynomial={"columns": ["n", "flag"], "degree": 3}).features[-3]
    assert isinstance(made.recipe, Power)
    assert made.recipe == Power((("n", 2), ("flag", 1)))


def test_history_over_the_problems_own_table_needs_a_key_or_events_that_come_after_their_row() -> None:
    with pytest.raises(
        RefitError, match=r"data\.tables\.orders\.key: history over the problem's own table needs a key"
    ):
        plan(orders={"key": None}, **history(n=["mean"]))
    assert "who.mean(n, 1d)" in plan(**history(n=["mean"])).names
    honest = {
        "key": None,
        "event_time": "asked + 1h",
        "known_at": "asked + 1h",
        "outcome": ["paid", "shop", "at", "told", "y"],
    }
    assert "who.mean(n, 1d)" in plan(orders=honest, **history(n=["mean"])).names
    assert "prices[who].mean(price, 1d)" in plan(orders={"key": None}, **history("prices", price=["mean"])).names


def test_a_table_with_moments_is_looked_up_as_of_the_rows_own() -> None:
    timeless = {"prediction_time": None}
    with pytest.raises(
        RefitError,
        match=r"features\.lookups\[0\]: table 'prices' changes with time, which needs problem\.prediction_time",
    ):
        plan(timeless, **lookup("prices", ["price"]))
    assert plan(timeless, **lookup("people", ["age"])).names == ("who", "people.age")


def test_events_have_features_as_of_their_own_time_and_never_after_they_became_known() -> None:
    made = plan(
        lookups=[{"table": "people", "on": "who", "columns": ["age"]}],
        **history(**{"people.age": ["mean"], "who.max(n, 2h)": ["mean"], "n": ["mean"]}),
    )
    child = made.children["orders"]
    assert child.names == ("people.age", "who.max(n, 2h)")
    assert (child.time, child.cap) == (Time("asked"), Time("told"))
    assert set(child.tables) == {"orders", "people"}
    assert set(made.tables["orders"].outcome) >= {"people.age", "who.max(n, 2h)"}
    assert made.tables["orders"].columns["people.age"] == "numeric"
    other = plan(**history("prices", price=["max"], **{"people.born": ["last"]})).children["prices"]
    assert (other.time, other.cap) == (Time("since"), Time("since"))
    assert plan(**history(n=["mean"])).children == {}


def test_a_target_that_is_compared_is_a_column_that_is_known_when_its_own_is() -> None:
    target = {"column": "paid", "above": 5, "name": "late"}
    own = plan({"target": target}, columns=["who"]).tables["orders"]
    assert own.columns["late"] == "boolean"
    assert own.outcome[-1] == "late"
    assert own.later == {}
    known = {"known_at": {"*": "told", "paid": "told + 2h"}}
    own = plan({"target": target}, orders=known).tables["orders"]
    assert own.later["late"] == own.later["paid"] == Time("told", 2 * HOUR)
    plain = plan().tables["orders"]
    assert "late" not in plain.columns
    found = plan({"target": target}).target
    assert found is not None
    assert (found.name, found.column, found.above) == ("late", "paid", 5)


def test_only_the_tables_that_are_asked_are_kept() -> None:
    assert set(plan().tables) == {"orders"}
    assert set(plan(**lookup("people", ["age"])).tables) == {"orders", "people"}
    assert set(plan(**history("prices", price=["max"])).tables) == {"orders", "prices"}
