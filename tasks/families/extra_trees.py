"""Extremely randomised trees."""

from __future__ import annotations

from tasks.fitting.base import Fitted, Job
from tasks.fitting.counts import Only
from tasks.fitting.forest import fit_forest, forest_space
from tasks.fitting.space import Settings, Space
from tasks.kinds import MANY, NUMBER, TWO

NAME = "extra_trees"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "criterion", "max_depth", "min_samples_split", "min_weight_fraction_leaf", "max_leaf_nodes",
    "min_impurity_decrease", "bootstrap", "max_samples", "ccp_alpha",
)  # fmt: skip
COUNTS = {"max_samples": Only(beside={"bootstrap": ()})}
NEEDS = "trees"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return forest_space(rows)


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    return fit_forest(ExtraTreesClassifier, ExtraTreesRegressor, params, job)
