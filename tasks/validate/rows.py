"""Why a row is rejected, in words: what Great Expectations found against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.errors import some
from tasks.validate.suite import Expectation, subject

_REASONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "expect_column_values_to_not_be_null": lambda k: "is missing",
    "expect_column_values_to_be_between": lambda k: f"is not {bounds(k)}",
    "expect_column_values_to_be_in_set": lambda k: f"is not one of {some(k['value_set'])}",
    "expect_column_values_to_be_unique": lambda k: "is the key of more than one row",
    "expect_compound_columns_to_be_unique": lambda k: "is the key of more than one row",
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


def reason(rule: Expectation) -> str:
    """Why a row that breaks the expectation is rejected."""
    kwargs = rule["kwargs"]
    if rule["type"] == "expect_column_pair_values_a_to_be_greater_than_b":
        return f"{kwargs['column_A']}: is before {kwargs['column_B']}, so known before it happened"
    said = _REASONS.get(rule["type"], lambda k: f"breaks {rule['type']}")
    return f"{subject(rule)}: {said(kwargs)}"
