"""Least squares with an L2 penalty."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.coefficients import ridge_path, with_path
from tasks.fitting.counts import Only
from tasks.fitting.estimators import fit_linear
from tasks.fitting.space import Number, Setting, Settings, Space, as_float
from tasks.kinds import NUMBER

NAME = "ridge"
OUTPUTS = (NUMBER,)
ALSO = ("max_iter", "tol", "fit_intercept", "positive", "solver")  # parameters beside those of the space
STEPWISE: dict[str, tuple[Setting, ...]] = {"solver": ("sag", "saga", "sparse_cg", "lsqr", "lbfgs"), "positive": ()}
COUNTS = {"max_iter": Only(beside=STEPWISE), "tol": Only(beside=STEPWISE)}  # others solve at once
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {"alpha": Number(1e-3, 1e4, 1.0, log=True)}


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.linear_model import Ridge

    how = {"alpha": 1.0, "random_state": job.seed} | params
    alpha = as_float(how["alpha"])
    return with_path(fit_linear(Ridge(**how), job), job, alpha, lambda: ridge_path(job, alpha))
