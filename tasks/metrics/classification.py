"""Metrics of probabilities, and of the table of true class against decision."""

from __future__ import annotations

import numpy as np


def _mean(values: np.ndarray, w: np.ndarray | None) -> float:
    return float(values.mean() if w is None else np.average(values, weights=w))


def log_loss(y: np.ndarray, scores: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean of -log of the true class's probability, in nats; probabilities are clipped at machine epsilon."""
    chosen = scores[np.arange(len(y)), y.astype(np.int64)] / scores.sum(axis=1)
    return _mean(-np.log(np.clip(chosen, np.finfo(float).eps, 1.0)), w)


def brier(y: np.ndarray, scores: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean squared error of probabilities: of the positive class (binary), summed over classes (more)."""
    if scores.shape[1] == 2:
        return _mean((scores[:, 1] - y) ** 2, w)
    truth = np.eye(scores.shape[1])[y.astype(np.int64)]
    return _mean(((scores - truth) ** 2).sum(axis=1), w)


def ece(y: np.ndarray, scores: np.ndarray, w: np.ndarray | None = None, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins: mean |said - happened|, weighted by rows.

    Binary: of the positive class's probability. Multiclass: of the top class's confidence
    (Guo et al., 2017, "On calibration of modern neural networks").
    """
    if scores.shape[1] == 2:
        score, hit = scores[:, 1], y
    else:
        score, hit = scores.max(axis=1), (scores.argmax(axis=1) == y).astype(float)
    weight = np.ones(len(y)) if w is None else w
    index = np.minimum((score * bins).astype(np.int64), bins - 1)
    gap = np.bincount(index, weights=weight * (score - hit), minlength=bins)
    return float(np.abs(gap).sum() / weight.sum())


def surprise(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """-log of the true class's probability (..., n), whose mean is :func:`log_loss`; see :class:`~tasks.metrics.table.Metric`."""
    if scores.ndim == y.ndim:
        chosen = np.where(y == 1, scores, 1 - scores)
    else:
        index = y.astype(np.int64)[..., None]
        chosen = np.take_along_axis(scores, index, -1)[..., 0] / scores.sum(axis=-1)
    return -np.log(np.clip(chosen, np.finfo(float).eps, 1.0))


def squared_error(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The squared error (..., n) of the probabilities, whose mean is :func:`brier`."""
    if scores.ndim == y.ndim:
        return (scores - y) ** 2
    truth = np.arange(scores.shape[-1]) == y[..., None]
    return ((scores - truth) ** 2).sum(axis=-1)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b``, and 0 where ``b`` is 0 (a class that is never true or never said)."""
    return np.divide(a, b, out=np.zeros_like(np.asarray(a, dtype=float)), where=np.asarray(b) != 0)


# Functions of the table: rows are true classes, columns are decisions.
def accuracy(t: np.ndarray) -> float:
    """Share of right decisions."""
    return float(np.trace(t) / t.sum())


def _recalls(t: np.ndarray) -> np.ndarray:
    return _ratio(np.diag(t), t.sum(axis=1))


def _precisions(t: np.ndarray) -> np.ndarray:
    return _ratio(np.diag(t), t.sum(axis=0))


def _f1s(t: np.ndarray) -> np.ndarray:
    return _ratio(2 * np.diag(t), t.sum(axis=0) + t.sum(axis=1))


def _there(t: np.ndarray) -> np.ndarray:
    """Classes that occur, in truth or in decisions: the ones a macro mean is taken over."""
    return (t.sum(axis=0) + t.sum(axis=1)) > 0


def balanced_accuracy(t: np.ndarray) -> float:
    """Mean recall over the classes that have rows."""
    return float(_recalls(t)[t.sum(axis=1) > 0].mean())


def precision(t: np.ndarray) -> float:
    """Share of the flagged rows that are positive."""
    return float(_precisions(t)[1])


def recall(t: np.ndarray) -> float:
    """Share of the positive rows that are flagged."""
    return float(_recalls(t)[1])


def specificity(t: np.ndarray) -> float:
    """Share of the negative rows that are not flagged."""
    return float(_recalls(t)[0])


def f1(t: np.ndarray) -> float:
    """Harmonic mean of precision and recall."""
    return float(_f1s(t)[1])


def precision_macro(t: np.ndarray) -> float:
    """Mean precision over the classes that occur, in truth or in decisions."""
    return float(_precisions(t)[_there(t)].mean())


def recall_macro(t: np.ndarray) -> float:
    """Mean recall over the classes that occur, in truth or in decisions."""
    return float(_recalls(t)[_there(t)].mean())


def f1_macro(t: np.ndarray) -> float:
    """Mean F1 over the classes that occur, in truth or in decisions."""
    return float(_f1s(t)[_there(t)].mean())


def f1_weighted(t: np.ndarray) -> float:
    """Mean F1 over the classes, weighted by their rows."""
    return float(np.average(_f1s(t), weights=t.sum(axis=1)))


def mcc(t: np.ndarray) -> float:
    """Matthews' correlation of truth and decision for any number of classes (Gorodkin, 2004)."""
    n, right = t.sum(), np.trace(t)
    true, decided = t.sum(axis=1), t.sum(axis=0)
    bottom = np.sqrt((n * n - decided @ decided) * (n * n - true @ true))
    return float((right * n - true @ decided) / bottom) if bottom > 0 else 0.0
