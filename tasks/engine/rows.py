"""What is made of the row itself: its columns, date parts, expressions and powers. The same for a million rows and for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from tasks.engine.dates import date_part
from tasks.engine.expression import Expression
from tasks.engine.facts import HOUR, MISSING
from tasks.engine.plan import Plan


class Source(Protocol):
    """Where the row's own columns come from."""

    def number(self, column: str) -> np.ndarray:
        """float64, missing as NaN."""

    def moment(self, column: str) -> np.ndarray:
        """int64 µs, missing as MISSING."""

    def text(self, column: str) -> Any:
        """Categories or texts as they are, missing as NaN."""


def finish(plan: Plan, source: Source, found: Mapping[str, Any]) -> dict[str, Any]:
    """All features in plan order. ``found`` holds those that came from tables (lookups and aggregates)."""
    made: dict[str, Any] = {}
    kinds = plan.tables[plan.table].columns
    for feature in plan.features:
        make, name = feature.make, feature.name
        if name in found:
            made[name] = found[name]
        elif make["op"] == "column":
            made[name] = source.number(make["column"]) if feature.kind == "numeric" else source.text(make["column"])
        elif make["op"] == "date":
            made[name] = date_part(source.moment(make["column"]), make["part"])
        elif make["op"] == "power":
            made[name] = _product(made, make["powers"])
        else:
            expression = Expression.parse(make["text"])
            used = {n: made[n] if n in made else _own(source, n, kinds[n]) for n in expression.names}
            made[name] = expression.evaluate(used)
    return made


def _own(source: Source, column: str, kind: str) -> np.ndarray:
    """A column of the row in an expression; a moment as hours since 1970."""
    if kind != "datetime":
        return source.number(column)
    moment = source.moment(column)
    return np.where(moment == MISSING, np.nan, moment / HOUR)


def _product(made: Mapping[str, np.ndarray], powers: Mapping[str, int]) -> np.ndarray:
    factors = [made[c] for c, n in powers.items() for _ in range(n)]
    result = factors[0]
    with np.errstate(over="ignore"):
        for factor in factors[1:]:
            result = result * factor
    return np.where(np.isfinite(result), result, np.nan)
