"""``auto``: tuning decides which families to try, in what order, which to stop early, and how to mix them.

What is stored and served is the mix that tuning kept (a bag of fold models), or one family's own model. Fitted
again, on fewer rows for a learning curve, it is the leading member, which the parameters name as ``family``.
"""

from __future__ import annotations

from tasks.errors import RefitError
from tasks.fitting.base import Fitted, Job
from tasks.fitting.space import Settings, Space
from tasks.kinds import MANY, NUMBER, TWO, find_kind

NAME = "auto"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = ()
NEEDS = "trees"
HARDWARE = "gpu"  # its networks and XGBoost can use one

# Cheapest first, so that there is an answer early; then those that usually win on tables, alike ones apart.
CLASSES = ("logistic", "lightgbm", "xgboost", "extra_trees", "mlp", "gradient_boosting", "random_forest")
NUMBERS = ("ridge", "lightgbm", "xgboost", "extra_trees", "mlp", "gradient_boosting", "random_forest")
NETWORKS = ("tabm", "realmlp")  # of the extra with pytabkit
SMALL = ("svm", "knn")  # worth a trial where rows are few


def candidates(kind: str, rows: int) -> tuple[str, ...]:
    """Families to try, in order; those of extras may not be installed."""
    output = find_kind(kind).output
    first = CLASSES if output.classes else NUMBERS
    return first + (SMALL if rows <= 5_000 else ()) + (("gam",) if output != MANY and rows <= 20_000 else ()) + NETWORKS


def space(kind: str, rows: int, columns: int) -> Space:
    return {}


def fit(params: Settings, job: Job) -> Fitted:
    raise RefitError("models.auto: tune it first; its parameters name the family that is fitted")
