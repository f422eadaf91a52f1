"""Metrics by name, shared by tuning, evaluation and comparison; :mod:`tasks.metrics.table` is the one table of them.

Scores have the pipeline's form: ``(n, n_classes)`` probabilities, or ``(n,)`` numbers for regression;
``y`` is float64 ``(n,)``: class indexes, or the number. Every metric takes row weights, so that a
bootstrap resample is a vector of counts and nothing is copied or sorted again.
"""

from __future__ import annotations

import numpy as np

from tasks.errors import RefitError, nearest, some
from tasks.kinds import Measurer, Metric, find_kind
from tasks.metrics.table import find_metric

__all__ = [
    "Metric", "better", "called", "find_metric", "higher_is_better", "measure", "measurer", "report",
]  # fmt: skip


def higher_is_better(name: str) -> bool:
    """Whether a larger value of the metric is the better one; True of a name that is none of the table's.

    >>> higher_is_better("roc_auc"), higher_is_better("rmse")
    (True, False)
    """
    metric = find_metric(name)
    return metric is None or metric.sign > 0


def called(name: str) -> str:
    """A metric's name within a sentence.

    >>> called("roc_auc"), called("average_precision")
    ('ROC AUC', 'average precision')
    """
    metric = find_metric(name)
    return (metric and metric.within) or name.replace("_", " ")


def better(name: str, a: float | None, b: float | None) -> bool:
    """True where value ``a`` of metric ``name`` is strictly better than ``b``; an undefined value loses.

    >>> better("rmse", 1.0, 2.0), better("roc_auc", None, 0.5)
    (True, False)
    """
    if a is None or b is None:
        return a is not None
    return a > b if higher_is_better(name) else a < b


def measurer(name: str, kind: str, y: np.ndarray, scores: np.ndarray, threshold: float | None = None) -> Measurer:
    """A function of row weights that gives metric ``name``: sorts once, for many resamples.

    The value is NaN where the metric is undefined (a ranking metric where only one class has weight).
    """
    problem, metric = find_kind(kind), find_metric(name)
    allowed = problem.metrics
    if metric is None or name not in allowed:
        raise RefitError(f"metric {name!r} is not one of {some(allowed, 20)} ({kind}).{nearest(name, allowed)}")
    y, scores = np.asarray(y, dtype=float), np.asarray(scores, dtype=float)
    decided = problem.decide(scores, threshold) if metric.needs == "decisions" else None
    return metric.measurer(y, scores, decided)


def measure(
    name: str,
    y: np.ndarray,
    scores: np.ndarray,
    kind: str,
    threshold: float | None = None,
    weight: np.ndarray | None = None,
) -> float:
    """One metric. ``threshold`` counts for binary metrics of decisions only (None: half).

    >>> y, p = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> measure("roc_auc", y, np.column_stack([1 - p, p]), "binary")
    0.75
    >>> measure("f1", y, np.column_stack([1 - p, p]), "binary", threshold=0.3)
    0.8
    """
    return measurer(name, kind, y, scores, threshold)(weight)


def report(y: np.ndarray, scores: np.ndarray, kind: str, threshold: float | None = None) -> dict[str, float | None]:
    """Every metric of the kind; None where undefined (JSON has no NaN)."""
    out: dict[str, float | None] = {}
    for name in find_kind(kind).metrics:
        value = measure(name, y, scores, kind, threshold)
        out[name] = float(value) if np.isfinite(value) else None
    return out
