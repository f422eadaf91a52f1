"""Does a column of texts hold numbers, and how does it write them? Which of its words stand for no value?

What is found is declared (``format:`` and ``missing:`` of the column), so later runs read by the declaration.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tasks.values.levels import tidied
from tasks.values.numbers import MULTIPLES, UNIFIED, number

READABLE = 0.95
HALF = 0.5  # of the values are numbers: the column is one of numbers, with words among them
LEAST = 10  # so many different numbers, or a few codes and a word are rather categories
WORDS = 12  # at most so many different words
LOOKED = 5_000  # different texts looked at
_CURRENCIES = """
    $ € £ ¥ ₹ ₽ ₩ ₺ ₫ ₴ ₦ ₱ ฿ ₪ ₡ ₲ ₵ ₸ ₼ ₾ ¢ R$ US$ A$ C$ CA$ AU$ NZ$ HK$ S$ kr kr. Kč Kc zł zl Ft lei лв руб
    руб. Rs Rs. Rp RM Fr Fr. SFr. USD EUR GBP JPY CNY RMB INR RUB KRW TRY BRL MXN CAD AUD NZD CHF SEK NOK DKK ISK
    PLN CZK HUF RON BGN HRK ILS ZAR NGN KES EGP SAR AED QAR KWD THB IDR MYR PHP SGD HKD TWD VND PKR BDT LKR ARS
    CLP COP PEN UAH Euro euro Dollar dollars
"""
CURRENCIES = frozenset(_CURRENCIES.split())
_UNITS = """
    % ‰ kg g mg µg lb lbs oz km cm mm mi ft in inch l ml cl h hr hrs hours min mins minutes s sec secs seconds ms
    d day days week weeks month months year years yr yrs °C °F °c km/h kmh mph kW kWh MW V W Hz GHz MHz GB MB KB
    TB px pt pcs m² sqm sqft sq.ft ha acres bpm mmHg mg/dl mg/dL kcal cal cc CC bhp kmpl km/kg rpm Nm db dB Jahre
    Tage Std Stk
"""
UNITS = frozenset(_UNITS.split())
_UNKNOWN = (
    "?|??|-|--|---|.|..|...|*|**|unknown|unk|unkn|unknwon|unbekannt|k.a.|k. a.|ka|n.a.|n.a|n. a.|na|n/a|"
    "none|null|nil|nan|missing|not available|not applicable|not known|not recorded|not reported|"
    "not provided|not specified|unspecified|no data|no value|no answer|n/d|nd|n.d.|tbd|tba|tbc|empty|"
    "blank|void|undefined|undef|inconnu|desconocido|sconosciuto|\\n|#div/0!|#value!|#ref!|#name?|#num!|"
    "#null!|(null)|(blank)|(empty)|(none)|(unknown)|[null]|<null>|refused|don't know|dk|withheld|"
    "suppressed|confidential|error|err|invalid|ohne angabe|keine angabe|fehlt|s/d|sin dato|non disponible|"
    "nc|n.c.|n/c|x|xx|xxx|_|~|—|–"
)
UNKNOWN = frozenset(_UNKNOWN.split("|"))
_NUMBER = re.compile(
    r"([^0-9.,]*?)((?:[.,](?=[0-9]))?[0-9](?:[0-9.,' \u00a0\u202f\u2009]*[0-9])?[.,]?)((?:[eE][+-]?[0-9]+)?)([^0-9]*)"
)
_STYLES = (("", "."), ("", ","), (",", "."), (".", ","), (" ", ","), (" ", "."), ("'", "."), ("'", ","), ("pairs", "."))


@dataclass(frozen=True)
class Amounts:
    """How a column writes its numbers: the format (``iso``: plainly), the words that stand for no value, and remarks.

    ``numbers`` of ``given`` values are numbers by that format; ``odd`` is one that is neither number nor such a word.
    ``fit`` says whether the column is one of numbers.
    """

    form: str = "iso"
    words: dict[str, int] = field(default_factory=dict)
    numbers: int = 0
    given: int = 0
    example: str = ""
    odd: str = ""
    remark: str = ""
    mixed: bool = False  # numbers of several units, which no format holds
    comma: bool | None = None  # whether a comma surely parts (True) or surely does not part the decimals (False)

    @property
    def fit(self) -> bool:
        """Whether the column is one of numbers: they are most of what is no word."""
        left = self.given - sum(self.words.values())
        return not self.mixed and self.numbers > 0 and self.numbers >= READABLE * left


def amounts(counts: Counter[str], comma: bool = False) -> Amounts:
    """What a column of texts, each with the number of its rows, holds of numbers.

    ``comma``: other columns of the file write decimals with a comma, which tells what ``1,234`` is.

    >>> found = amounts(Counter({"1.234,50": 9, "12,5": 1, "7": 2, "unknown": 4}))
    >>> found.form, found.words, found.fit
    ('1.234,50', {'unknown': 4}, True)
    >>> amounts(Counter({"$5": 3, "$1,200": 2, "($3.50)": 1})).form
    '$1,234.50'
    """
    texts = dict(counts.most_common(LOOKED))
    given = sum(texts.values())
    plain = sum(n for text, n in texts.items() if _reads(text, "iso"))
    words = _words(texts)
    left = given - sum(words.values())
    split = {text: parts for text in texts if text not in words and (parts := _parts(text))}
    if left and plain == left and not (comma and _all_threes(split, ".")):
        remark = ""
        if _all_threes(split, "."):
            remark = "1.234 is read as one and a bit; if it is one thousand, declare format: '1.234,50'"
        points = any("." in body for _, body, _, _ in split.values())
        return _of("iso", texts, words, given, remark, comma=False if points and not remark else None)
    if texts and all(re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+", text) for text in texts if text not in words):
        return _of("0xFF", texts, words, given, "hexadecimal numbers")
    beside, remark = _beside(split, texts)
    if remark and plain < READABLE * left:
        return Amounts("iso", words, sum(texts[text] for text in split), given, next(iter(split), ""), "", remark, True)
    mark = f"{beside[0]}" if beside else ""
    thousand = comma and _all_threes(split, ".")  # 1.234 is one thousand, as the other columns are written
    best: tuple[float, int, str] = (0.0 if thousand else plain / max(given, 1), 1, "iso")
    for rank, (thousands, decimal) in enumerate(_ranked(split, comma)):
        form = _example(thousands, decimal, mark, beside[1] if beside else False)
        share = sum(n for text, n in texts.items() if text in split and _reads(text, form)) / max(given, 1)
        best = max(best, (share, -rank, form))
    share, _, form = best
    if not share:
        return Amounts(given=given, words=words)
    if form == "iso":
        return _of(form, texts, words, given)
    bodies = [body for _, body, _, _ in split.values()]
    decimal_comma = "4,5" in form
    if _all_threes(split, ","):
        other, meant = ("1,234.50", "one and a bit") if decimal_comma else ("1234,5", "one thousand")
        other = _with(other, mark, beside)
        return _of(form, texts, words, given, f"1,234 is read as {meant}; if it is not, declare format: {other!r}")
    told = (
        any("," in body or body.count(".") > 1 for body in bodies) if decimal_comma else any("." in b for b in bodies)
    )
    return _of(form, texts, words, given, comma=decimal_comma if told else None)


def _with(body: str, mark: str, beside: tuple[str, bool] | None) -> str:
    if not mark:
        return body
    return f"{mark}{body}" if beside and beside[1] else f"{body} {mark}"


def _of(
    form: str, texts: dict[str, int], words: dict[str, int], given: int, remark: str = "", comma: bool | None = None
) -> Amounts:
    read = {text: n for text, n in texts.items() if text not in words and _reads(text, form)}
    odd = next((text for text in texts if text not in read and text not in words), "")
    example = max(read, key=lambda text: (len(text) > 3, read[text]), default="")
    return Amounts(form, words, sum(read.values()), given, example, odd, remark, comma=comma)


def _reads(text: str, form: str) -> bool:
    try:
        number(text, form)
    except ValueError:
        return False
    return True


def _words(texts: dict[str, int]) -> dict[str, int]:
    """Texts without digits that stand for no value among numbers: known ones, or a few that come again and again."""
    without = {text: n for text, n in texts.items() if not re.search(r"[0-9]", text)}
    numbers = [n for text, n in texts.items() if _parts(text) or re.fullmatch(r"0[xX][0-9a-fA-F]+", text)]
    if len(numbers) < 3:  # the missing ones are most of what the column says
        return {}
    if len(numbers) < LEAST or sum(numbers) < HALF * sum(texts.values()) or len(without) > WORDS:
        return {text: n for text, n in without.items() if text.lower() in UNKNOWN and len(without) <= WORDS}
    return {text: n for text, n in without.items() if text.lower() in UNKNOWN or n >= 3}


def _parts(text: str) -> tuple[str, str, str, bool] | None:
    """The text before the number, its digits with their marks, the text after it, and whether an exponent follows."""
    found = _NUMBER.fullmatch(text.translate(UNIFIED))
    if not found:
        return None
    before, body, power, after = found.groups()
    return _bare(before), body, _bare(after), bool(power)


def _bare(text: str) -> str:
    return re.sub(r"[()+\-\s]+", " ", text).strip()


def _beside(split: dict[str, tuple[str, str, str, bool]], texts: dict[str, int]) -> tuple[tuple[str, bool] | None, str]:
    """The sign of money or the unit beside the numbers, and whether it comes first; or why they are of several kinds."""
    signs: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for text, (before, _, after, _) in split.items():
        for part in {before, after} - {""}:
            signs[part] += texts[text]
        if before:
            first[before] += texts[text]
    total = sum(texts[text] for text in split)
    money = {sign: n for sign, n in signs.items() if sign in CURRENCIES}
    if len(money) > 1 and min(money.values()) > (1 - READABLE) * total:
        said = ", ".join(f"{sign} in {n}" for sign, n in Counter(money).most_common(4))
        return None, f"amounts in several currencies ({said} rows), which one number cannot hold: convert them first"
    units = {sign: n for sign, n in signs.items() if sign in UNITS and n > (1 - READABLE) * total}
    if len(units) > 1:
        said = ", ".join(f"{sign} in {n}" for sign, n in Counter(units).most_common(4))
        return None, f"numbers in several units ({said} rows), which one number cannot hold: convert them first"
    behind = {after for _, _, after, _ in split.values()}
    many = {sign: n for sign, n in signs.items() if sign in behind and sign.lower() in MULTIPLES and sign not in UNITS}
    if many and sum(many.values()) > (1 - READABLE) * total:
        sign = max(many, key=lambda s: many[s])
        example = next(text for text, parts in split.items() if sign == parts[2])
        return None, f"numbers with magnitudes, as in {example!r}: write them out to use them"
    usual = max(signs, key=lambda sign: signs[sign], default="")
    if usual in CURRENCIES or (usual in UNITS and signs[usual] >= READABLE * total and not first[usual]):
        return (usual, first[usual] >= signs[usual] / 2), ""
    return None, ""


def _all_threes(split: dict[str, tuple[str, str, str, bool]], mark: str) -> bool:
    """Whether all numbers with a mark have one, with three digits after it, so that it may part thousands or decimals."""
    marked = [body for _, body, _, _ in split.values() if re.search(r"[.,' ]", body)]
    return bool(marked) and all(re.fullmatch(rf"[1-9][0-9]{{0,2}}{re.escape(mark)}[0-9]{{3}}", body) for body in marked)


def _ranked(split: dict[str, tuple[str, str, str, bool]], comma: bool) -> list[tuple[str, str]]:
    """Ways of writing, the likelier first where several read as many of the values."""
    styles = list(_STYLES)
    if _all_threes(split, ",") and not comma:
        styles.remove(("", ","))
        styles.append(("", ","))
    if _all_threes(split, ".") and comma:
        styles.remove((".", ","))
        styles.insert(0, (".", ","))
    return styles


def _example(thousands: str, decimal: str, mark: str, first: bool) -> str:
    body = "1,23,456.50" if thousands == "pairs" else f"1{thousands}234{decimal}50"
    if mark in ("%", "‰"):
        return f"{body}{mark}"
    if not mark:
        return "(1234.50)" if (thousands, decimal) == ("", ".") else body
    letters = tidied(mark)[-1:].isalpha()
    return (f"{mark} {body}" if letters else f"{mark}{body}") if first else f"{body} {mark}"
