"""What values occur, and how often: n_unique, mode, entropy, share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tasks.engine.exact import Exact
from tasks.engine.primitives.base import EventColumn, Primitive, Window, divide, register
from tasks.engine.primitives.order import ALL

SCALE = 1 << 24  # entropy terms are whole multiples of 1 / SCALE, so that their sums are exact


@register
@dataclass(frozen=True)
class NUnique(Primitive):
    """How many different values; 0 for none."""

    name = "n_unique"
    says = "number of different {column}"
    kinds = ALL

    def compute(self, window: Window) -> np.ndarray:
        """As the window counts them."""
        return window.distinct().astype(np.float64)


@register
@dataclass(frozen=True)
class Mode(Primitive):
    """The most frequent value; of several, the smallest (texts by code point)."""

    name = "mode"
    says = "most frequent {column}"
    kinds = ("numeric", "boolean", "categorical", "text")
    result = "value"

    def compute(self, window: Window) -> np.ndarray:
        """As the window finds it."""
        return window.mode()


_terms = np.zeros(1, np.int64)


def count_log_count(counts: np.ndarray) -> np.ndarray:
    """``c ln c`` in units of 1 / SCALE, as int64, from a table that is the same wherever it is made."""
    global _terms
    top = int(counts.max(initial=0))
    if top >= len(_terms):
        more = [round(c * math.log(c) * SCALE) for c in range(max(len(_terms), 1), 2 * top + 2)]
        _terms = np.concatenate((_terms, np.array(more, np.int64)))
    return _terms[counts]


@register
@dataclass(frozen=True)
class Entropy(Primitive):
    """Shannon entropy in nats: ``ln n - Σ c ln c / n`` over the counts c of the values; NaN for no events."""

    name = "entropy"
    says = "entropy of {column}"
    kinds = ("boolean", "categorical", "text")

    def compute(self, window: Window) -> np.ndarray:
        """From the sum of ``c ln c`` over the counts."""
        whole = count_log_count(window.n) - window.spread(count_log_count)
        return divide(whole / SCALE, window.n)


@dataclass(frozen=True)
class Is:
    """Term: 1 for one category."""

    category: str

    def __call__(self, column: EventColumn) -> Exact:
        """1 where the value is the category, else 0."""
        return column.equals(self.category)


@register
@dataclass(frozen=True)
class Share(Primitive):
    """Share of one category, written ``share(UA)``."""

    name = "share"
    says = "share of {argument} among {column}"
    kinds = ("categorical", "text")
    takes = "a category"

    def compute(self, window: Window) -> np.ndarray:
        """The category's events over all; NaN for none."""
        return divide(window.sum(Is(str(self.argument))).to_float(), window.n)
