"""Can a model learn this target from these rows? If not, say what is in the way."""

from __future__ import annotations

import pandas as pd

from tasks.errors import RefitError
from tasks.kinds import find_kind

ROWS = 30  # fewer labelled rows leave nothing to validate and test on


def check_target(values: pd.Series, kind: str, where: str) -> None:
    """Refuse a target that is empty, constant, known for too few rows, or whose classes do not fit ``kind``.

    ``where`` begins each message, as in ``problem.target: 'late' of 'flights'``.

    >>> check_target(pd.Series(["yes"] * 40), "binary", "'churn' of 'customers'")
    Traceback (most recent call last):
    tasks.errors.RefitError: 'churn' of 'customers' has only the class 'yes' in all 40 rows; a model needs at ...
    """
    labels = values.dropna()
    if labels.empty:
        raise RefitError(
            f"{where} is empty in all {len(values)} rows, so there is nothing to learn. Choose another column; "
            "if its values become known later, choose a later data.as_of."
        )
    if len(labels) < ROWS:
        raise RefitError(
            f"{where} is filled in only {len(labels)} rows; at least {ROWS} are needed to train, validate and test. "
            "Bring more rows."
        )
    find_kind(kind).check(labels, where)
