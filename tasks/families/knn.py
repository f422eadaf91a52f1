"""k nearest neighbours on scaled columns, after principal components where wanted."""

from __future__ import annotations

from dataclasses import replace

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_estimator, refuse_weights, sampled
from tasks.fitting.space import Number, OneOf, Settings, Space, as_float, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "knn"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = ("rows",)  # parameters beside those of the space
NEEDS = "dense"
HARDWARE = "cpu"
WEIGHS = False  # rows
ROWS = 20_000  # neighbours are looked up among this many rows at most


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "n_neighbors": whole(1, max(3, min(100, rows // 5)), min(15, max(3, rows // 10)), log=True),
        "weights": OneOf(("uniform", "distance"), "distance"),
        "metric": OneOf(("euclidean", "manhattan", "cosine"), "euclidean"),
        "pca": Number(0.0, 1.0, 0.0, limits=(0.0, 1.0)),
    }


def fit(params: Settings, job: Job) -> Fitted:
    """``pca`` is the share of variance to keep; 0 (and 1) use the columns as they are."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline

    refuse_weights(job, NAME)
    how = {"n_neighbors": 15} | params
    share = as_float(how.pop("pca", 0.0))
    job = sampled(job, as_int(how.pop("rows", ROWS)))
    how["n_neighbors"] = min(as_int(how["n_neighbors"]), len(job.X))
    last = (KNeighborsClassifier if job.output.classes else KNeighborsRegressor)(algorithm="brute", **how)
    steps = [PCA(share, svd_solver="full", random_state=job.seed)] if 0.0 < share < 1.0 else []
    return fit_estimator(make_pipeline(*steps, last), replace(job, weight=None))
