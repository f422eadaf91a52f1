"""The points of the report's curves against scikit-learn, statsmodels and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from tasks.kinds import find_kind
from tasks.metrics.curves import (
    POINTS,
    calibration,
    confusion,
    histogram,
    precision_recall,
    residuals,
    roc,
    thresholds,
)


def rows(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    return y, np.round(np.clip(0.3 * y + 0.7 * rng.random(n), 0, 1), 2)


def test_roc_of_few_rows_has_scikit_learns_points() -> None:
    y, p = rows()
    found = roc(y, p)
    fpr, tpr, at = sk.roc_curve(y, p, drop_intermediate=False)
    assert list(zip(found.fpr, found.tpr, strict=True)) == [
        pytest.approx(point, abs=1e-6) for point in zip(fpr, tpr, strict=True)
    ]
    assert found.threshold == pytest.approx([1.0, *at[1:]])


def test_precision_recall_and_thresholds_have_scikit_learns_points() -> None:
    y, p = rows()
    found, told = precision_recall(y, p), thresholds(y, p, (2.0, 5.0))
    precision, recall, at = sk.precision_recall_curve(y, p)
    there = {round(t, 6): (a, b) for t, a, b in zip(at, precision[:-1], recall[:-1], strict=True)}
    for t, a, b in zip(found.threshold, found.precision, found.recall, strict=True):
        assert (a, b) == pytest.approx(there[t], abs=1e-6)
    assert (found.recall[0], found.recall[-1]) == pytest.approx((there[found.threshold[0]][1], 1.0), abs=1e-6)
    assert len(set(found.recall)) == len(found.recall) == len(np.unique(np.round(recall[recall > 0], 6)))
    assert found.prevalence == y.mean()
    assert told.threshold == sorted(set(p), reverse=True)
    for i, t in enumerate(told.threshold):
        said = p >= t
        cost = (2.0 * (said & (y == 0)).sum() + 5.0 * (~said & (y == 1)).sum()) / len(y)
        by_hand = (sk.precision_score(y, said), sk.recall_score(y, said), sk.f1_score(y, said), cost)
        assert tuple(getattr(told, k)[i] for k in ("precision", "recall", "f1", "cost")) == pytest.approx(
            by_hand, abs=1e-6
        )


def test_many_points_are_thinned_along_the_curve_with_both_ends() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(20_000) < 0.2).astype(float)
    p = np.clip(0.5 * y + 0.5 * rng.random(20_000), 0, 1)
    found = roc(y, p)
    assert POINTS - 5 <= len(found.fpr) <= POINTS
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    along = np.diff(np.array(found.fpr) + np.array(found.tpr))
    assert along.max() < 2.5 * 2 / POINTS
    assert len(thresholds(y, p, (1, 1)).threshold) == POINTS
    assert precision_recall(y, p).recall[-1] == 1.0


@pytest.mark.parametrize(("n", "parts"), [(100, 10), (7, 7)])
def test_calibration_has_groups_of_equal_size_with_wilsons_intervals(n: int, parts: int) -> None:
    y, p = rows(n, 1)
    found = calibration(y, p)
    order = np.argsort(p, kind="stable")
    each = np.array_split(order, parts)
    assert found.rows == [len(part) for part in each]
    assert found.predicted == pytest.approx([p[part].mean() for part in each], abs=1e-6)
    assert found.observed == pytest.approx([y[part].mean() for part in each], abs=1e-6)
    low, high = zip(*(proportion_confint(y[part].sum(), len(part), method="wilson") for part in each), strict=True)
    assert found.low == pytest.approx(low, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)
    assert len(found.slope) == len(found.intercept) == 3
    assert calibration(np.zeros(4), np.arange(4.0) / 4).slope is None


def test_histograms_count_every_value() -> None:
    found = histogram(np.array([0.0, 0.1, 0.9, 1.0]), 2)
    assert (found.edges, found.counts) == ([0.0, 0.5, 1.0], [2, 2])
    assert histogram(np.array([0.2, 0.3]), 2, (0, 1)).counts == [2, 0]
    assert len(histogram(np.arange(9.0)).counts) == 40


def test_residuals_are_truth_minus_prediction_by_prediction_with_normal_quantiles() -> None:
    y, p = np.array([3.0, 1.0, 2.0, 9.0]), np.array([2.0, 2.5, 1.0, 5.0])
    found = residuals(y, p)
    assert found.predicted == [1.0, 2.0, 2.5, 5.0]
    assert found.residual == [1.0, 1.0, -1.5, 4.0]
    assert found.qq.residual == [-1.5, 1.0, 1.0, 4.0]
    assert found.qq.normal == pytest.approx(stats.norm.ppf([0.125, 0.375, 0.625, 0.875]), abs=1e-6)
    assert sum(found.histogram.counts) == 4
    assert len(residuals(np.arange(999.0), np.zeros(999)).residual) == POINTS


def test_each_kind_has_its_curves() -> None:
    y, p = rows()
    found = find_kind("binary").curves(y, np.column_stack([1 - p, p]), ["0", "1"], (1, 3))
    assert set(found.to_dict()) == {"roc", "precision_recall", "calibration", "threshold", "scores"}
    assert found.roc == roc(y, p)
    assert found.threshold == thresholds(y, p, (1, 3))
    assert sum(found.scores.negative.counts) == (y == 0).sum()
    assert sum(found.scores.positive.counts) == (y == 1).sum()
    three = np.where(np.arange(len(y)) % 2, y, 2.0)
    scores = np.column_stack([1 - p, p, p / 2, p * 0])
    found = find_kind("multiclass").curves(three, scores, list("abcd"), (1, 1))
    assert set(found.roc) == set(found.calibration) == {"a", "b", "c"}  # no row is of class d
    assert found.precision_recall["c"] == precision_recall((three == 2).astype(float), p / 2)
    assert set(find_kind("regression").curves(y, p, [], (1, 1)).to_dict()) == {"residuals"}


def test_confusion_counts_true_classes_by_decisions() -> None:
    y, p = rows()
    two, decide = np.column_stack([1 - p, p]), find_kind("binary").decide
    for threshold in (0.4, float(p[5])):
        found = confusion(y, decide(two, threshold), ["n", "y"])
        assert found.counts == sk.confusion_matrix(y, p >= threshold).tolist()
