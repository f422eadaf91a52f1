"""A column's cells: at most 30 classes of its values, cut once by the reference and kept.

Numbers: cut at quantiles of the reference, with a cell on either side for values far outside all of it. Categories: the
most frequent levels, the other known ones, and levels that the reference does not have. Missing values are a cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

PROBS = (
    0.001, 0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.995, 0.999,
)  # fmt: skip
FAR = 3.0  # ranges of the reference that a value must lie outside of it to be far
TOP = 20  # levels with a cell of their own
MISSING, ODD = 0, 1  # cells: a missing value; a number far below, or an unseen level


@dataclass(frozen=True)
class Cells:
    """How values become cells: ``edges`` and ``far`` (low, high) of numbers, or ``levels``, all known ones, most frequent first.

    ``known``: levels beyond ``levels`` that the reference also has.
    """

    kind: str
    edges: tuple[float, ...] = ()
    far: tuple[float, float] = (-np.inf, np.inf)
    levels: tuple[str, ...] = ()
    known: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, values: pd.Series, kind: str) -> Cells:
        """Cells for the reference's values.

        >>> Cells.of(pd.Series(["a", "b", "a"]), "categorical").levels
        ('a', 'b')
        """
        present = values.dropna()
        if kind == "numeric":
            x = present.to_numpy(float)
            x = x[np.isfinite(x)]
            if not len(x):
                return cls(kind)
            low, high = float(x.min()), float(x.max())
            # A constant is far from anything that is not about as large.
            width = FAR * (high - low) or FAR * max(abs(low), 1e-12)
            edges = np.unique(np.quantile(x, PROBS, method="inverted_cdf"))
            top = float(np.finfo(float).max)  # beyond it nothing can be far, and nothing could be written
            return cls(kind, tuple(float(e) for e in edges), (max(low - width, -top), min(high + width, top)))
        counts = {str(level): rows for level, rows in present.value_counts(sort=False).items()}
        order = sorted(counts, key=lambda level: (-counts[level], level))
        return cls(kind, levels=tuple(order[:TOP]), known=frozenset(order[TOP:]))

    @property
    def count(self) -> int:
        """Number of cells: missing, far below or unseen, then the ordinary ones, and last far above or the other known levels."""
        return 3 + (len(self.edges) + 1 if self.kind == "numeric" else len(self.levels))

    @cached_property
    def _code(self) -> dict[str, int]:
        return dict.fromkeys(self.known, self.count - 1) | {level: 2 + i for i, level in enumerate(self.levels)}

    def codes(self, values: pd.Series | np.ndarray) -> np.ndarray:
        """Each value's cell, int64 (n,)."""
        if self.kind == "numeric":
            x = np.asarray(values, dtype=float)
            codes = np.searchsorted(np.asarray(self.edges), x, side="left") + 2
            codes[x < self.far[0]] = ODD
            codes[x > self.far[1]] = self.count - 1
            codes[np.isnan(x)] = MISSING
            return codes
        codes, levels = pd.factorize(pd.Series(values))
        lookup = np.array([self._code.get(str(level), ODD) for level in levels] + [MISSING], dtype=np.int64)
        return lookup[codes]

    def counts(self, values: pd.Series | np.ndarray) -> np.ndarray:
        """Rows of each cell, int64 (count,)."""
        return np.bincount(self.codes(values), minlength=self.count)

    def scores(self, total: np.ndarray, independent: float | None = None) -> np.ndarray:
        """The normal score of each cell's middle rank, for numbers; float64 (count,), 0 for missing values.

        ``total`` (count,): the reference's rows by cell, as many as so many ``independent`` ones: no cell is rarer than one.
        """
        from scipy.special import ndtri  # here, since whoever reads a package imports this

        present = np.arange(self.count) != MISSING
        rows = total[present].sum()
        share = np.where(present, total, 0) / max(rows, 1)
        least = 0.5 / ((independent or rows) + 1)
        middle = np.clip(np.cumsum(share) - share / 2, least, 1 - least)
        return np.where(present, ndtri(middle), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        if self.kind == "numeric":
            far = list(self.far) if self.edges else None
            return {"kind": self.kind, "edges": list(self.edges), "far": far}
        return {"kind": self.kind, "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any], known: frozenset[str] = frozenset()) -> Cells:
        """Inverse of :meth:`to_dict`; ``known`` are the levels without a cell of their own."""
        if stored["kind"] == "numeric":
            far = tuple(stored["far"]) if stored["far"] else (-np.inf, np.inf)
            return cls("numeric", tuple(stored["edges"]), far)
        return cls(stored["kind"], levels=tuple(stored["levels"]), known=known)
