"""Composite keys as whole numbers: equal where all parts of the key are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

Part = tuple[
    Sequence[np.ndarray], int
]  # int64 codes of one column in each frame (-1: missing), and how many there can be


def composite(parts: Iterable[Part], rows: Sequence[int]) -> list[np.ndarray]:
    """Codes of keys of several columns, for frames of so many ``rows`` that share them; -1 where a part is missing.

    The parts are taken one at a time. Codes are at most four times as many as rows, and a thousand.

    >>> composite([([np.array([0, 1, 0, -1])], 2), ([np.array([2, 2, 2, 2])], 3)], [4])
    [array([ 2,  5,  2, -1])]
    """
    total = [np.zeros(n, np.int64) for n in rows]
    size = 1
    for codes, count in parts:
        width = max(count, 1)
        total = [np.where((t < 0) | (c < 0), -1, t * width + c) for t, c in zip(total, codes, strict=True)]
        size *= width
        if size > 4 * sum(rows) + 1000:
            total, size = dense(total)
    return total


def dense(codes: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The same codes numbered from 0 without gaps, in order of appearance; and how many there are. -1 stays."""
    whole = codes[0] if len(codes) == 1 else np.concatenate(codes)
    numbered = np.full(len(whole), -1)
    there = whole >= 0
    numbered[there], names = pd.factorize(whole[there])
    return np.split(numbered, np.cumsum([len(c) for c in codes])[:-1]), len(names)
