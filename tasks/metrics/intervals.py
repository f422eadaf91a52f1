"""Bootstrap confidence intervals of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

Measurer = Callable[[np.ndarray | None], float]
Z95 = 1.959963984540054  # standard errors on either side of a 95% interval
# A resample's maximum is never above the sample's, and its calibration error is on average larger than the sample's,
# so that no quantiles of either cover the truth.
WITHOUT = ("max_error", "ece")
PARTS = 200  # that are left out in turn, to measure skewness
WORK = 4_000_000  # rows times resamples, about
DAYS = 10  # of fewer groups the bootstrap says too little


def wilson(share: float, n: int) -> tuple[float, float]:
    """95% interval of a share of ``n`` rows (Wilson, 1927), within 0 and 1.

    >>> [round(v, 4) for v in wilson(0.8, 10)]
    [0.4902, 0.9433]
    """
    centre = (share + Z95 * Z95 / (2 * n)) / (1 + Z95 * Z95 / n)
    half = Z95 / (1 + Z95 * Z95 / n) * math.sqrt(share * (1 - share) / n + Z95 * Z95 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def days(time: pd.Series) -> np.ndarray | None:
    """The day (n,) of rows that have a moment each, to be drawn as one; None where rows are drawn one by one.

    >>> moments = pd.Series(pd.date_range("2013-01-01", periods=40, freq="6h"))
    >>> days(moments)[:6].tolist(), days(moments[:20]), days(moments.where(moments > moments[0]))
    ([0, 0, 0, 0, 1, 1], None, None)
    """
    day = pd.factorize(time.dt.floor("D"))[0]
    return day if len(day) and DAYS <= day.max() + 1 < len(day) and day.min() >= 0 else None


def resamples(n: int, times: int, seed: int, groups: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield ``times`` vectors (n,) of how often each row is drawn in a resample of the rows.

    With ``groups`` (n,) whole groups are drawn, so that rows which move together stay together.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        for _ in range(times):
            yield np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
        return
    index = np.unique(groups, return_inverse=True)[1]
    clusters = int(index.max()) + 1
    for _ in range(times):
        yield np.bincount(rng.integers(0, clusters, clusters), minlength=clusters).astype(float)[index]


def bootstrap_intervals(
    measurers: dict[str, Measurer],
    n: int,
    *,
    level: float = 0.95,
    times: int | None = None,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, tuple[float, float] | None]:
    """Bootstrap interval of each metric, all on the same resamples, corrected for bias and skewness (BCa; Efron, 1987).

    Plain percentiles of a skewed loss, such as the log loss of some hundred rows, lie too low. Of few groups they are
    too narrow besides, and are taken further out (Hesterberg, 2015, "What teachers should know about the bootstrap"): a
    resample has less spread than rows anew, and Student's quantiles are wider. ``measurers`` map row
    weights to a value; None where a metric is undefined in over half of the resamples, and for metrics of which
    resamples say nothing (:data:`WITHOUT`). ``times``: resamples, from 1,000 of few rows to 200 of many if left out.

    >>> y = np.arange(100.0)
    >>> low, high = bootstrap_intervals({"mean": lambda w: float(np.average(y, weights=w))}, 100)["mean"]
    >>> bool(42 < low < 49.5 < high < 57)
    True
    """
    times = times or int(np.clip(WORK // max(n, 1), 200, 1000))
    tail = (1 - level) / 2
    units = n if groups is None else len(np.unique(groups))
    known = [name for name in measurers if name not in WITHOUT]
    values = np.array([[measurers[name](weight) for name in known] for weight in resamples(n, times, seed, groups)])
    without = np.array([[measurers[name](weight) for name in known] for weight in _left_out(n, groups)])
    out: dict[str, tuple[float, float] | None] = dict.fromkeys(measurers)
    for place, name in enumerate(known):
        drawn, parts = (table[np.isfinite(table[:, place]), place] for table in (values, without))
        whole = measurers[name](np.ones(n))
        if len(drawn) * 2 >= times and np.isfinite(whole):
            low, high = np.quantile(drawn, _corrected(drawn, parts, whole, tail, units))
            out[name] = (float(low), float(high))
    return out


def _left_out(n: int, groups: np.ndarray | None) -> Iterator[np.ndarray]:
    """Weights (n,) of the rows with one part of them left out, at most :data:`PARTS` parts of whole groups."""
    index = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    part = index % PARTS
    for left in range(int(part.max()) + 1):
        yield (part != left).astype(float)


def _corrected(drawn: np.ndarray, parts: np.ndarray, whole: float, tail: float, units: int) -> np.ndarray:
    """Which quantiles of the values ``drawn``, in resamples of so many ``units``, bound the interval.

    The bias is how far their median is from the value ``whole`` of all rows, the acceleration a sixth of the skewness of
    what the ``parts`` do to it.
    """
    from scipy.special import ndtr, ndtri, stdtrit

    share = (np.mean(drawn < whole) + np.mean(drawn <= whole)) / 2
    bias = float(ndtri(np.clip(share, tail, 1 - tail)))
    pull = parts.mean() - parts if len(parts) else np.zeros(1)
    size = float((pull**2).sum())
    skewed = float((pull**3).sum()) / (6 * size**1.5) if size > 0 else 0.0
    free = max(units - 1, 1)
    z = bias + np.sqrt(units / free) * stdtrit(free, np.array([tail, 1 - tail]))
    return np.asarray(ndtr(bias + z / np.maximum(1 - skewed * z, 0.1)))
