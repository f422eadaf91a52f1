"""Which rows are held out in which fold: evenly over the targets, or so that rows made from one another stay together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Parts = list[tuple[np.ndarray, np.ndarray]]  # positions of the rows to fit on, and of those held out


def dealt(y: np.ndarray, rng: np.random.Generator, deck: Callable[[int], np.ndarray]) -> np.ndarray:
    """A fold's number a row (n,): ``deck(n)``, dealt to the rows by the order of their targets, equal ones at random.

    >>> dealt(np.array([0, 1, 0, 1]), np.random.default_rng(0), lambda n: np.arange(n) % 2).tolist()
    [1, 1, 0, 0]
    """
    order = np.lexsort((rng.random(len(y)), y))
    numbers = np.empty(len(y), dtype=int)
    numbers[order] = deck(len(y))
    return numbers


def by_number(numbers: np.ndarray, count: int) -> Parts:
    """The folds whose numbers the rows have.

    >>> [(fitted.tolist(), held.tolist()) for fitted, held in by_number(np.array([1, 1, 0, 0]), 2)]
    [([0, 1], [2, 3]), ([2, 3], [0, 1])]
    """
    return [(np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)) for fold in range(count)]


def rarest(y: np.ndarray) -> int:
    """How many rows the rarest of the classes has that occur in ``y`` (n,).

    >>> rarest(np.array([0.0, 2.0, 2.0]))
    1
    """
    return int(np.unique(y, return_counts=True)[1].min())


def together(y: np.ndarray, groups: np.ndarray, k: int, seed: int) -> Parts:
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
    size = max(2, min(k, rarest(labels)))
    fold = np.empty(len(first), dtype=int)
    for number, (_, held) in enumerate(StratifiedKFold(size, shuffle=True, random_state=seed).split(labels, labels)):
        fold[held] = number
    return by_number(fold[group], size)
