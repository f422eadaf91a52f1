"""How far probabilities of one class are from calibrated, in two numbers: a slope and an intercept."""

from __future__ import annotations

import numpy as np

from tasks.metrics.intervals import Z95

TINY = 1e-9


def recalibration(y: np.ndarray, p: np.ndarray) -> dict[str, list[float] | None]:
    """Logistic regression of what happened on the log-odds of what was said (Cox, 1958).

    ``slope`` is 1 where probabilities are as extreme as they should be, above where they are not extreme enough, below
    where they are too extreme. ``intercept``, with the slope held at 1 (calibration in the large), is 0 where as many
    rows turn out positive as were said to. Both as ``[value, low, high]``, a 95% interval of Wald's; None where no
    finite number fits best (one class only, all scores equal, or classes that the scores part without error).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=20_000)
    >>> y = (rng.random(20_000) < 1 / (1 + np.exp(-1.5 * x))).astype(float)
    >>> [round(v, 2) for v in recalibration(y, 1 / (1 + np.exp(-x)))["slope"]]
    [1.49, 1.45, 1.54]
    """
    y, p = np.asarray(y, dtype=float), np.clip(np.asarray(p, dtype=float), TINY, 1.0 - TINY)
    x = np.log(p) - np.log1p(-p)
    if not 0 < y.sum() < len(y):
        return {"slope": None, "intercept": None}
    slope = None if np.ptp(x) < 1e-9 else _fitted(np.column_stack([x, np.ones(len(x))]), y, 0.0)
    return {"slope": slope, "intercept": _fitted(np.ones((len(x), 1)), y, x)}


def _fitted(X: np.ndarray, y: np.ndarray, known: np.ndarray | float) -> list[float] | None:
    """The first coefficient of a logistic regression with the part ``known`` of the log-odds, and its interval."""
    from scipy.special import expit

    beta = np.zeros(X.shape[1])

    def loss(b: np.ndarray) -> float:
        margin = X @ b + known
        return float((np.logaddexp(0.0, margin) - y * margin).sum())

    value = loss(beta)
    for _ in range(100):
        q = expit(X @ beta + known)
        weight = q * (1.0 - q)
        information = (X * weight[:, None]).T @ X
        if np.linalg.cond(information) > 1e14:
            return None
        step = np.linalg.solve(information, X.T @ (y - q))
        while loss(beta + step) > value + 1e-12 * abs(value):
            step /= 2.0
        beta = beta + step
        value = loss(beta)
        if np.abs(step).max() < 1e-8 * (1.0 + np.abs(beta).max()):
            half = Z95 * float(np.sqrt(np.linalg.inv(information)[0, 0]))
            return [float(beta[0]), float(beta[0]) - half, float(beta[0]) + half]
    return None
