"""What the sections of ``params.yaml`` share: durations, windows, moments, and columns that two tables have in common."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks.values.durations import Duration, Span
from tasks.values.levels import level


def _window(value: object) -> str:
    return str(Span(str(value)))


DurationField = Annotated[Duration, BeforeValidator(Duration.read)]


WindowField = Annotated[str, BeforeValidator(_window)]


def as_level(value: object) -> object:
    """A class or category as tables name it: 5 and 5.0 are "5"."""
    return level(value) if isinstance(value, str | int | float | date) else value


def refuse(wrong: object, text: str) -> None:
    """Raise ``ValueError`` with the text if ``wrong`` holds: ``path: what is wrong``, the path from the section on."""
    if wrong:
        raise ValueError(text)


class StrictModel(BaseModel):
    """A mapping of ``params.yaml``: frozen, and without keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, serialize_by_alias=True)


class Moment(StrictModel):
    """A column with times, plus an offset. Written ``column``, ``column - 2h`` or ``column + 1d``."""

    column: str
    offset_micros: int = 0

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"\s*(\S+?(?: +[^\s+-]\S*?)*?)\s*(?:([+-])\s*(\d+(?:\.\d+)?[smhdw]))?\s*", value)
        if not match:
            raise ValueError("a moment is a column, or a column plus or minus a duration, as in 'departs_at - 2h'")
        column, sign, span = match.groups()
        micros = Duration.read(span).micros if span else 0
        return {"column": column, "offset_micros": -micros if sign == "-" else micros}


def parse_moment(value: object) -> datetime:
    """Read an ``as_of``: a date means the end of that day; without a zone it is UTC.

    >>> parse_moment("2013-11-30").isoformat()
    '2013-11-30T23:59:59.999999+00:00'
    """
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a moment is a date or an ISO time, as in 2013-10-31 or 2013-10-31T18:00:00Z") from None
        if not isinstance(value, datetime):
            value = datetime.combine(value, time.max)
    if not isinstance(value, datetime):
        raise ValueError('a moment is a date or an ISO time in quotes, as in "2013-10-31"')
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


AsOf = Annotated[datetime, BeforeValidator(parse_moment)]


def _shared(value: object) -> object:
    """Columns of a row and those of another table that they are equal to: a name, names, or ``{mine: theirs}``."""
    if isinstance(value, str):
        return {value: value}
    return {c: c for c in value} if isinstance(value, list | tuple) else value


Shared = Annotated[dict[str, str], BeforeValidator(_shared), Field(min_length=1)]
