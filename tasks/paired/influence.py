"""What each row adds to a metric: values and influence, row by row, for one model or for many at once.

Every function takes arrays whose last axis (of ``y``) is the rows, and gives the metric (...) with its influence
(..., n), which has mean 0: the metric's error is close to ``influence.mean()``, its variance to
``(influence**2).sum() / n**2``. Rows that belong together are added up before squaring; for the area under the ROC curve
this is Obuchowski's method (1997), and with every row by itself DeLong's (1988).

Binary scores are the positive class's probabilities (..., n); those of more classes (..., n, n_classes).
"""

from __future__ import annotations

import numpy as np

from tasks.errors import RefitError
from tasks.metrics import find_metric


def roc_auc(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve, from DeLong's structural components; ties count half.

    >>> value, influence = roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> float(value), influence.round(3).tolist()
    (0.75, [0.707, -0.707, -0.707, 0.707])
    """
    order, first, last = _runs(score)
    truth = np.take_along_axis(np.asarray(y, dtype=float), order, -1)
    positives, negatives = np.cumsum(truth, axis=-1), np.cumsum(1 - truth, axis=-1)
    m, n = positives[..., -1:], negatives[..., -1:]
    below = (_before(negatives, first) + np.take_along_axis(negatives, last, -1)) / 2
    above = m - (_before(positives, first) + np.take_along_axis(positives, last, -1)) / 2
    share = np.where(truth == 1, below / n, above / m)
    area = (share * truth).sum(axis=-1, keepdims=True) / m
    # each class has a mean of its own; m / (m - 1) makes the squares add up to DeLong's variance
    weight = np.where(truth == 1, np.sqrt(m / (m - 1)) / m, np.sqrt(n / (n - 1)) / n) * truth.shape[-1]
    return area[..., 0], _back((share - area) * weight, order)


def average_precision(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision, with the exact jackknife: what the metric loses when a row is left out.

    The jackknife's variance errs on the large side (Efron and Stein, 1981), which a test on few positives wants.

    >>> value, _ = average_precision(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]))
    >>> round(float(value), 6)
    0.833333
    """
    order, first, last = _runs(-np.asarray(score, dtype=float))
    truth = np.take_along_axis(np.asarray(y, dtype=float), order, -1)
    n = truth.shape[-1]
    hits = np.take_along_axis(np.cumsum(truth, axis=-1), last, -1)
    alarms = last + 1.0
    positives = truth.sum(axis=-1, keepdims=True)
    precision = truth * hits / alarms
    one_less = np.divide(truth, alarms - 1, out=np.zeros_like(alarms), where=alarms > 1)
    before = _before(np.cumsum(precision, axis=-1), first)  # positives ranked above the row keep their precision
    a, b = (np.cumsum(v, axis=-1) for v in (one_less * hits, one_less))
    after_a, after_b = a[..., -1:] - _before(a, first), b[..., -1:] - _before(b, first)
    own = one_less * (hits - truth)  # the row itself, where it is a positive
    left = (before + after_a - truth * after_b - own) / (positives - truth)
    value = precision.sum(axis=-1, keepdims=True) / positives
    influence = (n - 1) * (value - left)
    return value[..., 0], _back(influence - influence.mean(axis=-1, keepdims=True), order)


def f1(y: np.ndarray, decisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 of ``decisions`` (..., n) 0/1: ``2 hits / (positives + alarms)``; 0 where there is neither.

    >>> value, influence = f1(np.array([1, 1, 0, 0.0]), np.array([1, 0, 1, 0.0]))
    >>> float(value), influence.tolist()
    (0.5, [1.0, -0.5, -0.5, 0.0])
    """
    y, decisions = np.asarray(y, dtype=float), np.asarray(decisions, dtype=float)
    bottom = (y + decisions).mean(axis=-1, keepdims=True)
    bottom = np.where(bottom > 0, bottom, 1.0)
    value = 2 * (y * decisions).mean(axis=-1, keepdims=True) / bottom
    return value[..., 0], (2 * y * decisions - value * (y + decisions)) / bottom


def f1_above_chance(y: np.ndarray, decisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 less that of as many alarms raised at random, ``2 a p / (a + p)`` of the shares of alarms and positives.

    >>> value, _ = f1_above_chance(np.array([1, 1, 0, 0.0]), np.array([1, 0, 1, 0.0]))
    >>> float(value)
    0.0
    """
    y, decisions = np.asarray(y, dtype=float), np.asarray(decisions, dtype=float)
    p, a = y.mean(axis=-1, keepdims=True), decisions.mean(axis=-1, keepdims=True)
    bottom = np.where(p + a > 0, p + a, 1.0)
    hits = (y * decisions).mean(axis=-1, keepdims=True)
    value = 2 * (hits - p * a) / bottom
    moved = 2 * ((y * decisions - hits) - a * (y - p) - p * (decisions - a)) - value * ((y - p) + (decisions - a))
    return value[..., 0], moved / bottom


def losses(metric: str, y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The loss (..., n) of each row, whose mean is the metric (for ``rmse`` and ``r2``: the squared error).

    >>> losses("mape", np.array([2.0, -4.0]), np.array([1.0, -5.0])).tolist()
    [0.5, 0.25]
    """
    known = find_metric(metric)
    if known is None or known.row_loss is None:
        raise RefitError(f"promotion.metric: {metric!r} is no mean of the rows' losses")
    return known.row_loss(np.asarray(y, dtype=float), np.asarray(score, dtype=float))


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rising order (..., n), and for each place in it the first and the last place of equal values."""
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, axis=-1)
    ranked = np.take_along_axis(values, order, -1)
    n = values.shape[-1]
    place = np.broadcast_to(np.arange(n), values.shape)
    new = np.ones(values.shape, dtype=bool)
    np.not_equal(ranked[..., 1:], ranked[..., :-1], out=new[..., 1:])
    if new.all():
        return order, place, place
    first = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
    ends = np.ones(values.shape, dtype=bool)
    ends[..., :-1] = new[..., 1:]
    last = np.minimum.accumulate(np.where(ends, place, n - 1)[..., ::-1], axis=-1)[..., ::-1]
    return order, first, last


def _before(total: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Running totals up to, but without, the place ``first``."""
    return np.where(first > 0, np.take_along_axis(total, np.maximum(first - 1, 0), -1), 0.0)


def _back(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values by rank, put back in the rows' own order."""
    out = np.empty_like(values)
    np.put_along_axis(out, order, values, -1)
    return out
