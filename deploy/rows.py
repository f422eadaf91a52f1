"""Rows as clients send them: a typed model made from the package's schema, and errors that name the field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from tasks.errors import nearest, some
from tasks.values.levels import level
from tasks.values.moments import moment

Kind = Literal["numeric", "categorical", "boolean", "datetime", "text"]

# Times outside these years would overflow somewhere in feature arithmetic, and are typing mistakes.
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST = {"categorical": 1_000, "text": 100_000}  # characters
EXPECTED = {
    "numeric": "a finite number",
    "categorical": f"a string of at most {LONGEST['categorical']:,} characters, or a number, or true or false",
    "text": f"a string of at most {LONGEST['text']:,} characters",
    "boolean": "true or false",
    "datetime": f"an ISO 8601 time as in 2013-10-31T18:00:00Z (UTC if no zone is given), {FIRST.year} to {LAST.year - 1}",
}
TYPES: dict[str, Any] = {
    "numeric": Annotated[float, Field(allow_inf_nan=False)],
    "categorical": Annotated[str, Field(max_length=LONGEST["categorical"])],
    "text": Annotated[str, Field(max_length=LONGEST["text"])],
    "boolean": bool,
    "datetime": datetime,
}


class Problems(Exception):
    """What is wrong with a request; each entry names the field."""

    def __init__(self, errors: list[dict[str, Any]], status: int = 422) -> None:
        super().__init__("; ".join(e["message"] for e in errors))
        self.errors = errors
        self.status = status


class Rows:
    """Reads request bodies of one row, or of a list of rows, into the rows that the plan takes.

    Parameters
    ----------
    schema
        The package's ``schema.json``.
    most
        The greatest number of rows in one batch.

    Examples
    --------
    >>> schema = {"table": "t", "fields": [{"name": "petal width (cm)", "kind": "numeric", "nullable": False}]}
    >>> rows = Rows(schema, most=10)
    >>> rows.one(b'{"petal width (cm)": 2}')
    {'petal width (cm)': 2.0}
    >>> rows.one(b'{"petal width": 2}')
    Traceback (most recent call last):
    deploy.rows.Problems: 'petal width (cm)' is missing; every field must be there, and null says that a value \
is unknown (where allowed); 'petal width' is not a field of this model. Did you mean 'petal width (cm)'?
    """

    def __init__(self, schema: dict[str, Any], most: int) -> None:
        self.fields: dict[str, dict[str, Any]] = {f["name"]: _known(f) for f in schema["fields"]}
        self.most = most
        self.model = _model(schema["table"], self.fields)
        self._names = list(self.fields)
        self._times = [(f"f{i}", n) for i, (n, f) in enumerate(self.fields.items()) if f["kind"] == "datetime"]
        batch: Any = Annotated[list[self.model], Field(min_length=1, max_length=most)]  # type: ignore[name-defined]
        self.batch: TypeAdapter[list[BaseModel]] = TypeAdapter(batch)

    def one(self, body: bytes) -> dict[str, Any]:
        """One row from JSON. Raises :class:`Problems`."""
        try:
            found = self.model.model_validate_json(body)
        except ValidationError as error:
            raise self._problems(error) from None
        return self._row(found, None)

    def many(self, body: bytes) -> list[dict[str, Any]]:
        """Rows from a JSON list of rows. Raises :class:`Problems`."""
        try:
            found = self.batch.validate_json(body, strict=True)
        except ValidationError as error:
            raise self._problems(error) from None
        return [self._row(row, i) for i, row in enumerate(found)]

    def warnings(self, row: dict[str, Any]) -> list[str]:
        """What the data contract would not have let into training; such rows are answered all the same."""
        found = []
        for name, field in self.fields.items():
            value = row[name]
            if value is None:
                continue
            low, high, allowed = field.get("min"), field.get("max"), field.get("allowed")
            if low is not None and value < low:
                found.append(f"{name!r}: {value:g} is below {low:g}, the least that training rows may have")
            elif high is not None and value > high:
                found.append(f"{name!r}: {value:g} is above {high:g}, the most that training rows may have")
            elif allowed is not None and value not in allowed:
                found.append(f"{name!r}: {value[:40]!r} is not one of {some(allowed)}; it counts as missing")
        return found

    def _row(self, found: BaseModel, position: int | None) -> dict[str, Any]:
        values = found.__dict__
        for attribute, name in self._times:
            moment: datetime | None = values[attribute]
            if moment is None:
                continue
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            if not FIRST <= moment < LAST:
                message = f"{name!r}: {moment.isoformat()} is not {EXPECTED['datetime']}"
                raise Problems([_entry(message, name, position)])
            values[attribute] = moment.astimezone(UTC)
        return dict(zip(self._names, values.values(), strict=True))

    def _problems(self, error: ValidationError) -> Problems:
        entries = []
        for item in error.errors(include_url=False, include_context=False)[:20]:
            position = next((p for p in item["loc"] if isinstance(p, int)), None)
            name = next((p for p in item["loc"] if isinstance(p, str)), None)
            if item["type"] == "json_invalid":
                said = item["msg"].removeprefix("Invalid JSON: ")
                return Problems([_entry(f"the body is not valid UTF-8 JSON: {said}", None, None)], 400)
            entries.append(_entry(self._say(item, name), name, position))
        return Problems(entries)

    def _say(self, item: Any, name: str | None) -> str:
        value = item.get("input")
        if name is None:
            if item["type"] == "too_long":
                return f"a batch has at most {self.most:,} rows; send several requests"
            if item["type"] == "too_short":
                return "the batch is empty; send at least one row"
            if item["type"] == "list_type":
                return f"a batch is a JSON list of rows, found {_short(value)}"
            return f"a row is a JSON object of fields, found {_short(value)}"
        if item["type"] == "missing":
            return (
                f"{name!r} is missing; every field must be there, and null says that a value is unknown (where allowed)"
            )
        if item["type"] == "extra_forbidden":
            return f"{name[:80]!r} is not a field of this model." + nearest(name[:80], self._names)
        field = self.fields[name]
        unless = " or null" if field["nullable"] else ""
        return f"{name!r} must be {_expected(field)}{unless}, found {_short(value)}"


def _known(field: dict[str, Any]) -> dict[str, Any]:
    """A field whose allowed values are levels; packages of older versions have them as a file wrote them."""
    if field["kind"] != "categorical" or not field.get("allowed"):
        return field
    return {**field, "allowed": [level(value) or value for value in field["allowed"]]}


def _expected(field: dict[str, Any]) -> str:
    form = field.get("format", "iso")
    return f"a time of the form {form}, or {EXPECTED['datetime']}" if form != "iso" else EXPECTED[field["kind"]]


def _read(field: dict[str, Any]) -> Any:
    """The type of a field's values: categories and times are read as those of a file are."""
    kind = TYPES[field["kind"]]
    kind = kind | None if field["nullable"] else kind
    if field["kind"] == "categorical":

        def category(value: Any) -> Any:
            if not isinstance(value, str | int | float) or value in (float("inf"), float("-inf")):
                return value
            found = level(value)
            return found if found is not None or field["nullable"] else value

        written: Any = TYPES["categorical"] | float | bool
        return Annotated[kind, BeforeValidator(category, written | None if field["nullable"] else written)]
    if field["kind"] == "datetime":
        form = field.get("format", "iso")

        def time(value: Any) -> Any:
            if value is None or (form == "iso" and not isinstance(value, str)):
                return value
            try:
                return moment(value, form)
            except ValueError:
                if form != "iso":
                    raise
                return value  # pydantic reads more ways of ISO 8601, and names the fault

        if form == "iso":
            return Annotated[kind, BeforeValidator(time)]
        return Annotated[kind, BeforeValidator(time, str | float | None if field["nullable"] else str | float)]
    return kind


def _model(table: str, fields: dict[str, dict[str, Any]]) -> type[BaseModel]:
    """A strict pydantic model of one row. Fields are named by position; clients see the columns' own names."""
    made: dict[str, Any] = {}
    for i, (name, field) in enumerate(fields.items()):
        hints = [
            f"at least {field['min']:g}" if field.get("min") is not None else "",
            f"at most {field['max']:g}" if field.get("max") is not None else "",
            f"one of {some(field['allowed'])}" if field.get("allowed") else "",
        ]
        said = ", ".join([_expected(field), *filter(None, hints)])
        default = ... if field.get("required", True) else None
        made[f"f{i}"] = (_read(field), Field(default, alias=name, description=said))
    return create_model(
        "Row", __config__=ConfigDict(extra="forbid", strict=True), __doc__=f"One row of {table!r}.", **made
    )


def _entry(message: str, field: str | None, row: int | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": message}
    if field is not None:
        entry["field"] = field
    if row is not None:
        entry["row"] = row
        entry["message"] = f"row {row}: {message}"
    return entry


def _short(value: Any) -> str:
    text = "null" if value is None else f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
