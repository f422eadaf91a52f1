"""Transforms: a small safe language of expressions over features, written in ``params.yaml``.

Names stand in backticks where they are more than one word: ``log1p(`carrier.count(7d)`) / 2``. Allowed are numbers,
``+ - * / ** %``, comparisons (1 or 0), parentheses and the functions of :data:`FUNCTIONS`. The text is parsed by
:mod:`ast` and only these nodes are evaluated; nothing of it is ever handed to Python's ``eval``.

>>> import numpy as np
>>> e = Expression.parse("max(`a b`, 0) / n")
>>> e.names
('a b', 'n')
>>> e.evaluate({"a b": np.array([3.0, -1.0]), "n": np.array([2.0, 0.0])})
array([1.5, nan])
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tasks.errors import RefitError, nearest, some

Array = np.ndarray


def _clip(x: Array, low: Array, high: Array) -> Array:
    return np.minimum(np.maximum(x, low), high)


def _coalesce(x: Array, other: Array) -> Array:
    return np.where(np.isnan(x), other, x)


def _missing(x: Array) -> Array:
    return np.isnan(x).astype(np.float64)


def _bin(x: Array, *edges: Array) -> Array:
    """How many of the edges lie at or below x."""
    return np.where(np.isnan(x), np.nan, sum(((x >= e).astype(np.float64) for e in edges), np.zeros_like(x)))


def _where(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0, yes, no))


# name: (function, fewest arguments, most arguments)
FUNCTIONS: dict[str, tuple[Callable[..., Array], int, int]] = {
    "abs": (np.abs, 1, 1),
    "bin": (_bin, 2, 100),
    "ceil": (np.ceil, 1, 1),
    "clip": (_clip, 3, 3),
    "coalesce": (_coalesce, 2, 2),
    "cos": (np.cos, 1, 1),
    "exp": (np.exp, 1, 1),
    "floor": (np.floor, 1, 1),
    "log": (np.log, 1, 1),
    "log1p": (np.log1p, 1, 1),
    "max": (np.maximum, 2, 2),
    "min": (np.minimum, 2, 2),
    "missing": (_missing, 1, 1),
    "round": (np.rint, 1, 1),
    "sign": (np.sign, 1, 1),
    "sin": (np.sin, 1, 1),
    "sqrt": (np.sqrt, 1, 1),
    "where": (_where, 3, 3),
}
OPERATORS: dict[type, Callable[..., Array]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: np.power,
    ast.Mod: np.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
CONSTANTS = {"pi": np.pi, "e": np.e}


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, and the names it uses in order of appearance."""

    text: str
    names: tuple[str, ...]

    @classmethod
    @cache
    def parse(cls, text: str) -> Expression:
        """Raises :class:`RefitError` that quotes the expression and says what is not allowed in it."""
        names = _compiled(text)[1]
        return cls(text, names)

    def evaluate(self, values: Mapping[str, Array]) -> Array:
        """Elementwise over float64 columns of one length; what has no finite value (1/0, log(-1)) is NaN."""
        run, names = _compiled(self.text)
        with np.errstate(all="ignore"):
            result = run({n: values[n] for n in names})
        size = len(values[names[0]]) if names else 1
        result = np.broadcast_to(np.asarray(result, dtype=np.float64), (size,))
        return np.where(np.isfinite(result), result, np.nan)


@cache
def _compiled(text: str) -> tuple[Callable[[Mapping[str, Array]], Array], tuple[str, ...]]:
    quoted: list[str] = []

    def stand_in(match: re.Match[str]) -> str:
        quoted.append(match[1])
        return f" _quoted_{len(quoted) - 1} "

    plain = re.sub(r"`([^`]+)`", stand_in, text).strip()

    def refuse(what: str) -> RefitError:
        return RefitError(f"transform {text!r}: {what}")

    try:
        tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refuse("not an expression; write names of several words in `backticks`") from None
    names: dict[str, None] = {}

    def build(node: ast.AST) -> Callable[[Mapping[str, Array]], Any]:
        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                number = np.float64(value)
                return lambda v: number
            case ast.Name(id=name) if name in CONSTANTS:
                constant = np.float64(CONSTANTS[name])
                return lambda v: constant
            case ast.Name(id=name):
                name = quoted[int(name[8:])] if re.fullmatch(r"_quoted_\d+", name) else name
                names[name] = None
                return lambda v: v[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                a, b, act = build(left), build(right), OPERATORS[type(op)]
                return lambda v: act(a(v), b(v))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                a, act = build(operand), OPERATORS[type(op)]
                return lambda v: act(a(v))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
                a, b, act = build(left), build(right), OPERATORS[type(op)]
                return lambda v: _compare(act, a(v), b(v))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in FUNCTIONS:
                    hint = nearest(name, FUNCTIONS) or f" Allowed: {some(FUNCTIONS, 30)}."
                    raise refuse(f"function {name!r} is not known.{hint}")
                function, fewest, most = FUNCTIONS[name]
                if not fewest <= len(args) <= most:
                    raise refuse(
                        f"{name} takes {fewest}{'' if most == fewest else ' or more'} arguments, not {len(args)}"
                    )
                parts = [build(a) for a in args]
                return lambda v: function(*(p(v) for p in parts))
        raise refuse(
            f"{ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__!r} is not allowed here"
        )

    return build(tree.body), tuple(names)


def _compare(act: Callable[..., Array], a: Array, b: Array) -> Array:
    """1.0 or 0.0, and NaN where either side is missing."""
    return np.where(np.isnan(a) | np.isnan(b), np.nan, act(a, b).astype(np.float64))
