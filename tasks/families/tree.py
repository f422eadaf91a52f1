"""One decision tree."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.estimators import fit_estimator
from tasks.fitting.space import Number, Settings, Space, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "tree"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "criterion", "splitter", "min_samples_split", "min_weight_fraction_leaf", "max_features", "max_leaf_nodes",
    "min_impurity_decrease",
)  # fmt: skip
NEEDS = "trees"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "max_depth": whole(2, 20, 6),
        "min_samples_leaf": whole(1, max(10, rows // 50), max(2, rows // 200), log=True),
        "ccp_alpha": Number(0.0, 0.02, 0.0),
    }


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if job.output.classes else DecisionTreeRegressor
    return fit_estimator(kind(random_state=job.seed, **params), job)
