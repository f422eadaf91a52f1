"""Bad input is refused with table, column and row numbers; never a wrong number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine import Plan
from tasks.errors import RefitError
from tasks.params import parse
from tests.tasks.engine.worlds import plan, tree, world


def refused(tables: dict[str, pd.DataFrame], match: str) -> None:
    with pytest.raises(RefitError, match=match):
        plan().compute(tables, tables["orders"])
    with pytest.raises(RefitError, match=match):
        plan().start(tables)


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
        plan().compute(tables, tables["orders"])


def test_sums_beyond_float64() -> None:
    tables = world(0)
    tables["orders"] = tables["orders"].assign(
        who=pd.Series("ann", tables["orders"].index, dtype="str"), amount=1.5e308
    )
    with pytest.raises(RefitError, match=r"orders\.amount: .*larger than a float64"):
        plan().compute(tables, tables["orders"])


def test_mixed_time_zones() -> None:
    tables = world(0)
    tables["prices"]["since"] = tables["prices"]["since"].dt.tz_localize(None)
    with pytest.raises(RefitError, match=r"mixed time zones: orders\.asked has a time zone and prices\.since has none"):
        plan().compute(tables, tables["orders"])
    tables = world(0)
    mixed = tables["orders"]["known"].astype(object)
    mixed[3] = mixed[3].tz_convert("Asia/Tokyo")
    tables["orders"] = tables["orders"].assign(known=mixed)
    with pytest.raises(RefitError, match=r"orders\.known: mixed time zones"):
        plan().compute(tables, tables["orders"])


def test_other_zones_name_the_same_moments() -> None:
    tables = world(0)
    moved = tables["orders"].assign(known=tables["orders"]["known"].dt.tz_convert("America/New_York"))
    pd.testing.assert_frame_equal(
        plan().compute(tables, tables["orders"]), plan().compute({**tables, "orders": moved}, moved)
    )


def test_missing_tables_and_columns() -> None:
    tables = world(0)
    with pytest.raises(RefitError, match=r"the plan needs table 'prices'"):
        plan().compute({k: v for k, v in tables.items() if k != "prices"}, tables["orders"])
    with pytest.raises(RefitError, match=r"table 'orders' lacks column 'amount'"):
        plan().compute({**tables, "orders": tables["orders"].drop(columns="amount")}, tables["orders"])
    with pytest.raises(RefitError, match="the row lacks column 'who'"):
        plan().compute_row({"asked": "2024-04-01T00:00:00Z", "id": 1.0}, plan().start(tables))


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
        Plan.derive(parse(tree(windows, columns, **changes)))


def test_updates_that_are_refused_change_nothing() -> None:
    tables = world(0)
    state = plan().start(tables)
    row = tables["orders"].iloc[20].to_dict()
    before = plan().compute_row(row, state)
    again = tables["orders"].iloc[3].to_dict()
    with pytest.raises(RefitError, match="keys that are already there"):
        state.update("orders", [{**again, "id": 900.0}, again])
    with pytest.raises(RefitError, match="before they happened"):
        state.update("orders", {**again, "id": 901.0, "known": pd.Timestamp("2001-01-01", tz="UTC")})
    with pytest.raises(RefitError, match=r"not a table of the plan\. Did you mean 'orders'"):
        state.update("order", again)
    assert str(plan().compute_row(row, state)) == str(before)
