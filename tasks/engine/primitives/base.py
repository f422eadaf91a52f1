"""What a primitive is, and how one is found by its name.

A primitive turns the events of a window into one number (or category). It is written once, against the questions that
:class:`Window` answers, and never sees how they are answered: the local engine answers them for a million rows at once
from prefix sums, the online engine for one row from the history in memory, with the same bits.

Adding one takes a file in this folder (it is found by itself) with a frozen dataclass, for instance::

    @register
    @dataclass(frozen=True)
    class Range(Primitive):
        name = "range"
        says = "largest minus smallest {column}"

        def compute(self, window: Window) -> np.ndarray:
            return window.kth(window.n - 1) - window.kth(np.zeros_like(window.n))

Then ``columns: {arr_delay: [range]}`` in ``params.yaml`` makes ``carrier.range(arr_delay, 7d)``. What no question of
:class:`Window` answers can be had from ``window.each(function)``, which hands over each row's values in turn.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from tasks.engine.exact import Exact
from tasks.errors import RefitError, nearest, some


class EventColumn(Protocol):
    """What a term of a sum may use: one number an event, missing values as zero."""

    def x(self) -> Exact:
        """The values."""

    def present(self) -> Exact:
        """1 where a value is there, else 0."""

    def time(self) -> Exact:
        """The event times in microseconds where a value is there, else 0."""

    def equals(self, category: str) -> Exact:
        """1 where the value is this category, else 0."""


Term = Callable[[EventColumn], Exact]


class Window(Protocol):
    """The visible events of many rows (q of them), for one column and one window length.

    "Newest" goes by event time, then known-at time, then content, so that it never hangs on the input's order.
    """

    @property
    def n(self) -> np.ndarray:
        """int64 (q,): events with a value."""

    @property
    def t(self) -> np.ndarray:
        """int64 (q,): prediction times in µs."""

    def sum(self, term: Term) -> Exact:
        """Exact sums of a term over the events. Terms are compared by ``==``, so equal ones are summed once."""

    def blocks(self, term: Term, length: int) -> tuple[Exact, Exact]:
        """Exact sums of a term over the events of the time block (``length`` µs) that holds ``t - 1``, and the one before."""

    def kth(self, k: np.ndarray) -> np.ndarray:
        """The k-th smallest value, counted from 0; NaN where there is none."""

    def newest(self, k: np.ndarray) -> np.ndarray:
        """The value of the k-th newest event, counted from 0; NaN where there is none."""

    def newest_time(self) -> np.ndarray:
        """Event time (float64 µs) of the newest event with a value; NaN where there is none."""

    def distinct(self) -> np.ndarray:
        """int64: how many different values."""

    def mode(self) -> np.ndarray:
        """The most frequent value, the smallest of them where several are; NaN where there is none."""

    def spread(self, weigh: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """int64: the sum over values of ``weigh(how often the value occurs)``; ``weigh`` maps counts to int64, 0 to 0."""

    def newer(self, marked: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """float64: how many events with a value are newer than the newest marked one; NaN where none is marked."""

    def each(self, function: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        """``function(values, ages)`` of each row's values, oldest first, with their ages in µs. Slow, for rare needs."""


@dataclass(frozen=True)
class Primitive(ABC):
    """Base of all primitives. ``argument`` is the text in parentheses, as in ``share(UA)``; None without."""

    argument: str | None = None

    name: ClassVar[str] = ""
    says: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ("numeric", "boolean")
    takes: ClassVar[str | None] = None  # what the argument is, for messages; None: there must be none
    result: ClassVar[str] = "numeric"  # or "value": a value of the column itself
    by_time: ClassVar[bool] = False  # windows by number of events are refused
    moment: ClassVar[str | None] = None  # of a datetime column: the result is a "moment", a "span", or (None) a number

    def __post_init__(self) -> None:
        if (self.takes is None) != (self.argument is None):
            wanted = f"needs {self.takes} in parentheses" if self.takes else "takes nothing in parentheses"
            raise RefitError(f"primitive {self.name!r} {wanted}, found {self.argument!r}")

    @property
    def label(self) -> str:
        """As written in a feature's name."""
        return self.name if self.argument is None else f"{self.name}({self.argument})"

    def describe(self, column: str) -> str:
        """What it says of a column, for a feature's description."""
        return self.says.format(column=column, argument=self.argument)

    def unit(self, kind: str) -> str:
        """Of the result over a datetime column, for descriptions."""
        return {"moment": "as hours before the prediction time", "span": "in hours"}.get(
            (self.moment or "") if kind == "datetime" else "", ""
        )

    @abstractmethod
    def compute(self, window: Window) -> np.ndarray:
        """The result of each of the q windows: float64 (q,), or category codes where ``result`` is ``value``."""

    @classmethod
    def spelled(cls, text: str) -> Primitive | None:
        """Another spelling that means this primitive (``q90``), or None."""
        return None


P = TypeVar("P", bound=type[Primitive])
_known: dict[str, type[Primitive]] = {}


def register(cls: P) -> P:
    """Make a primitive known by its name."""
    _known[cls.name] = cls
    return cls


@cache
def registry() -> dict[str, type[Primitive]]:
    """All primitives by name: those of every module in this folder."""
    package = importlib.import_module("tasks.engine.primitives")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"tasks.engine.primitives.{module}")
    return dict(sorted(_known.items()))


def parse_primitive(text: str) -> Primitive:
    """The primitive that ``mean``, ``q90`` or ``share(UA)`` names.

    >>> parse_primitive("meen")
    Traceback (most recent call last):
    tasks.errors.RefitError: primitive 'meen' is not known. Did you mean 'mean'?
    """
    call = re.fullmatch(r"(\w+)(?:\((.*)\))?", text.strip())
    known = registry()
    if call and call[1] in known:
        return known[call[1]](call[2])
    for cls in known.values():
        spelled = cls.spelled(text)
        if spelled is not None:
            return spelled
    name = call[1] if call else text
    hint = nearest(name, known) or f" Allowed: {some(known, 30)}."
    raise RefitError(f"primitive {name!r} is not known.{hint}")


def present(column: EventColumn) -> Exact:
    """Term: 1 where a value is there."""
    return column.present()


def x(column: EventColumn) -> Exact:
    """Term: the values."""
    return column.x()


def squares(column: EventColumn) -> Exact:
    """Term: the squared values."""
    return column.x() * column.x()


def newer_than(values: np.ndarray, marked: np.ndarray) -> float:
    """How many of the values, oldest first, come after the last ``marked`` one; NaN where none is marked."""
    at = np.flatnonzero(marked)
    return float(len(values) - 1 - at[-1]) if len(at) else np.nan


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b``, NaN where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.asarray(a / b)
    result[np.broadcast_to(b, result.shape) == 0] = np.nan
    return result
