"""No champion yet: is the challenger better than no model at all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.artifacts import Figures
from tasks.compare.evidence import check_defined, worst_cluster
from tasks.compare.scores import Pair
from tasks.kinds import Difference
from tasks.metrics import Metric, called, find_metric
from tasks.metrics.classification import f1
from tasks.paired import (
    ContingencyTable,
    asked,
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


@dataclass(frozen=True)
class AgainstBaseline:
    """The one-sided ``p``, the name of the deciding test, all tests, both values of the ``metric``, ``what`` was to be
    beaten, and warnings."""

    p: float
    decided_by: str
    metric: str
    what: str
    tests: dict[str, Figures]
    challenger: float
    baseline: float
    warnings: list[str]


def against_baseline(pair: Pair, y_train: np.ndarray, promotion: Promotion, metric: str) -> AgainstBaseline:
    """Test the challenger of ``pair`` against what can be said without features, by the metric that decides.

    ROC AUC and average precision: against chance (0.5; the positives' share). Accuracy: against the majority class of
    the training rows (McNemar). F1: against as many decisions of each class, made at random (two classes: Fisher's
    exact test). Log loss and Brier score: against the training rows' class shares. RMSE and R²: against their mean; MAE:
    against their median; MAPE: against their median weighted by 1/\\|truth\\|. Declared clusters count as in later
    comparisons.
    """
    metric = promotion.metric or metric
    check_defined(pair.y, metric)
    y = pair.y
    own = pair.problem.difference(metric, y, pair.challenger, _constant(metric, pair, y_train), 0.0)
    if own is not None:
        return _by_its_kind(own, pair, promotion, metric)
    tests: dict[str, Figures] = {}
    warnings: list[str] = []
    said = majority = y
    if pair.problem.output.classes:
        said = pair.problem.decide(pair.challenger, pair.thresholds[0])
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
    decided_by, p = "contributions", float(found.p_above)
    if pair.problem.output.classes:
        table = ContingencyTable.of(said == y, majority == y)
        plain = mcnemar(table)
        tests["mcnemar"] = {
            "name": "McNemar against the majority class", **plain.to_dict(), "difference": table.difference,
        }  # fmt: skip
        if metric == "accuracy" and name is None:
            decided_by, p = "mcnemar", plain.p_better
    if pair.problem.positive is not None:
        if 2 <= y.sum() <= pair.n - 2:
            ranked = delong(y, pair.challenger[:, 1], np.zeros(pair.n))
            tests["delong"] = {"name": "DeLong (ROC AUC against 0.5)", "statistic": ranked.z, **ranked.to_dict()}
        tests["fisher"], chance = _fisher(y, said)
        if metric == "f1" and name is None:
            decided_by, p = "fisher", chance
    what = _metric(metric).without
    return AgainstBaseline(p, decided_by, metric, what, tests, apart.challenger, apart.baseline, warnings)


def _by_its_kind(own: Difference, pair: Pair, promotion: Promotion, metric: str) -> AgainstBaseline:
    """As the kind tests a difference, here from what needs no model."""
    warnings: list[str] = []
    name, _ = worst_cluster(pair, own.spread, promotion, warnings)
    test = own.test(None if name is None else pair.clusters[name])
    what = _metric(metric).without
    return AgainstBaseline(
        test.p_better, test.decided_by, metric, what, test.figures, own.challenger, own.champion, warnings
    )


def _metric(name: str) -> Metric:
    found = find_metric(name)
    assert found is not None  # params.yaml was checked
    return found


def _apart(metric: str, pair: Pair, y_train: np.ndarray, said: np.ndarray, majority: np.ndarray) -> _Apart:
    y = pair.y
    if metric == "accuracy":
        right, other = (said == y).astype(float), (majority == y).astype(float)
        return _Apart(float(right.mean()), float(other.mean()), right - other)
    if metric in ("f1", "f1_macro"):
        classes = [1.0] if metric == "f1" else np.unique(y)
        each = [f1_above_chance((y == k).astype(float), (said == k).astype(float)) for k in classes]
        above, spread = np.mean([v for v, _ in each]), np.mean([i for _, i in each], axis=0)
        value = np.mean([_f1(y == k, said == k) for k in classes])
        return _Apart(float(value), float(value - above), spread + above)
    constant = _constant(metric, pair, y_train)
    if pair.problem.positive is not None:
        constant = constant[:, pair.problem.positive]
    found = contrast(metric, pair.kind, y, asked(pair.kind, pair.challenger), constant)
    return _Apart(float(found.challenger), float(found.champion), found.tested)


def _constant(metric: str, pair: Pair, y_train: np.ndarray) -> np.ndarray:
    """The scores of all rows that need no model."""
    best = _metric(metric).constant
    if best is not None:
        return np.full(pair.n, best(y_train))
    return pair.problem.constant(y_train, np.atleast_2d(pair.challenger).shape[1], pair.n)


def _f1(y: np.ndarray, said: np.ndarray) -> float:
    counts = np.array([[(~y & ~said).sum(), (~y & said).sum()], [(y & ~said).sum(), (y & said).sum()]], dtype=float)
    return f1(counts)


def _fisher(y: np.ndarray, said: np.ndarray) -> tuple[Figures, float]:
    """Would as many alarms at random have found as many positives? Fisher's exact test (1935), and its one-sided p."""
    from scipy.stats import hypergeom

    n, positives, alarms, hits = len(y), int(y.sum()), int(said.sum()), int((y * said).sum())
    better = float(hypergeom.sf(hits - 1, n, positives, alarms))
    worse = float(hypergeom.cdf(hits, n, positives, alarms))
    return {
        "name": "Fisher's exact test against random alarms", "statistic": float(hits), "p": min(1.0, 2 * min(better, worse)),
        "p_better": better, "expected": positives * alarms / n,
    }, better  # fmt: skip
