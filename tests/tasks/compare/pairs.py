"""Pairs of models with planted answers."""

import numpy as np
import pandas as pd

from tasks.compare.scores import Pair


def two(p):
    p = np.asarray(p, dtype=float)
    return np.column_stack([1 - p, p])


def make(kind, y, challenger, champion, thresholds=(0.5, 0.5), **clusters):
    y = np.asarray(y, dtype=float)
    if kind == "binary":
        challenger, champion = two(challenger), two(champion)
    time = pd.Series(pd.NaT, index=range(len(y)))
    labels = {name: np.asarray(v) for name, v in clusters.items()}
    return Pair(kind, y, np.asarray(challenger), np.asarray(champion), thresholds, time, labels)


def swapped(pair):
    return Pair(
        pair.kind, pair.y, pair.champion, pair.challenger, pair.thresholds[::-1], pair.time, pair.clusters
    )  # fmt: skip


def decisions(both, b, c, neither, thresholds=(0.5, 0.5), **clusters):
    """Binary models with so many rows right together, challenger alone, champion alone, neither; half of each positive."""
    mine = np.repeat([1, 1, 0, 0], [both, b, c, neither])
    theirs = np.repeat([1, 0, 1, 0], [both, b, c, neither])
    y = np.arange(len(mine)) % 2
    return make(
        "binary", y, np.where(mine == 1, y, 1 - y) * 0.8 + 0.1, np.where(theirs == 1, y, 1 - y) * 0.8 + 0.1, thresholds,
        **clusters,
    )  # fmt: skip


def graded(kind, n=400, seed=0, gap=1.0, **clusters):
    """A challenger whose errors are smaller than the champion's by the share ``gap``: 0 makes them alike."""
    rng = np.random.default_rng(seed)
    if kind == "regression":
        y = rng.normal(20, 3, n)
        return make(kind, y, y + rng.normal(0, 1, n), y + rng.normal(0, 1 + gap, n), **clusters)
    if kind == "binary":
        y = (rng.random(n) < 0.4).astype(float)
        one, other = (1 / (1 + np.exp(-(3 * y - 1.5 + rng.normal(0, s, n)))) for s in (1.2, 1.2 + 1.5 * gap))
        return make(kind, y, one, other, **clusters)
    y = rng.integers(0, 3, n).astype(float)
    scores = []
    for s in (0.8, 0.8 + gap):
        x = np.exp(1.6 * np.eye(3)[y.astype(int)] + rng.normal(0, s, (n, 3)))
        scores.append(x / x.sum(axis=1, keepdims=True))
    return make(kind, y, *scores, **clusters)
