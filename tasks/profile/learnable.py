"""Can a model learn this target from these rows? If not, say what is in the way."""

from __future__ import annotations

import pandas as pd

from tasks.errors import RefitError, some

ROWS = 30  # fewer labelled rows leave nothing to validate and test on
PER_CLASS = 3  # train, validate and test each need one


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
    if kind == "regression":
        _check_number(labels, where)
    else:
        _check_classes(labels, kind, where)


def _check_number(labels: pd.Series, where: str) -> None:
    if not pd.api.types.is_numeric_dtype(labels):
        raise RefitError(
            f"{where} holds text such as {some(labels.unique()[:3])}, and problem.kind is 'regression'. "
            "Declare the column numeric, or set kind: multiclass."
        )
    if labels.nunique() == 1:
        raise RefitError(
            f"{where} is {labels.iloc[0]:g} in every row; a constant needs no model. Choose another column."
        )


def _check_classes(labels: pd.Series, kind: str, where: str) -> None:
    counts = labels.value_counts()
    classes = counts.index.tolist()
    if len(counts) == 1:
        raise RefitError(
            f"{where} has only the class {classes[0]!r} in all {len(labels)} rows; "
            "a model needs at least two. Choose another column, or bring rows of other classes."
        )
    if len(counts) > len(labels) / 2:
        number = pd.api.types.is_numeric_dtype(labels)
        raise RefitError(
            f"{where} has {len(counts)} different values in {len(labels)} rows, so most would be alone in their class. "
            + ("For a quantity set problem.kind: regression." if number else "Choose a column whose values repeat.")
        )
    if kind == "binary" and len(counts) > 2:
        raise RefitError(
            f"{where} has {len(counts)} classes ({some(classes, 5)}), and problem.kind is 'binary'. "
            "Set kind: multiclass, or compare a number by problem.target.above."
        )
    rare = counts[counts < PER_CLASS].index.tolist()
    if rare:
        raise RefitError(
            f"{where}: fewer than {PER_CLASS} rows of class {some(rare, 5)}; a class needs one in each of training, "
            "validation and test. Leave these rows out, join rare classes, or bring more rows."
        )
