"""The target as numbers: class index or value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.kinds import find_kind
from tasks.params import Problem


def encode_target(values: pd.Series, problem: Problem) -> tuple[np.ndarray, list[str]]:
    """float64 target (NaN where missing) and the class names; for binary, index 1 is the positive class.

    Raises :class:`RefitError` where a classification target has one class only, a binary one more than two, or a
    regression target is no number.
    """
    return find_kind(problem.kind).read(values, problem.target)


def about_positive(classes: list[str], problem: Problem) -> str:
    """A line on which class is the positive one and why, where ``params.yaml`` does not say it; else empty."""
    return find_kind(problem.kind).remark(classes, problem.target)
