"""Values of any source to the kinds that ``params.yaml`` declares.

A value that cannot be read as its kind becomes missing and is reported with its row, so that
validation can move that row to quarantine; no row is lost here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tasks.values.levels import is_text, levels, tidy
from tasks.values.missing import EMPTY
from tasks.values.moments import DTYPE, moments
from tasks.values.numbers import EXACT, INFINITE, LARGE, formed, number
from tasks.values.reading import FALSE, NESTED, NO_TRUTH, TRUE, Reading, no_time

BLOCK = 200_000  # rows
DTYPES = {
    "numeric": "float64",
    "boolean": "float64",
    "categorical": "str",
    "text": "str",
    "datetime": DTYPE,
}


@dataclass(frozen=True)
class Coerced:
    """A column in its declared kind, and the values that could not be read (``row``, ``value``, ``why``)."""

    values: pd.Series
    problems: pd.DataFrame


def coerce(column: pa.ChunkedArray, kind: str | Reading, form: str = "iso") -> Coerced:
    """Read an Arrow column as ``kind``: numeric, boolean, categorical, text or datetime (written in ``form``).

    A :class:`~tasks.values.reading.Reading` says more: which texts are missing, and whether capital letters count.
    Numbers come back as float64, booleans as 0.0/1.0, categories (by their level, :mod:`tasks.values.levels`) and
    text as ``str``, times as ``datetime64[us, UTC]`` (a time without a zone is UTC); missing is NaN or NaT. Infinite
    numbers and whole numbers that a float64 cannot hold exactly are problems, not values; so are lists and records.

    >>> import pyarrow as pa
    >>> read = coerce(pa.chunked_array([["1.5", "much", None]]), "numeric")
    >>> read.values.tolist()
    [1.5, nan, nan]
    >>> read.problems.to_dict("records")
    [{'row': 1, 'value': 'much', 'why': 'is not a number'}]
    """
    how = Reading(kind, form) if isinstance(kind, str) else kind
    if pt.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    given = ~column.is_null().to_numpy()
    if pt.is_nested(column.type):
        return Coerced(_nothing(len(column), how.kind), _problems(given, column, NESTED))
    column = without_missing(column, how)
    if how.kind in ("categorical", "text"):
        values = _levels(column, how) if how.kind == "categorical" else _texts(column)
        return Coerced(values, _problems(np.zeros(len(column), bool), column, ""))
    if how.kind == "datetime":
        # Texts are parsed by way of objects, so a long column is read a block at a time.
        blocks = [column.slice(at, BLOCK) for at in range(0, max(1, len(column)), BLOCK)]
        read = [moments(block, how.form) for block in blocks]
        values = read[0][0] if len(read) == 1 else pd.concat([v for v, _ in read], ignore_index=True)
        return Coerced(values, _problems(np.concatenate([bad for _, bad in read]), column, no_time(how.form)))
    values, bad, reasons = (_numbers if how.kind == "numeric" else _booleans)(column, how)
    problems = _problems(bad, column, NO_TRUTH if how.kind == "boolean" else "is not a number")
    for mask, text in reasons:
        problems.loc[problems["row"].isin(np.flatnonzero(mask)), "why"] = text
    return Coerced(values, problems)


_Read = tuple[pd.Series, np.ndarray, list[tuple[np.ndarray, str]]]


def _nothing(rows: int, kind: str) -> pd.Series:
    dtype: Any = DTYPES[kind]
    return pd.Series(np.full(rows, np.nan)).astype(dtype)


def without_missing(column: pa.ChunkedArray, how: Reading) -> pa.ChunkedArray:
    """The column with null in place of the texts, or numbers of a typed column, that count as missing."""
    if is_text(column.type):
        if not how.missing:
            return column
        column = column.cast(pa.large_string())
        texts = column if how.kind == "text" else tidy(column)
        gone = pc.is_in(texts, value_set=pa.array(sorted(how.texts), pa.large_string()))
        return pc.if_else(gone, pa.scalar(None, pa.large_string()), column)
    if how.numbers and (pt.is_integer(column.type) or pt.is_floating(column.type) or pt.is_decimal(column.type)):
        gone = pc.is_in(column.cast(pa.float64(), safe=False), value_set=pa.array(sorted(how.numbers)))
        return pc.if_else(gone, pa.scalar(None, column.type), column)
    return column


def _numbers(column: pa.ChunkedArray, how: Reading) -> _Read:

    given = ~column.is_null().to_numpy()
    kind = column.type
    trimmed = None
    if is_text(column.type):
        trimmed = tidy(column.cast(pa.large_string()))
        trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
        given = ~trimmed.is_null().to_numpy()  # blanks are no value
        if how.form != "iso":
            return _formed(trimmed, given, how)
        try:
            values = trimmed.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            # pandas.to_numeric is a bit off for some: a bad value must not change its neighbours.
            values = _each_number(trimmed)
    elif pt.is_decimal(kind):  # by their digits, since Arrow's own way is a bit off for some
        values = column.cast(pa.string()).cast(pa.float64()).to_numpy()
    elif pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy()
    else:
        values = np.full(len(column), np.nan)
    values = values.astype(float)
    if trimmed is None:
        given &= ~(np.isnan(values) & pt.is_floating(kind))  # a stored NaN is a missing number
    infinite = np.isinf(values)
    with np.errstate(invalid="ignore"):
        large = (np.abs(values) >= EXACT) & ~infinite & (values == np.floor(values))
    if large.any() and pt.is_floating(kind):
        large[:] = False  # it was a float already, so nothing is lost
    elif large.any() and trimmed is not None:
        digits = pd.Series(trimmed.to_pandas()).str.fullmatch(r"[+-]?\d+").to_numpy(bool, na_value=False)
        large &= digits
    bad = (given & np.isnan(values)) | infinite | large
    values = np.where(bad | np.isin(values, list(how.numbers)), np.nan, values)
    return pd.Series(values), bad, [(infinite, INFINITE), (large, LARGE)]


def _each_number(texts: pa.ChunkedArray) -> np.ndarray:
    """Numbers of a column in which not every text is one (NaN), to the bits that they have where every one is."""
    usual = pc.fill_null(pc.match_substring_regex(texts, r"^-?[0-9]{1,300}(\.[0-9]+)?([eE]-?[0-9]{1,2})?$"), False)
    values = pc.if_else(usual, texts, None).cast(pa.float64()).to_numpy()
    rest = np.flatnonzero(~usual.to_numpy() & ~texts.is_null().to_numpy())
    if len(rest):
        values = values.copy()
        values[rest] = [_number(text) for text in texts.take(pa.array(rest)).to_pylist()]
    return values


def _number(text: str) -> float:
    try:
        return number(text)
    except ValueError as error:
        return float(text) if str(error) in (INFINITE, LARGE) else np.nan


def _formed(texts: pa.ChunkedArray, given: np.ndarray, how: Reading) -> _Read:
    """Texts whose numbers are written in a declared format."""
    values, whys = formed(texts, how.form)
    bad = given & np.isnan(values)
    values = np.where(np.isin(values, list(how.numbers)), np.nan, values)
    return pd.Series(values), bad, [(bad & (whys == why), str(why)) for why in pd.unique(whys[bad])]


def _booleans(column: pa.ChunkedArray, how: Reading) -> _Read:
    given = ~column.is_null().to_numpy()
    words = levels(column).str.lower()
    values = np.where(words.isin(TRUE), 1.0, np.where(words.isin(FALSE), 0.0, np.nan))
    return pd.Series(values), given & words.notna().to_numpy() & np.isnan(values), []


def _levels(column: pa.ChunkedArray, how: Reading) -> pd.Series:
    values = levels(column)
    if how.keeps_empty and is_text(column.type):
        values = values.mask(values.isna().to_numpy() & ~column.is_null().to_numpy(), EMPTY)
    values = values.str.lower() if how.lower else values
    return values.replace(how.joined) if how.joined else values


def _texts(column: pa.ChunkedArray) -> pd.Series:
    """Free text as it is, blanks and all; what was no text, by its level."""
    return pd.Series(column.to_pandas(), dtype="str").reset_index(drop=True) if is_text(column.type) else levels(column)


def _problems(bad: np.ndarray, column: pa.ChunkedArray, why: str) -> pd.DataFrame:
    rows = np.flatnonzero(bad)
    shown: list[Any] = [str(v)[:80] for v in column.take(rows).to_pylist()] if len(rows) else []
    return pd.DataFrame(
        {
            "row": pd.Series(rows, dtype="int64"),
            "value": pd.Series(shown, dtype="str"),
            "why": pd.Series([why] * len(rows), dtype="str"),
        }
    )
