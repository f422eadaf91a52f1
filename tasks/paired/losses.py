"""Tests of two models' losses on the same rows, and the paired bootstrap of any metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tasks.errors import RefitError
from tasks.metrics.intervals import resamples

Measurer = Callable[[np.ndarray | None], float]


@dataclass(frozen=True)
class Test:
    """A test's outcome: ``p`` two-sided, ``p_better`` small where the challenger's loss is smaller."""

    statistic: float
    p: float
    p_better: float

    def to_dict(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


def diebold_mariano(challenger: np.ndarray, champion: np.ndarray, steps: int = 1) -> Test:
    """Diebold and Mariano's test of equal mean loss (1995), rows in time order.

    The variance counts autocovariances up to lag ``steps - 1`` (forecasts ``steps`` ahead overlap so
    far), with the correction of Harvey, Leybourne and Newbold (1997) and Student's t. With ``steps=1``
    it is the paired t-test but for its degrees of freedom's rounding.

    Parameters
    ----------
    challenger, champion : (n,) losses of the two models, smaller is better.
    """
    from scipy.stats import t

    d = _difference(challenger, champion)
    n = len(d)
    if not 1 <= steps < n:
        raise RefitError(f"Diebold–Mariano: steps must be from 1 to {n - 1} for {n} rows, found {steps}")
    centred = d - d.mean()
    long_run = (centred @ centred) / n
    for lag in range(1, steps):
        long_run += 2 * (centred[lag:] @ centred[:-lag]) / n
    if long_run <= 0:  # no spread, or overlapping rows whose estimate fell below zero
        long_run = (centred @ centred) / n
    if long_run == 0:
        return Test(0.0, 1.0, 1.0) if d.mean() == 0 else _certain(d.mean())
    correction = np.sqrt((n + 1 - 2 * steps + steps * (steps - 1) / n) / n)
    statistic = float(correction * d.mean() / np.sqrt(long_run / n))
    return Test(statistic, float(2 * t.sf(abs(statistic), n - 1)), float(t.sf(statistic, n - 1)))


def wilcoxon(challenger: np.ndarray, champion: np.ndarray) -> Test:
    """Wilcoxon's signed-rank test of the losses' differences (1945): robust where few rows have huge losses."""
    from scipy import stats

    d = _difference(challenger, champion)
    if not d.any():
        return Test(0.0, 1.0, 1.0)
    both = stats.wilcoxon(d, zero_method="wilcox", correction=False)
    one = stats.wilcoxon(d, zero_method="wilcox", correction=False, alternative="greater")
    return Test(float(both.statistic), float(both.pvalue), float(one.pvalue))


@dataclass(frozen=True)
class Bootstrap:
    """Difference of a metric (challenger minus champion), its percentile interval and p-values."""

    difference: float
    interval: tuple[float, float]
    p: float
    p_higher: float

    def to_dict(self) -> dict[str, float | list[float]]:
        """As JSON."""
        return asdict(self) | {"interval": list(self.interval)}


def paired_bootstrap(
    challenger: Measurer,
    champion: Measurer,
    n: int,
    *,
    times: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Bootstrap:
    """Difference of any metric of two models on the same resamples of the rows.

    ``challenger`` and ``champion`` map row weights to the metric (:func:`tasks.metrics.measurer`).
    ``p_higher`` is the share of resamples whose difference is at most 0, counting the sample itself,
    so it is never 0; ``p`` is twice the smaller side.
    """
    differences = np.array([challenger(w) - champion(w) for w in resamples(n, times, seed, groups)])
    differences = differences[np.isfinite(differences)]
    if len(differences) * 2 < times:
        raise RefitError("the metric is undefined in most resamples: the rows hold too few of a class")
    tail = (1 - level) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    higher = (1 + int((differences <= 0).sum())) / (1 + len(differences))
    lower = (1 + int((differences >= 0).sum())) / (1 + len(differences))
    difference = challenger(None) - champion(None)
    return Bootstrap(float(difference), (float(low), float(high)), min(1.0, 2 * min(higher, lower)), higher)


def _difference(challenger: np.ndarray, champion: np.ndarray) -> np.ndarray:
    one, two = np.asarray(challenger, dtype=float), np.asarray(champion, dtype=float)
    if one.shape != two.shape or one.ndim != 1 or len(one) < 2:
        raise RefitError(f"both models need a loss on the same rows (at least 2), found {one.shape} and {two.shape}")
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise RefitError("some losses are missing or infinite; both models must score every row")
    return two - one


def _certain(mean: float) -> Test:
    """Every row differs by the same amount: no spread to judge by, and no doubt about the sign."""
    return Test(float(np.sign(mean)) * 40.0, 0.0, 0.0 if mean > 0 else 1.0)
