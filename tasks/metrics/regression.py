"""Metrics of predicted numbers, in the target's unit unless said otherwise."""

from __future__ import annotations

import numpy as np


def _mean(values: np.ndarray, w: np.ndarray | None) -> float:
    return float(values.mean() if w is None else np.average(values, weights=w))


def rmse(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(_mean((y - p) ** 2, w)))


def mae(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean absolute error."""
    return _mean(np.abs(y - p), w)


def r2(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Share of the variance explained; NaN where the target is constant."""
    centre = _mean(y, w)
    spread = _mean((y - centre) ** 2, w)
    return float("nan") if spread == 0 else 1.0 - _mean((y - p) ** 2, w) / spread


def mape(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean of |error| / |truth| as a share of 1; NaN where a truth is 0, since it has no meaning there."""
    if (y == 0).any():
        return float("nan")
    return _mean(np.abs((y - p) / y), w)


def median_absolute_error(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Median absolute error; with weights, of the rows repeated so often (lower median of even counts apart)."""
    error = np.abs(y - p)
    if w is None:
        return float(np.median(error))
    order = np.argsort(error, kind="stable")
    total = np.cumsum(w[order])
    low = np.searchsorted(total, total[-1] / 2, side="left")
    high = np.searchsorted(total, total[-1] / 2, side="right")
    return float((error[order[low]] + error[order[min(high, len(y) - 1)]]) / 2)


def max_error(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Largest absolute error among rows with weight."""
    error = np.abs(y - p)
    return float(error.max() if w is None else error[w > 0].max())


def bias(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean of prediction minus truth: above 0 the model says too much."""
    return _mean(p - y, w)


# Losses of rows (..., n), and the constants with the least of them on training rows ------------------------------------
def squared_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Whose mean's root is :func:`rmse`."""
    return (p - y) ** 2


def absolute_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Whose mean is :func:`mae`."""
    return np.abs(p - y)


def relative_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Whose mean is :func:`mape`."""
    return np.abs((p - y) / y)


def median(y: np.ndarray) -> float:
    """The constant with the least :func:`mae`."""
    return float(np.median(y))


def median_by_size(y: np.ndarray) -> float:
    """The constant with the least :func:`mape`: the median weighted by 1/|y|; rows with a truth of 0 are left out."""
    y = np.sort(y[y != 0])
    if len(y) == 0:
        return 0.0
    weight = np.cumsum(1 / np.abs(y))
    return float(y[np.searchsorted(weight, weight[-1] / 2)])
