"""The text by which a category is known; it follows from the value, not from how a file happened to write it.

A column of whole codes that misses one value is written ``5.0`` by pandas; a boolean is ``True``, ``true`` or
``TRUE``; a time has a ``T`` in it or not. Were the level the text as written, a model would know no level of the next
file. So everything that reads a category goes through here: files (:func:`levels`), requests, golden rows, and the
names in ``params.yaml`` (:func:`level`).

- Blanks around a text do not count, nor do characters of no width, and a text of blanks is missing. Within it a
  non-breaking space is a space, and a letter with its accent is one character, however it was typed.
- A whole number is its digits: ``5``, ``5.0``, ``5.00``, ``1e+05`` (R), ``1.0E7`` (Java). A plain ``1e5`` may be a code
  and stays, as do ``007``, ``+5`` and ``3.10``, which may be a version.
- True and false are ``True`` and ``False``.
- A date is ``2024-01-31``; a time is in UTC, ``2024-01-31 18:00:00``, and at midnight a date.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_WHOLE = r"(-?(?:0|[1-9]\d*))\.0*"
_POWER = r"-?[1-9](?:\.\d+)?[eE]\+\d\d|-?[1-9]\.\d+[eE]\d{1,2}"
_WORD = r"[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?"
_ODD = re.compile(f"{_WHOLE}|-0|{_POWER}|{_WORD}|{_TIME}")  # texts that may be written in another way
_WHOLE_TEXT = re.compile(_WHOLE)
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"  # of no width: they count within a text, where some scripts need them
_NARROW = "\u00a0\u202f\u2007"  # spaces at which no line is broken
_BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u2028\u2029\u205f\u3000"
DIGITS = 16  # from 1e16 on pandas and Arrow write a float with an exponent, and so it stays


def level(value: object) -> str | None:
    """The level of one value; None where it is missing.

    >>> level(5), level(5.0), level("5.0"), level(" 5 "), level(2.5), level("007"), level("3.10")
    ('5', '5', '5', '5', '2.5', '007', '3.10')
    >>> level(True), level("TRUE"), level("yes"), level("  "), level(float("nan"))
    ('True', 'True', 'yes', None, None)
    >>> level(date(2024, 1, 31)), level("2024-01-31T00:00:00Z"), level("2024-01-31 20:30:00+02:00")
    ('2024-01-31', '2024-01-31', '2024-01-31 18:30:00')
    """
    if isinstance(value, str):
        return _text(value)
    if value is None or value != value:
        return None
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return _text(repr(float(value)))
    if isinstance(value, Decimal):
        return _text(format(value, "f"))
    if isinstance(value, bytes):
        return _text(value.decode("utf-8", errors="replace"))
    return _text(str(value))


def is_text(kind: pa.DataType) -> bool:
    """Whether a type of Arrow's is one of its three of texts."""
    import pyarrow.types as pt

    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def tidy(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts of an Arrow column as :func:`tidied` gives each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return pc.utf8_trim_whitespace(texts)
    coded = pa.chunked_array([texts.combine_chunks().dictionary_encode()]).combine_chunks()
    known = pa.array([tidied(text) for text in coded.dictionary.to_pylist()], texts.type)
    return pa.chunked_array([known.take(coded.indices)])


def tidied(text: str) -> str:
    """A text without what nobody sees: blanks and characters of no width around it, ways of typing an accent.

    >>> tidied("\u200b New\u00a0York ")
    'New York'
    """
    if text.isascii():
        return text.strip()
    for odd in _NARROW:
        text = text.replace(odd, " ")
    return unicodedata.normalize("NFC", text.strip(_UNSEEN + _BLANKS))


def levels(column: pa.ChunkedArray) -> pd.Series:
    """The level of every value of an Arrow column, as ``str``; missing is NaN."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    kind = column.type
    if is_text(kind):
        texts = tidy(column.cast(pa.large_string()))
        texts = pc.if_else(pc.equal(texts, ""), None, texts)
        texts = pc.replace_substring_regex(texts, f"^{_WHOLE}$", r"\1")
        odd = pc.fill_null(pc.match_substring_regex(texts, f"^(?:{_ODD.pattern})$"), False)
        values = pd.Series(texts.to_pandas(), dtype="str").reset_index(drop=True)
        if pc.any(odd).as_py():
            at = odd.to_numpy()
            values[at] = _each(values[at])
        return values
    if pt.is_integer(kind):
        return pd.Series(column.cast(pa.string()).to_pandas(), dtype="str").reset_index(drop=True)
    if pt.is_float64(kind) or pt.is_float32(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 10.0**DIGITS))
        if pc.all(whole).as_py():  # all that are there: the usual case of codes with a missing one, at once
            return levels(column.cast(pa.int64(), safe=False))
        size = pc.abs(column)
        usual = pc.or_(pc.and_(pc.greater_equal(size, 1e-4), pc.less(size, 1e10)), pc.equal(size, 0.0))
        values = levels(column.cast(pa.string()))
        rest = pc.fill_null(pc.invert(usual), False)  # with exponents Arrow writes otherwise than Python, and so CSV
        if pc.any(rest).as_py():
            at = rest.to_numpy()
            values[at] = _each(pd.Series(column.filter(rest).to_pylist(), dtype=object), kind).to_numpy()
        return values
    return _each(pd.Series(column.to_pylist(), dtype=object), kind)


def _each(values: pd.Series, kind: pa.DataType | None = None) -> pd.Series:
    """Level by level, each different value once."""
    import pandas as pd

    codes, different = pd.factorize(values)
    known = pd.Series([level(_shortest(value, kind)) for value in different] + [None], dtype="str")
    return known.iloc[codes].set_axis(values.index)


def _shortest(value: object, kind: pa.DataType | None) -> object:
    """A 32-bit float as it is written, not as its nearest 64-bit one: 0.1 and not 0.10000000149."""
    import numpy as np
    import pyarrow.types as pt

    if kind is None or pt.is_float64(kind) or not isinstance(value, float) or not pt.is_floating(kind):
        return value
    short = np.float32(value) if pt.is_float32(kind) else np.float16(value)
    return float(str(short))


def _text(text: str) -> str | None:
    text = tidied(text)
    if not _ODD.fullmatch(text):
        return text or None
    if text == "-0":
        return "0"
    whole = _WHOLE_TEXT.fullmatch(text)
    if whole:
        return "0" if whole[1] == "-0" else whole[1]
    if text[0] in "tTfF":
        return text.capitalize()
    if ":" in text:
        try:
            return _moment(
                datetime.fromisoformat(re.sub(r" ?(?:Z|UTC)$", "+00:00", re.sub(r" (?=[+-]\d\d)", "", text)))
            )
        except ValueError:
            return text  # as 2024-02-30 00:00
    number = Decimal(text)
    is_whole = number == number.to_integral_value() and abs(number) < 10**DIGITS
    return str(int(number)) if is_whole else text


def _moment(moment: datetime) -> str:
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    text = moment.strftime("%Y-%m-%d")
    if (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0):
        return f"{moment.year:04d}{text[text.index('-') :]}"
    at = moment.strftime("%H:%M:%S") + (f".{moment.microsecond:06d}" if moment.microsecond else "")
    return f"{moment.year:04d}{text[text.index('-') :]} {at}"
