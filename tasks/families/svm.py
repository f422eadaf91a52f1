"""Support vector machines: linear, radial or polynomial; probabilities calibrated by cross-validation."""

from __future__ import annotations

import numpy as np

from tasks.encoding.folds import together
from tasks.fitting.base import Fitted, Job
from tasks.fitting.counts import Only
from tasks.fitting.estimators import fit_estimator, sampled
from tasks.fitting.space import Number, OneOf, Settings, Space, as_float, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "svm"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "rows", "epsilon", "coef0", "tol", "shrinking", "cache_size", "max_iter",
)  # fmt: skip
COUNTS = {
    "degree": Only(beside={"kernel": ("poly",)}),
    "coef0": Only(beside={"kernel": ("poly", "sigmoid")}),
    "gamma": Only(unless={"kernel": ("linear",)}),
    "epsilon": Only((NUMBER,)),
}
NEEDS = "distances"
HARDWARE = "cpu"
ROWS = 10_000  # the time grows with the square of the rows; more are sampled


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "kernel": OneOf(("rbf", "linear", "poly"), "rbf"),
        "C": Number(0.01, 100.0, 1.0, log=True),
        "gamma": Number(0.01, 10.0, 1.0, log=True),
        "degree": whole(2, 4, 3),
    }


def fit(params: Settings, job: Job) -> Fitted:
    """``gamma`` is relative to scikit-learn's ``scale``; ``epsilon`` to the target's standard deviation."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    how: Settings = {"kernel": "rbf", "C": 1.0, "gamma": 1.0, "cache_size": 500, **params}
    job = sampled(job, as_int(how.pop("rows", ROWS)))
    how["gamma"] = as_float(how["gamma"]) / max(job.X.shape[1] * float(job.X.var()), 1e-12)
    if not job.output.classes:
        return fit_estimator(TransformedTargetRegressor(SVR(**how), transformer=StandardScaler()), job)
    machine, method = SVC(random_state=job.seed, **how), "sigmoid"
    if job.output == MANY:
        # SVC's own decisions between several classes are votes between pairs, hardly a probability. Margins of each
        # class against the rest halve the log loss; but scikit-learn passes them no weights of rows.
        method = "temperature"
        machine = machine if job.weight is not None else OneVsRestClassifier(machine)
    folds = min(3, int(np.bincount(job.labels)[np.unique(job.labels)].min()))
    if folds < 2:
        job.X, job.y = np.vstack([job.X, job.X]), np.append(job.y, job.y)
        job.weight = None if job.weight is None else np.append(job.weight, job.weight)
        job.groups = None
    cut = max(2, folds) if job.groups is None else together(job.y, job.groups, 3, job.seed)
    return fit_estimator(CalibratedClassifierCV(machine, method=method, ensemble=False, cv=cut), job)
