"""Times as files and requests write them, in UTC; which way a column writes them is declared once, as its ``format``.

No text is held against the clock ("now", "today" are no times), and nothing is guessed value by value: ``01/02/2024``
means what the declared form says. ISO 8601 (``2024-01-31``, ``2024-01-31T18:00:00Z``) is read whatever the form, since
it cannot mean another moment; so are Arrow's own times and dates.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tasks.errors import some
from tasks.values.levels import is_text, levels

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

NUMBERED = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}  # microseconds a unit
FORMS = ("iso", *NUMBERED, "excel")
DTYPE: Final = "datetime64[us, UTC]"
_DIRECTIVES = "YymdHMSfzbBpIj"
_EXCEL_1970 = 25569  # the serial of 1970-01-01; serials count days, from 1900
_EXCEL = (61, 2_958_466)  # 1900-03-01 (before it Excel has a day that never was) to the end of 9999
_YEARS = (-62_135_596_800_000_000, 253_402_300_800_000_000)  # years 1 to 9999 in microseconds
_ISO = r"^\d{4}-\d\d"
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{3}(?:\d{3})?)?)?(?:Z|[+-]\d\d:\d\d)?)?")


def start_of_newest(times: pd.Series, rows: float) -> pd.Timestamp | None:
    """The moment from which on about ``rows`` of ``times`` lie; rows of one moment stay together.

    As near to ``rows`` as moments allow, with at least one moment on each side; None where there is one moment only.

    >>> import pandas as pd
    >>> days = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03"]))
    >>> start_of_newest(days, 1.4).day, start_of_newest(days, 2.6).day
    (3, 2)
    """
    counts = times.value_counts().sort_index(ascending=False)
    if len(counts) < 2:
        return None
    newer = counts.cumsum().iloc[:-1]
    start: Any = (newer - rows).abs().idxmin()
    return start


def check_form(form: str) -> str:
    """The form, if it is one: a name of :data:`FORMS`, or a pattern of ``strftime`` that names the year and the month.

    Raises ``ValueError`` that says what is allowed.
    """
    if form in FORMS:
        return form
    used = re.findall(r"%(.)", form)
    ok = "%" in form and set(used) <= set(_DIRECTIVES) and {"Y", "y"} & set(used) and {"m", "b", "B", "j"} & set(used)
    if not ok:
        raise ValueError(
            f"a format is one of {some(FORMS)}, or a pattern with year and month such as '%d.%m.%Y' or '%m/%d/%Y %H:%M'"
        )
    return form


def moments(column: pa.ChunkedArray, form: str = "iso") -> tuple[pd.Series, np.ndarray]:
    """Times of an Arrow column as ``datetime64[us, UTC]`` (without a zone: UTC), and which given values are none.

    >>> import pyarrow as pa
    >>> times, bad = moments(pa.chunked_array([["31.07.2020", "now", None]]), "%d.%m.%Y")
    >>> str(times[0]), bad.tolist()
    ('2020-07-31 00:00:00+00:00', [False, True, False])
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.types as pt

    kind = column.type
    if pt.is_timestamp(kind) or pt.is_date(kind):
        stored = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).to_pandas()
        values = stored.dt.tz_localize("UTC") if stored.dt.tz is None else stored.dt.tz_convert("UTC")
        return _within(_same(values), ~column.is_null().to_numpy())
    number = pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)
    if not (number or is_text(kind)):
        return _same(pd.Series(pd.NaT, index=range(len(column)))), ~column.is_null().to_numpy()
    texts = plain(column)
    given = texts.notna().to_numpy()
    if form == "iso":
        # A bare number is no time, however it is written, though pandas would read 20130101 and 2013 as one.
        values = _parsed(texts.mask(texts.str.fullmatch(r"\d+(?:\.\d*)?", na=False)), r"^\d{4}", "ISO8601")
    elif form in FORMS:
        values = _numbered(pd.to_numeric(texts, errors="coerce"), form)
    else:
        values = _parsed(texts, r"\d", form)
    left = values.isna().to_numpy() & given
    if form != "iso" and left.any():
        values[left] = _parsed(texts[left], _ISO, "ISO8601")
    return _within(_same(values), given)


def _within(values: pd.Series, given: np.ndarray) -> tuple[pd.Series, np.ndarray]:
    """Times of the years 1 to 9999, which every later reader can hold, and which given values are none."""
    import numpy as np

    micros = values.dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    beyond = (micros < _YEARS[0]) | (micros >= _YEARS[1])  # a missing time is the least of all whole numbers
    values = values.mask(beyond) if beyond.any() else values
    return values, given & values.isna().to_numpy()


def moment(value: object, form: str = "iso") -> datetime:
    """One value of a request in UTC, read as :func:`moments` reads a column. Raises ``ValueError``.

    >>> moment("2020-07-31"), moment(1596153600, "epoch_s") == moment("31.07.2020", "%d.%m.%Y")
    (datetime.datetime(2020, 7, 31, 0, 0, tzinfo=datetime.timezone.utc), True)
    """
    quick = _quick(value, form)
    if quick is not None:
        return quick
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("neither a text nor a number")
    import pyarrow as pa

    try:
        column = pa.chunked_array([pa.array([value])])
    except (pa.ArrowInvalid, OverflowError):
        raise ValueError("no time") from None
    values, bad = moments(column, form)
    if bad[0] or values.isna()[0]:
        raise ValueError(f"not a time of the form {form}")
    return values[0].to_pydatetime().astimezone(UTC)  # pandas' UTC is not the library's


def _quick(value: object, form: str) -> datetime | None:
    """The usual cases of :func:`moment`, a hundred times faster than a column of one value; None: not one of them."""
    try:
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            read = datetime.fromisoformat(value)
        elif isinstance(value, str) and form not in FORMS:
            read = datetime.strptime(value, form)
        elif form in NUMBERED and isinstance(value, int | float) and not isinstance(value, bool):
            read = _1970 + timedelta(microseconds=round(value * NUMBERED[form]))
        else:
            return None
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def plain(column: pa.ChunkedArray) -> pd.Series:
    """Trimmed texts; whole numbers without a point, whatever wrote them so."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_text(column.type):
        return levels(column)
    texts = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    texts = pc.replace_substring_regex(texts, r"^(-?\d+)\.0*$", r"\1")
    return pd.Series(texts.to_pandas(), dtype="str").reset_index(drop=True)


def _parsed(texts: pd.Series, must: str, form: str) -> pd.Series:
    """Texts that hold the pattern ``must``, by a form of ``pandas.to_datetime``."""
    import pandas as pd

    there = texts.where(texts.str.contains(must, regex=True, na=False))
    return pd.to_datetime(there, utc=True, format=form, errors="coerce").astype(DTYPE)


def _numbered(values: pd.Series, form: str) -> pd.Series:
    import numpy as np
    import pandas as pd

    number = values.to_numpy(float, na_value=np.nan)
    if form == "excel":
        number = np.where((number >= _EXCEL[0]) & (number < _EXCEL[1]), number, np.nan)
        micros = np.round((number - _EXCEL_1970) * 86_400_000.0) * 1_000.0  # a serial holds no more than milliseconds
    else:
        micros = np.round(number * float(NUMBERED[form]))
    bad = ~((micros >= _YEARS[0]) & (micros < _YEARS[1]))
    whole = np.where(bad, 0, micros).astype("int64")
    return pd.Series(pd.to_datetime(whole, unit="us", utc=True), index=values.index).astype(DTYPE).mask(bad)


def _same(values: pd.Series) -> pd.Series:
    import pandas as pd

    if not isinstance(values.dtype, pd.DatetimeTZDtype):
        values = pd.to_datetime(values, utc=True)
    return values.astype(DTYPE).reset_index(drop=True)
