"""What goes into a verdict: which rows belong together, and where a model decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.compare.judge import Case, clusters
from tasks.params import Params

HOURS = pd.Series(pd.date_range("2024-01-01 23:00", periods=40, freq="12h", tz="UTC"))
ROWS = pd.DataFrame({"shop": ["a", None, "b", "a", None] * 8, "day": ["mon", "tue"] * 20})


def together(labels: np.ndarray) -> list[list[int]]:
    """The rows of each cluster, in order of the first one."""
    return [group.tolist() for _, group in pd.Series(np.arange(len(labels))).groupby(labels, sort=False)]


def test_a_declared_column_and_the_day_are_clusters_and_a_missing_value_is_one_by_itself() -> None:
    found = clusters(ROWS.drop(columns="day"), HOURS, ("shop",))
    assert list(found) == ["shop", "day"]
    expected = ROWS.groupby("shop").indices
    assert [g for g in together(found["shop"]) if len(g) > 1] == [expected["a"].tolist(), expected["b"].tolist()]
    assert len(together(found["shop"])) == 2 + 16
    assert together(found["day"]) == together(HOURS.dt.date.to_numpy())


@pytest.mark.parametrize(
    ("time", "declared", "expected"),
    [
        (HOURS, (), ["day"]),
        (HOURS.where(HOURS.index != 3), (), []),  # one row without a moment: no day
        (HOURS.where(HOURS.index < 0), ("shop",), ["shop"]),
        (HOURS - (HOURS - HOURS[0]) * 0.6, (), []),  # nine days
        (HOURS - (HOURS - HOURS[0]) * 0.55, (), ["day"]),  # ten
        (HOURS - (HOURS - HOURS[0]) * 0.6, ("day",), ["day"]),  # asked for, however few
        (HOURS.where(HOURS.index < 0), ("day",), []),
    ],
)
def test_the_day_counts_where_every_row_has_one_and_there_are_ten(
    time: pd.Series, declared: tuple, expected: list
) -> None:
    assert list(clusters(ROWS.drop(columns="day"), time, declared)) == expected


def test_a_column_called_day_is_that_column() -> None:
    found = clusters(ROWS, HOURS, ("day",))
    assert together(found["day"]) == [list(range(0, 40, 2)), list(range(1, 40, 2))]


def test_rows_that_stay_together_in_the_split_are_compared_together() -> None:
    spec = {
        "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y"},
        "data": {"tables": {"t": {"source": "x", "columns": {"y": "boolean", "a": "categorical", "b": "categorical"}}}},
        "split": {"kind": "random", "by": ["b", "a"]},
        "promotion": {"cluster": ["a"]},
        "models": {"tree": {}},
    }
    none: Any = None
    case = Case(Params.model_validate(spec), none, none, none, none, none, none, none)
    assert case.promotion.cluster == ("a", "b")
    assert case.params.promotion.cluster == ("a",)
