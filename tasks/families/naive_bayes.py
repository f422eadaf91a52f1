"""Gaussian naive Bayes."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_estimator
from tasks.fitting.space import Number, Settings, Space
from tasks.kinds import MANY, TWO

NAME = "naive_bayes"
OUTPUTS = (TWO, MANY)
ALSO = ("priors",)  # parameters beside those of the space
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {"var_smoothing": Number(1e-10, 1.0, 1e-6, log=True)}


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.naive_bayes import GaussianNB

    return fit_estimator(GaussianNB(**params), job)
