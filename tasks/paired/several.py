"""Several tests at once: corrections of p-values, and Cochran's Q for several models on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tasks.errors import RefitError
from tasks.paired.discordant import ContingencyTable, mcnemar


def holm(p: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Holm's step-down adjusted p-values (1979): the chance of any false rejection stays below alpha.

    ``weight`` (n,), fixed before the tests' data are seen, gives likelier hypotheses a larger share of alpha.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(6).tolist()
    [0.03, 0.06, 0.06]
    >>> holm(np.array([0.01, 0.04, 0.03]), np.array([2.0, 1.0, 1.0])).round(6).tolist()
    [0.02, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=float)
    w = np.ones_like(p) if weight is None else np.asarray(weight, dtype=float)
    order = np.argsort(p / w, kind="stable")
    left = np.cumsum(w[order][::-1])[::-1]
    out = np.empty_like(p)
    out[order] = np.minimum(np.maximum.accumulate(p[order] / w[order] * left), 1.0)
    return out


@dataclass(frozen=True)
class CochranQ:
    """Cochran's Q over all models; ``pairs`` are exact or chi-square McNemar tests, Holm-corrected."""

    statistic: float
    df: int
    p: float
    pairs: dict[tuple[int, int], float]


def cochran_q(right: np.ndarray) -> CochranQ:
    """Are some of ``k`` models right more often than others? ``right`` is ``(n, k)`` of 0/1 (Cochran, 1950).

    Where no row tells the models apart, Q is 0 and p is 1.
    """
    right = np.asarray(right, dtype=float)
    if right.ndim != 2 or right.shape[1] < 2:
        raise RefitError(f"Cochran's Q needs a table (rows, at least 2 models) of 0 and 1, found shape {right.shape}")
    if not np.isin(right, (0.0, 1.0)).all():
        raise RefitError("Cochran's Q needs 0 (wrong) and 1 (right) only")
    from scipy.stats import chi2

    k = right.shape[1]
    columns, rows = right.sum(axis=0), right.sum(axis=1)
    below = k * rows.sum() - (rows**2).sum()
    statistic = float((k - 1) * (k * (columns**2).sum() - columns.sum() ** 2) / below) if below > 0 else 0.0
    pairs = list(combinations(range(k), 2))
    raw = np.array([mcnemar(ContingencyTable.of(right[:, i], right[:, j])).p for i, j in pairs])
    adjusted = dict(zip(pairs, holm(raw).tolist(), strict=True))
    return CochranQ(statistic, k - 1, float(chi2.sf(statistic, k - 1)), adjusted)
