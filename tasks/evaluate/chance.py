"""Chances that hold for few rows and rare classes: sums of unequal coins, means of skewed values, two unequal groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

GROUPS = 4000


def coin_tails(p: np.ndarray, total: float, centre: float | None = None) -> tuple[float, float]:
    """Chance of a sum over independent coins at most, and at least, as large as ``total``.

    Coin ``i`` falls with chance ``p[i]`` and then adds 1, or ``p[i] − centre``. By the saddlepoint (Lugannani and Rice,
    1980; for counts with Daniels' correction for a lattice, 1987), which keeps its relative error where the normal
    distribution is off by orders: few rows, rare events, the far tail.

    >>> low, high = coin_tails(np.full(30, 0.01), 3)      # of 30 rows at 1% three: exactly 0.003318
    >>> round(high, 4), round(low, 4)
    (0.0033, 0.9998)
    """
    live = (p > 0) & (p < 1)
    sure = float((p >= 1).sum()) * (1.0 if centre is None else 1.0 - centre)
    kept, many = _grouped(p[live])
    weight = np.ones(len(kept)) if centre is None else kept - centre
    return (
        _upper(kept, many, -weight, sure - total, centre is None),
        _upper(kept, many, weight, total - sure, centre is None),
    )


def _grouped(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chances and how many coins have each; of very many coins neighbours count as alike, with their mean."""
    if len(p) <= 4 * GROUPS:
        return p, np.ones(len(p))
    edges = np.linspace(0, len(p), GROUPS + 1).round().astype(np.int64)
    many = np.diff(edges).astype(float)
    return np.add.reduceat(np.sort(p), edges[:-1]) / many, many


def _upper(p: np.ndarray, many: np.ndarray, w: np.ndarray, total: float, counts: bool) -> float:
    """Chance of a sum of at least ``total``."""
    scale = float(np.abs(w).max(initial=0.0))
    if scale < 1e-12:  # no coins, or all alike, so that what they add is nothing
        return float(total <= 1e-9)
    w, total = w / scale, total / scale
    least, most = float(many @ np.minimum(w, 0)), float(many @ np.maximum(w, 0))
    near = 1e-9 * max(1.0, most - least)
    if total <= least + near:
        return 1.0
    if total > most + near:
        return 0.0
    log_p, log_q = np.log(p), np.log1p(-p)
    if total >= most - near:
        return float(np.exp(many @ np.where(w > 0, log_p, np.where(w < 0, log_q, 0.0))))

    def cumulant(t: float) -> tuple[float, float, float]:
        """The logarithm of the generating function, and its first two derivatives."""
        one = log_p + t * w
        mean = np.logaddexp(log_q, one)
        share = np.exp(one - mean)
        return float(many @ mean), float(many @ (w * share)), float(many @ (w * w * share * (1 - share)))

    t = _saddle(cumulant, total)
    grown, _, spread = cumulant(t)
    u = float((1 - np.exp(-t) if counts else t) * np.sqrt(spread))
    r = float(np.sign(t) * np.sqrt(max(0.0, 2 * (t * total - grown))))
    if abs(r) < 1e-3:  # in the middle both fractions below grow without limit, and their difference does not
        third = float(many @ (w**3 * p * (1 - p) * (1 - 2 * p)))
        middle = 0.5 - third / (6 * np.sqrt(2 * np.pi) * spread**1.5)
        return float(np.clip(middle + (0.5 / np.sqrt(2 * np.pi * spread) if counts else 0.0), 0, 1))
    from scipy.stats import norm

    return float(np.clip(norm.sf(r) + norm.pdf(r) * (1 / u - 1 / r), 0, 1))


def _saddle(cumulant: Callable[[float], tuple[float, float, float]], total: float) -> float:
    """Where the first derivative reaches ``total``: Newton's steps, kept between bounds that close in."""
    low, high, t = -np.inf, np.inf, 0.0
    for _ in range(200):
        _, value, gradient = cumulant(t)
        low, high = (t, high) if value < total else (low, t)
        new = t + (total - value) / gradient if gradient > 0 else np.inf if value < total else -np.inf
        new = float(np.clip(new, t - 2 - abs(t), t + 2 + abs(t)))  # where the function is flat a step would be huge
        if abs(new - t) <= 1e-10 * max(1.0, abs(t)):
            return t
        if not low < new < high:
            new = (low + high) / 2
        t = new
    return t


def mean_tails(values: np.ndarray, lost: int = 1) -> tuple[float, float]:
    """Chance of a mean at most, and at least, as large as that of ``values`` (n,) if the truth were 0.

    Student's t as it is, and mended for skewed values by Hall's transformation (1992), whichever chance is larger: the
    first errs where values are skewed, the second where they are symmetric with long tails. ``lost`` degrees of freedom
    are used up.

    >>> low, high = mean_tails(np.array([1.0, 2.0, 3.0, 2.0, 1.5]))
    >>> high < 0.005 < 0.995 < low
    True
    """
    from scipy.stats import t

    n = len(values)
    gap = values - values.mean()
    spread = float(np.sqrt((gap @ gap) / n))
    if n <= lost or spread <= 1e-12 * max(1.0, float(np.abs(values).max(initial=0.0))):
        return 1.0, 1.0
    skew = float((gap**3).mean()) / spread**3
    s = float(values.mean()) / (spread * np.sqrt(n / (n - 1)))
    both = np.sqrt(n) * np.array([s, s + skew * s**2 / 3 + skew**2 * s**3 / 27 + skew / (6 * n)])
    return float(t.cdf(both, n - lost).max()), float(t.sf(both, n - lost).max())


def difference_tails(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float]:
    """Chance of a difference of two values at most, and at least, this large if there were none (Welch, 1947).

    Each is given as value, variance of the value, and degrees of freedom.
    """
    from scipy.stats import t

    variance = one[1] + other[1]
    if not np.isfinite(variance) or variance <= 0:
        return 1.0, 1.0
    free = variance**2 / sum(v**2 / max(1, n) for _, v, n in (one, other))
    z = (one[0] - other[0]) / np.sqrt(variance)
    return float(t.cdf(z, free)), float(t.sf(z, free))
