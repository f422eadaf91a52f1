"""Logistic regression with an L2, L1 or mixed penalty."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_linear
from tasks.fitting.space import Number, Settings, Space
from tasks.kinds import MANY, TWO

NAME = "logistic"
OUTPUTS = (TWO, MANY)
ALSO = ("l1_ratio", "max_iter", "tol", "fit_intercept")  # parameters beside those of the space
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {"C": Number(1e-4, 10.0, 0.1, log=True)}


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.linear_model import LogisticRegression

    ratio = params.get("l1_ratio", 0.0)
    solver = "saga" if ratio else "lbfgs"
    # Gradients below 1e-3 no longer move a ranking; a full solution takes five times as long.
    how = {"max_iter": 200, "tol": 1e-3, "random_state": job.seed} | params
    return fit_linear(LogisticRegression(solver=solver, **how), job)
