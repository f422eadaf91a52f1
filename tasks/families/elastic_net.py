"""Least squares with L1 and L2 penalties."""

from __future__ import annotations

import numpy as np

from tasks.fitting.base import Fitted, Job
from tasks.fitting.coefficients import lasso_path, with_path
from tasks.fitting.estimators import fit_linear
from tasks.fitting.space import Number, Settings, Space, as_float
from tasks.kinds import NUMBER

NAME = "elastic_net"
OUTPUTS = (NUMBER,)
ALSO = ("max_iter", "tol", "fit_intercept", "positive", "selection")  # parameters beside those of the space
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "alpha": Number(1e-4, 1.0, 0.01, log=True),
        "l1_ratio": Number(0.05, 1.0, 0.5, limits=(0.0, 1.0)),
    }


def fit(params: Settings, job: Job) -> Fitted:
    """``alpha`` is relative to the target's standard deviation, so that one space fits every unit."""
    from sklearn.linear_model import ElasticNet

    how = {"alpha": 0.01, "max_iter": 2000, "tol": 1e-4, "random_state": job.seed} | params
    alpha, ratio = as_float(how["alpha"]), as_float(how.get("l1_ratio", 0.5))
    how["alpha"] = alpha * float(np.std(job.y))
    return with_path(fit_linear(ElasticNet(**how), job), job, alpha, lambda: lasso_path(job, alpha, ratio))
