"""One row of the problem table as JSON, and back: how golden rows are stored and requests are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tasks.artifacts import SchemaField, Value
from tasks.values.levels import level

WHOLE = (str, bool, int, datetime)  # types whose values are never missing, which is quickly told


def to_json(row: Mapping[str, Any], fields: Sequence[SchemaField]) -> dict[str, Value]:
    """A table's row as JSON values, in the schema's fields: times as ISO 8601 in UTC, a missing value as null.

    >>> at = SchemaField(name="at", kind="datetime", nullable=True)
    >>> fields = [at, SchemaField(name="n", kind="numeric", nullable=True)]
    >>> to_json({"at": pd.Timestamp("2013-01-01T10:00", tz="UTC"), "n": float("nan")}, fields)
    {'at': '2013-01-01T10:00:00Z', 'n': None}
    """
    out: dict[str, Value] = {}
    for field in fields:
        value = row[field.name]
        if value is None or (value != value if type(value) is float else type(value) not in WHOLE and pd.isna(value)):
            out[field.name] = None
        elif field.kind == "datetime":
            utc = value if type(value) is datetime and value.tzinfo is UTC else pd.Timestamp(value).tz_convert("UTC")
            out[field.name] = utc.isoformat().replace("+00:00", "Z")
        elif field.kind == "numeric":
            out[field.name] = float(value)
        elif field.kind == "boolean":
            out[field.name] = bool(value)
        else:
            out[field.name] = str(value)
    return out


def from_json(row: Mapping[str, Value], fields: Sequence[SchemaField]) -> dict[str, Value | datetime]:
    """The inverse of :func:`to_json`, for rows known to be well-formed; a missing value is None.

    >>> from_json({"at": "2013-01-01T10:00:00Z"}, [SchemaField(name="at", kind="datetime", nullable=True)])
    {'at': datetime.datetime(2013, 1, 1, 10, 0, tzinfo=datetime.timezone.utc)}
    """
    out: dict[str, Value | datetime] = {}
    for field in fields:
        value = row[field.name]
        if field.kind == "datetime" and isinstance(value, str):
            out[field.name] = datetime.fromisoformat(value).astimezone(UTC)
        elif field.kind == "numeric" and value is not None:
            out[field.name] = float(value)
        else:
            out[field.name] = level(value) if field.kind == "categorical" else value
    return out
