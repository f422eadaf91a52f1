"""Metrics of an order: ROC AUC and average precision, from one sort and any row weights."""

from __future__ import annotations

import numpy as np


class Ranking:
    """Rows sorted by score once; areas and curves then cost O(n) for each vector of row weights.

    ``y`` (n,) is 1 or True for positives; ``score`` (n,) grows with the belief in the positive class.
    """

    def __init__(self, y: np.ndarray, score: np.ndarray) -> None:
        score = np.asarray(score, dtype=float)
        self.order = np.argsort(-score, kind="stable")
        self.positive = np.asarray(y, dtype=float)[self.order]
        self.score = score[self.order]
        changes = np.flatnonzero(np.diff(self.score)) + 1
        self.starts = np.concatenate([[0], changes]).astype(np.int64) if len(score) else np.zeros(0, dtype=np.int64)

    def counts(self, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Weight of positives and of negatives in each group of equal scores, best group first."""
        w = 1.0 if weight is None else np.asarray(weight, dtype=float)[self.order]
        pos = np.add.reduceat(self.positive * w, self.starts)
        neg = np.add.reduceat((1.0 - self.positive) * w, self.starts)
        return pos, neg

    def roc_auc(self, weight: np.ndarray | None = None) -> float:
        """Chance that a positive outranks a negative, ties counted half; NaN with one class only.

        >>> Ranking(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9])).roc_auc()
        0.75
        """
        pos, neg = self.counts(weight)
        total = pos.sum() * neg.sum()
        if total == 0:
            return float("nan")
        below = neg.sum() - np.cumsum(neg)
        return float((pos * (below + neg / 2)).sum() / total)

    def average_precision(self, weight: np.ndarray | None = None) -> float:
        """Sum over thresholds of the gain in recall times the precision there; NaN without positives.

        >>> Ranking(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9])).average_precision()
        0.8333333333333333
        """
        pos, neg = self.counts(weight)
        if pos.sum() == 0:
            return float("nan")
        hits, seen = np.cumsum(pos), np.cumsum(pos + neg)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return float((pos * precision).sum() / pos.sum())
