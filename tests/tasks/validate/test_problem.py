"""Targets that cannot be learned are refused with the reason and the remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.params import Problem, Table
from tasks.validate.problem import check_columns, check_problem


def problem(kind: str = "binary", **target: object) -> Problem:
    return Problem.model_validate({"name": "p", "kind": kind, "table": "t", "target": {"column": "y"} | target})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("binary", [0.0, 1.0] * 20),
        ("binary", ["no", "yes", None] * 20),
        ("multiclass", ["a", "b", "c"] * 20),
        ("multiclass", [0.0, 1.0] * 20),
        ("regression", list(np.arange(40.0))),
        ("regression", [1.0, 2.0, np.nan] * 20),
    ],
)
def test_what_can_be_learned(kind: str, values: list[object]) -> None:
    check_problem(pd.DataFrame({"y": values}), problem(kind))


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("binary", [np.nan] * 40, "problem.target: 'y' of 't' is empty in all 40 rows, so there is nothing to learn"),
        ("binary", [0.0, 1.0] * 14, "is filled in only 28 rows; at least 30 are needed to train, validate and test"),
        ("binary", [1.0] * 40, "has only the class 1.0 in all 40 rows; a model needs at least two"),
        ("multiclass", ["x"] * 40, "has only the class 'x' in all 40 rows"),
        ("binary", ["a", "b", "c"] * 20, r"has 3 classes \('a', 'b', 'c'\), and problem.kind is 'binary'. Set kind: multiclass"),
        ("multiclass", list(np.arange(40.0)), "40 different values in 40 rows.*For a quantity set problem.kind: regression"),
        ("multiclass", [f"n{x}" for x in range(40)], "Choose a column whose values repeat"),
        ("multiclass", ["a", "b"] * 20 + ["c"], "fewer than 3 rows of class 'c'; a class needs one in each of training, validation and test"),
        ("binary", ["a"] * 40 + ["b"] * 2, "fewer than 3 rows of class 'b'"),
        ("regression", [3.5] * 40, "is 3.5 in every row; a constant needs no model"),
        ("regression", ["low", "high"] * 20, "holds text such as 'low', 'high', and problem.kind is 'regression'"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned(kind: str, values: list[object], expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        check_problem(pd.DataFrame({"y": values}), problem(kind))


@pytest.mark.parametrize(("values", "positive"), [([0.0, 1.0], 1), ([0.0, 1.0], True), (["0", "1"], 1), (["no", "yes"], "no")])  # fmt: skip
def test_a_positive_class_that_is_there(values: list[object], positive: object) -> None:
    check_problem(pd.DataFrame({"y": values * 20}), problem(positive=positive))


def test_a_positive_class_that_is_not_there() -> None:
    with pytest.raises(
        RefitError, match=r"problem\.target\.positive: 'maybe' is not a class of 'y', which has 'no', 'yes'"
    ):
        check_problem(pd.DataFrame({"y": ["no", "yes"] * 20}), problem(positive="maybe"))


def test_a_column_without_values_is_named() -> None:
    table = Table.model_validate({"source": "t.csv", "columns": {"a": "numeric", "b": "text", "c": "ignore"}})
    check_columns(pd.DataFrame({"a": [1.0], "b": ["x"]}), "t", table)
    with pytest.raises(
        RefitError, match=r"data\.tables\.t\.columns: no row of t\.csv has a value of 'a', .* Set `kind: ignore`"
    ):
        check_columns(pd.DataFrame({"a": [np.nan], "b": ["x"]}), "t", table)  # fmt: skip
