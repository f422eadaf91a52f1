"""A family that Refit does not have, in one file: scikit-learn's Poisson regression, for counts alone."""

from __future__ import annotations

from typing import Any

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_estimator
from tasks.fitting.space import Number, Space
from tasks.kinds import NUMBER

NAME = "poisson"
OUTPUTS = (NUMBER,)
LOSSES = ("poisson",)
ALSO = ()
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {"alpha": Number(1e-4, 10.0, 0.1, log=True)}


def fit(params: dict[str, Any], job: Job) -> Fitted:
    from sklearn.linear_model import PoissonRegressor

    return fit_estimator(PoissonRegressor(max_iter=300, **params), job)
