"""Bagged decision trees."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_estimator
from tasks.fitting.space import Number, Settings, Space, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "bagging"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = ("bootstrap", "bootstrap_features")  # parameters beside those of the space
NEEDS = "trees"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "n_estimators": whole(10, 100, 30, log=True),
        "max_samples": Number(0.2, 1.0, 0.7, limits=(0.01, 1.0)),
        "max_features": Number(0.3, 1.0, 0.8, limits=(0.01, 1.0)),
        "min_samples_leaf": whole(1, max(5, rows // 500), max(1, rows // 3000), log=True),
    }


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.ensemble import BaggingClassifier, BaggingRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    how = {"n_estimators": 30} | params
    leaf = as_int(how.pop("min_samples_leaf", 1))
    common = {"random_state": job.seed, "n_jobs": job.threads, **how}
    if not job.output.classes:
        return fit_estimator(BaggingRegressor(DecisionTreeRegressor(min_samples_leaf=leaf), **common), job)
    return fit_estimator(BaggingClassifier(DecisionTreeClassifier(min_samples_leaf=leaf), **common), job)
