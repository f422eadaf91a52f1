"""``auto``: tuning decides which families to try, in what order, and which to stop early.

The choice is the parameter ``family``; what is fitted, stored and served is that family's own model.
"""

from __future__ import annotations

from typing import Any

from tasks.errors import RefitError
from tasks.families._base import KINDS as ALL
from tasks.families._base import Fitted, Job
from tasks.families._space import Space

NAME = "auto"
KINDS = ALL
NEEDS = "trees"
HARDWARE = "cpu"

# Cheapest first, so that there is an answer early; then those that usually win on tables.
ORDER = {
    "binary": ("logistic", "xgboost", "lightgbm", "gradient_boosting", "mlp", "extra_trees", "random_forest"),
    "multiclass": ("logistic", "xgboost", "lightgbm", "gradient_boosting", "mlp", "extra_trees", "random_forest"),
    "regression": ("ridge", "xgboost", "lightgbm", "gradient_boosting", "mlp", "extra_trees", "random_forest"),
}
SMALL = ("svm", "knn")  # worth a trial where rows are few


def candidates(kind: str, rows: int) -> tuple[str, ...]:
    """Families to try, in order."""
    return ORDER[kind] + (SMALL if rows <= 5_000 else ())


def space(kind: str, rows: int, columns: int) -> Space:
    return {}


def fit(params: dict[str, Any], job: Job) -> Fitted:
    raise RefitError("models.auto: tune it first; its parameters name the family that is fitted")
