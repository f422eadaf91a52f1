"""Does a column hold dates, and how does it write them? And which column says when its row happened?

What is found is declared (``format:`` of the column), so later runs read by the declaration and never guess. Numbers
are harder than texts, because an id, a zip code, a year or a price may look like a date: ``20200731`` counts where all
values are days of a calendar; seconds and milliseconds since 1970, Excel's serials and ``202007`` count only where the
column's name speaks of a time, or (seconds and milliseconds) all values are full minutes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tasks.values.levels import is_text
from tasks.values.moments import moments, plain

READABLE = 0.95  # as for other kinds: a form fits if at least this share of the values can be read so
YEARS = (1800, 2200)
EXCEL = (20_000, 60_000)  # serials of the days from 1954 to 2064
FORMS = 12  # more shapes than these are no ways to write a date
FEW = 5  # so few different numbers may look like days by chance, unless the name says that they are
TWO_DIGITS = "of years in two digits 69 to 99 are of the 1900s, and 00 to 68 of the 2000s"
_TIME_WORDS = (
    "date dates day time timestamp timestamps datetime ts dt at when epoch unix utc moment stamp created"
    " updated modified month period"
)
TIME_WORDS = frozenset(_TIME_WORDS.split())
NO_TIME = re.compile(r"(up|man|candi|life|over|run|down|part|some|meal|play|half|full|over|lead|wait)(date|time)s?$")
_ID_WORDS = "id ids key uuid code zip zipcode postcode postal phone ean gtin isbn sku number no nr"
ID_WORDS = frozenset(_ID_WORDS.split())
MONEY = frozenset({"price", "amount", "revenue", "cost", "salary", "income", "budget", "sales", "value"})
CLOCK = r"(?:(, |[ T])(\d{1,2}):(\d{2})(:\d{2})?(\.\d+)?( ?[AaPp][Mm])?( ?(?:Z|[+-]\d\d:?\d\d))?)?"


@dataclass(frozen=True)
class Form:
    """How a column writes its times, and a remark where that could not be told for certain."""

    form: str
    remark: str = ""


def form_of(name: str, column: pa.ChunkedArray, place: str = "") -> Form | None:
    """The form in which a column writes dates; None where it holds something else.

    ``place``: what the file's other columns write first, the day (``d``) or the month (``m``); it counts where the
    column itself does not tell.

    >>> import pyarrow as pa
    >>> form_of("sold", pa.chunked_array([["31.07.2020", "01.08.2020"]]))
    Form(form='%d.%m.%Y', remark='')
    >>> form_of("zip", pa.chunked_array([["10115", "80331"]])), form_of("year", pa.chunked_array([[1999, 2003]]))
    (None, None)
    """
    kind = column.type
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return Form("iso")
    if not (is_text(kind) or pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)):
        return None
    if _too_small(column):
        return None
    texts = plain(column).dropna()
    if texts.empty:
        return None
    counts = texts.value_counts(sort=False)
    different = pd.Series(counts.index.astype("str"), dtype="str")
    weights = counts.to_numpy(float)
    numbers = pd.to_numeric(different, errors="coerce")
    if weights[numbers.notna()].sum() >= READABLE * weights.sum():
        form = _of_numbers(name, different, numbers, weights)
        return Form(form) if form else None
    if not is_text(kind):
        return None
    return _of_texts(name, texts, different, weights, place)


def first_of(texts: Iterable[str]) -> set[str]:
    """What texts that may be dates certainly write first, by numbers above twelve: the day, the month, or both.

    >>> first_of(["31/07/2020", "01/02/2020"]), first_of(["07/31/2020"]), first_of(["01/02/2020", "10115"])
    ({'d'}, {'m'}, set())
    """
    found = set()
    for text in texts:
        if m := re.match(r"(\d{1,2})([/.\- ])(\d{1,2})\2(\d{4}|\d\d)(?!\d)", text):
            found |= {"d"} if 12 < int(m[1]) <= 31 and int(m[3]) <= 12 else set()
            found |= {"m"} if 12 < int(m[3]) <= 31 and int(m[1]) <= 12 else set()
    return found


def says_time(name: str) -> bool:
    """Whether a column's name speaks of a time: ``sold_at``, ``orderDate``, ``timestamp``; not ``update`` or ``lifetime``.

    >>> [says_time(name) for name in ("sold_at", "orderDate", "saledate", "candidate", "lifetime", "price", "customer_id")]
    [True, True, True, False, False, False, False]
    """
    words = name_words(name)
    if words & ID_WORDS:
        return False
    return bool(words & TIME_WORDS) or any(
        re.search(r"(date|time|timestamp|datetime|epoch)$", word) and not NO_TIME.search(word) for word in words
    )


def name_words(name: str) -> set[str]:
    """The words of a column's name, small."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return set(re.findall(r"[a-z]+", spaced.lower()))


def _too_small(column: pa.ChunkedArray) -> bool:
    """Whether these are numbers too small for any date: the usual case, told at once."""
    try:
        numbers = (pc.utf8_trim_whitespace(column) if is_text(column.type) else column).cast(pa.float64(), safe=False)
    except pa.ArrowInvalid:
        return False
    large = pc.sum(pc.greater_equal(numbers, float(EXCEL[0]))).as_py() or 0
    return large < READABLE * (len(numbers) - numbers.null_count)


def _of_numbers(name: str, different: pd.Series, numbers: pd.Series, weights: np.ndarray) -> str | None:
    """The form of numbers that are dates. ``different`` are their texts."""
    known = np.where(np.isfinite(numbers.to_numpy(float)), numbers.to_numpy(float), np.nan)
    there = ~np.isnan(known)
    total = weights[there].sum()
    named, other = says_time(name), name_words(name) & (ID_WORDS | MONEY)

    def mostly(where: np.ndarray) -> bool:
        return bool(weights[there & where].sum() >= READABLE * total)

    whole = known == np.floor(known)
    for digits, pattern in ((8, "%Y%m%d"), (14, "%Y%m%d%H%M%S"), (12, "%Y%m%d%H%M"), (6, "%Y%m")):
        shaped = different.str.fullmatch(rf"(?:18|19|20|21)\d{{{digits - 2}}}").to_numpy(bool)
        if mostly(shaped) and (named or (digits > 6 and len(different) >= FEW)):
            read = _parsed(different, pattern).notna().to_numpy()
            if (read | ~shaped).all() and mostly(read):
                return pattern
    for form, low, high in (("epoch_s", 3e8, 4.2e9), ("epoch_ms", 3e11, 4.2e12), ("epoch_us", 3e14, 4.2e15)):
        inside = (known >= low) & (known < high)  # 1979 to 2103
        unit = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}[form]
        minutes = whole & (np.mod(known, 60 * unit) == 0)
        if mostly(inside) and (named or (len(different) >= FEW and mostly(minutes) and not other)):
            return form
    days = (known >= EXCEL[0]) & (known < EXCEL[1])
    return (
        "excel"
        if mostly(days) and named and len(different) >= FEW and not name_words(name) & {"time", "times"}
        else None
    )


def _of_texts(name: str, texts: pd.Series, different: pd.Series, weights: np.ndarray, place: str) -> Form | None:
    if _share(_parsed(different, "iso"), weights) >= READABLE:
        return Form("iso")
    shapes = Counter(re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "9", text)) for text in different.head(1000))
    common = [shape for shape, _ in shapes.most_common(2)]  # two, since every form reads ISO dates too
    if "9" not in common[0] or len(common[0]) > 30:
        return None
    found: list[str] = []
    for shape in common:
        example = next(text for text in different if re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "9", text)) == shape)
        found += [form for form in _patterns(name, example) if form not in found]
    shares = {form: _share(_parsed(different, form), weights) for form in found}
    best = max(shares.values(), default=0.0)
    if best < READABLE:
        return None
    kept = [form for form in found if shares[form] == best]
    found_form = Form(kept[0]) if len(kept) == 1 else _day_or_month(kept, texts, place)
    if found_form is None or "%y" not in found_form.form:
        return found_form
    return Form(found_form.form, "; ".join(filter(None, (found_form.remark, TWO_DIGITS))))


def several_forms(name: str, texts: Counter[str]) -> dict[str, int]:
    """Forms in which a column writes dates, one value in each way, and the rows of each; none unless there are several.

    >>> several_forms("sold", Counter({"2024-01-31": 3, "2024-02-01": 1, "31.01.2024": 2, "Feb 1, 2024": 1}))
    {'2024-01-31': 4, '31.01.2024': 2, 'Feb 1, 2024': 1}
    """
    shapes: dict[str, list[str]] = {}
    for text in texts:
        digits = re.sub(r"\d+", "9", re.sub(r"\d{4}", "8", text))  # a year is told from a day
        shapes.setdefault(re.sub(r"[A-Za-z]+", "a", digits), []).append(text)
    found = {}
    for shape, alike in shapes.items():
        if len(shapes) > FORMS or "9" not in shape or len(shape) > 30:
            return {}
        different = pd.Series(alike, dtype="str")
        read = (_parsed(different, form).notna() for form in ("iso", *_patterns(name, alike[0])))
        if not any(there.mean() >= READABLE for there in read):
            return {}
        found[alike[0]] = sum(texts[text] for text in alike)
    return found if len(found) > 1 else {}


def _patterns(name: str, example: str) -> list[str]:
    """The patterns that a text may be written in; several where day and month could change places.

    >>> _patterns("sold", "7/31/2020 10:00"), _patterns("sold", "31 May 2020")
    (['%d/%m/%Y %H:%M', '%m/%d/%Y %H:%M'], ['%d %b %Y', '%d %B %Y'])
    """
    found = re.fullmatch(rf"(.*?){CLOCK}", example)
    assert found is not None
    days, gap, hour, _, second, fraction, half, zone = found.groups()
    clock = ""
    if hour:
        clock = f"{gap}%I:%M" if half else f"{gap}%H:%M"
        clock += "".join((":%S" if second else "", ".%f" if fraction else ""))
        clock += (" %p" if half[0] == " " else "%p") if half else ""
        clock += (" %z" if zone[0] == " " else "%z") if zone else ""
    return [date + clock for date in _dates(name, days)]


def _dates(name: str, days: str) -> list[str]:
    if m := re.fullmatch(r"(\d{1,2})([/.\- ])(\d{1,2})\2(\d{4}|\d\d)", days):
        gap, year = m[2], "%Y" if len(m[4]) == 4 else "%y"
        padded = len(m[1]) == len(m[3]) == 2 and gap in "/."
        if year == "%y" and not (says_time(name) or padded):
            return []  # rather a version or a part's number
        return [f"%d{gap}%m{gap}{year}", f"%m{gap}%d{gap}{year}"]
    if m := re.fullmatch(r"\d{4}([/. ])\d{1,2}\1\d{1,2}", days):
        return [f"%Y{m[1]}%m{m[1]}%d"]
    if m := re.fullmatch(r"\d{1,2}([/-])\d{4}", days):
        return [f"%m{m[1]}%Y"]
    if m := re.fullmatch(r"(\d{1,2})(\. |[-/. ]?)([A-Za-z]{3,9})(,? |[-/.]?)(\d{4}|\d\d)", days):
        return [f"%d{m[2]}{month}{m[4]}{'%Y' if len(m[5]) == 4 else '%y'}" for month in _months(m[3])]
    if m := re.fullmatch(r"([A-Za-z]{3,9})([-/. ])\d{1,2}(, |[-/. ])\d{4}", days):
        return [f"{month}{m[2]}%d{m[3]}%Y" for month in _months(m[1])]
    if m := re.fullmatch(r"\d{4}([-/ ])([A-Za-z]{3,9})\1\d{1,2}", days):
        return [f"%Y{m[1]}{month}{m[1]}%d" for month in _months(m[2])]
    if m := re.fullmatch(r"([A-Za-z]{3,9})([-/ ])\d{4}", days):
        return [f"{month}{m[2]}%Y" for month in _months(m[1])]
    return []


def _months(word: str) -> list[str]:
    return ["%b", "%B"] if len(word) == 3 else ["%B"]


def _parsed(different: pd.Series, form: str) -> pd.Series:

    values, _ = moments(pa.chunked_array([pa.array(different, pa.string())]), form)
    years = values.dt.year
    return values.where((years >= YEARS[0]) & (years < YEARS[1]))


def _share(values: pd.Series, weights: np.ndarray) -> float:
    return float(weights[values.notna().to_numpy()].sum() / weights.sum())


def _day_or_month(kept: list[str], texts: pd.Series, place: str) -> Form | None:
    """Of forms that all read every value, the one whose dates make more sense; the remark says that it is a guess."""
    read = {form: _parsed(texts.reset_index(drop=True), form) for form in kept}
    first, second = kept[0], kept[1]
    said = f"written {first} or {second}"
    if first.startswith("%d."):
        return Form(
            first, f"{said}, which the values do not tell: with dots the day comes first; change the format if not"
        )
    monthly = [form for form, values in read.items() if values.dt.day.nunique() == 1 and values.dt.month.nunique() > 1]
    if len(monthly) == 1:
        return Form(
            monthly[0], f"{said}, which the values do not tell; by {monthly[0]} all are of one day of the month"
        )
    ordered = [form for form, values in read.items() if _in_order(values)]
    if len(ordered) == 1:
        return Form(ordered[0], f"{said}, which the values do not tell; by {ordered[0]} the rows are in order")
    as_there = [form for form in kept if place and form.startswith(f"%{place}")]
    if len(as_there) == 1:
        return Form(
            as_there[0], f"{said}, which the values do not tell; {as_there[0]} as the other columns are written"
        )
    chosen = next((form for form in kept if form.startswith("%m/" if "/" in first else "%d")), first)
    return Form(chosen, f"{said}, which the values do not tell: change the format if this is wrong")


def _in_order(values: pd.Series) -> bool:
    known = values.dropna()
    return known.nunique() > 2 and (known.is_monotonic_increasing or known.is_monotonic_decreasing)
