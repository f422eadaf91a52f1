"""How a column's values are read: one rule for files (:func:`tasks.profile.coerce`) and for single values of a request.

A :class:`Reading` is what ``params.yaml`` declares of a column: its kind, the format of its numbers or times, the texts that count
as missing, whether capital letters count, and which spellings are one level. A package carries it in ``schema.json``, so a
value asked about is read as the same value was in the files::

    schema = Schema.read(package)
    readings = {field.name: Reading.of_field(field, schema) for field in schema.fields}
    readings["income"].value("1.234,50")

Packages of older versions have no ``missing``: there, only null is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.artifacts import Schema, SchemaField
from tasks.values import missing as _missing
from tasks.values.levels import level, tidied
from tasks.values.moments import moment
from tasks.values.numbers import EXACT, INFINITE, LARGE, number

if TYPE_CHECKING:
    from tasks.params import Column

_TRUE = """
    true t yes y 1 on .true. .t. wahr w ja j vrai v oui o verdadero sí si s vero sì sim tak da evet
"""
TRUE = frozenset(_TRUE.split())
_FALSE = """
    false f no n 0 off .false. .f. falsch nein faux non falso não nao nie hayır
"""
FALSE = frozenset(_FALSE.split())
NO_TRUTH = "is not one of true/false, yes/no, 1/0"
NESTED = "is a list or a record"


@dataclass(frozen=True)
class Reading:
    """What a column declares of its values.

    ``missing`` has the texts that count as missing (see :mod:`tasks.values.missing`); null always does, and where
    there is no list, so do categories, numbers and times of blanks alone.
    """

    kind: str
    form: str = "iso"
    missing: tuple[str, ...] | None = None
    lower: bool = False
    spellings: tuple[tuple[str, str], ...] = ()  # a spelling, and the level that it is of

    @classmethod
    def of(cls, column: Column) -> Reading:
        """Of a column of ``params.yaml`` (:class:`tasks.params.Column`)."""
        missing, spellings = _missing.texts(column.missing), _pairs(column.spellings)
        return cls(column.kind, column.format, missing, column.case == "lower", spellings)

    @classmethod
    def of_field(cls, entry: SchemaField, schema: Schema) -> Reading:
        """Of a field of a package's ``schema.json``."""
        listed = schema.missing if entry.missing is None else entry.missing
        texts = None if listed is None else tuple(listed)
        return cls(entry.kind, entry.format, texts, entry.case == "lower", _pairs(entry.spellings))

    @cached_property
    def texts(self) -> frozenset[str]:
        """The texts that count as missing."""
        return frozenset(self.missing or ())

    @cached_property
    def joined(self) -> dict[str, str]:
        """The level of each other spelling."""
        return dict(self.spellings)

    @cached_property
    def numbers(self) -> frozenset[float]:
        """The numbers that count as missing."""
        return frozenset(_missing.numbers(self.missing or ()))

    @property
    def keeps_empty(self) -> bool:
        """Whether an empty text of a category is a level of its own: a list is given, and it is not in it."""
        return self.missing is not None and "" not in self.texts

    def is_missing(self, value: object) -> bool:
        """Whether a value is missing before it is read: null, NaN, or one of the texts or numbers.

        >>> reading = Reading("numeric", missing=("", "NA", "-999"))
        >>> [reading.is_missing(value) for value in (None, " NA ", "na", -999, 0)]
        [True, True, False, True, False]
        """
        if value is None or value != value:
            return True
        if isinstance(value, str):
            if (value if self.kind == "text" else tidied(value)) in self.texts:
                return True
            return self.kind not in ("text", "categorical") and not tidied(value)
        return (
            bool(self.numbers)
            and not isinstance(value, bool)
            and isinstance(value, int | float | Decimal)
            and value in self.numbers
        )

    def value(self, given: object) -> float | str | datetime | None:
        """One value as files have it: float for numeric and boolean, ``str`` for categories and text, a time in UTC.

        Raises ``ValueError`` that says what it is not, as in ``is not a number``.

        >>> Reading("numeric", "1.234,50").value("1.234,50 "), Reading("boolean").value("Yes")
        (1234.5, 1.0)
        >>> Reading("categorical", missing=("",)).value("NA"), Reading("categorical", missing=("NA",)).value("NA")
        ('NA', None)
        >>> Reading("categorical", lower=True).value(" Yes"), Reading("categorical", missing=("NA",)).value("")
        ('yes', '(empty)')
        """
        if isinstance(given, list | tuple | dict):
            raise ValueError(NESTED)
        if self.is_missing(given):
            return None
        if self.kind == "categorical":
            return self.level(given)
        if self.kind == "text":
            return given if isinstance(given, str) else level(given)
        if self.kind == "datetime":
            if isinstance(given, datetime):
                return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
            try:
                return moment(given, self.form)
            except ValueError:
                pass
            raise ValueError(no_time(self.form))
        if self.kind == "boolean":
            word = (level(given) or "").lower()
            if word not in TRUE and word not in FALSE:
                raise ValueError(NO_TRUTH)
            return 1.0 if word in TRUE else 0.0
        read = self._number(given)
        return None if read in self.numbers else read

    def level(self, given: object) -> str | None:
        """The level of a value that is not missing, with what this column declares."""
        text = level(given)
        if text is None:
            return _missing.EMPTY if self.keeps_empty and isinstance(given, str) else None
        text = text.lower() if self.lower else text
        return self.joined.get(text, text)

    def _number(self, given: object) -> float:
        if isinstance(given, str):
            return number(given, self.form)
        if not isinstance(given, bool | int | float | Decimal):
            raise ValueError("is not a number")
        try:
            read = float(given)
        except OverflowError:
            raise ValueError(LARGE) from None
        if math.isinf(read):
            raise ValueError(INFINITE)
        if abs(read) >= EXACT and not isinstance(given, float) and given == int(given):
            raise ValueError(LARGE)
        return read


def _pairs(spellings: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((text, name) for name, texts in spellings.items() for text in texts)


def no_time(form: str) -> str:
    """Why a value is no time of a form."""
    return (
        "is not an ISO 8601 time such as 2013-10-31T18:00:00Z" if form == "iso" else f"is not a time of the form {form}"
    )
