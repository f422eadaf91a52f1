"""The default calibration: two numbers (two classes) or one (several), fitted so that it can help but hardly harm.

With two classes the log-odds get a slope and a shift (Platt, 1999, on log-odds), with several the logarithms of the
probabilities a common slope, which is one over the temperature (Guo et al., 2017). Neither changes an order of rows,
or the most probable class.

The fit is penalised towards no change, as if slope 1 and shift 0 had been seen before with an uncertainty of
:data:`SLOPE` and :data:`SHIFT`; far from there the penalty only grows in proportion (Huber, 1964), since class weights
and resampled rows move log-odds by several units. So with a handful of rows of the rarer class little happens, and
there is no number of rows from which on it suddenly does. What was found is used only where it lowers the log loss of
rows that it was not fitted on, by cross-fitting.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SLOPE, SHIFT = 0.5, 1.0
LEAST = 0.05  # slope: scores that say nothing are made nearly equal, and never turned round
FOLDS = 5
SMALLEST = np.finfo(float).tiny

Point = tuple[float, np.ndarray, np.ndarray]  # value, gradient and Hessian of what is minimised


def logs(scores: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, finite."""
    return np.log(np.maximum(scores, SMALLEST))


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Of the second of two classes ``(n, 2)``; ``(n,)``."""
    both = logs(scores)
    return np.asarray(both[:, 1] - both[:, 0])


def scale_of(scores: np.ndarray, y: np.ndarray) -> dict[str, float] | None:
    """``slope`` (and ``shift`` with two classes) by ``scores`` ``(n, classes)`` of rows that the model has not seen.

    None where all rows are of one class, or where it would not lower the log loss of rows left out of the fit.
    """
    labels = y.astype(int)
    if len(np.unique(labels)) < 2:
        return None
    fit, loss = (_two, _loss_of_two) if scores.shape[1] == 2 else (_one, _loss_of_several)
    x = log_odds(scores) if scores.shape[1] == 2 else logs(scores)
    order = np.lexsort((np.random.default_rng(0).random(len(labels)), labels))
    folds = np.empty(len(labels), dtype=int)
    folds[order] = np.arange(len(labels)) % FOLDS
    gain = 0.0
    for fold in range(FOLDS):
        rest, held = folds != fold, folds == fold
        gain += float(np.sum(loss(x[held], labels[held], {"slope": 1.0, "shift": 0.0})))
        gain -= float(np.sum(loss(x[held], labels[held], fit(x[rest], labels[rest]))))
    return fit(x, labels) if gain > 0 else None


def _two(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Slope and shift of log-odds ``x`` ``(n,)``.

    The penalty on the shift is one at the rows that are in doubt, and so says nothing about the slope.
    """
    from scipy.special import expit

    p = expit(x)
    doubt = p * (1.0 - p) + SMALLEST
    centre = float((doubt * x).sum() / doubt.sum())
    z = x - centre

    def at(change: np.ndarray) -> Point:
        margin = x + change[0] * z + change[1]
        q = expit(margin)
        weight, rest = q * (1.0 - q), q - y
        value = float((np.logaddexp(0.0, margin) - y * margin).sum())
        gradient = np.array([(rest * z).sum(), rest.sum()])
        cross = (weight * z).sum()
        hessian = np.array([[(weight * z * z).sum(), cross], [cross, weight.sum()]])
        return _penalised((value, gradient, hessian), change, (SLOPE, SHIFT))

    slope, shift = _minimum(at, 2) + np.array([1.0, 0.0])
    return {"slope": float(slope), "shift": float(centre + shift - slope * centre)}


def _one(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Slope of the logarithms ``x`` ``(n, classes)``."""
    rows = np.arange(len(y))
    z = x - x.max(axis=1, keepdims=True)

    def at(change: np.ndarray) -> Point:
        margin = (1.0 + change[0]) * z
        total = np.exp(margin).sum(axis=1)
        q = np.exp(margin) / total[:, None]
        mean = (q * z).sum(axis=1)
        value = float((np.log(total) - margin[rows, y]).sum())
        spread = (q * (z - mean[:, None]) ** 2).sum()
        return _penalised((value, np.array([(mean - z[rows, y]).sum()]), np.array([[spread]])), change, (SLOPE,))

    return {"slope": float(1.0 + _minimum(at, 1)[0])}


def _loss_of_two(x: np.ndarray, y: np.ndarray, scale: dict[str, float]) -> np.ndarray:
    margin = scale["slope"] * x + scale["shift"]
    return np.asarray(np.logaddexp(0.0, margin) - y * margin)


def _loss_of_several(x: np.ndarray, y: np.ndarray, scale: dict[str, float]) -> np.ndarray:
    margin = scale["slope"] * x
    top = margin.max(axis=1)
    picked = margin[np.arange(len(y)), y]
    return np.asarray(np.log(np.exp(margin - top[:, None]).sum(axis=1)) + top - picked)


def _penalised(point: Point, change: np.ndarray, widths: tuple[float, ...]) -> Point:
    """Adds Huber's function of ``change / widths``."""
    value, gradient, hessian = point
    width = np.array(widths)
    away = change / width
    far = np.abs(away) > 1.0
    value += float(np.where(far, np.abs(away) - 0.5, 0.5 * away**2).sum())
    return value, gradient + np.clip(away, -1.0, 1.0) / width, hessian + np.diag(np.where(far, 0.0, 1.0 / width**2))


def _minimum(at: Callable[[np.ndarray], Point], size: int) -> np.ndarray:
    """Newton's method with halved steps; the first number stays above ``LEAST - 1``."""
    found = np.zeros(size)
    value, gradient, hessian = at(found)
    for _ in range(100):
        stuck = found[0] <= LEAST - 1.0 and gradient[0] > 0  # at its bound, and drawn beyond: only the others move
        free = np.arange(size)[1 if stuck else 0 :]
        if not len(free):
            break
        step = np.zeros(size)
        curved = hessian[np.ix_(free, free)]
        step[free] = -np.linalg.solve(curved + 1e-9 * (1.0 + np.trace(curved)) * np.eye(len(free)), gradient[free])
        for _ in range(60):
            tried = found + step
            tried[0] = max(tried[0], LEAST - 1.0)
            new = at(tried)
            if new[0] <= value:
                break
            step /= 2.0
        else:
            break
        gain = value - new[0]
        found, (value, gradient, hessian) = tried, new
        if gain <= 1e-12 * (1.0 + abs(value)):
            break
    return found
