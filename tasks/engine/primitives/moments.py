"""Counts and moments: functions of exact sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.engine.exact import Exact
from tasks.engine.primitives.base import Primitive, Window, divide, register, squares, x


@register
@dataclass(frozen=True)
class Count(Primitive):
    """How many events have a value."""

    name = "count"
    says = "number of events with a {column}"
    kinds = ("numeric", "boolean", "datetime", "categorical", "text")

    def compute(self, window: Window) -> np.ndarray:
        """``n`` as float64."""
        return window.n.astype(np.float64)


@register
@dataclass(frozen=True)
class Sum(Primitive):
    """The exact sum, rounded once; 0 for no events."""

    name = "sum"
    says = "sum of {column}"

    def compute(self, window: Window) -> np.ndarray:
        """From one exact sum."""
        return window.sum(x).to_float()


@register
@dataclass(frozen=True)
class Mean(Primitive):
    """The exact sum over the number of values; NaN for none."""

    name = "mean"
    says = "mean {column}"
    kinds = ("numeric", "boolean", "datetime")
    moment = "moment"

    def compute(self, window: Window) -> np.ndarray:
        """From one exact sum."""
        return divide(window.sum(x).to_float(), window.n)


@register
@dataclass(frozen=True)
class Std(Primitive):
    """Sample standard deviation: ``sqrt((n Σx² - (Σx)²) / (n (n - 1)))``, the numerator exact; NaN below two values."""

    name = "std"
    says = "standard deviation of {column}"
    kinds = ("numeric", "boolean", "datetime")
    moment = "span"

    def compute(self, window: Window) -> np.ndarray:
        """From two exact sums."""
        n, total = window.n, window.sum(x)
        over = (Exact.from_ints(n) * window.sum(squares) - total * total).to_float()
        return np.sqrt(divide(over, n * (n - 1)))
