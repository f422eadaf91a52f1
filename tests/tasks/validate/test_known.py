"""Nothing of the future is visible: neither rows nor outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import RefitError
from tasks.params import parse, parse_moment
from tasks.validate import known
from tests.tasks.validate.conftest import Tree, order_frame, order_tree, weather_frame

PARAMS = parse(order_tree())
ORDERS, WEATHER = PARAMS.data.tables["orders"], PARAMS.data.tables["weather"]
moments = st.datetimes(min_value=pd.Timestamp("2024-01-02").to_pydatetime(), max_value=pd.Timestamp("2024-04-01").to_pydatetime())  # fmt: skip


@given(moments.map(lambda m: parse_moment(m.isoformat())))
def test_only_what_was_known_is_visible(as_of: object) -> None:
    now = pd.Timestamp(as_of)  # type: ignore[arg-type]
    orders = order_frame()
    exists = known.visible(orders, "orders", ORDERS, PARAMS.problem, now.to_pydatetime())
    assert exists.tolist() == [due - pd.Timedelta(days=1) <= now for due in orders["due_at"]]
    hidden = known.unknown(orders, ORDERS, now.to_pydatetime())
    late = hidden["hours"]
    assert late.tolist() == [end + pd.Timedelta(hours=2) > now for end in orders["ended_at"]]
    assert hidden["ended_at"].tolist() == late.tolist()
    masked = known.rows_of(orders, np.ones(len(orders), bool), hidden)
    assert masked.loc[late, ["hours", "ended_at"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(masked[~late], orders[~late])
    pd.testing.assert_frame_equal(
        masked.drop(columns=["hours", "ended_at"]), orders.drop(columns=["hours", "ended_at"])
    )
    weather = weather_frame()
    assert known.visible(weather, "weather", WEATHER, PARAMS.problem, now.to_pydatetime()).tolist() == [
        told <= now for told in weather["told_at"]
    ]


def test_the_moment_itself_counts() -> None:
    orders = order_frame(3)
    at = orders["ended_at"][1] + pd.Timedelta(hours=2)
    assert known.unknown(orders, ORDERS, at.to_pydatetime())["hours"].tolist() == [False, False, True]
    before = (at - pd.Timedelta(microseconds=1)).to_pydatetime()
    assert known.unknown(orders, ORDERS, before)["hours"].tolist() == [False, True, True]


def test_without_as_of_all_is_visible_but_outcomes_that_never_were_known() -> None:
    orders = order_frame(3)
    orders.loc[1, "ended_at"] = pd.NaT
    assert known.visible(orders, "orders", ORDERS, PARAMS.problem, None).all()
    hidden = known.unknown(orders, ORDERS, None)
    assert hidden["hours"].tolist() == [False, True, False]
    assert known.rows_of(orders, np.ones(len(orders), bool), hidden)["hours"].isna().tolist() == [False, True, False]


def test_rows_without_a_moment() -> None:
    """The problem's row stays, for the contract to reject; another table's is unknown unless the schema forbids it."""
    at = parse_moment("2024-03-01")
    orders, weather = order_frame(3), weather_frame(3)
    orders.loc[1, "due_at"] = pd.NaT
    weather.loc[1, "told_at"] = pd.NaT
    assert known.visible(orders, "orders", ORDERS, PARAMS.problem, at).all()
    assert known.visible(weather, "weather", WEATHER, PARAMS.problem, at).tolist() == [True, False, True]
    strict = WEATHER.model_copy(
        update={"columns": {c: s.model_copy(update={"nullable": False}) for c, s in WEATHER.columns.items()}}
    )
    assert known.visible(weather, "weather", strict, PARAMS.problem, at).all()


def test_an_as_of_before_the_first_row_is_refused() -> None:
    with pytest.raises(
        RefitError, match=r"no row of 'weather' was known yet \(the first moment of 'told_at' is 2024-01-01T06:00"
    ):
        known.visible(weather_frame(), "weather", WEATHER, PARAMS.problem, parse_moment("2023-12-31"))  # fmt: skip


def test_the_derived_target(tree: Tree) -> None:
    frame = pd.DataFrame({"hours": [9.0, 10.0, 10.5, float("nan")]})
    assert known.add_target(frame, PARAMS)["slow"].tolist()[:3] == [0, 0, 1]
    assert known.add_target(frame, PARAMS)["slow"].isna().tolist() == [False, False, False, True]
    tree["problem"] |= {"kind": "regression", "target": "hours"}
    assert list(known.add_target(frame, parse(tree))) == ["hours"]
