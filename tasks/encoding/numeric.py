"""Numeric columns: impute, transform, bin and scale.

Fitting is scikit-learn's; applying is a few NumPy lines on the fitted numbers, so that one row costs
microseconds and the stored state is plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SCALES = ("standard", "min_max", "robust", "smooth", "power", "log", "quantile", "bins", "none")
CLIP = 8.0  # scaled values further out are cut: one wild reading must not rule a dot product
BEND = 3.0  # ``smooth`` draws scaled values in below this; a column that is nearly constant has values far out
QUANTILES = 200


@dataclass
class Numeric:
    """Impute with the median, flag what was missing, then ``scale``. Fitted by :meth:`fit`."""

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
        arrays |= _fit_scale(filled, scale, bins)
        return cls(scale, arrays, bins)

    def transform(self, A: np.ndarray) -> np.ndarray:
        """``(n, p)`` to ``(n, p + flags)``; no NaN is left."""
        A = _finite(A)
        missing = np.isnan(A)
        filled = np.where(missing, self.arrays["median"], A)
        flags = missing[:, self.arrays["flagged"]].astype(float)
        return np.hstack([self._scaled(filled), flags])

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
        return columns + [f"{columns[j]} is missing" for j in self.arrays["flagged"]]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"scale": self.scale, "bins": self.bins}, self.arrays


def _finite(A: np.ndarray) -> np.ndarray:
    A = np.asarray(A, dtype=float)
    return np.where(np.isinf(A), np.nan, A)


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
