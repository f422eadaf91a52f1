"""Values of any source to the kinds that ``params.yaml`` declares.

A value that cannot be read as its kind becomes missing and is reported with its row, so that
validation can move that row to quarantine; no row is lost here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa

TRUE = ("true", "t", "yes", "y", "1", "1.0")
FALSE = ("false", "f", "no", "n", "0", "0.0")
EXACT = 2.0**53  # from here on a float64 no longer tells every two whole numbers apart
DTYPES = {
    "numeric": "float64",
    "boolean": "float64",
    "categorical": "str",
    "text": "str",
    "datetime": "datetime64[us, UTC]",
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


def coerce(column: pa.ChunkedArray, kind: str) -> Coerced:
    """Read an Arrow column as ``kind``: numeric, boolean, categorical, text or datetime.

    Numbers come back as float64, booleans as 0.0/1.0, categories and text as ``str``, times as
    ``datetime64[us, UTC]`` (a time without a zone is UTC); missing is NaN or NaT. Infinite numbers and whole
    numbers that a float64 cannot hold exactly are problems, not values.

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
        return Coerced(_texts(column), _problems(np.zeros(len(column), bool), column, ""))
    values, bad, why = {"numeric": _numbers, "boolean": _booleans, "datetime": _times}[kind](column)
    problems = _problems(bad, column, _WHY[kind])
    for mask, text in why:
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
    words = _texts(column).str.strip().str.lower()
    values = np.where(words.isin(TRUE), 1.0, np.where(words.isin(FALSE), 0.0, np.nan))
    return pd.Series(values), given & words.notna().to_numpy() & np.isnan(values), []


def _times(column: pa.ChunkedArray) -> _Read:
    import pyarrow as pa
    import pyarrow.types as pt

    given = ~column.is_null().to_numpy()
    kind = column.type
    if _is_text(column):
        values = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601", errors="coerce")
    elif pt.is_timestamp(kind) or pt.is_date(kind):
        moments = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).to_pandas()
        values = moments.dt.tz_localize("UTC") if moments.dt.tz is None else moments.dt.tz_convert("UTC")
    else:
        values = pd.Series(pd.NaT, index=range(len(column)), dtype=DTYPES["datetime"])
    values = values.astype(DTYPES["datetime"]).reset_index(drop=True)
    return values, given & values.isna().to_numpy(), []


def _texts(column: pa.ChunkedArray) -> pd.Series:
    """Text of every value; whole floats without ``.0``, so that a category reads the same from CSV and Parquet."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if pt.is_boolean(column.type):
        column = pc.if_else(column, "True", "False")
    elif pt.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = column.drop_null()
        if pc.all(pc.equal(whole, pc.floor(whole))).as_py() and (pc.max(pc.abs(whole)).as_py() or 0) < EXACT:
            column = column.cast(pa.int64())
    if not _is_text(column):
        column = column.cast(pa.string())
    return pd.Series(column.to_pandas(), dtype="str").reset_index(drop=True)


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
