"""Bad input is refused with table, column and row numbers; never a wrong number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.online import start
from tasks.errors import RefitError
from tasks.params import parse
from tests.tasks.engine.worlds import plan, tree, world


def refused(tables: dict[str, pd.DataFrame], match: str) -> None:
    with pytest.raises(RefitError, match=match):
        compute(plan(), tables, tables["orders"])
    with pytest.raises(RefitError, match=match):
        start(plan(), tables)


def test_duplicated_keys() -> None:
    tables = world(0)
    tables["orders"].loc[7, "id"] = tables["orders"].loc[3, "id"]
    refused(tables, r"orders: rows 3, 7 share their key \(id\)")
    tables = world(0)
    tables["people"].loc[2, "who"] = "ann"
    refused(tables, r"people: rows 0, 2 share their key \(who\)")


def test_events_known_before_they_happened() -> None:
    tables = world(0)
    tables["orders"]["happened"] = tables["orders"]["known"]
    tables["orders"].loc[4, "known"] -= pd.Timedelta("1s")
    refused(tables, r"orders: rows 4 were known \(known\) before they happened \(happened\)")


def test_infinite_values() -> None:
    tables = world(0)
    tables["orders"].loc[[5, 9], "amount"] = np.inf
    refused(tables, r"orders\.amount: infinite values in rows 5, 9")


def test_values_too_far_apart_to_be_summed_exactly() -> None:
    tables = world(0)
    tables["orders"].loc[[5, 9], "amount"] = [1e300, 1e-300]
    with pytest.raises(RefitError, match=r"orders\.amount: .*too far apart.*rows 5, 9"):
        compute(plan(), tables, tables["orders"])


def test_sums_beyond_float64() -> None:
    tables = world(0)
    tables["orders"] = tables["orders"].assign(
        who=pd.Series("ann", tables["orders"].index, dtype="str"), amount=1.5e308
    )
    with pytest.raises(RefitError, match=r"orders\.amount: .*larger than a float64"):
        compute(plan(), tables, tables["orders"])


def test_mixed_time_zones() -> None:
    tables = world(0)
    tables["prices"]["since"] = tables["prices"]["since"].dt.tz_localize(None)
    with pytest.raises(RefitError, match=r"mixed time zones: orders\.asked has a time zone and prices\.since has none"):
        compute(plan(), tables, tables["orders"])
    tables = world(0)
    mixed = tables["orders"]["known"].astype(object)
    mixed[3] = mixed[3].tz_convert("Asia/Tokyo")
    tables["orders"] = tables["orders"].assign(known=mixed)
    with pytest.raises(RefitError, match=r"orders\.known: mixed time zones"):
        compute(plan(), tables, tables["orders"])


def test_other_zones_name_the_same_moments() -> None:
    tables = world(0)
    moved = tables["orders"].assign(known=tables["orders"]["known"].dt.tz_convert("America/New_York"))
    pd.testing.assert_frame_equal(
        compute(plan(), tables, tables["orders"]), compute(plan(), {**tables, "orders": moved}, moved)
    )


def test_missing_tables_and_columns() -> None:
    tables = world(0)
    with pytest.raises(RefitError, match=r"the plan needs table 'prices'"):
        compute(plan(), {k: v for k, v in tables.items() if k != "prices"}, tables["orders"])
    with pytest.raises(RefitError, match=r"table 'orders' lacks column 'amount'"):
        compute(plan(), {**tables, "orders": tables["orders"].drop(columns="amount")}, tables["orders"])
    with pytest.raises(RefitError, match="the row lacks column 'who'"):
        start(plan(), tables).compute_row({"asked": "2024-04-01T00:00:00Z", "id": 1.0})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"columns": {"amount": ["meen"]}}, r"primitive 'meen' is not known. Did you mean 'mean'"),
        ({"columns": {"shop": ["mean"]}}, r"'mean' is for .* columns, and 'shop' is categorical"),
        ({"columns": {"shop": ["share"]}}, r"primitive 'share' needs a category in parentheses"),
        ({"columns": {"amount": ["quantile(2)"]}}, r"needs a share between 0 and 1"),
        ({"columns": {"amount": ["decayed_mean(soon)"]}}, r"'decayed_mean': a duration is"),
        ({"columns": {"nowhere.at": ["mean"]}}, r"neither a column, nor table.column, nor an aggregate"),
        ({"windows": ["last 3"], "columns": {"amount": ["decayed_mean(1h)"]}}, r"takes windows by time"),
        ({"transforms": {"t": "`who` + 1"}}, r"'who' is categorical; expressions take numbers"),
        ({"transforms": {"t": "amount / 2"}}, r"'amount' is an outcome of the row itself"),
        ({"transforms": {"t": "open('x')"}}, r"transform .*function 'open' is not known"),
        ({"transforms": {"t": "where.real"}}, r"'where.real' is not allowed here"),
        ({"polynomial": {"columns": ["who"]}}, r"features.polynomial.columns: 'who' is categorical"),
    ],
)
def test_plans_that_cannot_be(changes: dict[str, Any], match: str) -> None:
    windows, columns = changes.pop("windows", ["2h"]), changes.pop("columns", {"amount": ["mean"]})
    with pytest.raises(RefitError, match=match):
        derive(parse(tree(windows, columns, **changes)))


def without(spec: dict[str, Any], table: str, *keys: str) -> None:
    for key in keys:
        del spec["data"]["tables"][table][key]


def no_prediction_time(spec: dict[str, Any]) -> None:
    del spec["problem"]["prediction_time"]
    spec["features"]["history"] = []


def known_at_once(spec: dict[str, Any]) -> None:
    no_prediction_time(spec)
    del spec["data"]["tables"]["prices"]["known_at"]
    del spec["features"]["lookups"][0]["within"]


def known_but_not_when_it_happened(spec: dict[str, Any]) -> None:
    del spec["data"]["tables"]["prices"]["event_time"]


def no_prediction_time_nor_prices(spec: dict[str, Any]) -> None:
    no_prediction_time(spec)
    spec["features"]["lookups"].pop(0)


def later_key(spec: dict[str, Any]) -> None:
    spec["data"]["tables"]["prices"]["known_at"] = {"*": "told", "who": "since + 1d"}


def later_own_key(spec: dict[str, Any]) -> None:
    orders = spec["data"]["tables"]["orders"]
    orders["known_at"] = {"*": "known", "shop": "happened + 1d"}
    spec["features"]["history"][0]["by"] = ["shop"]


def another_kind(spec: dict[str, Any]) -> None:
    spec["data"]["tables"]["people"]["columns"]["who"] = "numeric"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (no_prediction_time, r"features\.lookups\[0\]: table 'prices' changes with time, which needs problem\.prediction_time"),
        (known_at_once, r"features\.lookups\[0\]: its rows have an event_time, so problem\.prediction_time is needed"),
        (lambda s: s["features"]["lookups"][1].update(within="5h"), r"features\.lookups\[1\]\.within: table 'people' has no known_at, so its rows have no age"),
        (known_but_not_when_it_happened, r"data\.tables\.prices\.known_at: needs event_time"),
        (another_kind, r"features\.lookups\[1\]: key orders\.who is of kind categorical, and people\.who of kind numeric"),
        (later_key, r"features\.lookups\[0\]: 'who' is known only after its row of 'prices', and cannot tell whose it is"),
        (later_own_key, r"features\.history\[0\]\.by: 'shop' is known only after its row of 'orders'"),
        (lambda s: without(s, "orders", "key"), r"data\.tables\.orders\.key: history over the problem's own table needs a key"),
        (lambda s: s["features"].update(columns=["asked"]), r"features\.columns: 'asked' is of kind datetime; name its parts under features\.dates"),
        (lambda s: s["features"].update(dates={"who": ["hour"]}), r"features\.dates: column 'who' must be of kind datetime, and is declared 'categorical'"),
        (lambda s: s["features"].update(dates={"known": ["hour"]}), r"features\.dates: 'known' is an outcome of the row itself, and would leak"),
        (lambda s: s["features"].update(dates={"asked": ["hours"]}), r"features\.dates\.asked: part 'hours' is not known\. Did you mean 'hour'"),
        (lambda s: s["features"].update(transforms={"where": "where + 1"}), r"features: 'where' would be made twice"),
        (lambda s: s["features"].update(polynomial={"columns": ["were"]}), r"features\.polynomial\.columns: 'were' is not a feature; numeric features are needed\. Did you mean 'where'"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_a_plan_are_refused(change: Any, match: str) -> None:
    spec = tree(["2h"], {"amount": ["mean"]})
    derive(parse(spec))
    change(spec)
    with pytest.raises(RefitError, match=match):
        derive(parse(spec))


def test_lookups_without_moments_need_no_prediction_time() -> None:
    spec = tree(["2h"], {"amount": ["mean"]})
    no_prediction_time_nor_prices(spec)
    found = derive(parse(spec))
    assert found.names == ("who", "where", "people.age")
    assert set(found.tables) == {"orders", "people"}  # what nothing is asked of is not read
    assert found.children == plan().children == {}


def test_updates_that_are_refused_change_nothing() -> None:
    tables = world(0)
    state = start(plan(), tables)
    row = tables["orders"].iloc[20].to_dict()
    before = state.compute_row(row)
    again = tables["orders"].iloc[3].to_dict()
    with pytest.raises(RefitError, match="row 2 shares its key"):
        state.update("orders", [{**again, "id": 900.0}, {**again, "id": None}, {**again, "id": None}])
    with pytest.raises(RefitError, match="before they happened"):
        state.update("orders", {**again, "id": 901.0, "known": pd.Timestamp("2001-01-01", tz="UTC")})
    with pytest.raises(RefitError, match=r"not a table of the plan\. Did you mean 'orders'"):
        state.update("order", again)
    assert str(state.compute_row(row)) == str(before)
