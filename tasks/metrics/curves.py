"""Points of the curves that the report draws, thinned to what an eye can tell apart."""

from __future__ import annotations

import numpy as np

from tasks.artifacts import (
    Confusion,
    Histogram,
    NormalQuantiles,
    PrecisionRecall,
    Reliability,
    Residuals,
    Roc,
    Thresholds,
)
from tasks.metrics.intervals import wilson
from tasks.metrics.ranking import Ranking
from tasks.metrics.recalibration import recalibration
from tasks.values.edges import even

POINTS = 200


def _thin(n: int) -> np.ndarray:
    """At most :data:`POINTS` positions in ``range(n)``, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(np.int64))


def _listed(values: np.ndarray) -> list[float]:
    return [round(float(v), 6) for v in values]


def roc(y: np.ndarray, score: np.ndarray) -> Roc:
    """False and true positive rates from (0, 0) to (1, 1), with the threshold of each point.

    Points are thinned by distance along the curve, so that its steep part keeps its shape.
    """
    ranking = Ranking(y, score)
    pos, neg = ranking.counts()
    tpr = np.concatenate([[0.0], np.cumsum(pos) / pos.sum()])
    fpr = np.concatenate([[0.0], np.cumsum(neg) / neg.sum()])
    along = tpr + fpr
    keep = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)).clip(0, len(along) - 1))
    threshold = np.concatenate([[1.0], ranking.score[ranking.starts]])
    return Roc(fpr=_listed(fpr[keep]), tpr=_listed(tpr[keep]), threshold=_listed(threshold[keep]))


def precision_recall(y: np.ndarray, score: np.ndarray) -> PrecisionRecall:
    """Precision and recall at each threshold, from the highest threshold to the lowest."""
    ranking = Ranking(y, score)
    pos, neg = ranking.counts()
    hits, seen = np.cumsum(pos), np.cumsum(pos + neg)
    recall, precision = hits / pos.sum(), hits / seen
    keep = np.unique(np.searchsorted(recall, np.linspace(recall[0], 1, POINTS)).clip(0, len(recall) - 1))
    return PrecisionRecall(
        recall=_listed(recall[keep]),
        precision=_listed(precision[keep]),
        threshold=_listed(ranking.score[ranking.starts][keep]),
        prevalence=float(np.mean(y)),
    )


def thresholds(y: np.ndarray, score: np.ndarray, cost: tuple[float, float]) -> Thresholds:
    """Precision, recall, F1 and mean cost of a row by threshold: what moving the threshold would do."""
    ranking = Ranking(y, score)
    pos, neg = ranking.counts()
    hits, false = np.cumsum(pos), np.cumsum(neg)
    precision, recall = hits / (hits + false), hits / pos.sum()
    f1 = 2 * hits / (hits + false + pos.sum())
    price = (cost[0] * false + cost[1] * (pos.sum() - hits)) / len(y)
    at = ranking.score[ranking.starts]
    keep = _thin(len(at))
    names = {"threshold": at, "precision": precision, "recall": recall, "f1": f1, "cost": price}
    return Thresholds(**{name: _listed(values[keep]) for name, values in names.items()})


def calibration(y: np.ndarray, score: np.ndarray, bins: int = 10) -> Reliability:
    """Mean score and share of positives in ``bins`` groups of equal size (by score), with 95% Wilson intervals.

    A calibrated model has both equal: of rows given 30%, 30% turn out positive. With them ``slope`` and ``intercept``
    of :func:`tasks.metrics.recalibration.recalibration`, ``[value, low, high]`` or None.
    """
    order = np.argsort(score, kind="stable")
    said, happened, low, high, rows = [], [], [], [], []
    for part in np.array_split(order, min(bins, len(order))):
        n, share = len(part), float(y[part].mean())
        bottom, top = wilson(share, n)
        said.append(float(score[part].mean()))
        happened.append(share)
        low.append(bottom)
        high.append(top)
        rows.append(n)
    lines = recalibration(y, score)
    return Reliability(
        predicted=_listed(np.array(said)),
        observed=_listed(np.array(happened)),
        low=_listed(np.array(low)),
        high=_listed(np.array(high)),
        rows=rows,
        **{name: None if found is None else _listed(np.array(found)) for name, found in lines.items()},
    )


def histogram(values: np.ndarray, bins: int = 40, limits: tuple[float, float] | None = None) -> Histogram:
    """Counts of values in equal bins: ``edges`` has one more entry than ``counts``."""
    edges = even(*(limits or (float(values.min()), float(values.max()))), bins)
    counts, _ = np.histogram(values, edges)
    return Histogram(edges=_listed(edges), counts=[int(c) for c in counts])


def residuals(y: np.ndarray, p: np.ndarray) -> Residuals:
    """Residuals (truth minus prediction) of evenly chosen rows by prediction, their histogram and normal quantiles."""
    from scipy.stats import norm

    gap = y - p
    keep = np.argsort(p, kind="stable")[_thin(len(p))]
    quantiles = (np.arange(len(gap)) + 0.5) / len(gap)
    some = _thin(len(gap))
    return Residuals(
        predicted=_listed(p[keep]),
        residual=_listed(gap[keep]),
        histogram=histogram(gap),
        qq=NormalQuantiles(normal=_listed(norm.ppf(quantiles[some])), residual=_listed(np.sort(gap)[some])),
    )


def confusion(y: np.ndarray, said: np.ndarray, classes: list[str]) -> Confusion:
    """Counts by true class (rows) and decision (columns); both (n,) class indexes."""
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (y.astype(np.int64), said.astype(np.int64)), 1)
    return Confusion(classes=classes, counts=table.tolist())
