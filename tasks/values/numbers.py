"""Numbers as files and requests write them; which way a column writes them is declared once, as its ``format``.

A format is an example: one of the column's numbers, with thousands and decimals where it has them, and with the sign of
money, percent or unit that stands beside it. ``1.234,50`` means that points part thousands and the comma the decimals;
``$1,234.50`` that a ``$`` may stand before or after. Whatever the example, a minus may lead, trail, or be a pair of
parentheses, as in accounts. Nothing is guessed value by value: ``1,23`` is no number in a column of ``1,234.50``, and an
amount in another currency is none either. Without a format a number is written with a point and without thousands.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

EXACT = 2.0**53  # from here on a float64 no longer tells every two whole numbers apart
# What float32 holds, in which XGBoost, forests and networks compute: a larger number would be infinite there.
LARGEST = 3.4028234663852886e38
INFINITE = "is infinite"
LARGE = "is a whole number too large to keep exactly (declare it categorical)"
EXAMPLES = ("1,234.50", "1.234,50", "1 234,50", "1'234.50", "1,23,456.50", "1234,50", "$1,234.50", "12.5%", "0xFF")
AROUND = " \t\r\n\f\v\u00a0\u2007\u202f\u2009\u3000\u200b\u200c\u200d\u2060\ufeff"  # blanks, and what nobody sees
_SPACES = " \u00a0\u202f\u2009\u2007"
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[+-]?0[xX][0-9a-fA-F]+")
_POWER = r"(?:[eE][+-]?[0-9]+)?"
UNIFIED = str.maketrans(dict.fromkeys("\u2212\u2013\u2010\u2011\uff0d", "-") | dict.fromkeys("\u2019\u02bc`´", "'"))
MULTIPLES = frozenset(
    {
        "k",
        "m",
        "b",
        "t",
        "mn",
        "mm",
        "bn",
        "tn",
        "tsd",
        "mio",
        "mrd",
        "mill",
        "million",
        "billion",
        "thousand",
        "lakh",
        "crore",
        "cr",
        "lac",
    }
)


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written: marks of thousands (empty: none) and decimals, groups of two, and texts beside them."""

    thousands: str = ""
    decimal: str = "."
    pairs: bool = False
    beside: tuple[str, ...] = ()

    @property
    def pattern(self) -> re.Pattern[str]:
        """What a number so written matches."""
        return _pattern(self)


def check_number_form(form: str) -> str:
    """The format, if it is one. Raises ``ValueError`` that says what is allowed.

    >>> check_number_form("1.234,50 €")
    '1.234,50 €'
    >>> check_number_form("1.234")
    Traceback (most recent call last):
    ValueError: '1.234' may be one thousand or one and a bit; write it with its decimals, as in '1.234,50' or '1234.5'
    """
    parse_form(form)
    return form


@cache
def parse_form(form: str) -> NumberFormat | None:
    """What an example says; None for ``0xFF``, hexadecimal numbers. Raises ``ValueError``.

    >>> parse_form("CHF 1'234.50")
    NumberFormat(thousands="'", decimal='.', pairs=False, beside=('CHF',))
    """
    if _HEX.fullmatch(form.strip()):
        return None
    text = re.sub(r"[()+-]", "", form.translate(UNIFIED)).strip(AROUND)
    example = re.fullmatch(r"([^0-9]*?)([0-9](?:[0-9.,' \u00a0\u202f\u2009\u2007]*[0-9])?)([^0-9]*)", text)
    if not example:
        raise ValueError(
            f"a format of numbers is one of them as the column writes it, such as {', '.join(map(repr, EXAMPLES))}"
        )
    before, body, after = (part.strip(AROUND) for part in example.groups())
    beside = tuple(dict.fromkeys(part for part in (before, after) if part))
    for part in beside:
        if part.lower().rstrip(".") in MULTIPLES:
            raise ValueError(f"{part!r} in {form!r} multiplies the number, which no format does; write plain numbers")
    body = re.sub(f"[{_SPACES}]", " ", body)
    marks = re.sub(r"[0-9]", "", body)
    groups = re.split(r"[^0-9]", body)
    if not marks:
        return NumberFormat(beside=beside)
    if len(set(marks)) == 1 and len(marks) == 1 and marks in ".,":
        if len(groups[1]) == 3 and len(groups[0]) <= 3:
            raise ValueError(
                f"{form!r} may be one thousand or one and a bit; write it with its decimals, as in '1.234,50' or '1234.5'"
            )
        return NumberFormat(decimal=marks, beside=beside)
    thousands = marks[0]
    decimal = marks[-1] if marks[-1] != thousands else "," if thousands == "." else "."
    whole = groups[:-1] if marks[-1] != thousands else groups
    parts = marks[:-1] if marks[-1] != thousands else marks
    pairs = thousands == "," and len(whole) > 2 and all(len(group) == 2 for group in whole[1:-1])
    inner = 2 if pairs else 3
    right = all(len(group) == inner for group in whole[1:-1]) and len(whole[-1]) == 3 and 1 <= len(whole[0]) <= inner
    if set(parts) != {thousands} or decimal not in ".," or not right:
        raise ValueError(
            f"{form!r} is not written as numbers are; allowed are examples such as {', '.join(map(repr, EXAMPLES))}"
        )
    return NumberFormat(thousands, decimal, pairs, beside)


@cache
def _parts(form: NumberFormat) -> tuple[str, str, str]:
    """Patterns of the mark of thousands, of a number without sign, and of the texts beside it (empty: none)."""
    mark = {" ": f"[{_SPACES}]", "": ""}.get(form.thousands, re.escape(form.thousands))
    whole = "[0-9]+"
    if mark and form.pairs:
        whole = rf"[0-9]{{1,2}}(?:{mark}[0-9]{{2}})*{mark}[0-9]{{3}}|[0-9]+"
    elif mark:
        whole = rf"[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+|[0-9]+"
    decimal = re.escape(form.decimal)
    number = rf"(?:(?:{whole})(?:{decimal}[0-9]*)?|{decimal}[0-9]+){_POWER}"
    beside = "|".join(re.escape(part.translate(UNIFIED)) for part in sorted(form.beside, key=len, reverse=True))
    return mark, number, f"(?:{beside})" if beside else ""


@cache
def _pattern(form: NumberFormat) -> re.Pattern[str]:
    _, number, beside = _parts(form)
    a = f"{beside}?" if beside else ""
    return re.compile(
        rf"(?P<s1>[+-])?\s*{a}\s*(?P<s2>[+-])?\s*(?P<open>\()?\s*(?P<s3>[+-])?\s*{a}\s*(?P<s4>[+-])?(?P<number>{number})"
        rf"\s*{a}\s*(?P<s5>[+-])?\s*(?P<close>\))?\s*{a}"
    )


def number(text: str, form: str = "iso") -> float:
    """The number that a text writes in ``form`` (``iso``: without a format). Raises ``ValueError`` that says why not.

    >>> number("1.234,50", "1.234,5"), number("($12.50)", "$1,234.50"), number("12,5 %", "12,5%"), number("0x1F", "0xFF")
    (1234.5, -12.5, 12.5, 31.0)
    >>> number("1,23", "1,234.50")
    Traceback (most recent call last):
    ValueError: is not a number of the form 1,234.50
    """
    text = text.strip(AROUND)
    if form == "iso":
        if not _PLAIN.fullmatch(text):
            plain = text.lower().lstrip("+-")
            raise ValueError(INFINITE if plain in ("inf", "infinity") else "is not a number")
        value, whole = float(text), text.lstrip("+-").isdigit()
    else:
        value, whole = _formed(text, form)
    if math.isinf(value):
        raise ValueError(INFINITE)
    if whole and abs(value) >= EXACT:
        raise ValueError(LARGE)
    return value


def _formed(text: str, form: str) -> tuple[float, bool]:
    """The number, and whether it is written as a whole one."""
    how = parse_form(form)
    if how is None:
        if not _HEX.fullmatch(text):
            raise ValueError("is not a hexadecimal number such as 0xFF")
        whole = int(text, 16)
        return (float(whole) if abs(whole) < EXACT else EXACT), True
    match = how.pattern.fullmatch(text.translate(UNIFIED))
    signs = [sign for sign in match.group("s1", "s2", "s3", "s4", "s5") if sign] if match else []
    fit = match is not None and bool(match["open"]) == bool(match["close"]) and len(signs) + bool(match["open"]) <= 1
    if match is None or not fit:
        raise ValueError(f"is not a number of the form {form}")
    digits = match["number"]
    if how.thousands:
        digits = re.sub(f"[{_SPACES}]" if how.thousands == " " else re.escape(how.thousands), "", digits)
    value = float(digits.replace(how.decimal, "."))
    return (-value if "-" in signs or match["open"] else value), digits.isdigit()


def formed(texts: pa.ChunkedArray, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts as float64 by a declared format, and why a given one is no number (empty where it is one)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values, whys = np.full(len(texts), np.nan), np.full(len(texts), "", dtype=object)
    usual = np.zeros(len(texts), bool)
    how = parse_form(form)
    if how is not None:  # a minus in front, if any: the usual way, at once
        mark, number_, beside = _parts(how)
        a = f"{beside}?" if beside else ""
        plain = pc.fill_null(pc.match_substring_regex(texts, f"^-?{a} ?{number_} ?{a}$"), False)
        bare = pc.replace_substring_regex(pc.if_else(plain, texts, None), f"{beside or ' '}| ", "")
        bare = pc.replace_substring_regex(bare, mark, "") if mark else bare
        read = pc.replace_substring(bare, how.decimal, ".").cast(pa.float64()).to_numpy()
        usual = np.abs(read) < EXACT
        values[usual] = read[usual]
    rest = np.flatnonzero(~usual & ~texts.is_null().to_numpy())
    known: dict[str, tuple[float, str]] = {}
    for at, text in zip(rest, texts.take(pa.array(rest)).to_pylist(), strict=True):
        if text not in known:
            try:
                known[text] = number(text, form), ""
            except ValueError as error:
                known[text] = np.nan, str(error)
        values[at], whys[at] = known[text]
    return values, whys
