"""Edges of equal bins, for pictures: of any numbers, however close to each other or far apart."""

from __future__ import annotations

import numpy as np


def even(low: float, high: float, bins: int) -> np.ndarray:
    """``bins + 1`` edges from ``low`` to ``high``, each above the one before.

    Where there are no ``bins`` numbers between the two, they are the middle of a wider range.

    >>> even(0.0, 1.0, 4).tolist(), even(2.0, 2.0, 2).tolist()
    ([0.0, 0.25, 0.5, 0.75, 1.0], [1.5, 2.0, 2.5])
    >>> even(-1.7e308, 1.7e308, 2).tolist(), len(set(even(1.0, 1.0 + 2e-16, 40).tolist()))
    ([-1.7e+308, 0.0, 1.7e+308], 41)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, bins + 1)
        if not np.isfinite(edges).all():  # the distance is no number, though both ends are
            share = np.linspace(0.0, 1.0, bins + 1)
            edges = low * (1 - share) + high * share
        if (np.diff(edges) > 0).all():
            return edges
    middle, far = low / 2 + high / 2, max(abs(low), abs(high))
    half = max(0.5, 2 * bins * float(np.spacing(far / 2)))
    top = float(np.finfo(float).max)
    return even(max(-top, middle - half), min(top, middle + half), bins)
