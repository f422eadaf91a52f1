"""Bootstrap confidence intervals of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

Measurer = Callable[[np.ndarray | None], float]
# A resample's maximum is never above the sample's, and its calibration error is on average larger than the sample's,
# so that percentiles of neither cover the truth.
WITHOUT = ("max_error", "ece")
DAYS = 10  # of fewer groups the bootstrap says too little


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
    times: int = 200,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, tuple[float, float] | None]:
    """Percentile bootstrap interval of each metric, all on the same resamples (Efron and Tibshirani, 1993).

    ``measurers`` map row weights to a value; None where a metric is undefined in over half of the resamples, and for
    metrics of which percentiles say nothing (:data:`WITHOUT`).

    >>> y = np.arange(100.0)
    >>> low, high = bootstrap_intervals({"mean": lambda w: float(np.average(y, weights=w))}, 100)["mean"]
    >>> bool(42 < low < 49.5 < high < 57)
    True
    """
    values: dict[str, list[float]] = {name: [] for name in measurers if name not in WITHOUT}
    for weight in resamples(n, times, seed, groups):
        for name, found in values.items():
            found.append(measurers[name](weight))
    tail = (1 - level) / 2
    out: dict[str, tuple[float, float] | None] = dict.fromkeys(measurers)
    for name, found in values.items():
        defined = np.array(found)[np.isfinite(found)]
        if len(defined) * 2 < times:
            out[name] = None
        else:
            low, high = np.quantile(defined, [tail, 1 - tail])
            out[name] = (float(low), float(high))
    return out
