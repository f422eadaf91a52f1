"""No champion yet: is the challenger better than no model at all?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.compare.evidence import check_defined, worst_cluster
from tasks.compare.scores import Pair
from tasks.metrics import called, measure
from tasks.paired import (
    Table,
    contrast,
    delong,
    f1_above_chance,
    mcnemar,
    ordinary_test,
    sums,
)
from tasks.params import Promotion


@dataclass(frozen=True)
class _Apart:
    """Values of the challenger and without a model, and what each row says: ``x`` (n,) has mean 0 if it is no better."""

    challenger: float
    baseline: float
    x: np.ndarray


def against_baseline(pair: Pair, y_train: np.ndarray, promotion: Promotion, metric: str) -> dict[str, Any]:
    """Test the challenger of ``pair`` against what can be said without features, by the metric that decides.

    ROC AUC and average precision: against chance (0.5; the positives' share). Accuracy: against the majority class of
    the training rows (McNemar). F1: against as many decisions of each class, made at random (two classes: Fisher's
    exact test). Log loss and Brier score: against the training rows' class shares. RMSE and R²: against their mean; MAE:
    against their median; MAPE: against their median weighted by 1/\\|truth\\|. Declared clusters count as in later
    comparisons.

    Returns the one-sided ``p``, the name of the deciding test, all ``tests``, both values of the ``metric``, ``what``
    was to be beaten, and ``warnings``.
    """
    metric = promotion.metric or metric
    check_defined(pair.kind, pair.y, metric)
    y = pair.y
    tests: dict[str, Any] = {}
    warnings: list[str] = []
    said = majority = y
    if pair.kind != "regression":
        said = _said(pair)
        majority = np.full(pair.n, float(np.bincount(y_train.astype(np.int64)).argmax()))
    apart = _apart(metric, pair, y_train, said, majority)
    name, _ = worst_cluster(pair, apart.x - apart.x.mean(), promotion, warnings)
    # Asked once, at alpha: in the far tail 31 rows of iris, at a log loss of 0.31 (1.10 without a model), would not suffice.
    found = ordinary_test(apart.x if name is None else sums(apart.x, pair.clusters[name]))
    tests["contributions"] = {
        "name": f"t-test of the rows' contributions to {called(metric)}" + (f", rows of equal {name} together" if name else ""),
        "statistic": float(found.statistic), "p": min(1.0, 2 * float(min(found.p_above, found.p_below))),
        "p_better": float(found.p_above), "df": float(found.df),
    }  # fmt: skip
    decided_by = "contributions"
    if pair.kind != "regression":
        table = Table.of(said == y, majority == y)
        plain = mcnemar(table)
        tests["mcnemar"] = {
            "name": "McNemar against the majority class", **plain.to_dict(), "difference": table.difference,
        }  # fmt: skip
        if metric == "accuracy" and name is None:
            decided_by = "mcnemar"
    if pair.kind == "binary":
        if 2 <= y.sum() <= pair.n - 2:
            ranked = delong(y, pair.challenger[:, 1], np.zeros(pair.n))
            tests["delong"] = {"name": "DeLong (ROC AUC against 0.5)", "statistic": ranked.z, **ranked.to_dict()}
        tests["fisher"] = _fisher(y, said)
        if metric == "f1" and name is None:
            decided_by = "fisher"
    return {
        "p": tests[decided_by]["p_better"],
        "decided_by": decided_by,
        "metric": metric,
        "what": WHAT[metric],
        "tests": tests,
        "challenger": apart.challenger,
        "baseline": apart.baseline,
        "warnings": warnings,
    }


WHAT = {
    "roc_auc": "chance",
    "roc_auc_ovr": "chance",
    "average_precision": "chance",
    "accuracy": "the majority class",
    "f1": "as many alarms raised at random",
    "f1_macro": "as many decisions of each class made at random",
    "log_loss": "the training rows' class shares",
    "brier": "the training rows' class shares",
    "rmse": "the mean of the training rows",
    "r2": "the mean of the training rows",
    "mae": "the median of the training rows",
    "mape": "the best constant of the training rows",
}


def _said(pair: Pair) -> np.ndarray:
    """The challenger's own decisions, as class indexes."""
    if pair.kind == "multiclass":
        return pair.challenger.argmax(axis=1).astype(float)
    return (pair.challenger[:, 1] >= pair.thresholds[0]).astype(float)


def _apart(metric: str, pair: Pair, y_train: np.ndarray, said: np.ndarray, majority: np.ndarray) -> _Apart:
    y = pair.y
    if metric == "accuracy":
        right, other = (said == y).astype(float), (majority == y).astype(float)
        return _Apart(float(right.mean()), float(other.mean()), right - other)
    if metric in ("f1", "f1_macro"):
        classes = [1.0] if metric == "f1" else np.unique(y)
        each = [f1_above_chance((y == k).astype(float), (said == k).astype(float)) for k in classes]
        above, spread = np.mean([v for v, _ in each]), np.mean([i for _, i in each], axis=0)
        value = np.mean([measure("f1", (y == k).astype(float), _two(said == k), "binary") for k in classes])
        return _Apart(float(value), float(value - above), spread + above)
    if pair.kind == "regression":
        scores, constant = pair.challenger, np.full(pair.n, _constant(metric, y_train))
    else:
        shares = np.bincount(y_train.astype(np.int64), minlength=pair.challenger.shape[1]) / len(y_train)
        scores, constant = pair.challenger, np.tile(shares, (pair.n, 1))
        if pair.kind == "binary":
            scores, constant = scores[:, 1] / scores.sum(axis=1), constant[:, 1]
    found = contrast(metric, pair.kind, y, scores, constant)
    return _Apart(float(found.challenger), float(found.champion), found.tested)


def _two(said: np.ndarray) -> np.ndarray:
    return np.column_stack([1.0 - said, said.astype(float)])


def _constant(metric: str, y_train: np.ndarray) -> float:
    """The number that would have had the least loss on the training rows."""
    if metric not in ("mae", "mape"):
        return float(y_train.mean())
    if metric == "mae":
        return float(np.median(y_train))
    y = np.sort(y_train[y_train != 0])
    if len(y) == 0:
        return 0.0
    weight = np.cumsum(1 / np.abs(y))
    return float(y[np.searchsorted(weight, weight[-1] / 2)])


def _fisher(y: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """Would as many alarms at random have found as many positives? Fisher's exact test (1935)."""
    from scipy.stats import hypergeom

    n, positives, alarms, hits = len(y), int(y.sum()), int(said.sum()), int((y * said).sum())
    better = float(hypergeom.sf(hits - 1, n, positives, alarms))
    worse = float(hypergeom.cdf(hits, n, positives, alarms))
    return {
        "name": "Fisher's exact test against random alarms", "statistic": float(hits), "p": min(1.0, 2 * min(better, worse)),
        "p_better": better, "expected": positives * alarms / n,
    }  # fmt: skip
