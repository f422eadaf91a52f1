"""Folds for what is fitted inside a fit, where some training rows were made from others."""

from __future__ import annotations

import numpy as np


def together(y: np.ndarray, groups: np.ndarray, k: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """At most ``k`` stratified folds, as pairs of positions, in which rows of one group stay together.

    Parameters
    ----------
    y : class indexes (n,), equal within a group.
    groups : (n,) whole numbers: of a real row its own, of a made row that of the row it was made from.

    >>> y, groups = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 2, 3])
    >>> [sorted(set(groups[fitted]) & set(groups[held])) for fitted, held in together(y, groups, 5, 0)]
    [[], []]
    """
    from sklearn.model_selection import StratifiedKFold

    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    labels = y[first].astype(int)
    size = max(2, min(k, int(np.bincount(labels)[np.unique(labels)].min())))
    fold = np.empty(len(first), dtype=int)
    for number, (_, held) in enumerate(StratifiedKFold(size, shuffle=True, random_state=seed).split(labels, labels)):
        fold[held] = number
    return [(np.flatnonzero(fold[group] != number), np.flatnonzero(fold[group] == number)) for number in range(size)]
