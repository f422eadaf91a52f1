"""The decision threshold of a binary problem, chosen on validation rows."""

from __future__ import annotations

import numpy as np

from tasks.errors import RefitError, nearest, some

WAYS = ("half", "best_f1", "cost", "precision")


def best_threshold(
    how: str,
    y: np.ndarray,
    positive: np.ndarray,
    cost: tuple[float, float] = (1.0, 1.0),
    precision: float = 0.5,
) -> float:
    """The threshold for ``decision = positive >= threshold``.

    Parameters
    ----------
    how : ``half`` (0.5); ``best_f1``; ``cost`` (least expected cost); ``precision`` (most recall with at
        least that precision; where no threshold reaches it, the one with the highest precision).
    y, positive : 0/1 targets ``(n,)`` and the positive class's probabilities ``(n,)``.
    cost : of a false positive, and of a false negative.

    Of equally good thresholds the highest is taken. A threshold lies midway between two scores, so that
    rounding in another program does not flip a decision.

    >>> y, p = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> best_threshold("best_f1", y, p)
    0.225
    >>> best_threshold("cost", y, p, cost=(5, 1))
    0.6
    """
    if how not in WAYS:
        raise RefitError(f"training.threshold: {how!r} is not one of {some(WAYS)}." + nearest(how, WAYS))
    y, positive = np.asarray(y, dtype=float), np.asarray(positive, dtype=float)
    if how == "half" or not 0 < y.sum() < len(y):
        return 0.5
    order = np.argsort(-positive, kind="stable")
    p, truth = positive[order], y[order]
    last = np.flatnonzero(np.append(p[1:] < p[:-1], True))  # the last row of each run of equal scores
    hits = np.cumsum(truth)[last]
    false = (last + 1) - hits
    missed = y.sum() - hits
    if how == "best_f1":
        value = 2 * hits / (2 * hits + false + missed)
    elif how == "cost":
        value = -(cost[0] * false + cost[1] * missed)
        none = -cost[1] * y.sum()  # nothing is decided positive
        if none >= value.max():
            return float(np.nextafter(p[0], np.inf))
    else:
        reached = hits / (hits + false)
        value = np.where(reached >= precision, 2 + hits, reached)
    best = int(np.argmax(value))
    return _between(p, last, best)


def _between(p: np.ndarray, last: np.ndarray, at: int) -> float:
    low = p[last[at + 1]] if at + 1 < len(last) else 0.0
    high = p[last[at]]
    middle = float(f"{(low + high) / 2:.12g}")
    return middle if low < middle <= high else float(high)
