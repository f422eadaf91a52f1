"""Who a row is: a number that follows from the row itself, whatever stands beside it and in whatever order.

From it follow a row's part of a random split (:func:`position`) and what a package says about the rows it was fitted
on (:mod:`tasks.bundle.seen`). So rows that are appended, removed or reordered move no other row, and no later run
judges a model on rows that it has seen.

A row is named by its table's key; without a key by its inputs: all declared columns but the target, the outcomes and
those that are ignored. Rows with the same inputs have the same number, unless one content makes up more than
:data:`COMMON` of the rows: then its occurrences are counted, so that no part is made of copies alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from tasks.params import Params
    from tasks.stored import Frame

FORMAT = 1
COMMON = 0.01  # one content on a larger share of the rows is told apart by its occurrences
_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_MISSING = np.uint64(0x6D697373696E6700)


@dataclass(frozen=True)
class Rule:
    """By which columns rows are told apart: those of the key, or all inputs. ``kinds`` are theirs, in the same order."""

    table: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    keyed: bool

    @classmethod
    def of(cls, params: Params) -> Rule:
        """The rule that ``params.yaml`` gives for the rows of the problem's table."""
        table = params.data.tables[params.problem.table]
        hidden = {params.problem.target.column, params.problem.target.name, *table.outcome}
        columns = table.key or tuple(
            name for name, column in table.columns.items() if column.kind != "ignore" and name not in hidden
        )
        columns = tuple(sorted(columns))
        return cls(params.problem.table, columns, tuple(table.columns[c].kind for c in columns), bool(table.key))

    def to_dict(self) -> dict[str, int | str | bool | list[str]]:
        """As JSON."""
        return {"format": FORMAT, "table": self.table, "columns": list(self.columns), "kinds": list(self.kinds),
                "keyed": self.keyed}  # fmt: skip

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Rule:
        """From what :meth:`to_dict` gave."""
        return cls(stored["table"], tuple(stored["columns"]), tuple(stored["kinds"]), stored["keyed"])


@dataclass(frozen=True)
class Identity:
    """Numbers of rows, uint64 (n,): ``content`` of the named columns, and ``row``, which also counts occurrences."""

    row: np.ndarray
    content: np.ndarray


def identify(rows: Frame, rule: Rule) -> Identity:
    """The rows' numbers by ``rule``; ``rows`` is the whole table, since common contents are counted in it.

    >>> rows = pd.DataFrame({"a": [1.0, 2.0, 1.0], "b": ["x", "y", "x"]})
    >>> rule = Rule("t", ("a", "b"), ("numeric", "categorical"), keyed=False)
    >>> one, two = identify(rows, rule).content, identify(rows[::-1], rule).content
    >>> bool(one[0] == one[2] != one[1]), (one == two[::-1]).tolist()
    (True, [True, True, True])
    """
    content = numbers(rows, rule.columns)
    if rule.keyed or len(rows) == 0:
        return Identity(content, content)
    _, code, count = np.unique(content, return_inverse=True, return_counts=True)
    # A table of a few hundred rows has no common content in two or three copies.
    common = count[code] > max(COMMON * len(rows), 5)
    occurrence = pd.Series(code).groupby(code).cumcount().to_numpy().astype(np.uint64)
    return Identity(np.where(common, _mix(content + _STEP * (occurrence + np.uint64(1))), content), content)


def numbers(rows: Frame, columns: tuple[str, ...]) -> np.ndarray:
    """A uint64 (n,) for the values of ``columns``; equal values, in whatever order the columns are named, are equal."""
    total = np.zeros(len(rows), dtype=np.uint64)
    for name in sorted(columns):
        total = _mix(total ^ _mix(_values(rows[name]) + _number(name)))
    return total


def together(rows: pd.DataFrame, own: np.ndarray, by: tuple[str, ...]) -> np.ndarray:
    """Numbers of the groups that ``split.by`` keeps together, uint64 (n,).

    A row with a missing value among the columns ``by`` is a group of its own, by its own number.
    """
    return np.where(rows[list(by)].isna().any(axis=1).to_numpy(), own, numbers(rows, by)) if by else own


def position(rows: np.ndarray, salt: str) -> np.ndarray:
    """Where in [0, 1) rows with these numbers stand, evenly spread and another way for each ``salt``; float64 (n,)."""
    return (_mix(rows ^ _number(f"salt:{salt}")) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _values(column: pd.Series) -> np.ndarray:
    """A number for each value: of numbers and moments their own bits, of texts the hash of their letters."""
    missing = column.isna().to_numpy()
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(column):
        bits = column.to_numpy("datetime64[us]").astype(np.int64).view(np.uint64)
    elif pd.api.types.is_numeric_dtype(column):
        bits = (column.to_numpy(np.float64, na_value=np.nan) + 0.0).view(np.uint64)  # -0.0 is 0.0
    else:
        codes, levels = pd.factorize(column)
        known = np.array([_number(str(level)) for level in levels] or [_MISSING], dtype=np.uint64)
        bits = known[codes]
    return np.where(missing, _MISSING, bits)


def _number(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): each bit of the result depends on each bit of ``x``."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, dtype=np.uint64) + _STEP
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
