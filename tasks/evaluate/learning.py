"""How the chosen candidate does on its own training rows, and when fitted on fewer of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tasks.families import Model, fit_family
from tasks.families._calibrate import Calibration, mixed
from tasks.metrics import measure
from tasks.params import Params

SAMPLE = 20_000  # training rows on which the fitted model is measured
MOST = 20_000  # training rows of the largest refit
WATCHED = 5_000  # validation rows that early stopping of a refit looks at
STEPS = (1 / 16, 1 / 4, 1.0)


def training_value(models: list[Model], weights: np.ndarray, X: pd.DataFrame, y: np.ndarray, metric: str, kind: str,
                   threshold: float, seed: int, fixed: Calibration | None = None) -> float:  # fmt: skip
    """The metric on (a sample of) the rows that the model was fitted on."""
    at = np.arange(len(X))
    if len(X) > SAMPLE:
        at = np.sort(np.random.default_rng(seed).choice(len(X), SAMPLE, replace=False))
    scores = mixed((m.predict(X.iloc[at]) for m in models), weights, fixed)
    return measure(metric, y[at], scores, kind, threshold)


def learning_curve(family: str, settings: dict[str, Any], train: tuple[pd.DataFrame, np.ndarray],
                   valid: tuple[pd.DataFrame, np.ndarray], params: Params, classes: int, kinds: dict[str, str],
                   full: float | None, threshold: float) -> list[dict[str, Any]]:  # fmt: skip
    """The validation metric by number of training rows: refits on the newest ones, and the candidate itself.

    Refits use at most 20,000 rows, so that they cost seconds. A size on which the family cannot be fitted
    (too few rows, or one class) is left out. ``full`` is the candidate's value; None where it is a mix of several
    models, of which only the leading one is fitted here, and so no point of the same curve.
    """
    X, y = train
    most = min(MOST, len(X))
    watched = (valid[0].iloc[-WATCHED:], valid[1][-WATCHED:])
    points: list[dict[str, Any]] = []
    for size in sorted({round(most * step) for step in STEPS}):
        if size < 20 or (size == len(X) and full is not None):
            continue
        part, truth = X.iloc[-size:], y[-size:]
        if params.problem.kind != "regression" and len(np.unique(truth)) < classes:
            continue
        try:
            model = fit_family(
                family, settings, part, truth, *watched, params.problem.kind, classes=classes, kinds=kinds,
                encode=params.features.encoding, imbalance=params.training.imbalance, seed=params.seed,
                calibration=params.training.calibration, device=params.training.device,
            )  # fmt: skip
        except RefitError:
            continue
        value, own = (measure(params.problem.metric, t, model.predict(f), params.problem.kind, threshold)
                      for f, t in (valid, (part, truth)))  # fmt: skip
        if np.isfinite(value) and np.isfinite(own):
            points.append({"rows": size, "train": own, "valid": value})
    return points if full is None else [*points, {"rows": len(X), "train": None, "valid": full}]
