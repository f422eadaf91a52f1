"""What one column of a file is: its kind as ``params.yaml`` declares it, and a remark where that deserves one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tasks.errors import RefitError
from tasks.kinds import MANY, NUMBER, TWO, usual_kind
from tasks.kinds._classes import PER_CLASS
from tasks.params import Column
from tasks.profile.amounts import LOOKED, UNKNOWN, Amounts, amounts
from tasks.profile.dates import ID_WORDS, first_of, form_of, name_words, several_forms
from tasks.profile.kinds import Coerced, coerce, without_missing
from tasks.profile.learnable import check_target
from tasks.profile.spellings import joined, misspelt
from tasks.values.levels import is_text, tidy
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

Spec = (
    str | dict[str, str | list[str] | dict[str, list[str]]]
)  # a column's declaration: its kind, or a mapping with more
READABLE = 0.95  # a kind fits a column if at least this share of its values can be read so
HALF = 0.5
FEW_CLASSES = 20  # whole numbers with at most this many values are classes, if each is frequent enough
WORDS = 4  # text has at least this many words on average; less is a category
SPREAD = 0.9  # a category of which more than this share of values differ is an identifier
ID_NAME = r"(?i:(^|[_\W])(id|key|uuid|index)$)|[a-z](Id|ID)$"
POSITION = re.compile(
    r"unnamed[: _]*\d*|index|row[_ ]?names?|row[_ ]?(no|nr|num|number)?|level_\d+|column_\d+|__index_level_\d+__"
)
PAIRS = (
    {"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"on", "off"}, {".true.", ".false."}, {"wahr", "falsch"}, {"ja", "nein"},
    {"j", "n"}, {"vrai", "faux"}, {"oui", "non"}, {"o", "n"}, {"verdadero", "falso"}, {"sí", "no"}, {"si", "no"}, {"sì", "no"}, {"vero", "falso"},
    {"sim", "não"},
)  # fmt: skip
LETTERS = (
    {"m", "f"},
    {"m", "w"},
    {"y", "n"},
    {"j", "n"},
    {"t", "f"},
    {"o", "n"},
    {"s", "n"},
)  # one letter, in any case
CLASSES = (
    "None",
    "NA",
    "N/A",
    "n/a",
)  # usual texts that may be real values: no severity, North America, not applicable
_NO_VALUE = (
    "?|??|-|--|---|.|unknown|unk|unbekannt|k.a.|k. a.|n.a.|keine angabe|ohne angabe|fehlt|not available|not known|"
    "no data|no value|missing|inconnu|desconocido|sconosciuto"
)
NO_VALUE = frozenset(_NO_VALUE.split("|"))  # of a category, in whatever letters
SPELT = 1_000  # more levels are not compared
SELDOM = 0.01  # a class has at least this share of the rows
SHAPES = {
    r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?": "times of day, which without a date are no moment; minutes as a number could be used",
    r"[<>≤≥~].*\d.*|\d+([.,]\d+)?\s*[-–]\s*\d+([.,]\d+)?": "ranges or bounds of numbers; write one number each to use them as such",
}  # fmt: skip


@dataclass(frozen=True)
class About:
    """What a file's columns tell of each other: whether a comma parts decimals, which texts mean a missing number, and
    what dates write first."""

    comma: bool = False
    markers: frozenset[str] = frozenset()
    first: str = ""  # what dates write first: d, m, or unknown

    @classmethod
    def of(cls, table: pa.Table) -> About:
        """Look at all columns of text of a table."""
        markers: set[str] = set()
        commas: list[bool] = []
        firsts: set[str] = set()
        for column in table.columns:
            if not is_text(column.type):
                continue
            counts = texts_of(column)
            firsts |= found_first if len(found_first := first_of(counts)) == 1 else set()
            usual = {text for text in counts if text in USUAL and text}
            if not usual and not any("," in text for text in counts):
                continue
            found = amounts(Counter({text: n for text, n in counts.items() if text not in USUAL}))
            if found.fit:
                markers |= usual
                commas += [found.comma] if found.comma is not None else []
        comma = bool(commas) and all(commas)  # in places that write so, the day comes first
        return cls(comma, frozenset(markers), firsts.pop() if len(firsts) == 1 else "d" if comma and not firsts else "")


@dataclass(frozen=True)
class Judged:
    """A column's declaration (a kind, or a mapping with more), remarks, and the usual texts taken for missing in it."""

    spec: Spec
    remarks: tuple[str, ...] = ()
    missing: Mapping[str, int] | None = None

    @property
    def remark(self) -> str:
        """All remarks, in a line."""
        return "; ".join(self.remarks)


def reading_of(spec: Spec) -> Reading:
    """How a column is read that is declared so; of an ignored one its levels."""
    return Reading.of(Column.model_validate("categorical" if spec == "ignore" else spec))


def texts_of(column: pa.ChunkedArray) -> Counter[str]:
    """The most frequent texts of a column, without blanks around, and their rows; empty for columns of other types."""
    if not is_text(column.type):
        return Counter()
    counted = tidy(column.cast(pa.large_string()).drop_null()).value_counts()
    if len(counted) > LOOKED:
        order = pc.array_sort_indices(counted.field("counts"), order="descending")[:LOOKED]
        counted = counted.take(order)
    return Counter({one["values"]: one["counts"] for one in counted.to_pylist()})


def judge(name: str, column: pa.ChunkedArray, about: About) -> Judged:
    """How a feature column is declared, with remarks where it deserves some, and the texts taken for missing.

    >>> import pyarrow as pa
    >>> found = judge("zip", pa.chunked_array([["01219", "01219", "80331"] * 9]), About())
    >>> found.spec, found.remark
    ('categorical', 'digits with leading zeros')
    >>> found = judge("customer_id", pa.chunked_array([list(range(40))]), About())
    >>> found.spec, found.remark
    ('ignore', 'counts the rows')
    """
    unfit = _unfit(column)
    if unfit:
        return Judged("ignore", (unfit,))
    counts = texts_of(column)
    kept = _classes(counts, about)
    gone = {text: n for text, n in counts.items() if text and text in USUAL and text not in kept}
    words = {text: n for text, n in counts.items() if text not in USUAL and text.lower() in NO_VALUE}
    missing = _listed(gone, kept) if kept else None
    known = coerce(column, Reading("categorical", missing=USUAL if missing is None else tuple(missing))).values.dropna()
    if known.empty:
        return Judged("ignore", ("no value at all",))
    different = known.nunique()
    if different == 1:
        return Judged("ignore", (f"always {known.iloc[0][:40]!r}",), gone)
    if not kept:
        typed = _typed(name, column, counts, known, about)
        if typed is not None:
            return Judged(typed.spec, typed.remarks, gone)
    given = Counter({t: n for t, n in counts.items() if t not in USUAL})
    forms = several_forms(name, Counter({t: n for t, n in given.items() if t.lower() not in UNKNOWN}))
    if forms:
        ways = ", ".join(f"{text!r} ({_rows(n)})" for text, n in Counter(forms).most_common(4))
        return Judged("ignore", (f"dates in several forms: {ways}; write them in one to use them",), gone)
    found = amounts(given, about.comma) if counts else Amounts()
    if found.numbers < HALF * max(found.given, 1) and known.str.count(r"\S+").mean() >= WORDS:
        return Judged("text", (), gone)
    if different > SPREAD * len(known) and different > FEW_CLASSES:
        return Judged("ignore", (_why_ignored(found, known, different),), gone)
    if len(words) + len(gone) > 1 and words and len(known) > sum(words.values()):  # a missing value in several ways
        spec, said = _category(known[~known.isin(words)], kept, ["usual", *words])
        said.append(_counted(words))
    else:
        spec, said = _category(known, kept, missing)
    return Judged(spec, (*filter(None, (_half(found) if different > FEW_CLASSES else "", _shaped(known))), *said), gone)


def judge_target(column: pa.ChunkedArray, where: str, about: About, name: str = "") -> tuple[str, Judged, list[str]]:
    """The kind of the problem, the target's declaration with remarks, and its classes, sorted.

    Raises :class:`RefitError` where it cannot be learned, or by its ``name`` and values is an id, or holds dates.
    """
    counts = texts_of(column)
    kept = _classes(counts, about)
    gone = {text: n for text, n in counts.items() if text and text in USUAL and text not in kept}
    missing = _listed(gone, kept) if kept else None
    labels = coerce(column, Reading("categorical", missing=USUAL if missing is None else tuple(missing))).values
    different = labels.nunique()
    if not kept and different > 2:
        as_numbers = _as_numbers(column, counts, about)
        if as_numbers is not None:
            numbers, read = as_numbers
            if not _few_classes(read.values):
                given = read.values.dropna()
                if re.search(ID_NAME, name) and given.is_unique and bool((given == np.floor(given)).all()):
                    raise RefitError(f"{where} is an id: by its name, and every value differs. Choose another column.")
                kind = usual_kind(NUMBER)
                check_target(read.values, kind, where)
                return kind, Judged(numbers.spec, numbers.remarks, gone), []
    if different > FEW_CLASSES and form_of(
        name, without_missing(column, Reading("datetime", missing=USUAL)), about.first
    ):
        raise RefitError(f"{where} holds dates. Predict a class, or a number such as the days until then.")
    spec, said = _category(labels.dropna(), kept, missing, truths=True)
    labels = coerce(column, reading_of(spec)).values
    kind = usual_kind(TWO if labels.nunique() <= 2 else MANY)
    check_target(labels, kind, where)
    return kind, Judged(spec, tuple(said), gone), sorted(labels.dropna().unique())


def _unfit(column: pa.ChunkedArray) -> str:
    """Why a type of Parquet cannot be used; empty where it can."""
    kind = column.type
    if pt.is_nested(kind):
        what = "records" if pt.is_struct(kind) or pt.is_map(kind) else "lists"
        return f"holds {what}, which are no single values; write the columns that you need"
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind):
        return "holds bytes that are no text"
    return ""


def _classes(counts: Counter[str], about: About) -> dict[str, int]:
    """Texts that usually mean a missing value, and here are one of few classes.

    So where they are frequent, stand beside few other words, and mean no missing number elsewhere in the file.
    """
    others = {text: n for text, n in counts.items() if text not in USUAL}
    if any(text.lower() in NO_VALUE for text in others):  # it says of a value that it is missing in other words too
        return {}
    if not 0 < len(others) <= FEW_CLASSES:
        return {}
    rows = sum(counts.values())
    words = {text.lower() for text in others}
    if any(pair <= words for pair in PAIRS) or sum(n for t, n in others.items() if re.search(r"[0-9]", t)) > HALF * sum(others.values()):  # fmt: skip
        return {}
    least = max(PER_CLASS, SELDOM * rows)
    able = CLASSES if len(others) > 1 else [text for text in USUAL if text]  # beside a single word, the other of two
    return {text: counts[text] for text in able if counts[text] >= least and text not in about.markers}


def _listed(gone: Iterable[str], kept: Iterable[str]) -> list[str]:
    """The texts that are missing in a column where some usual ones are classes: the empty one, and those that are there."""
    return ["", *[text for text in USUAL if text in gone and text not in kept]]


def _typed(name: str, column: pa.ChunkedArray, counts: Counter[str], known: pd.Series, about: About) -> Judged | None:
    """A boolean, a time or a number; None where the column is none of these."""
    unknown = {t: n for t, n in counts.items() if t not in USUAL and t.lower() in UNKNOWN}
    truths = set(known.str.lower().unique()) - set(unknown)
    if pt.is_boolean(column.type) or (truths and any(pair <= truths for pair in PAIRS) and truths <= set().union(*PAIRS, {"1", "0"})):  # fmt: skip
        return Judged(*_with_words("boolean", {}, unknown))
    present = without_missing(column, Reading("datetime", missing=(*USUAL, *unknown)))
    form = form_of(name, present, about.first)
    if form is not None:
        more = {} if form.form == "iso" else {"format": form.form}
        spec, said = _with_words("datetime", more, unknown)
        faults = _faults(len(coerce(column, reading_of(spec)).problems), "times")
        return Judged(spec, tuple(filter(None, (faults, form.remark, *said))))
    as_numbers = _as_numbers(column, counts, about, name)
    if as_numbers is None:
        return None
    numbers, read = as_numbers
    plain = isinstance(numbers.spec, str) or "format" not in numbers.spec
    digits = known[~known.isin(numbers.spec.get("missing", ()))] if isinstance(numbers.spec, dict) else known
    if plain and digits.str.match(r"0\d").any() and digits.str.fullmatch(r"\d+").all():
        return Judged("categorical", ("digits with leading zeros",))
    given = read.values.dropna()
    if plain and bool((given == np.floor(given)).all()) and len(given) == len(read.values):
        position = POSITION.fullmatch(name.lower().strip()) is not None
        if given.is_unique and bool((np.diff(np.sort(given)) == 1).all()):
            return Judged("ignore", ("counts the rows",))
        if given.is_unique and re.search(ID_NAME, name):
            return Judged("ignore", ("every value differs, and by its name it is an id",))
        if given.nunique() > SPREAD * len(given) and len(given) > FEW_CLASSES and re.search(ID_NAME, name):
            return Judged(
                "ignore", (f"{given.nunique()} different values in {len(given)} rows, and by its name it is an id",)
            )
        if position and (
            (given.is_unique and given.is_monotonic_increasing) or bool((np.diff(given) == 1).mean() > READABLE)
        ):
            return Judged("ignore", ("by its name and values the rows' numbers",))
    return numbers


def _as_numbers(
    column: pa.ChunkedArray, counts: Counter[str], about: About, name: str = ""
) -> tuple[Judged, Coerced] | None:
    """The declaration of a column of numbers, and the numbers; None where it is none."""
    if not counts:  # typed
        read = coerce(column, Reading("numeric", missing=USUAL))
        told = (_faults(len(read.problems), "numbers"),)
        return (Judged("numeric", tuple(filter(None, told))), read) if _mostly(read) else None
    found = amounts(Counter({t: n for t, n in counts.items() if t not in USUAL}), about.comma)
    if not found.fit or (found.form != "iso" and not _marked(found.form) and name_words(name) & ID_WORDS):
        return None
    spec, said = _with_words("numeric", {} if found.form == "iso" else {"format": found.form}, found.words)
    read = coerce(column, reading_of(spec))
    if not _mostly(read):
        return None
    form = f"read as {found.form!r}, such as {found.example!r}" if found.form not in ("iso", "0xFF") else ""
    faults = _faults(len(read.problems), "numbers", found.odd)
    return Judged(spec, tuple(filter(None, (faults, form, found.remark, *said)))), read


def _mostly(read: Coerced) -> bool:
    """Whether nearly all values could be read."""
    return len(read.problems) <= (1 - READABLE) * (int(read.values.notna().sum()) + len(read.problems))


def _marked(form: str) -> bool:
    """Whether money or a unit stands beside the numbers, so that they are no ids."""
    return re.search(r"[^0-9.,' ()]", form) is not None


def _with_words(
    kind: str, more: Mapping[str, str | list[str]], words: Mapping[str, int]
) -> tuple[Spec, tuple[str, ...]]:
    """The declaration of a column in which some words stand for no value, and a remark that says so."""
    if not words:
        return ({"kind": kind, **more} if more else kind), ()
    return {"kind": kind, **more, "missing": ["usual", *words]}, (_counted(words),)


def _counted(words: Mapping[str, int]) -> str:
    """A remark that some words count as missing."""
    said = ", ".join(f"{text!r} ({_rows(n)})" for text, n in Counter(words).most_common(4))
    more = f" and {len(words) - 4} more" if len(words) > 4 else ""
    return f"{said}{more} {'counts' if len(words) == 1 else 'count'} as missing"


def _category(
    known: pd.Series, kept: Mapping[str, int], missing: list[str] | None, truths: bool = False
) -> tuple[Spec, list[str]]:
    """The declaration of a category: with the usual texts that are classes in it, and spellings that are one.

    ``truths``: yes and no, in whatever words, are two levels.
    """
    spec: dict[str, str | list[str] | dict[str, list[str]]] = {"kind": "categorical"}
    said = []
    if missing:
        spec["missing"] = [*missing]
    if kept:
        words = ", ".join(f"{text!r} ({_rows(n)})" for text, n in kept.items())
        said.append(
            f"{words} {'is a value' if len(kept) == 1 else 'are values'} here, not missing; remove `missing` if not"
        )
    levels = known.value_counts()
    spellings: dict[str, list[str]] = {}
    if len(levels) <= LOOKED:
        for text in map(str, levels.index):
            spellings.setdefault(text.lower(), []).append(text)
    several = {low: texts for low, texts in spellings.items() if len(texts) > 1}
    if set(spellings) not in LETTERS:  # a and A may be two things
        letters = [texts for low, texts in several.items() if sum(map(str.isalpha, low)) < 2]
        said += [
            f"{', '.join(map(repr, texts))} are {len(texts)} levels; `case: lower` joins them" for texts in letters[:2]
        ]
        several = {low: texts for low, texts in several.items() if texts not in letters}
    if several:
        spec["case"] = "lower"
        levels = levels.groupby(levels.index.str.lower()).sum()
        example = next(iter(several.values()))
        rows = int(sum(known.eq(text).sum() for texts in several.values() for text in texts[1:]))
        said.append(f"{', '.join(map(repr, example[:4]))} count as one ({_rows(rows)} otherwise written); remove `case` if they differ")  # fmt: skip
    if len(levels) <= SPELT:
        written = {str(text): int(n) for text, n in levels.items()}
        found = joined({text: n for text, n in written.items() if text not in kept}, truths)
        if found:
            ways = [f"{_listing(texts)} as {name!r}" for name, texts in found.items()]
            said.append(f"{', '.join(ways)}: these count as one; change `spellings` if not")
            spec["spellings"] = found
        said += [
            f"{rare!r} ({_rows(written[rare])}) may be {usual!r} misspelt; `spellings: {{{usual}: [{rare}]}}` joins them"
            for rare, usual in misspelt(written)[:3]
        ]
    return (spec if len(spec) > 1 else "categorical"), said


def _listing(texts: list[str]) -> str:
    """Texts as a sentence has them.

    >>> _listing(["y", "ja"])
    "'y' and 'ja'"
    """
    *before, last = map(repr, texts)
    return f"{', '.join(before)} and {last}" if before else last


def _why_ignored(found: Amounts, known: pd.Series, different: int) -> str:
    """Why a column of texts that hardly repeat is left out."""
    said = _half(found) or _shaped(known)
    if said:
        return f"{said}; ignored, since {different} different values in {len(known)} rows make no category"
    large = known.str.fullmatch(r"-?\d{16,}").mean()
    if large > HALF:
        return f"whole numbers beyond 2^53, as ids are: {different} different values in {len(known)} rows"
    return f"{different} different values in {len(known)} rows, as in an id or a name"


def _half(found: Amounts) -> str:
    """A remark where a good part of the values are numbers, though the column is none."""
    if found.mixed:
        return found.remark
    if found.numbers < HALF * max(found.given, 1) or found.fit:
        return ""
    form = f" (format: {found.form!r})" if found.form != "iso" else ""
    return (
        f"{found.numbers} of {found.given} values are numbers such as {found.example!r}{form}, others are not, such as "
        f"{found.odd!r}: declare it numeric with `missing: [usual, {found.odd}]`, or mend them"
    )


def _shaped(known: pd.Series) -> str:
    """A remark where most values have a shape that tells what they are."""
    head = known.head(1000)
    for pattern, said in SHAPES.items():
        if head.str.fullmatch(pattern).mean() >= READABLE:
            return said
    return ""


def _few_classes(values: pd.Series) -> bool:
    """Whether numbers are classes: whole, few of them, and ten rows or more for each on average."""
    known = values.dropna()
    different = known.nunique()
    return bool((known == np.floor(known)).all()) and different <= min(FEW_CLASSES, len(known) / 10)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _faults(count: int, what: str, example: str = "") -> str:
    if not count:
        return ""
    said = f"such as {example!r}, " if example else ""
    return f"without {count} that are no {what}, {said}whose rows go to quarantine"
