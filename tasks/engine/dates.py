"""Date parts of moments (UTC), and their cyclic encodings: plain integer arithmetic on microseconds since 1970."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.engine.facts import MISSING

Array = np.ndarray
DAY = 86_400_000_000  # µs


def _days(t: Array) -> Array:
    return t // DAY


def _months(t: Array) -> Array:
    return t.view("M8[us]").astype("M8[M]").view(np.int64)


def _year_start(t: Array) -> Array:
    return t.view("M8[us]").astype("M8[Y]").astype("M8[D]").view(np.int64)


def _month_start(t: Array) -> Array:
    return t.view("M8[us]").astype("M8[M]").astype("M8[D]").view(np.int64)


def _weekday(t: Array) -> Array:
    return (_days(t) + 3) % 7


def _month_length(t: Array) -> Array:
    month = t.view("M8[us]").astype("M8[M]")
    return (month + 1).astype("M8[D]").view(np.int64) - month.astype("M8[D]").view(np.int64)


def _iso_week(t: Array) -> Array:
    """Week of ISO 8601: that of the year which the week's Thursday lies in."""
    thursday = _days(t) - _weekday(t) + 3
    year = thursday.view("M8[D]").astype("M8[Y]").astype("M8[D]").view(np.int64)
    return (thursday - year) // 7 + 1


PARTS: dict[str, Callable[[Array], Array]] = {
    "year": lambda t: t.view("M8[us]").astype("M8[Y]").view(np.int64) + 1970,
    "quarter": lambda t: _months(t) % 12 // 3 + 1,
    "month": lambda t: _months(t) % 12 + 1,
    "week": _iso_week,
    "day": lambda t: _days(t) - _month_start(t) + 1,
    "day_of_year": lambda t: _days(t) - _year_start(t) + 1,
    "weekday": _weekday,
    "is_weekend": lambda t: _weekday(t) >= 5,
    "is_month_start": lambda t: _days(t) == _month_start(t),
    "is_month_end": lambda t: _days(t) - _month_start(t) + 1 == _month_length(t),
    "hour": lambda t: t % DAY // 3_600_000_000,
    "minute": lambda t: t // 60_000_000 % 60,
    "second": lambda t: t // 1_000_000 % 60,
    "minute_of_day": lambda t: t % DAY // 60_000_000,
    "days": lambda t: t / DAY,  # since 1970, with fractions
}
# part: (function, length of its cycle); `hour_sin` and `hour_cos` are its point on the circle
CYCLES: dict[str, tuple[Callable[[Array], Array], int]] = {
    "month": (lambda t: _months(t) % 12, 12),
    "weekday": (_weekday, 7),
    "day_of_year": (lambda t: _days(t) - _year_start(t), 366),
    "hour": (lambda t: t % DAY // 3_600_000_000, 24),
    "minute_of_day": (lambda t: t % DAY // 60_000_000, 1440),
}
AUTO = ("month", "day", "weekday", "hour")


def part_names() -> tuple[str, ...]:
    """All parts that a plan may name, the cyclic ones last."""
    return (*PARTS, *(f"{c}_{f}" for c in CYCLES for f in ("sin", "cos")))


def date_part(t: Array, part: str) -> Array:
    """float64 of a part of moments (int64 µs), NaN where missing.

    >>> date_part(np.array([1_383_264_000_000_000]), "month")   # 2013-11-01
    array([11.])
    """
    gone = t == MISSING
    t = np.where(gone, 0, t)
    name, _, wave = part.rpartition("_")
    if wave in ("sin", "cos") and name in CYCLES:
        function, length = CYCLES[name]
        angle = function(t) * (2 * np.pi / length)
        result = np.sin(angle) if wave == "sin" else np.cos(angle)
    else:
        result = PARTS[part](t).astype(np.float64)
    return np.where(gone, np.nan, result)
