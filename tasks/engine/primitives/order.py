"""Order statistics, by value (min, max, median, quantiles) and by time (first, last)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from tasks.engine.primitives.base import Primitive, Window, register
from tasks.errors import RefitError

ALL = ("numeric", "boolean", "datetime", "categorical", "text")


@register
@dataclass(frozen=True)
class Min(Primitive):
    """The smallest value; NaN for none."""

    name = "min"
    says = "smallest {column}"
    kinds = ("numeric", "boolean", "datetime")
    moment = "moment"

    def compute(self, window: Window) -> np.ndarray:
        """The first by value."""
        return window.kth(np.zeros_like(window.n))


@register
@dataclass(frozen=True)
class Max(Primitive):
    """The largest value; NaN for none."""

    name = "max"
    says = "largest {column}"
    kinds = ("numeric", "boolean", "datetime")
    moment = "moment"

    def compute(self, window: Window) -> np.ndarray:
        """The last by value."""
        return window.kth(window.n - 1)


@register
@dataclass(frozen=True)
class First(Primitive):
    """The value of the oldest event that has one."""

    name = "first"
    says = "oldest {column}"
    kinds = ALL
    result = "value"
    moment = "moment"

    def compute(self, window: Window) -> np.ndarray:
        """The last from the newest on."""
        return window.newest(window.n - 1)


@register
@dataclass(frozen=True)
class Last(Primitive):
    """The value of the newest event that has one."""

    name = "last"
    says = "newest {column}"
    kinds = ALL
    result = "value"
    moment = "moment"

    def compute(self, window: Window) -> np.ndarray:
        """The first from the newest on."""
        return window.newest(np.zeros_like(window.n))


@register
@dataclass(frozen=True)
class Quantile(Primitive):
    """Linear between the two nearest values, at position ``(n - 1) q`` (definition 7 of Hyndman and Fan, 1996).

    Written ``quantile(0.9)`` or ``q90``.
    """

    name = "quantile"
    says = "quantile {argument} of {column}"
    kinds = ("numeric", "boolean", "datetime")
    takes = "a share between 0 and 1"
    moment = "moment"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", str(self.argument)):
            raise RefitError(f"primitive 'quantile' needs {self.takes}, as in quantile(0.9), found {self.argument!r}")

    @classmethod
    def spelled(cls, text: str) -> Primitive | None:
        """``q90`` for ``quantile(0.90)``."""
        digits = re.fullmatch(r"q(\d{1,2})", text)
        return cls(f"0.{int(digits[1]):02d}") if digits else None

    def compute(self, window: Window) -> np.ndarray:
        """Between the two nearest values."""
        return between(window, float(self.argument or 0))


@register
@dataclass(frozen=True)
class Median(Primitive):
    """The middle value, or the mean of the two in the middle; NaN for none."""

    name = "median"
    says = "median {column}"
    kinds = ("numeric", "boolean", "datetime")
    moment = "moment"

    def compute(self, window: Window) -> np.ndarray:
        """The quantile 0.5."""
        return between(window, 0.5)


def between(window: Window, share: float) -> np.ndarray:
    """The quantile ``share`` of each window, linear between the two nearest values; NaN for none."""
    place = np.maximum(window.n - 1, 0) * share
    below = np.floor(place).astype(np.int64)
    low = window.kth(below)
    high = window.kth(np.minimum(below + 1, window.n - 1))
    return low + (high - low) * (place - below)
