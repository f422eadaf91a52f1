"""What ``models: auto`` tries first: several good settings a family, from cautious to flexible.

They complement each other rather than cover the space: shallow and deep trees, few and many columns a split, weak and
strong penalties. What is left out takes the family's default.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import numpy as np

from tasks.families import find_family
from tasks.families.auto import candidates
from tasks.fitting.space import OneOf, Settings, Space, as_float, defaults
from tasks.kinds import MANY, find_kind
from tasks.listed import family_names

Named = tuple[str, Settings]
SMALL_STEPS: Settings = {"rounds": 2000, "patience": 50}
ORDERED = {"native_levels": 4}  # categories of more levels are split by their order; the second settings split sets
ALSO_NEEDS = {"realmlp": "pytabkit", "tabm": "pytabkit"}  # extras of families that may be absent


def installed(names: Iterable[str]) -> tuple[str, ...]:
    """Those families that are there, with the package they need."""
    known = family_names()
    return tuple(n for n in names if n in known and (n not in ALSO_NEEDS or find_spec(ALSO_NEEDS[n])))


def portfolio(kind: str, rows: int, columns: int, counts: bool = False) -> list[Named]:
    """Settings in the order of trying: every family's first, then every family's second, and so on.

    ``counts``: targets are never negative, so that Poisson losses make sense.
    """
    table = _settings(kind, rows, counts)
    ranks: list[list[Named]] = []
    for name in installed(candidates(kind, rows)):
        first = defaults(find_family(name).space(kind, rows, columns))
        for place, own in enumerate(table.get(name, [{}])):
            while len(ranks) <= place:
                ranks.append([])
            ranks[place].append((name, first | own))
    return [setting for rank in ranks for setting in rank]


def _settings(kind: str, rows: int, counts: bool) -> dict[str, list[Settings]]:
    leaf = max(1, rows // 1000)
    xgboost: list[Settings] = [
        {"learning_rate": 0.05, **SMALL_STEPS},
        {"learning_rate": 0.05, "max_depth": 3, "colsample_bytree": 0.5, "native_levels": 1000, **SMALL_STEPS},
        {"learning_rate": 0.04, "max_depth": 11, "min_child_weight": 0.5, "colsample_bytree": 0.9, "subsample": 0.9,
         "reg_lambda": 3.0, **SMALL_STEPS},
        {"learning_rate": 0.03, "max_depth": 4, "colsample_bytree": 0.8, "subsample": 0.6, "reg_lambda": 3.0, **SMALL_STEPS},
    ]  # fmt: skip
    lightgbm: list[Settings] = [
        {"learning_rate": 0.05, **SMALL_STEPS},
        {"learning_rate": 0.04, "num_leaves": 15, "extra_trees": True, "feature_fraction": 0.9, "native_levels": 1000,
         **SMALL_STEPS},
        {"learning_rate": 0.03, "num_leaves": 200, "min_child_samples": 4, "feature_fraction": 0.6, "lambda_l2": 5.0,
         "bagging_fraction": 0.7, "bagging_freq": 1, **SMALL_STEPS},
        {"learning_rate": 0.05, "num_leaves": 7, "feature_fraction": 0.7, **SMALL_STEPS},
    ]  # fmt: skip
    if counts:
        xgboost.insert(
            1,
            {
                "objective": "count:poisson",
                "learning_rate": 0.05,
                "max_depth": 13,
                "min_child_weight": 5,
                **SMALL_STEPS,
            },
        )
        lightgbm.insert(
            1, {"objective": "poisson", "learning_rate": 0.04, "num_leaves": 100, "min_child_samples": 8, **SMALL_STEPS}
        )
    trees = 200 if rows <= 5_000 else 100  # a fold; the bag has several times as many
    forests: list[Settings] = [
        {"n_estimators": trees, "max_features": 0.5, "min_samples_leaf": leaf},
        # Rows that nearly repeat (several years of one person) are told apart by deep trees only.
        {"n_estimators": trees // 2, "max_features": 0.33, "min_samples_leaf": 2 if leaf != 2 else 1},
        {"n_estimators": trees, "max_features": 1.0, "min_samples_leaf": max(3, 3 * leaf)},
    ]
    boosting: list[Settings] = [
        {"learning_rate": 0.05, "rounds": 1000},
        {"learning_rate": 0.04, "max_leaf_nodes": 8, "max_features": 0.7, "rounds": 1500},
    ]
    return {
        "xgboost": [ORDERED | own for own in xgboost],
        "lightgbm": [ORDERED | own for own in lightgbm],
        "gradient_boosting": [ORDERED | own for own in boosting],
        "extra_trees": forests,
        "random_forest": forests,
        "mlp": [
            {},
            {"layers": 3, "width": 256, "dropout": 0.3, "lr": 1e-3},
            {"layers": 2, "width": 64, "dropout": 0.05, "activation": "tanh", "lr": 4e-3},
        ],
        "logistic": [{"C": 0.1}, {"C": 1.0}, {"C": 0.01}],
        "ridge": [{"alpha": 1.0}, {"alpha": 100.0}],
        "elastic_net": [{}],
        "gam": [{}],
        "svm": [{"C": 10.0}, {"C": 1.0}, {"C": 0.5, "gamma": 0.5}]
        if find_kind(kind).output == MANY
        else [{"C": 1.0}, {"C": 10.0, "gamma": 0.3}, {"C": 0.5, "gamma": 0.5}],
        "knn": [{}, {"n_neighbors": max(3, min(50, rows // 20)), "metric": "manhattan"}],
    }


def near(setting: Named, space: Space, rng: np.random.Generator) -> Named:
    """A neighbour of a setting: each parameter moves, by about a sixth of its range, with probability 0.6."""
    name, params = setting[0], dict(setting[1])
    for key in sorted(set(space) & set(params)):
        dim = space[key]
        if rng.random() > 0.6:
            continue
        if isinstance(dim, OneOf):
            params[key] = dim.options[int(rng.integers(len(dim.options)))]
            continue
        low, high, value = float(dim.low), float(dim.high), as_float(params[key])
        if dim.log:
            low, high, value = np.log(low), np.log(high), np.log(min(max(value, dim.low), dim.high))
        value = min(max(value + rng.normal() * (high - low) / 6, low), high)
        value = float(np.exp(value)) if dim.log else value
        params[key] = round(value) if dim.whole else float(f"{value:.5g}")
    return name, params
