"""Bands of a column: its values, or ranges of a number, each with a label that selects exactly its rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

NEARLY = 0.02  # share of the rows by which a cut may move, to be a number of few digits
MISSING = "missing"


@dataclass(frozen=True)
class Bands:
    """How a column is cut; the last band always holds the missing values.

    Attributes
    ----------
    names : what each band is called: a condition on the column's value, such as ``≤ 0.25`` or ``= north``.
    cuts : upper ends of the bands of a number, ascending; the last band is open. None where values are bands.
    values : the values that are bands of their own, ascending. None where there are cuts.
    """

    names: tuple[str, ...]
    cuts: np.ndarray | None
    values: pd.Index | None

    def codes(self, column: pd.Series) -> np.ndarray:
        """int64 (n,): the band of each row; −1 for a value that was not there when the bands were cut."""
        gone = column.isna().to_numpy()
        if self.cuts is not None:
            codes = np.searchsorted(self.cuts, column.to_numpy(dtype=float), side="left")
        else:
            assert self.values is not None
            codes = self.values.get_indexer(pd.Index(column))
        return np.where(gone, len(self.names) - 1, codes).astype(np.int64)


def bands(column: pd.Series, most: int = 4, parts: int = 4) -> Bands:
    """Cut a column: a number of more than ``most`` values in ``parts`` ranges of about equal size, else by value.

    A cut is rounded to the fewest digits that move no more than 2% of the rows, and rows are counted by the rounded cut,
    so that the label says neither more nor less than what was counted.

    >>> found = bands(pd.Series([0.1234, 0.2345, 0.3456, 0.4567, 0.5678, None]))
    >>> found.names
    ('≤ 0.2', '> 0.2 and ≤ 0.3', '> 0.3 and ≤ 0.4567', '> 0.4567', 'missing')
    >>> found.codes(pd.Series([0.2, 0.2001, None])).tolist()
    [0, 1, 4]
    >>> bands(pd.Series(["b", "a"])).codes(pd.Series(["a", "c"])).tolist()
    [0, -1]
    """
    if not pd.api.types.is_numeric_dtype(column):
        values = pd.Index(sorted(column.dropna().unique()))
        return Bands((*(f"= {v}" for v in values), MISSING), None, values)
    known = column.to_numpy(dtype=float)
    known = np.sort(known[~np.isnan(known)])
    different = known[np.r_[True, known[1:] != known[:-1]]] if len(known) else known
    if len(different) <= most:
        return Bands((*(f"= {exact(v)}" for v in different), MISSING), None, pd.Index(different))
    cuts = np.unique([_cut(known, k / parts) for k in range(1, parts)])
    edges = [exact(c) for c in cuts]
    names = [f"≤ {edges[0]}", *(f"> {low} and ≤ {high}" for low, high in pairwise(edges)), f"> {edges[-1]}", MISSING]
    return Bands(tuple(names), cuts, None)


def _cut(known: np.ndarray, share: float) -> float:
    """A value at or near the quantile ``share`` of ``known`` (sorted), of as few digits as that allows."""
    at = known[int(share * (len(known) - 1))]
    low, high = (known[int(np.clip(s, 0, 1) * (len(known) - 1))] for s in (share - NEARLY, share + NEARLY))
    if not np.isfinite(at):
        return float(np.clip(at, np.finfo(float).min, np.finfo(float).max))
    for digits in range(1, 17):
        rounded = float(f"{at:.{digits}g}")
        if low <= rounded <= high and np.isfinite(rounded):
            return rounded
    return float(at)


def exact(value: float) -> str:
    """A number in the fewest digits that give it back unchanged.

    >>> exact(7.0), exact(0.1), exact(1234567.0), exact(1 / 3)
    ('7', '0.1', '1234567', '0.3333333333333333')
    """
    value = float(value)
    text = f"{value:.15g}"
    return text if float(text) == value else repr(value)
