"""Search spaces as plain data: what may vary, between which values, and where a search starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pydantic import JsonValue

from tasks.errors import RefitError, nearest, some

Setting = JsonValue  # of a parameter: what params.yaml can hold
Scalar = str | bool | int | float | None  # a setting that a search can draw
Settings = dict[str, Setting]  # a family's parameters, by name


def as_float(value: Setting) -> float:
    """A parameter that is a number.

    Raises
    ------
    ValueError
        If it is none, in words.
    """
    if not isinstance(value, int | float | str):
        raise ValueError(f"expected a number, found {value!r}")
    return float(value)


def as_int(value: Setting) -> int:
    """A parameter that is a whole number. Raises as :func:`as_float`.

    >>> as_int(3), as_int(3.0)
    (3, 3)
    """
    if not isinstance(value, int | float | str):
        raise ValueError(f"expected a whole number, found {value!r}")
    return int(value)


@dataclass(frozen=True)
class Number:
    """A number between ``low`` and ``high``, both included.

    ``limits`` are the values that the family accepts at all; without them only sign is kept: a space
    whose low is positive stays positive.
    """

    low: float
    high: float
    default: float
    log: bool = False
    whole: bool = False
    limits: tuple[float, float] | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that the family accepts."""
        return self.limits or ((0.0, math.inf) if self.low >= 0 else (-math.inf, math.inf))

    def grid(self, points: int = 3) -> list[float]:
        """``points`` values, evenly spread (evenly in the logarithm where ``log``).

        >>> Number(1, 100, 10, log=True).grid()
        [1.0, 10.0, 100.0]
        """
        steps = [i / max(points - 1, 1) for i in range(points)]
        if self.log:
            values = [self.low * (self.high / self.low) ** s for s in steps]
        else:
            values = [self.low + (self.high - self.low) * s for s in steps]
        return list(dict.fromkeys(round(v) if self.whole else float(f"{v:.12g}") for v in values))


@dataclass(frozen=True)
class OneOf:
    """One of ``options``; ``allowed`` are all that a user may ask for instead, where there are more."""

    options: tuple[Scalar, ...]
    default: Scalar
    allowed: tuple[Scalar, ...] = ()

    def grid(self, points: int = 0) -> list[Scalar]:
        """All options, however many points are asked for."""
        return list(self.options)


Dim = Number | OneOf
Space = dict[str, Dim]


def whole(low: int, high: int, default: int, log: bool = False, limits: tuple[float, float] | None = None) -> Number:
    """A whole number between ``low`` and ``high``."""
    return Number(low, high, default, log, True, limits or (min(low, 1), math.inf))


def defaults(space: Space) -> Settings:
    """The parameters that a search begins with."""
    return {name: dim.default for name, dim in space.items()}


def narrowed(space: Space, overrides: Settings, where: str) -> Space:
    """Apply a user's ``space`` from ``params.yaml``.

    ``[low, high]`` narrows (or moves, within the family's limits) a number; ``{low, high, log}`` does too;
    a list replaces the options of a choice, and ``{values: [...]}`` makes a number a choice.

    >>> narrowed({"alpha": Number(0.1, 10, 1, log=True)}, {"alpha": [0.5, 2]}, "models.ridge.space")["alpha"].high
    2.0
    """
    out = dict(space)
    for name, given in overrides.items():
        path = f"{where}.{name}"
        if name not in space:
            raise RefitError(f"{path}: not a tunable parameter; allowed: {some(space, 20)}." + nearest(name, space))
        out[name] = _narrow(space[name], given, path)
    return out


def _narrow(dim: Dim, given: Setting, path: str) -> Dim:
    if isinstance(given, dict) and set(given) == {"values"}:
        values = given["values"]
        if not isinstance(values, list) or not values:
            raise RefitError(f"{path}.values: give at least one value")
        options = tuple(v for v in values if not isinstance(v, list | dict))
        if len(options) < len(values):
            raise RefitError(f"{path}.values: expected single values, found {values!r}")
        if isinstance(dim, Number):
            for value in options:
                _within(dim, value, path)
        elif unknown := [v for v in options if v not in (dim.allowed or dim.options)]:
            raise RefitError(f"{path}: {some(unknown)} not among the options {some(dim.allowed or dim.options, 30)}")
        return OneOf(options, dim.default if dim.default in options else options[0])
    if isinstance(dim, OneOf):
        if not isinstance(given, list) or not given:
            out_of = some(dim.allowed or dim.options, 30)
            raise RefitError(f"{path}: expected a list of options out of {out_of}, found {given!r}")
        return _narrow(dim, {"values": given}, path)
    if isinstance(given, list) and len(given) == 2:
        given = {"low": given[0], "high": given[1]}
    if not isinstance(given, dict) or not {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        raise RefitError(f"{path}: expected [low, high], {{low, high, log}} or {{values: [...]}}, found {given!r}")
    low, high = (_within(dim, given[key], path) for key in ("low", "high"))
    if low > high:
        raise RefitError(f"{path}: low {low:g} is greater than high {high:g}; swap them")
    log = bool(given.get("log", dim.log))
    if log and low <= 0:
        raise RefitError(f"{path}: a logarithmic range needs low > 0, found {low:g}")
    return replace(dim, low=low, high=high, log=log, default=min(max(dim.default, low), high))


def _within(dim: Number, value: Setting, path: str) -> float:
    low, high = dim.bounds
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefitError(f"{path}: expected a number, found {value!r}")
    if not low <= value <= high:
        raise RefitError(f"{path}: {value!r} is outside the bounds of this parameter, {low:g} to {high:g}")
    if dim.whole and value != int(value):
        raise RefitError(f"{path}: expected a whole number, found {value!r}")
    return float(value)
