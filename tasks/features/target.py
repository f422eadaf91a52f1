"""The target as numbers: class index or value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.params import Problem


def encode_target(values: pd.Series, problem: Problem) -> tuple[np.ndarray, list[str]]:
    """float64 target (NaN where missing) and the class names; for binary, index 1 is the positive class.

    Raises :class:`RefitError` where a classification target has one class only, a binary one more than two, or a
    regression target is no number.
    """
    name = problem.target.name
    if problem.kind == "regression":
        try:
            y = values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise RefitError(
                f"problem.kind: regression needs a numeric target, and {name!r} holds {some(values[:3])}"
            ) from None
        if np.isinf(y).any():
            raise RefitError(f"target {name!r} is infinite in rows {some(np.flatnonzero(np.isinf(y)).tolist())}")
        return y, []
    labels = values.dropna().unique()
    ordered = sorted(labels, key=lambda v: (isinstance(v, str), v))
    classes = [_text(v) for v in ordered]
    if len(classes) < 2:
        raise RefitError(
            f"target {name!r} has one class only ({some(classes)}) among {int(values.notna().sum())} labelled rows; "
            "there is nothing to tell apart. Check problem.target and data.as_of"
        )
    if problem.kind == "binary":
        if len(classes) > 2:
            raise RefitError(
                f"problem.kind: binary, but target {name!r} has {len(classes)} classes: {some(classes)}. Set kind: multiclass"
            )
        positive = problem.target.positive
        if positive is not None:
            text = _text(positive)
            if text not in classes:
                raise RefitError(
                    f"problem.target.positive: {text!r} is not one of {some(classes)}." + nearest(text, classes)
                )
            if classes[1] != text:
                classes, ordered = classes[::-1], ordered[::-1]
    index = {v: i for i, v in enumerate(ordered)}
    return values.map(index).to_numpy(dtype=np.float64, na_value=np.nan), classes


def _text(value: object) -> str:
    """A class's name: whole numbers without their point, booleans as 0 and 1."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return str(int(value)) if isinstance(value, (float, np.floating)) and float(value).is_integer() else str(value)
