"""Primitives of time: time since last, count since, trend, decayed mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.engine.exact import Exact
from tasks.engine.facts import HOUR
from tasks.engine.primitives.base import EventColumn, Primitive, Window, divide, register, x
from tasks.engine.primitives.order import ALL
from tasks.errors import RefitError
from tasks.values.durations import Duration


@register
@dataclass(frozen=True)
class TimeSinceLast(Primitive):
    """Hours since the newest event (by event time) with a value."""

    name = "time_since_last"
    says = "hours since the newest event with a {column}"
    kinds = ALL

    def compute(self, window: Window) -> np.ndarray:
        """From the newest event's time."""
        return (window.t - window.newest_time()) / HOUR


def is_true(values: np.ndarray) -> np.ndarray:
    """Whether a value counts as true: it is not 0."""
    return values != 0


@register
@dataclass(frozen=True)
class CountSince(Primitive):
    """How many events with a value came after the newest one whose value is true (not 0); NaN where none is."""

    name = "count_since"
    says = "number of events since the newest one with a true {column}"

    def compute(self, window: Window) -> np.ndarray:
        """As the window counts them."""
        return window.newer(is_true)


def times(column: EventColumn) -> Exact:
    """Term: event times in µs."""
    return column.time()


def squared_times(column: EventColumn) -> Exact:
    """Term: squared event times."""
    return column.time() * column.time()


def times_values(column: EventColumn) -> Exact:
    """Term: event times times values."""
    return column.time() * column.x()


@register
@dataclass(frozen=True)
class Trend(Primitive):
    """Slope of the least-squares line through the values over event time, per day.

    ``(n Σtx - Σt Σx) / (n Σt² - (Σt)²)``, numerator and denominator exact; NaN where the times do not differ.
    """

    name = "trend"
    says = "slope of {column} per day"

    def compute(self, window: Window) -> np.ndarray:
        """From five exact sums."""
        n, t, total = Exact.from_ints(window.n), window.sum(times), window.sum(x)
        rise = (n * window.sum(times_values) - t * total).to_float()
        run = (n * window.sum(squared_times) - t * t).to_float()
        return divide(rise, run) * (24.0 * HOUR)


HALVES = 64  # half-lives in a block; what lies more than a block back weighs less than 2^-64


@dataclass(frozen=True)
class Weight:
    """Term: ``2^((s - start of s's block) / half_life)``, or that times the value.

    Weights within a block are relative to its start, so that they do not hang on the row; the block before weighs
    exactly 2^-64 less.
    """

    half_life: int
    values: bool

    def __call__(self, column: EventColumn) -> Exact:
        """The weights of events with a value, or those times the values."""
        present = column.present()
        age = column.time().digits[0] % (HALVES * self.half_life)
        whole, rest = np.divmod(age, self.half_life)
        weight = np.ldexp(np.exp2(rest / self.half_life), whole.astype(np.int32))
        exact = Exact.from_floats(weight * present.digits[0])
        return exact * column.x() if self.values else exact


@register
@dataclass(frozen=True)
class DecayedMean(Primitive):
    """Mean with weights that halve every half-life: ``decayed_mean(2d)``.

    Time is cut into blocks of 64 half-lives; events of the row's block and of the one before count.
    """

    name = "decayed_mean"
    says = "mean {column}, its weight halved every {argument}"
    takes = "a half-life such as 2d"
    by_time = True

    @property
    def half_life(self) -> int:
        """In µs. Raises :class:`RefitError` where the argument is no duration."""
        try:
            return Duration.read(self.argument).micros
        except ValueError as error:
            raise RefitError(f"primitive 'decayed_mean': {error}, found {self.argument!r}") from None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.half_life

    def compute(self, window: Window) -> np.ndarray:
        """From the weighted sums of two blocks."""
        length = HALVES * self.half_life
        totals = []
        for values in (True, False):
            new, old = window.blocks(Weight(self.half_life, values), length)
            totals.append((new + Exact(old.digits, old.exponent - HALVES, old.bound)).to_float())
        return divide(*totals)
