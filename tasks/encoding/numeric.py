"""Numeric columns: impute, transform, bin and scale.

Fitting is scikit-learn's; applying is a few NumPy lines on the fitted numbers, so that one row costs
microseconds and the stored state is plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.values.numbers import LARGEST

SCALES = ("standard", "min_max", "robust", "smooth", "power", "log", "quantile", "bins", "none")
CLIP = 8.0  # scaled values further out are cut: one wild reading must not rule a dot product
BEND = 3.0  # ``smooth`` draws scaled values in below this; a column that is nearly constant has values far out
QUANTILES = 200
DONORS = 3  # columns that a gap may be filled from, best first
TOLD = 0.5  # share of a column's variance that another must tell, to fill its gaps
PAIRS = 30  # training rows, at least, in which both are given
LOOKED_AT = 10_000  # rows, at most, that donors are chosen on


@dataclass
class Numeric:
    """Impute, flag what was missing, then ``scale``. Fitted by :meth:`fit`.

    A gap is filled by a straight line from the column that tells most about this one, of those that the row has; with
    the median where none tells half. A median alone would put last month's value of a rising series years back, and
    the few rows with a gap would bend a linear model for all others.
    """

    scale: str
    arrays: dict[str, np.ndarray]
    bins: int = 0

    @classmethod
    def fit(cls, A: np.ndarray, scale: str, bins: int = 8) -> Numeric:
        """Fit on ``A`` of shape ``(n, p)`` float64 with NaN where missing; infinities count as missing."""
        A = _finite(A)
        missing = np.isnan(A)
        seen = ~missing.all(axis=0)
        median = np.zeros(A.shape[1])
        if seen.any():
            median[seen] = np.nanmedian(A[:, seen], axis=0)
        filled = np.where(missing, median, A)
        arrays = {"median": median, "flagged": np.flatnonzero(missing.any(axis=0) & seen)}
        arrays |= _donors(A, median, arrays["flagged"])
        if "donors" in arrays:
            filled = _filled(A, missing, arrays)
        arrays |= _fit_scale(filled, scale, bins)
        return cls(scale, arrays, bins)

    def transform(self, A: np.ndarray) -> np.ndarray:
        """``(n, p)`` to ``(n, p + flags)``; no NaN is left."""
        A = _finite(A)
        missing = np.isnan(A)
        flags = missing[:, self.arrays["flagged"]].astype(float)
        return np.hstack([self._scaled(_filled(A, missing, self.arrays)), flags])

    def _scaled(self, A: np.ndarray) -> np.ndarray:
        if self.scale == "none":
            return A
        if self.scale == "quantile":
            knots, grid = self.arrays["knots"], np.linspace(-1, 1, self.arrays["knots"].shape[0])
            return np.column_stack([np.interp(A[:, j], knots[:, j], grid) for j in range(A.shape[1])])
        if self.scale == "bins":
            edges = self.arrays["edges"]
            codes = [np.searchsorted(edges[:, j], A[:, j], side="right") for j in range(A.shape[1])]
            return np.column_stack(codes).astype(float) / max(self.bins - 1, 1)
        if self.scale == "log":
            A = np.sign(A) * np.log1p(np.abs(A))
        elif self.scale == "power":
            from scipy.stats import yeojohnson

            lambdas = self.arrays["lambdas"]
            A = np.column_stack([yeojohnson(A[:, j], lambdas[j]) for j in range(A.shape[1])])
        A = (A - self.arrays["center"]) / self.arrays["spread"]
        if self.scale == "smooth":  # the smooth clipping of RealMLP (Holzmüller et al., 2024)
            return A / np.sqrt(1 + (A / BEND) ** 2)
        return np.clip(A, -CLIP, CLIP)

    def names(self, columns: list[str]) -> list[str]:
        """Names of the encoded columns: the columns' own, then the flags of missing values."""
        return columns + [f"{columns[j]} is missing" for j in self.arrays["flagged"]]

    def state(self) -> tuple[dict[str, str | int], dict[str, np.ndarray]]:
        """As JSON, and arrays."""
        return {"scale": self.scale, "bins": self.bins}, self.arrays


def _finite(A: np.ndarray) -> np.ndarray:
    """With infinities as missing, and the largest numbers as :data:`LARGEST`, whose square is still a number."""
    A = np.asarray(A, dtype=float)
    return np.clip(np.where(np.isinf(A), np.nan, A), -LARGEST, LARGEST)


def _filled(A: np.ndarray, missing: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """``A`` without NaN. Each number follows from its own row alone, to the bit."""
    filled = np.where(missing, arrays["median"], A)
    if "donors" not in arrays:  # none tells enough, or the package was made before there were any
        return filled
    for place, column in enumerate(arrays["flagged"]):
        rows = np.flatnonzero(missing[:, column])
        for donor, slope, shift in zip(*(arrays[k][place] for k in ("donors", "slopes", "shifts")), strict=True):
            if donor < 0 or not len(rows):
                break
            told = ~missing[rows, donor]
            filled[rows[told], column] = slope * A[rows[told], donor] + shift
            rows = rows[~told]
    return filled


def _donors(A: np.ndarray, median: np.ndarray, flagged: np.ndarray) -> dict[str, np.ndarray]:
    """For each of the columns ``flagged`` those that tell most about it, and the lines (least squares, over pairs).

    A line must also be nearer than the median in the typical row, so that a few far-out pairs make no donor.
    """
    if not len(flagged) or A.shape[1] < 2:
        return {}
    if len(A) > LOOKED_AT:
        A = A[np.linspace(0, len(A) - 1, LOOKED_AT).astype(int)]
    given = ~np.isnan(A)
    count = np.maximum(given.sum(axis=0), 1)
    Z = np.where(given, A, 0.0)
    Z = np.where(given, Z - Z.sum(axis=0) / count, 0.0)
    spread = np.sqrt((Z**2).sum(axis=0) / count)
    Z /= np.where(spread > 0, spread, 1.0)
    M = given.astype(float)
    pairs = M[:, flagged].T @ M
    own, other = Z[:, flagged].T @ M, M[:, flagged].T @ Z
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = Z[:, flagged].T @ Z - own * other / pairs
        told = shared**2 / (((Z[:, flagged] ** 2).T @ M - own**2 / pairs) * (M[:, flagged].T @ Z**2 - other**2 / pairs))
    told = np.where((pairs >= PAIRS) & np.isfinite(told), told, 0.0)
    told[np.arange(len(flagged)), flagged] = 0.0
    shape = (len(flagged), DONORS)
    found = {"donors": np.full(shape, -1), "slopes": np.zeros(shape), "shifts": np.zeros(shape)}
    for place, column in enumerate(flagged):
        best = np.argsort(-told[place], kind="stable")[:DONORS]
        kept = 0
        for donor in best[told[place, best] >= TOLD]:
            both = given[:, column] & given[:, donor]
            y, x = A[both, column], A[both, donor]
            slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
            shift = y.mean() - slope * x.mean()
            if np.median(np.abs(y - slope * x - shift)) < TOLD**0.5 * np.median(np.abs(y - median[column])):
                found["donors"][place, kept], found["slopes"][place, kept] = donor, slope
                found["shifts"][place, kept] = shift
                kept += 1
    return found if (found["donors"] >= 0).any() else {}


def _fit_scale(A: np.ndarray, scale: str, bins: int) -> dict[str, np.ndarray]:
    from sklearn import preprocessing

    if scale == "none" or A.shape[1] == 0:
        return {"center": np.zeros(A.shape[1]), "spread": np.ones(A.shape[1])}
    if scale == "quantile":
        knots = np.quantile(A, np.linspace(0, 1, QUANTILES), axis=0)
        # np.interp needs rising knots; ties get a step far below any real difference.
        return {"knots": knots + np.arange(QUANTILES)[:, None] * 1e-12 * np.maximum(1, np.abs(knots).max(axis=0))}
    if scale == "bins":
        edges = np.full((bins - 1, A.shape[1]), np.inf)
        for j in range(A.shape[1]):
            inner = np.unique(np.quantile(A[:, j], np.linspace(0, 1, bins + 1)[1:-1]))
            edges[: len(inner), j] = inner
        return {"edges": edges}
    extra: dict[str, np.ndarray] = {}
    if scale == "min_max":
        fitted = preprocessing.MinMaxScaler().fit(A)
        center, spread = fitted.data_min_, fitted.data_range_
    elif scale == "robust":
        fitted = preprocessing.RobustScaler().fit(A)
        center, spread = fitted.center_, fitted.scale_
    else:
        if scale == "log":
            A = np.sign(A) * np.log1p(np.abs(A))
        elif scale == "power":
            power = preprocessing.PowerTransformer(standardize=False).fit(A)
            extra["lambdas"] = power.lambdas_
            A = power.transform(A)
        fitted = preprocessing.StandardScaler().fit(A)
        center, spread = fitted.mean_, fitted.scale_
    return {"center": center, "spread": np.where(spread > 0, spread, 1.0), **extra}
