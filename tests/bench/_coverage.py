"""Cases of known truth, on which ``tests.bench.estimate`` asks how often its intervals of a difference hold 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Case = list[tuple[Callable[[np.ndarray | None], float], np.ndarray]]  # two parts: value by row weights, and blocks (n,)


def cases(rng: np.random.Generator) -> Iterator[tuple[str, Callable[[], Case]]]:
    """Names, and functions that draw two parts of one population."""
    yield (
        "log loss, 269 and 449 rows, skewness 8",
        lambda: [(_mean(_log_losses(rng, n)), np.arange(n)) for n in (269, 449)],
    )
    yield "RMSE, 7 and 11 years of 48 weeks", lambda: [_years(rng, n) for n in (7, 11)]
    yield "ROC AUC, 50 and 90 days of 60 rows", lambda: [_days(rng, n) for n in (50, 90)]
    yield "RMSE, 90 and 110 rows, normal errors", lambda: [(_root(rng.normal(size=n)), np.arange(n)) for n in (90, 110)]


def _mean(loss: np.ndarray) -> Callable[[np.ndarray | None], float]:
    return lambda w: float(loss.mean() if w is None else w @ loss / w.sum())


def _root(error: np.ndarray) -> Callable[[np.ndarray | None], float]:
    square = _mean(error**2)
    return lambda w: float(np.sqrt(square(w)))


def _log_losses(rng: np.random.Generator, n: int) -> np.ndarray:
    """Of a calibrated model that is right on 98% of the rows, as on handwritten digits."""
    p = 1 / (1 + np.exp(-rng.normal(6, 2.8, n)))
    return np.where(rng.random(n) < p, -np.log(p), -np.log1p(-p))


def _years(rng: np.random.Generator, n: int) -> tuple[Callable[[np.ndarray | None], float], np.ndarray]:
    """Errors that share a shift and a size by the year."""
    every = [np.exp(0.2 * rng.normal()) * 0.6 * rng.normal(size=48) + 0.4 * rng.normal() for _ in range(n)]
    return _root(np.concatenate(every)), np.repeat(np.arange(n), 48)


def _days(rng: np.random.Generator, n: int) -> tuple[Callable[[np.ndarray | None], float], np.ndarray]:
    """Classes that are more frequent on some days."""
    from tasks.metrics import measurer

    day = np.repeat(np.arange(n), 60)
    x = rng.normal(size=len(day))
    p = 1 / (1 + np.exp(1.2 - 0.6 * x - 0.7 * rng.normal(size=n)[day]))
    y = (rng.random(len(day)) < p).astype(float)
    said = 1 / (1 + np.exp(-x))
    return measurer("roc_auc", "binary", y, np.column_stack([1 - said, said]), 0.5), day
