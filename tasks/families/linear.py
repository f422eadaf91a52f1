"""Ordinary least squares."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_linear
from tasks.fitting.space import Settings, Space
from tasks.kinds import NUMBER

NAME = "linear"
OUTPUTS = (NUMBER,)
ALSO = ("fit_intercept", "positive")  # parameters beside those of the space
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {}


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.linear_model import LinearRegression

    return fit_linear(LinearRegression(**params), job)
