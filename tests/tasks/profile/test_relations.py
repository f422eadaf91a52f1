"""Several tables: which columns find rows of which, told by values and names, and what is made of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks.params import parse
from tasks.profile import infer
from tasks.profile.comments import Remark
from tasks.profile.profiled import Profiled
from tasks.profile.relations import relation

RNG = np.random.default_rng(0)
WHO = np.array([f"c{i:03}" for i in range(80)])
DAYS = pd.date_range("2024-01-01", periods=400, freq="12h")
ORDERS = pd.DataFrame(
    {
        "order_id": np.arange(400) * 3 + 1000,
        "customer": RNG.choice(WHO, 400),
        "ordered_at": DAYS,
        "amount": RNG.gamma(2, 30, 400).round(2),
        "channel": RNG.choice(["web", "shop"], 400),
        "refunded": RNG.choice(["yes", "no"], 400),
    }
)
PEOPLE = pd.DataFrame({"customer": WHO, "age": RNG.integers(18, 80, 80), "channel": RNG.choice(["web", "shop"], 80)})
VISITS = pd.DataFrame(
    {"customer": RNG.choice(WHO, 900), "at": np.sort(RNG.choice(DAYS, 900)), "minutes": RNG.gamma(2, 5, 900)}
)


def tree(target: str, own: pd.DataFrame, **others: pd.DataFrame) -> tuple[Any, list[Remark]]:
    """What ``init`` writes for tables of these names, and says of the others."""
    said: list[Remark] = []
    further = {Path(f"{name}.csv"): pa.Table.from_pandas(frame) for name, frame in others.items()}
    made = infer("orders.csv", target, None, pa.Table.from_pandas(own), said.append, further)
    return made, [one for one in said if not one.column]


def found(own: pd.DataFrame, other: pd.DataFrame, called: str = "customers") -> tuple[str, str, bool] | None:
    profiled = (
        Profiled.of(pa.Table.from_pandas(own), "refunded", "refunded"),
        Profiled.of(pa.Table.from_pandas(other)),
    )
    seen = relation(*profiled, "orders", called)
    return None if seen is None else (seen.mine, seen.theirs, seen.one)


@pytest.mark.parametrize(
    ("other", "called", "expected"),
    [
        (PEOPLE, "customers", ("customer", "customer", True)),
        (PEOPLE.rename(columns={"customer": "id"}), "customers", ("customer", "id", True)),
        (PEOPLE.rename(columns={"customer": "CustomerNo"}), "people", ("customer", "CustomerNo", True)),
        (PEOPLE.rename(columns={"customer": "who"}), "people", ("customer", "who", True)),  # by its values alone
        (VISITS, "visits", ("customer", "customer", False)),
        (PEOPLE.assign(customer=WHO[::-1] + "x"), "customers", None),  # no value is found
        (pd.DataFrame({"id": np.arange(400), "x": RNG.normal(size=400)}), "things", None),  # numbers agree by chance
        (PEOPLE[["channel", "age"]], "people", None),  # a category is no key
    ],
)  # fmt: skip
def test_columns_that_find_each_other(other: pd.DataFrame, called: str, expected: tuple[str, str, bool] | None) -> None:
    assert found(ORDERS, other, called) == expected


def test_the_key_of_the_problems_table_is_found_by_its_tables_name() -> None:
    orders = ORDERS.rename(columns={"order_id": "id"})
    items = pd.DataFrame(
        {"order_id": np.repeat(orders["id"], 3), "at": np.repeat(DAYS, 3), "price": RNG.gamma(2, 5, 1200)}
    )
    assert found(orders, items, "items") == ("id", "order_id", False)


def test_rows_are_looked_up_and_events_aggregated() -> None:
    made, said = tree("refunded", ORDERS, customers=PEOPLE, visits=VISITS)
    made["features"]["history"] = "auto"
    params = parse(made)
    assert params.data.tables["customers"].key == ("customer",)
    assert params.data.tables["visits"].event_time is not None
    (look,) = params.features.lookups
    assert (look.table, look.on, look.columns) == ("customers", {"customer": "customer"}, ("age", "channel"))
    assert [str(one) for one in said] == [
        "customers: 100% of the rows find theirs by customer; its columns are looked up",
        "visits: 100% of the rows find theirs by customer; its earlier events are aggregated",
    ]


@pytest.mark.parametrize(
    ("own", "other", "why"),
    [
        (ORDERS, PEOPLE[["age"]], "left out, since no column of it finds rows of orders"),
        (ORDERS, VISITS.drop(columns="at"), "no column says when they happened: nothing is made of them until event_time does"),
        (ORDERS.drop(columns="ordered_at"), VISITS, "nothing is made of them until problem.prediction_time says"),
        (ORDERS, VISITS.rename(columns={"customer": "customer_id"}), "aggregates need one name for both columns"),
        (ORDERS, PEOPLE[["customer"]], "no column is left to look up"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why(own: pd.DataFrame, other: pd.DataFrame, why: str) -> None:
    made, said = tree("refunded", own, more=other)
    parse(made)
    assert not {"lookups", "history"} & set(made["features"])
    assert any(why in str(one) for one in said), said


def test_what_finds_another_row_is_no_number() -> None:
    numbered = {who: i * 7 for i, who in enumerate(WHO)}
    orders, people = (frame.assign(customer=frame["customer"].map(numbered)) for frame in (ORDERS, PEOPLE))
    made, _ = tree("refunded", orders, customers=people)
    tables = parse(made).data.tables
    assert {tables[name].columns["customer"].kind for name in tables} == {"categorical"}
