"""Which rows break a row-level expectation.

Great Expectations names at most 200 unexpected rows, so the same conditions are asked here of all rows;
tests hold the counts of both against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError, some
from tasks.validate.suite import Expectation, subject


def _null(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].isna().to_numpy()


def _outside(
    frame: pd.DataFrame, column: str, min_value: float | None = None, max_value: float | None = None
) -> np.ndarray:
    values = frame[column]
    bad = np.zeros(len(frame), bool)
    if min_value is not None:
        bad |= (values < min_value).to_numpy()
    if max_value is not None:
        bad |= (values > max_value).to_numpy()
    return bad


def _not_in_set(frame: pd.DataFrame, column: str, value_set: list[Any]) -> np.ndarray:
    return (frame[column].notna() & ~frame[column].isin(value_set)).to_numpy()


def _repeated(frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    return (frame.duplicated(columns, keep=False) & frame[columns].notna().all(axis=1)).to_numpy()


def _before(frame: pd.DataFrame, column_A: str, column_B: str) -> np.ndarray:
    return (frame[column_A] < frame[column_B]).to_numpy()


_Kwargs = dict[str, Any]
_CONDITIONS: dict[str, tuple[Callable[[pd.DataFrame, _Kwargs], np.ndarray], Callable[[_Kwargs], str]]] = {
    "expect_column_values_to_not_be_null": (
        lambda f, k: _null(f, k["column"]),
        lambda k: f"{k['column']}: is missing",
    ),
    "expect_column_values_to_be_between": (
        lambda f, k: _outside(f, k["column"], k.get("min_value"), k.get("max_value")),
        lambda k: f"{k['column']}: is not {bounds(k)}",
    ),
    "expect_column_values_to_be_in_set": (
        lambda f, k: _not_in_set(f, k["column"], k["value_set"]),
        lambda k: f"{k['column']}: is not one of {some(k['value_set'])}",
    ),
    "expect_column_values_to_be_unique": (
        lambda f, k: _repeated(f, [k["column"]]),
        lambda k: f"{k['column']}: is the key of more than one row",
    ),
    "expect_compound_columns_to_be_unique": (
        lambda f, k: _repeated(f, k["column_list"]),
        lambda k: f"{', '.join(k['column_list'])}: is the key of more than one row",
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        lambda f, k: _before(f, k["column_A"], k["column_B"]),
        lambda k: f"{k['column_A']}: is before {k['column_B']}, so known before it happened",
    ),
}


def bounds(kwargs: dict[str, Any]) -> str:
    """``between a and b``, ``at least a`` or ``at most b``.

    >>> bounds({"min_value": 0, "max_value": 24.0}), bounds({"min_value": 1.5})
    ('between 0 and 24', 'at least 1.5')
    """
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None and high is not None:
        return f"between {low:g} and {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"


def breaks(rule: Expectation, frame: pd.DataFrame) -> np.ndarray:
    """Mask of the rows that break a row-level expectation."""
    if rule["type"] not in _CONDITIONS:
        raise RefitError(
            f"{rule['type']} ({subject(rule)}) cannot be at level 'row'. Rows can be told apart by "
            f"{some(_CONDITIONS)}; give others meta.level 'set'."
        )
    return _CONDITIONS[rule["type"]][0](frame, rule["kwargs"])


def reason(rule: Expectation) -> str:
    """Why a row that breaks the expectation is rejected, in words."""
    return _CONDITIONS[rule["type"]][1](rule["kwargs"])
