"""Lengths of time, and windows into the past, as ``params.yaml`` and a plan write them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # seconds


class Duration(str):
    """A length of time written as a number and a unit: ``30s``, ``15m``, ``3h``, ``7d``, ``4w``.

    >>> Duration("3h").delta
    datetime.timedelta(seconds=10800)
    """

    @classmethod
    def read(cls, value: object) -> Duration:
        """Check what was written. Raises ValueError for what is no duration, or none longer than nothing."""
        if not re.fullmatch(r"\d+(\.\d+)?[smhdw]", str(value)):
            raise ValueError("a duration is a number and one of s, m, h, d, w, as in 3h or 28d")
        if float(str(value)[:-1]) == 0:
            raise ValueError("a duration must be longer than nothing")
        return cls(value)

    @property
    def delta(self) -> timedelta:
        """As the standard library has it."""
        return timedelta(seconds=float(self[:-1]) * UNITS[self[-1]])

    @property
    def micros(self) -> int:
        """The same in whole microseconds."""
        return round(float(self[:-1]) * UNITS[self[-1]] * 1_000_000)


@dataclass(frozen=True)
class Span:
    """A window before a moment, by its text: ``3h`` (so long), ``last 5`` (so many events) or ``all`` (everything).

    Two texts of one length are one window, so ``24h`` equals ``1d``. Raises ValueError for any other text.

    >>> Span("last 5").last, Span("3h").micros, Span().micros, Span("24h") == Span("1d")
    (5, 10800000000, None, True)
    """

    text: str = field(default="all", compare=False)
    micros: int | None = field(init=False, repr=False)
    last: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        micros = last = None
        if count := re.fullmatch(r"last ([1-9]\d*)", self.text):
            last = int(count[1])
        elif self.text != "all":
            try:
                micros = Duration.read(self.text).micros
            except ValueError:
                raise ValueError(
                    "a window is a duration (3h, 7d), 'all', or a number of events as in 'last 5'"
                ) from None
        object.__setattr__(self, "micros", micros)
        object.__setattr__(self, "last", last)

    def __str__(self) -> str:
        return self.text


EVERYTHING = Span()
