"""AdaBoost over small trees."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_estimator
from tasks.fitting.space import Number, Settings, Space, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "adaboost"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = ()
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "n_estimators": whole(20, 200, 50, log=True),
        "learning_rate": Number(0.03, 2.0, 0.5, log=True),
        "max_depth": whole(1, 4, 2),
    }


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    how = dict(params)
    depth = as_int(how.pop("max_depth", 2))
    if not job.output.classes:
        return fit_estimator(
            AdaBoostRegressor(DecisionTreeRegressor(max_depth=depth), random_state=job.seed, **how), job
        )
    return fit_estimator(AdaBoostClassifier(DecisionTreeClassifier(max_depth=depth), random_state=job.seed, **how), job)
