"""Rows as clients send them, read as files are, by the package's schema; and errors that name the field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NotRequired, TypedDict

from pydantic_core import from_json

from tasks.artifacts import Schema, SchemaField
from tasks.errors import nearest, shortened, some
from tasks.values.levels import level
from tasks.values.numbers import EXACT
from tasks.values.reading import Reading

EXPECTED = {
    "numeric": "a finite number",
    "categorical": "a string, a number, or true or false",
    "text": "a string",
    "boolean": "true or false (or yes/no, 1/0)",
    "datetime": "an ISO 8601 time as in 2013-10-31T18:00:00Z (UTC if no zone is given), of the years 1 to 9999",
}
JSON_TYPES = {
    "numeric": ["number"],
    "categorical": ["string", "number", "boolean"],
    "text": ["string"],
    "boolean": ["boolean"],
    "datetime": ["string"],
}
MOST_ERRORS = 20
VISIBLE = r"[^\s\u200b\u200c\u200d\u2060\ufeff]"  # blanks alone are no value
Value = float | str | datetime | None  # as files have them
Row = dict[str, Value]
SHORT, REMEMBERED = 64, 4096  # characters of a category, and how many of a field are remembered as they were read


class Mistake(TypedDict):
    """What is wrong, in an answer's ``errors``."""

    message: str
    field: NotRequired[str]
    row: NotRequired[int]  # its position in the batch, from 0


class Problems(Exception):
    """What is wrong with a request; each entry names the field."""

    def __init__(self, errors: list[Mistake], status: int = 422) -> None:
        super().__init__("; ".join(e["message"] for e in errors))
        self.errors = errors
        self.status = status


class RowReader:
    """Reads request bodies of one row into the row that the plan takes.

    A value means what it means in a file (:mod:`tasks.values.reading`): ``" 2.0 "`` is a number, ``"yes"`` is true, ``"NA"``
    is missing. Columns of the table that the model does not use (``disregarded`` in the schema) may be there.

    Parameters
    ----------
    schema
        The package's ``schema.json``.

    Examples
    --------
    >>> field = SchemaField(name="petal width (cm)", kind="numeric", nullable=False)
    >>> rows = RowReader(Schema(table="t", fields=[field]))
    >>> rows.one(b'{"petal width (cm)": 2}')
    {'petal width (cm)': 2.0}
    >>> rows.one(b'{"petal width": 2}')
    Traceback (most recent call last):
    deploy.rows.Problems: 'petal width (cm)' is missing; every field must be there, and null says that a value \
is unknown (where allowed); 'petal width' is not a field of this model. Did you mean 'petal width (cm)'?
    """

    def __init__(self, schema: Schema) -> None:
        self.table = schema.table
        self.fields = {f.name: f for f in fields_of(schema)}
        self._names = frozenset(self.fields)
        self._required = [name for name, f in self.fields.items() if f.required]
        self._disregarded = frozenset(schema.disregarded) - self._names
        self._readings = {name: Reading.of_field(f, schema) for name, f in self.fields.items()}
        self._readers = [(name, _reader(self._readings[name]), f.nullable) for name, f in self.fields.items()]
        self._hinted = [
            (name, f)
            for name, f in self.fields.items()
            if f.min is not None or f.max is not None or f.allowed is not None
        ]

    @property
    def most_names(self) -> int:
        """How many columns a row may have, those that are disregarded too."""
        return len(self._names) + len(self._disregarded)

    # Requests ------------------------------------------------------------------------------------
    def one(self, body: bytes) -> Row:
        """One row from JSON. Raises :class:`Problems`."""
        return self.row(parsed(body))

    def row(self, given: object) -> Row:
        """One row from what JSON held. Raises :class:`Problems`."""
        if type(given) is not dict:
            raise Problems([_entry(f"a row is a JSON object of fields, found {_short(given)}")])
        row: Row = {}
        try:
            for name, read, nullable in self._readers:
                value = row[name] = read(given[name])
                if value is None and not nullable:
                    raise ValueError
        except (KeyError, ValueError):
            return self._with_care(given)
        if len(given) > len(row):
            self._refuse_unknown(given)
        return row

    def value(self, name: str, given: object) -> Value:
        """One field's value as files have it. Raises :class:`Problems`."""
        try:
            return self._readings[name].value(given)
        except ValueError:
            message = f"{name!r} must be {expected(self.fields[name])}, found {_short(given)}"
            raise Problems([_entry(message, name)]) from None

    def _with_care(self, given: dict[str, object]) -> Row:
        """The row where fields that may be left out are; else every mistake in it is told."""
        row: Row = {}
        errors = []
        for name, read, nullable in self._readers:
            if name not in given and name in self._required:
                message = f"{name!r} is missing; every field must be there, and null says that a value is unknown (where allowed)"
                errors.append(_entry(message, name))
                continue
            value = given.get(name)
            try:
                row[name] = read(value)
                wrong = row[name] is None and not nullable
            except ValueError:
                wrong = True
            if wrong:
                unless = " or null" if nullable else ""
                message = f"{name!r} must be {expected(self.fields[name])}{unless}, found {_short(value)}"
                errors.append(_entry(message, name))
        errors += self._unknown(given)
        if errors:
            raise Problems(errors[:MOST_ERRORS])
        return row

    def _refuse_unknown(self, given: Iterable[str]) -> None:
        if errors := self._unknown(given):
            raise Problems(errors[:MOST_ERRORS])

    def _unknown(self, given: Iterable[str]) -> list[Mistake]:
        return [
            _entry(f"{name[:80]!r} is not a field of this model." + nearest(name[:80], self.fields), name)
            for name in given
            if name not in self._names and name not in self._disregarded
        ]

    # What is said of them ------------------------------------------------------------------------
    def warnings(self, row: Row) -> list[str]:
        """What the data contract would not have let into training; such rows are answered all the same."""
        remarks = (remark(field, row[name]) for name, field in self._hinted)
        return [one for one in remarks if one]

    def described(self) -> dict[str, object]:
        """JSON Schema of one row, in the form that is usual for each kind."""
        properties = {}
        for name, field in self.fields.items():
            hints = [
                f"at least {field.min:g}" if field.min is not None else "",
                f"at most {field.max:g}" if field.max is not None else "",
                f"one of {some(field.allowed)}" if field.allowed else "",
            ]
            time = field.kind == "datetime"
            iso = field.format == "iso"
            types = ["string", "number"] if time and not iso else JSON_TYPES[field.kind]
            how: dict[str, object] = {"type": [*types, "null"] if field.nullable else types}
            if time and iso:
                how["format"] = "date-time"
            elif not field.nullable and "string" in types and not time:
                how["pattern"] = VISIBLE
                if self._readings[name].texts:
                    how["not"] = {"enum": sorted(self._readings[name].texts)}
            properties[name] = {**how, "description": ", ".join([expected(field), *filter(None, hints)])}
        return {
            "type": "object",
            "title": "Row",
            "description": f"One row of {self.table!r}.",
            "properties": {
                **properties,
                **{name: {"description": "disregarded"} for name in sorted(self._disregarded)},
            },
            "required": self._required,
            "additionalProperties": False,
        }


def remark(field: SchemaField, value: Value) -> str:
    """What the data contract has against a value; empty where it has nothing."""
    name, low, high, allowed = field.name, field.min, field.max, field.allowed
    if isinstance(value, float):
        if low is not None and value < low:
            return f"{name!r}: {value:g} is below {low:g}, the least that training rows may have"
        if high is not None and value > high:
            return f"{name!r}: {value:g} is above {high:g}, the most that training rows may have"
    elif isinstance(value, str) and allowed is not None and value not in allowed:
        return f"{name!r}: {value[:40]!r} is not one of {some(allowed)}"
    return ""


def expected(field: SchemaField) -> str:
    """What a field's value must be, in words."""
    form = field.format
    return f"a time of the form {form}, or {EXPECTED['datetime']}" if form != "iso" else EXPECTED[field.kind]


def _reader(reading: Reading) -> Callable[[object], Value]:
    """:meth:`Reading.value`, but quick: numbers and truths are mostly as JSON has them, categories mostly known ones."""
    read = reading.value

    def numeric(value: object) -> Value:
        if type(value) is float and math.isfinite(value):
            return value
        return float(value) if type(value) is int and -EXACT < value < EXACT else read(value)

    def boolean(value: object) -> Value:
        return (1.0 if value else 0.0) if type(value) is bool else read(value)

    known: dict[str, Value] = {}  # categories come again and again

    def category(value: object) -> Value:
        if type(value) is not str:
            return read(value)
        as_read = known.get(value)
        if as_read is None:
            as_read = read(value)
            if as_read is not None and len(value) <= SHORT and len(known) < REMEMBERED:
                known[value] = as_read
        return as_read

    if reading.kind == "numeric" and not reading.numbers:
        return numeric
    return {"boolean": boolean, "categorical": category}.get(reading.kind, read)


def parsed(body: bytes) -> object:
    """What a body's JSON holds. Raises :class:`Problems`."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problems([_entry(f"the body is not valid UTF-8 JSON: {error}")], 400) from None


def fields_of(schema: Schema) -> list[SchemaField]:
    """The fields of ``schema.json``, allowed values as levels; packages of older versions have them as a file wrote them."""
    return [
        f.model_copy(update={"allowed": [level(value) or value for value in f.allowed]})
        if f.kind == "categorical" and f.allowed
        else f
        for f in schema.fields
    ]


def _entry(message: str, field: str | None = None) -> Mistake:
    return {"message": message} if field is None else {"message": message, "field": field}


def _short(value: object) -> str:
    text = "null" if value is None else f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(value)
    return shortened(text, 80)
