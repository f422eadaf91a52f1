"""One column's drift, measured cheaply: which measure fits, its value, and what is missing.

The measures are those of Evidently (see :mod:`tasks.drift.evidently_report`), written here with scipy so that
a table of hundreds of columns takes a second; the tests check that both give the same numbers.

With at least :data:`LARGE` rows on both sides any difference is "significant", so a *distance* is compared with a
fixed threshold. With fewer rows a distance is mostly noise, so a *test* is used, its level divided by the number of
columns (Bonferroni): the chance that any column of an unchanged table is called drifted stays below :data:`ALPHA`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial import distance

LARGE = 1000
ALPHA = 0.05
DISTANCE = 0.1
MISSING = 0.1
BINS = 20
LEVELS = 12


@dataclass(frozen=True)
class Measure:
    """A way to compare two samples. ``small_is_drift``: a p-value, where small values mean drift."""

    name: str
    title: str
    small_is_drift: bool
    function: Callable[[pd.Series, pd.Series], float]


def wasserstein(reference: pd.Series, current: pd.Series) -> float:
    """Earth mover's distance in units of the reference's standard deviation (at least 0.001).

    >>> round(wasserstein(pd.Series([0.0, 2.0]), pd.Series([1.0, 3.0])), 6)
    1.0
    """
    return float(stats.wasserstein_distance(reference, current)) / max(float(np.std(reference)), 0.001)


def jensen_shannon(reference: pd.Series, current: pd.Series) -> float:
    """Jensen–Shannon distance (natural logarithm) of two categorical samples: 0 equal, 0.833 disjoint.

    >>> jensen_shannon(pd.Series(["a", "b"]), pd.Series(["b", "a"]))
    0.0
    """
    left, right = _counts(reference, current)
    return float(distance.jensenshannon(left / left.sum(), right / right.sum()))


def kolmogorov_smirnov(reference: pd.Series, current: pd.Series) -> float:
    """p-value of the two-sided two-sample Kolmogorov–Smirnov test."""
    return float(stats.ks_2samp(reference, current).pvalue)


def homogeneity(reference: pd.Series, current: pd.Series) -> float:
    """p-value of Pearson's chi-square test that both samples come from the same categories' shares.

    Levels whose expected count is below 5 on either side are pooled (Cochran's rule).

    >>> homogeneity(pd.Series(list("ab") * 20), pd.Series(list("ab") * 20))
    1.0
    """
    table = np.vstack(_counts(reference, current))
    expected = table.sum(0) * (table.sum(1, keepdims=True) / table.sum())
    rare = expected.min(0) < 5
    if rare.any():
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(1)])
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def psi(reference: pd.Series, current: pd.Series, kind: str, bins: int = 10) -> float:
    """Population stability index over deciles of the reference (or over categories); 0.1 some, 0.25 much.

    Empty cells count as half a row, so that the index stays finite.
    """
    if kind == "numeric":
        edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
        counts = [
            np.bincount(np.searchsorted(edges, x, side="left"), minlength=len(edges) + 1) for x in (reference, current)
        ]
        left, right = (c.astype(float) for c in counts)
    else:
        left, right = _counts(reference, current)
    p = np.maximum(left, 0.5) / len(reference)
    q = np.maximum(right, 0.5) / len(current)
    return float(((q - p) * np.log(q / p)).sum())


def _counts(reference: pd.Series, current: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Rows per level of both samples, levels in sorted order (so that sums do not depend on hashing)."""
    left, right = reference.value_counts(), current.value_counts()
    levels = sorted({*left.index, *right.index}, key=str)
    return left.reindex(levels, fill_value=0).to_numpy(float), right.reindex(levels, fill_value=0).to_numpy(float)


MEASURES = {
    ("numeric", True): Measure("wasserstein", "Wasserstein distance (in standard deviations)", False, wasserstein),
    ("categorical", True): Measure("jensenshannon", "Jensen–Shannon distance", False, jensen_shannon),
    ("numeric", False): Measure("ks", "Kolmogorov–Smirnov p-value", True, kolmogorov_smirnov),
    ("categorical", False): Measure("homogeneity", "chi-square p-value", True, homogeneity),
}


def choose(kind: str, rows: int, columns: int) -> tuple[Measure, float]:
    """The measure for a column of ``kind``, and the threshold beyond which it has drifted.

    Parameters
    ----------
    kind
        ``numeric`` or ``categorical``.
    rows
        Rows of the smaller sample.
    columns
        Columns looked at, over which the level is shared.

    >>> choose("numeric", 5000, 100)[0].name, choose("numeric", 50, 10)[1]
    ('wasserstein', 0.005)
    """
    measure = MEASURES[kind, rows >= LARGE]
    return measure, ALPHA / max(columns, 1) if measure.small_is_drift else DISTANCE


def compare(
    name: str, kind: str, reference: pd.Series, current: pd.Series, rows: int, columns: int
) -> dict[str, object]:
    """One column's entry of ``drift.json``: measure, value, threshold, decision, missing shares, distributions.

    A column also counts as drifted where its share of missing values moved by more than :data:`MISSING`.
    """
    measure, threshold = choose(kind, rows, columns)
    missing = [_share(reference), _share(current)]
    left, right = reference.dropna(), current.dropna()
    entry: dict[str, object] = {"column": name, "kind": kind}
    if left.empty or right.empty:
        entry |= {"test": "missing values", "statistic": tidy(abs(missing[1] - missing[0])), "threshold": MISSING}
        entry |= {"drifted": abs(missing[1] - missing[0]) > MISSING, "psi": None}
    else:
        value = tidy(measure.function(left, right))
        entry |= {"test": measure.name, "statistic": value, "threshold": threshold}
        entry |= {"drifted": is_drift(measure, value, threshold) or abs(missing[1] - missing[0]) > MISSING}
        entry |= {"psi": tidy(psi(left, right, kind)), "distribution": distribution(left, right, kind)}
    return entry | {"missing": [tidy(m) for m in missing], "source": "scipy"}


def is_drift(measure: Measure, value: float, threshold: float) -> bool:
    return value <= threshold if measure.small_is_drift else value >= threshold


def strength(entry: dict[str, object]) -> float:
    """How far beyond its threshold a column is (above 1: drifted), on one scale for distances and p-values."""
    value, threshold = float(entry["statistic"]), float(entry["threshold"])  # type: ignore[arg-type]
    if entry["test"] in ("ks", "homogeneity"):
        return float(np.log(max(value, 1e-300)) / np.log(threshold))
    return value / threshold


def distribution(reference: pd.Series, current: pd.Series, kind: str) -> dict[str, object]:
    """Shares per bin of both samples, for a picture.

    Numeric: at most :data:`BINS` equal bins between the 0.5% and 99.5% quantiles of both (the rest counts in the
    outer bins): ``edges`` has one number more than ``reference`` and ``current``. Categorical: ``levels``, the
    :data:`LEVELS` most frequent of the reference and current together, then "other".
    """
    if kind == "numeric":
        both = np.concatenate([reference.to_numpy(float), current.to_numpy(float)])
        low, high = np.quantile(both, [0.005, 0.995])
        if low == high:
            low, high = both.min(), both.max()
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, BINS + 1)
        sides = [np.histogram(x.clip(low, high), edges)[0] / len(x) for x in (reference, current)]
        return {"edges": _tidy(edges), "reference": _tidy(sides[0]), "current": _tidy(sides[1])}
    left, right = _counts(reference, current)
    levels = sorted({*reference.unique(), *current.unique()}, key=str)
    left, right = left / left.sum(), right / right.sum()
    order = np.argsort(-(left + right), kind="stable")
    top, rest = order[:LEVELS], order[LEVELS:]
    names = [str(levels[i]) for i in top]
    shares = [x[top].tolist() for x in (left, right)]
    if len(rest):
        names.append("other")
        shares = [[*s, x[rest].sum()] for s, x in zip(shares, (left, right), strict=True)]
    return {"levels": names, "reference": _tidy(shares[0]), "current": _tidy(shares[1])}


def tidy(value: float) -> float:
    """Ten significant digits: what is left after them depends on the order of summation, not on the data."""
    return float(f"{float(value):.10g}")


def _tidy(values: object) -> list[float]:
    return [tidy(v) for v in values]  # type: ignore[attr-defined]


def _share(values: pd.Series) -> float:
    return float(values.isna().mean()) if len(values) else 1.0
