"""The target as numbers: class index or value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.params import Problem
from tasks.values.classes import by_name, named
from tasks.values.levels import level


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
    classes = [level(v) or str(v) for v in ordered]
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
        if classes[1] != _positive(classes, problem):
            classes, ordered = classes[::-1], ordered[::-1]
    index = {v: i for i, v in enumerate(ordered)}
    return values.map(index).to_numpy(dtype=np.float64, na_value=np.nan), classes


def _positive(classes: list[str], problem: Problem) -> str:
    """The class that counts as 1: the one declared, else the one whose name says so, else the later one.

    Not the rarer one: that may be another one next week, and the model would predict the opposite. ``refit init``
    looks at the counts once, and writes ``positive``.
    """
    written = problem.target.positive
    if written is None:
        return by_name(classes) or classes[1]
    found = named(written, classes)
    if found is None:
        raise RefitError(
            f"problem.target.positive: {written!r} is not one of {some(classes)}." + nearest(written, classes)
        )
    return found


def about_positive(classes: list[str], problem: Problem) -> str:
    """A line on which class is the positive one and why, where ``params.yaml`` does not say it; else empty."""
    target = problem.target
    told = target.positive is not None or target.above is not None or target.made in ("any", "none")
    if problem.kind != "binary" or told:
        return ""
    why = "by its name" if by_name(classes) else "the later one in order; their names do not say which is"
    return (
        f"{classes[1]!r} is the positive class ({why}); problem.target.positive: {classes[0]!r} would choose the other"
    )
