"""DeLong's test: the areas under two or more ROC curves on the same rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from tasks.errors import RefitError


def auc_covariance(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of ``k`` models and their covariance (DeLong, DeLong and Clarke-Pearson, 1988).

    The structural components come from midranks (Sun and Xu, 2014), in O(k n log n).

    Parameters
    ----------
    y : (n,) 0/1. scores : (k, n), larger where the positive class is more likely.

    Returns
    -------
    auc (k,), covariance (k, k).

    >>> auc, _ = auc_covariance(np.array([0, 0, 1, 1]), np.array([[0.1, 0.4, 0.35, 0.8]]))
    >>> auc.tolist()
    [0.75]
    """
    from scipy.stats import rankdata

    y = np.asarray(y)
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    if scores.shape[1] != len(y):
        raise RefitError(f"DeLong's test needs a score for each of the {len(y):,} rows, found {scores.shape[1]:,}")
    if not np.isfinite(scores).all():
        raise RefitError(f"DeLong's test: {int((~np.isfinite(scores)).sum()):,} scores are missing or infinite")
    positive = y == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise RefitError(f"DeLong's test needs at least two rows of each class, found {m} positive and {n} negative")
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    below = 1.0 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return above.mean(axis=1), covariance


@dataclass(frozen=True)
class DeLong:
    """Difference of two AUCs (first minus second), its standard error, interval and p-values."""

    auc: tuple[float, float]
    difference: float
    se: float
    interval: tuple[float, float]
    z: float
    p: float
    p_better: float

    def to_dict(self) -> dict[str, float | list[float]]:
        """As JSON."""
        return asdict(self) | {"auc": list(self.auc), "interval": list(self.interval)}


def delong(y: np.ndarray, first: np.ndarray, second: np.ndarray, level: float = 0.95) -> DeLong:
    """Test whether two models' AUCs on the same rows differ; ``p_better`` is small where the first is better.

    Where the models rank all rows alike, the difference is 0 and p is 1.
    """
    from scipy.stats import norm

    if np.shape(first) != np.shape(second):
        raise RefitError(
            f"DeLong's test needs both models on the same rows, found {np.shape(first)} and {np.shape(second)}"
        )
    auc, covariance = auc_covariance(y, np.stack([first, second]))
    difference = float(auc[0] - auc[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    se = float(np.sqrt(max(variance, 0.0)))
    if abs(difference) < 1e-15:
        z = 0.0
    else:
        z = difference / se if se > 0 else float(np.sign(difference)) * 40.0  # beyond what a float's p resolves
    half = float(norm.ppf(0.5 + level / 2)) * se
    return DeLong(
        (float(auc[0]), float(auc[1])),
        difference,
        se,
        (difference - half, difference + half),
        float(z),
        float(2 * norm.sf(abs(z))),
        float(norm.sf(z)),
    )
