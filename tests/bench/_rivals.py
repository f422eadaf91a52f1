"""Runs FLAML or AutoGluon in its own environment; called by ``tests.bench.quality``, knows nothing of Refit.

``python _rivals.py SYSTEM FOLDER SECONDS METRIC KIND``: reads ``train.parquet`` and ``test.parquet`` (target in
``__y__``), writes ``scores.npy`` for the test rows and ``about.json``: versions, seconds of the fit, and the like.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CORES = len(os.sched_getaffinity(0))  # what it is started on
PACKAGES = (
    "flaml",
    "autogluon.tabular",
    "lightgbm",
    "xgboost",
    "xgboost-cpu",
    "catboost",
    "scikit-learn",
    "torch",
    "fastai",
)
FLAML = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "rmse"}
AUTOGLUON = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}


Outcome = tuple[Any, dict[str, Any]]


def flaml(train: pd.DataFrame, test: pd.DataFrame, seconds: float, metric: str, kind: str) -> Outcome:
    """As it comes: its stacking (``ensemble=True``) cost it 0.07 of AUC on the flights and 0.27 of log loss on anes96."""
    from flaml import AutoML

    automl = AutoML()
    task = "regression" if kind == "regression" else "classification"
    X = train.drop(columns="__y__")
    begun = time.monotonic()
    automl.fit(
        X, train["__y__"], task=task, time_budget=seconds, metric=FLAML[metric], n_jobs=CORES, seed=0, verbose=0
    )  # fmt: skip
    spent = time.monotonic() - begun
    rows = test.drop(columns="__y__")
    scores = automl.predict(rows) if kind == "regression" else automl.predict_proba(rows)
    tried = automl.best_config_per_estimator
    return scores, {"seconds": spent, "tried": [n for n, c in tried.items() if c], "best": automl.best_estimator}


def autogluon(train: pd.DataFrame, test: pd.DataFrame, seconds: float, metric: str, kind: str) -> Outcome:
    """With its strongest preset."""
    import tempfile

    from autogluon.tabular import TabularPredictor

    with tempfile.TemporaryDirectory() as folder:

        def fitted(place: str, **how: Any) -> TabularPredictor:
            one = TabularPredictor(
                "__y__", problem_type=kind, eval_metric=AUTOGLUON[metric], path=f"{folder}/{place}", verbosity=0
            )
            return one.fit(train, time_limit=seconds, num_cpus=CORES, presets="best_quality", **how)

        begun, trial = time.monotonic(), True
        try:
            predictor = fitted("a")
        except AssertionError:  # its trial of stacking took all the time: the whole time once more, without
            begun, trial = time.monotonic(), False
            predictor = fitted("b", dynamic_stacking=False)
        spent = time.monotonic() - begun
        rows = test.drop(columns="__y__")
        begun = time.monotonic()
        scores = predictor.predict(rows) if kind == "regression" else predictor.predict_proba(rows)
        models = predictor.model_names()
        about = {
            "seconds": spent,
            "predict_seconds": time.monotonic() - begun,
            "models": len(models),
            "dynamic_stacking": trial,
        }
        return scores, about | {"tried": sorted({n.split("_")[0] for n in models}), "best": predictor.model_best}


def versions() -> dict[str, str]:
    """Of what matters here, as far as it is installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    system, folder, seconds, metric, kind = sys.argv[1:]
    train, test = (pd.read_parquet(Path(folder) / f"{part}.parquet") for part in ("train", "test"))
    for frame in (train, test):
        for column in frame.select_dtypes(include=["object", "string"]).columns:
            frame[column] = frame[column].astype("category")
        if kind != "regression":
            frame["__y__"] = frame["__y__"].astype(int)
    run = {"flaml": flaml, "autogluon": autogluon}[system]
    scores, about = run(train, test, float(seconds), metric, kind)
    np.save(Path(folder) / "scores.npy", np.asarray(scores, dtype=float))
    (Path(folder) / "about.json").write_text(json.dumps(about | {"versions": versions()}))


if __name__ == "__main__":
    main()
