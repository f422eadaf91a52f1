"""Metrics by name, shared by tuning, evaluation and comparison.

Scores have the pipeline's form: ``(n, n_classes)`` probabilities, or ``(n,)`` numbers for regression;
``y`` is float64 ``(n,)``: class indexes, or the number. Every metric takes row weights, so that a
bootstrap resample is a vector of counts and nothing is copied or sorted again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.errors import RefitError, nearest, some
from tasks.metrics import classification as c
from tasks.metrics import regression as r
from tasks.metrics.ranking import Ranking

__all__ = ["Ranking", "better", "called", "higher_is_better", "measure", "measurer", "metric_names", "report"]

LOWER = ("log_loss", "brier", "ece", "rmse", "mae", "mape", "median_absolute_error", "max_error")
NAMES = {
    "binary": (
        "roc_auc", "average_precision", "log_loss", "brier", "ece", "accuracy", "balanced_accuracy",
        "precision", "recall", "specificity", "f1", "mcc",
    ),
    "multiclass": (
        "accuracy", "balanced_accuracy", "log_loss", "brier", "ece", "roc_auc_ovr", "precision_macro", "recall_macro",
        "f1_macro", "f1_micro", "f1_weighted", "mcc",
    ),
    "regression": ("rmse", "mae", "r2", "mape", "median_absolute_error", "max_error", "bias"),
}  # fmt: skip


def metric_names(kind: str) -> tuple[str, ...]:
    """All metrics of a kind of problem, in the order in which they are shown."""
    return NAMES[kind]


def higher_is_better(name: str) -> bool:
    """
    >>> higher_is_better("roc_auc"), higher_is_better("rmse")
    (True, False)
    """
    return name not in LOWER


CALLED = {
    "roc_auc": "ROC AUC", "roc_auc_ovr": "ROC AUC (each class against the rest)", "log_loss": "log loss",
    "brier": "Brier score", "f1": "F1", "f1_macro": "F1 (mean of the classes)", "rmse": "RMSE", "mae": "MAE", "r2": "R²",
    "mape": "MAPE",
}  # fmt: skip


def called(name: str) -> str:
    """A metric's name within a sentence.

    >>> called("roc_auc"), called("average_precision")
    ('ROC AUC', 'average precision')
    """
    return CALLED.get(name, name.replace("_", " "))


def better(name: str, a: float | None, b: float | None) -> bool:
    """True where value ``a`` of metric ``name`` is strictly better than ``b``; an undefined value loses.

    >>> better("rmse", 1.0, 2.0), better("roc_auc", None, 0.5)
    (True, False)
    """
    if a is None or b is None:
        return a is not None
    return a > b if higher_is_better(name) else a < b


def measurer(
    name: str, kind: str, y: np.ndarray, scores: np.ndarray, threshold: float = 0.5
) -> Callable[[np.ndarray | None], float]:
    """A function of row weights that gives metric ``name``: sorts once, for many resamples.

    The value is NaN where the metric is undefined (a ranking metric where only one class has weight).
    """
    if name not in NAMES[kind]:
        raise RefitError(f"metric {name!r} is not one of {some(NAMES[kind], 20)} ({kind}).{nearest(name, NAMES[kind])}")
    y = np.asarray(y, dtype=float)
    scores = np.asarray(scores, dtype=float)
    if kind == "regression":
        return lambda w: r.FUNCTIONS[name](y, scores, w)
    classes = scores.shape[1]
    if name == "roc_auc":
        ranking = Ranking(y, scores[:, 1])
        return ranking.roc_auc
    if name == "average_precision":
        ranking = Ranking(y, scores[:, 1])
        return ranking.average_precision
    if name == "roc_auc_ovr":
        each = [Ranking(y == k, scores[:, k]) for k in range(classes)]
        return lambda w: float(np.mean([one.roc_auc(w) for one in each]))
    if name in c.PROBABILITY:
        return lambda w: c.PROBABILITY[name](y, scores, w)
    decided = scores[:, 1] >= threshold if kind == "binary" else scores.argmax(axis=1)
    cell = y.astype(np.int64) * classes + decided.astype(np.int64)

    def from_table(w: np.ndarray | None) -> float:
        table = np.bincount(cell, weights=w, minlength=classes * classes).reshape(classes, classes)
        return c.TABLE[name](table.astype(float))

    return from_table


def measure(
    name: str,
    y: np.ndarray,
    scores: np.ndarray,
    kind: str,
    threshold: float = 0.5,
    weight: np.ndarray | None = None,
) -> float:
    """One metric. ``threshold`` counts for binary metrics of decisions only.

    >>> y, p = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> measure("roc_auc", y, np.column_stack([1 - p, p]), "binary")
    0.75
    >>> measure("f1", y, np.column_stack([1 - p, p]), "binary", threshold=0.3)
    0.8
    """
    return measurer(name, kind, y, scores, threshold)(weight)


def report(y: np.ndarray, scores: np.ndarray, kind: str, threshold: float = 0.5) -> dict[str, float | None]:
    """Every metric of the kind; None where undefined (JSON has no NaN)."""
    out: dict[str, float | None] = {}
    for name in NAMES[kind]:
        value = measure(name, y, scores, kind, threshold)
        out[name] = float(value) if np.isfinite(value) else None
    return out
