"""Coefficient paths: how a penalised linear model's coefficients shrink as the penalty grows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.fitting.base import Job
from tasks.fitting.estimators import Linear, sampled
from tasks.fitting.space import Setting, Settings

POINTS, SHOWN, ROWS = 25, 8, 20_000


def with_path(fitted: Linear, job: Job, alpha: float, path: Callable[[], Settings]) -> Linear:
    """Note the path of a final fit; a trial of the tuner, which has a deadline, needs none."""
    if job.deadline is None and job.names and alpha > 0 and np.ptp(job.y) > 0:
        fitted.notes["path"] = path()
    return fitted


def ridge_path(job: Job, alpha: float) -> Settings:
    """Of least squares with an L2 penalty, from the eigenvectors of X'X: one decomposition for all penalties."""
    alphas = _around(alpha)
    X, y = _centred(job)
    values, vectors = np.linalg.eigh(X.T @ X)
    along = vectors.T @ (X.T @ y)
    # As if on all rows: X'X grows with them, and the penalty does not.
    values, along = values * len(job.X) / len(X), along * len(job.X) / len(X)
    return _described(job, alphas, alpha, vectors @ (along[:, None] / (values[:, None] + alphas)))


def lasso_path(job: Job, alpha: float, l1_ratio: float = 1.0) -> Settings:
    """Of least squares with an L1 penalty, or a mixture; ``alpha`` is relative to the target's deviation."""
    from sklearn.linear_model import enet_path

    alphas, unit = _around(alpha), float(np.std(job.y))
    X, y = _centred(job)
    _, coefficients, _ = enet_path(X, y, l1_ratio=max(l1_ratio, 0.01), alphas=alphas * unit, tol=1e-6, max_iter=5000)
    return _described(job, alphas, alpha, coefficients[:, ::-1])  # scikit-learn's come with the largest penalty first


def _around(alpha: float) -> np.ndarray:
    """Penalties over four decades, the chosen one in their middle."""
    return alpha * np.logspace(-2, 2, POINTS)


def _centred(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Columns and targets without their means; a sample of a long table."""
    job = sampled(job, ROWS)
    X, y = np.asarray(job.X, dtype=float), np.asarray(job.y, dtype=float)
    return np.asfortranarray(X - X.mean(axis=0)), y - y.mean()


def _described(job: Job, alphas: np.ndarray, alpha: float, coefficients: np.ndarray) -> Settings:
    """The largest coefficients at the chosen penalty; six digits, which is what a chart shows."""
    size = np.abs(coefficients[:, POINTS // 2])
    kept = np.argsort(-size, kind="stable")[:SHOWN]

    def short(values: np.ndarray) -> list[Setting]:
        return [float(f"{v:.6g}") for v in values]

    return {
        "alpha": short(alphas),
        "chosen": alpha,
        "coefficients": {str(job.names[j]): short(coefficients[j]) for j in kept},
    }
