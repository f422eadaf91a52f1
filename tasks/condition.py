"""Conditions on the rows of a table, as labels from events use them: ``status == 'returned' and amount > 100``.

Allowed are columns (in backticks where they are more than one word), numbers, texts in quotes, ``+ - * /``, comparisons,
``in [a, b]``, ``and``, ``or``, ``not``, ``missing(column)``, and a boolean column by itself. What is compared with a
missing value is neither true nor false, and a row counts only where the whole is true. Nothing is handed to Python's ``eval``.

>>> frame = pd.DataFrame({"amount": [50.0, 200.0, None], "status": ["returned", "sent", "returned"]})
>>> Condition.parse("status == 'returned' and not amount > 100").true(frame, {"amount": "numeric", "status": "categorical"})
array([ True, False, False])
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.values.levels import level

NUMBERS, TEXTS = ("numeric", "boolean"), ("categorical", "text")
_ORDER: dict[type, Callable[..., np.ndarray]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_SUMS: dict[type, Callable[..., np.ndarray]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A checked text, its syntax tree and the columns it names, in order of appearance."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises :class:`RefitError` that quotes what is no condition."""
        quoted: list[str] = []

        def stand_in(match: re.Match[str]) -> str:
            quoted.append(match[1])
            return f" _quoted_{len(quoted) - 1} "

        try:
            tree = ast.parse(re.sub(r"`([^`]+)`", stand_in, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise RefitError(
                f"{text!r} is no condition, as amount > 100 is; write names of several words in `backticks`"
            ) from None
        names: dict[str, None] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                match = re.fullmatch(r"_quoted_(\d+)", node.id)
                node.id = quoted[int(match[1])] if match else node.id
        functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and id(node) not in functions:
                names[node.id] = None
        return cls(text, tree, tuple(names))

    def true(self, frame: pd.DataFrame, kinds: Mapping[str, str]) -> np.ndarray:
        """Bool (n,): where it is true. ``kinds``: of the table's columns. Raises :class:`RefitError` as :meth:`check`."""
        return np.broadcast_to(_Evaluation(self, frame, kinds).truth(self.tree), (len(frame),)) == 1

    def check(self, kinds: Mapping[str, str]) -> None:
        """Raises :class:`RefitError` for names that are no column, and for kinds that do not fit."""
        for name in self.names:
            if name not in kinds:
                quote = f" A text stands in quotes, as in '{name}'." if not nearest(name, kinds) else ""
                raise RefitError(f"{self.text!r}: {name!r} is not one of {some(kinds)}.{nearest(name, kinds) or quote}")
        empty = {
            name: pd.Series([], dtype="str" if kinds[name] in TEXTS else "float64")
            for name in self.names
            if kinds[name] in (*NUMBERS, *TEXTS)
        } | {name: pd.Series([], dtype="datetime64[us, UTC]") for name in self.names if kinds[name] == "datetime"}
        self.true(pd.DataFrame(empty), kinds)


@dataclass(frozen=True)
class _Evaluation:
    """One frame's answers: truth is float64, 1, 0 or NaN (neither)."""

    condition: Condition
    frame: pd.DataFrame
    kinds: Mapping[str, str]

    def refuse(self, what: str) -> RefitError:
        return RefitError(f"{self.condition.text!r}: {what}")

    def truth(self, node: ast.expr) -> np.ndarray:
        match node:
            case ast.BoolOp(op=op, values=values):
                decides = 1.0 if isinstance(op, ast.Or) else 0.0
                parts = [self.truth(value) for value in values]
                unknown = np.logical_or.reduce(np.broadcast_arrays(*[np.isnan(part) for part in parts]))
                decided = np.logical_or.reduce(np.broadcast_arrays(*[part == decides for part in parts]))
                return np.where(decided, decides, np.where(unknown, np.nan, 1.0 - decides))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return 1.0 - self.truth(operand)
            case ast.Compare(left=left, ops=ops, comparators=others):
                parts = [
                    self.compare(a, op, b) for a, op, b in zip([left, *others[:-1]], ops, others, strict=True)
                ]  # a < b < c
                return np.minimum.reduce(np.broadcast_arrays(*parts))
            case ast.Call(func=ast.Name(id="missing"), args=[ast.Name(id=name)], keywords=[]):
                return self.frame[name].isna().to_numpy(np.float64)
            case ast.Name(id=name) if self.kinds[name] == "boolean":
                return self.frame[name].to_numpy(np.float64, na_value=np.nan)
            case ast.Constant(value=bool() as value):
                return np.array(float(value))
        raise self.refuse(f"{ast.unparse(node)!r} is neither true nor false; compare it, as in amount > 100")

    def compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
                raise self.refuse("`in` takes a list, as in status in ['sent', 'paid']")
            equal = [self.compare(left, ast.Eq(), one) for one in right.elts]
            among = np.maximum.reduce(np.broadcast_arrays(*equal))
            return 1.0 - among if isinstance(op, ast.NotIn) else among
        if type(op) not in _ORDER:
            raise self.refuse("compare by < <= > >= == != or in")
        texts = [self.is_text(side) for side in (left, right)]
        if not any(texts):
            a, b = self.number(left), self.number(right)
            with np.errstate(invalid="ignore"):
                return np.where(np.isnan(a) | np.isnan(b), np.nan, _ORDER[type(op)](a, b).astype(np.float64))
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise self.refuse("texts are equal or not; they have no order")
        one, other = self.text(left), self.text(right)
        gone = pd.isna(one) | pd.isna(other)
        return np.where(gone, np.nan, _ORDER[type(op)](one, other).astype(np.float64))

    def is_text(self, node: ast.expr) -> bool:
        return (isinstance(node, ast.Name) and self.kinds[node.id] in TEXTS) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        )

    def text(self, node: ast.expr) -> np.ndarray:
        """Levels as tables name them, so that 5 and '5' are the same one."""
        match node:
            case ast.Name(id=name) if self.kinds[name] in TEXTS:
                return self.frame[name].to_numpy(object)
            case ast.Constant(value=str() | int() | float() as value):
                return np.array(level(value), dtype=object)
        raise self.refuse(f"{ast.unparse(node)!r} is no text, and is compared with one")

    def number(self, node: ast.expr) -> np.ndarray:
        match node:
            case ast.Name(id=name) if self.kinds[name] in NUMBERS:
                return self.frame[name].to_numpy(np.float64, na_value=np.nan)
            case ast.Constant(value=int() | float() as value):
                return np.array(float(value))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.number(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
                with np.errstate(all="ignore"):
                    result = _SUMS[type(op)](self.number(left), self.number(right))
                return np.where(np.isfinite(result), result, np.nan)
            case ast.Name(id=name):
                raise self.refuse(
                    f"column {name!r} is of kind {self.kinds[name]!r}, which is not compared with numbers"
                )
        raise self.refuse(f"{ast.unparse(node)!r} is not allowed here")
