"""Each setting that reaches a fit, for every family and kind of problem: another value changes the model, or is refused with
its reason before anything runs, or is told. Quick: half of the settings of a family, each on one kind of problem; ``--full``: all values on all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from tasks.encoding import Encoder
from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.rows import Dataset
from tasks.idle import own_ways
from tasks.kinds import kinds_of
from tasks.listed import family_names
from tasks.models import check_models, fit_family
from tasks.params import Encode, Params, Training, parse

FAMILIES = [name for name in family_names() if name != "auto"]  # of which auto is made
NUMBERS, COLUMNS = ["a", "b", "d", "e"], ["a", "b", "d", "e", "c", "g", "t"]
TARGET = {"binary": "boolean", "multiclass": "categorical", "regression": "numeric"}
# What makes a fit short.
SMALL: Mapping[str, dict[str, Any]] = {
    "adaboost": {"n_estimators": 20}, "bagging": {"n_estimators": 5}, "extra_trees": {"n_estimators": 5},
    "random_forest": {"n_estimators": 5}, "gradient_boosting": {"rounds": 15}, "lightgbm": {"rounds": 15},
    "xgboost": {"rounds": 15}, "mlp": {"epochs": 2, "width": 16}, "tabm": {"epochs": 2, "width": 16, "k": 4},
    "realmlp": {"epochs": 2, "width": 16},
}  # fmt: skip
LONG = {"rounds": 60, "learning_rate": 0.3}  # so that early stopping has something to stop
FINE = {
    "min_data_per_group": 2,
    "min_child_samples": 2,
    "cat_smooth": 0.1,
    "max_cat_to_onehot": 1,
    "rounds": 40,
}  # so that sets of few levels are split
# How quick a fit is, and not what comes out.
SPEED = {("svm", "cache_size"), ("svm", "shrinking")}
ONLY = "the only value that serves this kind"
# Another value of each parameter; by kind of problem where it has to be.
VALUES: dict[str, Any] = {
    "n_estimators": 13, "learning_rate": 0.37, "max_depth": 3, "min_samples_leaf": 30, "max_samples": 0.4, "max_features": 0.5,
    "min_samples_split": 60, "min_weight_fraction_leaf": 0.2, "max_leaf_nodes": 4, "min_impurity_decrease": 0.02,
    "ccp_alpha": 0.02, "bootstrap_features": True, "splitter": "random", "alpha": 0.3, "l1_ratio": 0.9, "max_iter": 2, "tol": 0.5,
    "fit_intercept": False, "positive": True, "selection": "random", "solver": "sag", "lam": 300.0, "n_splines": 5, "rows": 60,
    "rounds": 7, "patience": 1, "native_levels": 1, "max_bins": 9, "l2_regularization": 50.0, "quantile": 0.3, "n_neighbors": 4,
    "weights": "distance", "metric": "manhattan", "pca": 0.6, "C": 0.002, "kernel": "linear", "gamma": 4.0, "degree": 2,
    "epsilon": 0.6, "coef0": 2.0, "shrinking": False, "cache_size": 3, "var_smoothing": 0.3, "ridge": 50.0,
    "monotonic_cst": "per column", "interaction_cst": "no_interactions", "monotone_constraints": "per column",
    "interaction_constraints": "pairs",
    "criterion": {"binary": "entropy", "multiclass": "entropy", "regression": "absolute_error"},
    "priors": {"binary": [0.5, 0.5], "multiclass": [0.2, 0.2, 0.6]},
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "adaboost": {"max_depth": 1},
    "random_forest": {"bootstrap": False}, "extra_trees": {"bootstrap": True}, "bagging": {"bootstrap": False},
    "logistic": {"C": 3.0},
    "gradient_boosting": {"loss": {"binary": ONLY, "multiclass": ONLY, "regression": "absolute_error"}},
    "lightgbm": {
        "min_child_samples": 60, "min_child_weight": 60.0, "bagging_fraction": 0.4, "bagging_freq": 1, "bagging_seed": 5,
        "pos_bagging_fraction": 0.4, "neg_bagging_fraction": 0.4, "feature_fraction": 0.2, "feature_fraction_bynode": 0.3,
        "extra_trees": True, "lambda_l1": 5.0, "lambda_l2": 20.0, "min_gain_to_split": 300.0, "max_delta_step": 0.05,
        "path_smooth": 20.0, "linear_tree": True, "linear_lambda": 50.0, "max_bin": 7, "min_data_in_bin": 50,
        "max_cat_threshold": 1, "max_cat_to_onehot": 1, "min_data_per_group": 90, "cat_l2": 200.0, "cat_smooth": 200.0,
        "scale_pos_weight": 4.0, "is_unbalance": True, "boost_from_average": False, "alpha": 0.3,
        "poisson_max_delta_step": 0.01, "tweedie_variance_power": 1.2, "num_leaves": 3,
        "objective": {"binary": "regression", "multiclass": "multiclassova", "regression": "l1"},
        "metric": {"binary": "auc", "multiclass": "multi_error", "regression": "mape"},
    },
    "xgboost": {
        "gamma": 30.0, "max_delta_step": 0.05, "sampling_method": "gradient_based", "colsample_bylevel": 0.3,
        "colsample_bynode": 0.3, "colsample_bytree": 0.3, "subsample": 0.4, "reg_lambda": 20.0, "reg_alpha": 5.0,
        "scale_pos_weight": 4.0, "grow_policy": "lossguide", "max_leaves": 3, "max_bin": 5, "num_parallel_tree": 3,
        "multi_strategy": "multi_output_tree", "max_cat_to_onehot": 20, "max_cat_threshold": 1, "base_score": 0.2,
        "tweedie_variance_power": 1.2, "huber_slope": 0.2, "quantile_alpha": 0.3, "min_child_weight": 20.0,
        "objective": {"binary": "binary:hinge", "multiclass": ONLY, "regression": "reg:absoluteerror"},
        "eval_metric": {"binary": "error", "multiclass": "merror", "regression": "poisson-nloglik"},
    },
    "mlp": {
        "layers": 1, "width": 32, "dropout": 0.5, "lr": 0.01, "weight_decay": 0.3, "activation": "tanh", "batch_norm": False,
        "optimizer": "sgd", "l1": 0.01, "schedule": "constant", "epochs": 3, "batch_size": 64, "clip": 0.01, "noise": 0.5,
        "find_lr": True, "precision": "bfloat16", "compile": True,
        "loss": {"binary": "focal", "multiclass": "focal", "regression": "huber"},
    },
    "tabm": {
        "layers": 1, "width": 32, "dropout": 0.5, "lr": 0.01, "weight_decay": 0.3, "activation": "tanh", "k": 2, "bins": 4,
        "embedding": 4, "epochs": 3, "batch_size": 64,
    },
    "realmlp": {
        "layers": 1, "width": 32, "lr": 0.3, "p_drop": 0.5, "wd": 0.9, "plr_sigma": 1.0, "ls_eps": 0.3, "num_emb_type": "none",
        "act": "relu", "epochs": 3, "batch_size": 32,
    },
}  # fmt: skip
# What a parameter needs beside it: refused alone, and it changes the model with this.
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("lightgbm", "bagging_fraction"): {"bagging_freq": 1},
    ("lightgbm", "bagging_freq"): {"bagging_fraction": 0.5},
    ("lightgbm", "bagging_seed"): {"bagging_freq": 1, "bagging_fraction": 0.5},
    ("lightgbm", "pos_bagging_fraction"): {"bagging_freq": 1},
    ("lightgbm", "neg_bagging_fraction"): {"bagging_freq": 1},
    ("lightgbm", "linear_lambda"): {"linear_tree": True},
    ("lightgbm", "alpha"): {"objective": "quantile"},
    ("lightgbm", "poisson_max_delta_step"): {"objective": "poisson"},
    ("lightgbm", "tweedie_variance_power"): {"objective": "tweedie"},
    ("xgboost", "grow_policy"): {"max_leaves": 4},
    ("xgboost", "tweedie_variance_power"): {"objective": "reg:tweedie"},
    ("xgboost", "huber_slope"): {"objective": "reg:pseudohubererror"},
    ("xgboost", "quantile_alpha"): {"objective": "reg:quantileerror", "quantile_alpha": 0.7},
    ("gradient_boosting", "quantile"): {"loss": "quantile", "quantile": 0.7},
    ("extra_trees", "max_samples"): {"bootstrap": True},
    ("ridge", "max_iter"): {"solver": "saga"},
    ("ridge", "tol"): {"solver": "saga"},
}
# What it is seen beside, though it counts without it.
SEEN: dict[tuple[str, str], dict[str, Any]] = {
    ("gradient_boosting", "patience"): LONG | {"max_features": 0.2},
    ("lightgbm", "patience"): LONG | {"feature_fraction": 0.2},
    ("xgboost", "patience"): LONG | {"colsample_bytree": 0.2},
    ("lightgbm", "metric"): LONG | {"feature_fraction": 0.2, "patience": 5},
    ("xgboost", "eval_metric"): LONG | {"colsample_bytree": 0.5, "patience": 4, "subsample": 0.5},
    ("svm", "degree"): {"kernel": "poly"},
    ("svm", "coef0"): {"kernel": "poly"},
    ("mlp", "patience"): {"epochs": 8, "lr": 0.05},
    ("tabm", "patience"): {"epochs": 12, "lr": 0.2, "k": 2},
    **{("lightgbm", key): FINE for key in ("max_cat_threshold", "max_cat_to_onehot", "cat_l2", "cat_smooth", "min_data_per_group")},
    **{("xgboost", key): {"min_child_weight": 0.1} for key in ("max_cat_threshold", "max_cat_to_onehot")},
    ("xgboost", "multi_strategy"): {"native_levels": 0},  # XGBoost has it for numbers alone
}  # fmt: skip
DEAR = ("mlp", "tabm", "realmlp", "gam")


@cache
def rows(kind: str) -> Dataset:
    rng = np.random.default_rng(0)
    n = 320
    frame = pd.DataFrame({"a": rng.gamma(2.0, 5.0, n), "b": rng.normal(0, 1, n), "d": np.exp(rng.normal(0, 1.2, n))})
    frame["e"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(3, 2, n))
    level = rng.choice(12, n, p=np.linspace(1, 3, 12) / 24)
    frame["c"] = pd.Series([None if v == 11 else f"level {v}" for v in level], dtype="str")
    frame["g"] = pd.Series(rng.choice(list("klm"), n), dtype="str")
    words = rng.choice(["on", "time", "late", "again", "lost"], (n, 3))
    frame["t"] = pd.Series([" ".join(three) for three in words], dtype="str")
    score = frame["a"] / 5 + frame["b"] + np.log(frame["d"]) + (level % 4) * 3 + (frame["g"] == "k")
    score = score + frame["t"].str.contains("late") + rng.normal(0, 0.5, n)
    y = {
        "binary": (score > np.quantile(score, 0.7)).to_numpy(float),
        "multiclass": np.digitize(score, np.quantile(score, [0.5, 0.85])).astype(float),
        "regression": 50 + 3 * score.to_numpy(),
    }[kind]
    split = np.where(np.arange(n) < 220, "train", "valid")
    kinds = dict(zip(COLUMNS, ["numeric"] * 4 + ["categorical"] * 2 + ["text"], strict=True))
    classes = {"binary": ("no", "yes"), "multiclass": ("x", "y", "z"), "regression": ()}[kind]
    return Dataset(kind, classes, kinds, frame[COLUMNS], y, split, np.arange(n), pd.Series(pd.NaT, index=range(n)))


def project(kind: str, family: str, own: Mapping[str, Any], **sections: Any) -> Params:
    columns = {"y": TARGET[kind], **rows(kind).kinds}
    return parse(
        {
            "problem": {"name": "p", "kind": kind, "table": "t", "target": "y"},
            "data": {"tables": {"t": {"source": "t.csv", "columns": columns}}},
            "models": {family: {"params": own}},
            **sections,
        }
    )


def freeze(value: Any) -> Any:
    return tuple((k, freeze(v)) for k, v in value.items()) if isinstance(value, dict) else value


@cache
def _plain(family: str, kind: str, own: Any) -> np.ndarray:
    return fit(family, kind, dict(own))


def fit(family: str, kind: str, own: Mapping[str, Any], **sections: Any) -> np.ndarray:
    """Scores of the validation rows."""
    params = project(kind, family, own, **sections)
    fold = rows(kind).fold
    return fit_family(family, dict(own), fold, rows(kind).setup(params)).predict(fold.X_valid)


def outcome(family: str, kind: str, own: dict[str, Any], key: str, **sections: Any) -> str:
    """``changed``, ``refused`` (before any fit), ``told`` or ``ignored``; ``own`` are parameters of both fits.

    ``key`` is a setting of ``sections``, or a parameter with its value, as in ``models.knn.params.rows=60``.
    """
    path, _, _ = key.partition("=")
    other = dict(own) | sections.pop("more", {})
    try:
        params = project(kind, family, other, **sections)
        check_models(params)
    except RefitError as error:
        return "refused" if path.split(".")[-1] in str(error) else f"refused for something else: {error}"
    if any(line.startswith(path) for line in own_ways(params)):
        return "told"
    same = np.array_equal(fit(family, kind, other, **sections), _plain(family, kind, freeze(own)))
    return "ignored" if same else "changed"


def settings() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every value of each key that a fit gets."""
    how = {"bins": [3], "max_levels": [2], "words": [2]}
    for key in Encode.model_fields:
        for value in how.get(key) or choices(Encode, key):
            more = {"scale": "bins"} if key == "bins" else {}
            yield f"features.encode.{key}", value, {"features": {"encode": {key: value, **more}}}
    for key in ("imbalance", "calibration"):
        for value in choices(Training, key):
            yield f"training.{key}", value, {"training": {key: value}}


def choices(model: Any, key: str) -> list[str]:
    annotation = model.model_fields[key].annotation
    found = [v for part in (annotation, *get_args(annotation)) for v in get_args(part)]
    return [v for v in dict.fromkeys(found) if isinstance(v, str)]


def usual(family: str, key: str, value: Any, kind: str) -> bool:
    """Whether the value is what happens anyway."""
    needs = find_family(family).NEEDS
    anyway = {
        "features.encode.scale": "smooth" if needs == "distances" else "standard",
        "features.encode.categories": "native" if needs in ("trees", "codes") else "one_hot",
        "training.imbalance": "none",
        "training.calibration": "auto",
    }
    return value == anyway.get(key) or (key == "training.calibration" and kind == "regression" and value == "none")


def constrained(family: str, value: Any) -> Any:
    """Constraints as each library has them, of two of the encoded columns."""
    X, y = rows("regression").of("train")
    width = len(Encoder.fit(X, y, "trees", "regression", kinds=rows("regression").kinds).names)
    if value == "per column":
        value = [-1, -1, *[0] * (width - 2)]
        return f"({', '.join(map(str, value))})" if family == "xgboost" else value
    if value == "pairs":
        value = [[0], [1], list(range(2, width))]
        return str(value) if family == "xgboost" else value
    return value


@pytest.mark.parametrize("family", FAMILIES)
def test_no_setting_of_encoding_or_training_is_ignored(family: str, full: bool) -> None:
    kinds, own, ignored = kinds_of(*find_family(family).OUTPUTS), SMALL.get(family, {}), []
    by_key: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for key, value, sections in settings():
        by_key.setdefault(key, []).append((value, sections))
    for turn, (key, values) in enumerate(by_key.items()):
        turn += FAMILIES.index(family)
        if not full and turn % (6 if family in DEAR else 2):
            continue
        for kind in kinds if full else [kinds[turn % len(kinds)]]:
            told = [pair for pair in values if not usual(family, key, pair[0], kind)]
            for value, sections in told if full else [told[turn % len(told)]]:
                if outcome(family, kind, own, key, **sections) not in ("changed", "refused", "told"):
                    ignored.append((kind, key, value))
    assert not ignored, ignored


@pytest.mark.parametrize("family", FAMILIES)
def test_no_parameter_of_a_family_is_ignored(family: str, full: bool) -> None:
    module, ignored = find_family(family), []
    for turn, key in enumerate((*module.space("binary", 220, 7), *module.ALSO)):
        turn += FAMILIES.index(family)
        if not full and turn % (6 if family in DEAR else 2):
            continue
        for kind in (
            kinds_of(*module.OUTPUTS) if full else [kinds_of(*module.OUTPUTS)[turn % len(kinds_of(*module.OUTPUTS))]]
        ):
            value = OWN.get(family, {}).get(key, VALUES.get(key))
            value = value.get(kind, "none for this kind") if isinstance(value, dict) else value
            assert value is not None, f"{family}: {key} has no value here"
            if value == ONLY:
                continue
            own = SMALL.get(family, {}) | SEEN.get((family, key), {})
            path = f"models.{family}.params.{key}"
            own = {name: v for name, v in own.items() if name != key}
            said = outcome(family, kind, own, path, more={key: constrained(family, value)})
            beside = BESIDE.get((family, key))
            if beside is not None and said == "refused":
                said = outcome(family, kind, own | beside, path, more={key: value})
            if said not in ("changed", "refused", "told") and (family, key) not in SPEED:
                ignored.append((kind, key, value))
    assert not ignored, ignored
