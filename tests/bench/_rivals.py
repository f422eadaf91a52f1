"""Runs FLAML or AutoGluon in its own environment; called by ``tests.bench.quality``, knows nothing of Refit.

``python _rivals.py SYSTEM FOLDER SECONDS METRIC KIND``: reads ``train.parquet`` and ``test.parquet`` (target in
``__y__``), writes ``scores.npy`` for the test rows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FLAML = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "rmse"}
AUTOGLUON = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}


def flaml(train: pd.DataFrame, test: pd.DataFrame, seconds: float, metric: str, kind: str) -> Any:
    from flaml import AutoML

    automl = AutoML()
    task = "regression" if kind == "regression" else "classification"
    X = train.drop(columns="__y__")
    automl.fit(
        X, train["__y__"], task=task, time_budget=seconds, metric=FLAML[metric], n_jobs=2, seed=0, verbose=0,
        ensemble=True,
    )  # fmt: skip
    rows = test.drop(columns="__y__")
    return automl.predict(rows) if kind == "regression" else automl.predict_proba(rows)


def autogluon(train: pd.DataFrame, test: pd.DataFrame, seconds: float, metric: str, kind: str) -> Any:
    import tempfile

    from autogluon.tabular import TabularPredictor

    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor(
            "__y__", problem_type=kind, eval_metric=AUTOGLUON[metric], path=folder, verbosity=0
        )
        predictor.fit(train, time_limit=seconds, num_cpus=2, presets="good_quality")
        rows = test.drop(columns="__y__")
        return predictor.predict(rows) if kind == "regression" else predictor.predict_proba(rows)


def main() -> None:
    system, folder, seconds, metric, kind = sys.argv[1:]
    train, test = (pd.read_parquet(Path(folder) / f"{part}.parquet") for part in ("train", "test"))
    for frame in (train, test):
        for column in frame.select_dtypes(include=["object", "string"]).columns:
            frame[column] = frame[column].astype("category")
        if kind != "regression":
            frame["__y__"] = frame["__y__"].astype(int)
    run = {"flaml": flaml, "autogluon": autogluon}[system]
    np.save(Path(folder) / "scores.npy", np.asarray(run(train, test, float(seconds), metric, kind), dtype=float))


if __name__ == "__main__":
    main()
