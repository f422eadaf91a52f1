"""Values of any source to the kinds that ``params.yaml`` declares.

A value that cannot be read as its kind becomes missing and is reported with its row, so that
validation can move that row to quarantine; no row is lost here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.values.levels import levels
from tasks.values.moments import DTYPE, moments

if TYPE_CHECKING:
    import pyarrow as pa

TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")
EXACT = 2.0**53  # from here on a float64 no longer tells every two whole numbers apart
DTYPES = {
    "numeric": "float64",
    "boolean": "float64",
    "categorical": "str",
    "text": "str",
    "datetime": DTYPE,
}
_WHY = {
    "numeric": "is not a number",
    "boolean": "is not one of true/false, yes/no, 1/0",
    "datetime": "is not an ISO 8601 time such as 2013-10-31T18:00:00Z",
}


@dataclass(frozen=True)
class Coerced:
    """A column in its declared kind, and the values that could not be read (``row``, ``value``, ``why``)."""

    values: pd.Series
    problems: pd.DataFrame


def coerce(column: pa.ChunkedArray, kind: str, form: str = "iso") -> Coerced:
    """Read an Arrow column as ``kind``: numeric, boolean, categorical, text or datetime (written in ``form``).

    Numbers come back as float64, booleans as 0.0/1.0, categories (by their level, :mod:`tasks.values.levels`) and
    text as ``str``, times as ``datetime64[us, UTC]`` (a time without a zone is UTC); missing is NaN or NaT. Infinite
    numbers and whole numbers that a float64 cannot hold exactly are problems, not values.

    >>> import pyarrow as pa
    >>> read = coerce(pa.chunked_array([["1.5", "much", None]]), "numeric")
    >>> read.values.tolist()
    [1.5, nan, nan]
    >>> read.problems.to_dict("records")
    [{'row': 1, 'value': 'much', 'why': 'is not a number'}]
    """
    import pyarrow.types as pt

    kept = column.type
    if pt.is_dictionary(kept):
        column = column.cast(kept.value_type)
    if kind in ("categorical", "text"):
        values = levels(column) if kind == "categorical" else _texts(column)
        return Coerced(values, _problems(np.zeros(len(column), bool), column, ""))
    if kind == "datetime":
        values, bad = moments(column, form)
        why = f"is not a time of the form {form}" if form != "iso" else _WHY[kind]
        return Coerced(values, _problems(bad, column, why))
    values, bad, reasons = {"numeric": _numbers, "boolean": _booleans}[kind](column)
    problems = _problems(bad, column, _WHY[kind])
    for mask, text in reasons:
        problems.loc[problems["row"].isin(np.flatnonzero(mask)), "why"] = text
    return Coerced(values, problems)


_Read = tuple[pd.Series, np.ndarray, list[tuple[np.ndarray, str]]]


def _is_text(column: pa.ChunkedArray) -> bool:
    import pyarrow.types as pt

    return pt.is_string(column.type) or pt.is_large_string(column.type) or pt.is_string_view(column.type)


def _numbers(column: pa.ChunkedArray) -> _Read:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    given = ~column.is_null().to_numpy()
    kind = column.type
    if _is_text(column):
        trimmed = pc.utf8_trim_whitespace(column)
        trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
        given = ~trimmed.is_null().to_numpy()  # blanks are no value
        try:
            values = trimmed.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            values = pd.to_numeric(trimmed.to_pandas(), errors="coerce").to_numpy(float, na_value=np.nan)
    elif pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind) or pt.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy()
    else:
        values = np.full(len(column), np.nan)
    values = values.astype(float)
    if not _is_text(column):
        given &= ~(np.isnan(values) & pt.is_floating(kind))  # a stored NaN is a missing number
    infinite = np.isinf(values)
    with np.errstate(invalid="ignore"):
        large = (np.abs(values) >= EXACT) & ~infinite & (values == np.floor(values))
    if large.any() and pt.is_floating(kind):
        large[:] = False  # it was a float already, so nothing is lost
    elif large.any() and _is_text(column):
        digits = pd.Series(column.to_pandas()).str.fullmatch(r"\s*[+-]?\d+\s*").to_numpy(bool, na_value=False)
        large &= digits
    bad = (given & np.isnan(values)) | infinite | large
    values = np.where(bad, np.nan, values)
    return (
        pd.Series(values),
        bad,
        [(infinite, "is infinite"), (large, "is a whole number too large to keep exactly (declare it categorical)")],
    )


def _booleans(column: pa.ChunkedArray) -> _Read:
    given = ~column.is_null().to_numpy()
    words = levels(column).str.lower()
    values = np.where(words.isin(TRUE), 1.0, np.where(words.isin(FALSE), 0.0, np.nan))
    return pd.Series(values), given & words.notna().to_numpy() & np.isnan(values), []


def _texts(column: pa.ChunkedArray) -> pd.Series:
    """Free text as it is, blanks and all; what was no text, by its level."""
    return pd.Series(column.to_pandas(), dtype="str").reset_index(drop=True) if _is_text(column) else levels(column)


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
