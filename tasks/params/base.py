"""What the sections of ``params.yaml`` share: durations, windows, moments, and columns that two tables have in common."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from tasks.values.durations import Duration, Span
from tasks.values.levels import level

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


def _window(value: object) -> str:
    return str(Span(str(value)))


LENGTH = r"\d+(\.\d+)?[smhdw]"
DurationField = Annotated[
    Duration,
    BeforeValidator(Duration.read),
    WithJsonSchema({"type": "string", "pattern": f"^{LENGTH}$", "title": "duration"}),
]


WindowField = Annotated[
    str,
    BeforeValidator(_window),
    WithJsonSchema({"type": "string", "pattern": f"^({LENGTH}|all|last [1-9]\\d*)$", "title": "window"}),
]


# A text, or a value that is read as one.
LEVEL = {"type": ["string", "number", "boolean"]}


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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return cls.as_written(handler.resolve_ref_schema(handler(core)))

    @classmethod
    def as_written(cls, mapping: dict[str, Any]) -> dict[str, Any]:
        """JSON Schema (``refit schema``) of what may be written; that of the mapping alone, where a class says nothing else."""
        return mapping


class Moment(StrictModel):
    """A column with times, plus an offset. Written ``column``, ``column - 2h`` or ``column + 1d``."""

    column: str = Field(description="a column with times")
    offset_micros: int = Field(default=0, description="what is added to it, in microseconds")

    @classmethod
    def as_written(cls, mapping: dict[str, Any]) -> dict[str, Any]:
        """A text."""
        return {"type": "string", "title": "moment"}

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


DAY = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}([T ].*)?$", "title": "date or ISO time"}
AsOf = Annotated[datetime, BeforeValidator(parse_moment), WithJsonSchema(DAY)]


def _shared(value: object) -> object:
    """Columns of a row and those of another table that they are equal to: a name, names, or ``{mine: theirs}``."""
    if isinstance(value, str):
        return {value: value}
    return {c: c for c in value} if isinstance(value, list | tuple) else value


COLUMNS = {
    "title": "column, columns, or mine: theirs",
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
    ],
}
Shared = Annotated[dict[str, str], BeforeValidator(_shared), Field(min_length=1), WithJsonSchema(COLUMNS)]
