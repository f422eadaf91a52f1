"""One row of the problem table as JSON, and back: how golden rows are stored and requests are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tasks.values.levels import level


def to_json(row: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
    """A table's row as JSON values, in the schema's fields: times as ISO 8601 in UTC, a missing value as null.

    >>> fields = [{"name": "at", "kind": "datetime"}, {"name": "n", "kind": "numeric"}]
    >>> to_json({"at": pd.Timestamp("2013-01-01T10:00", tz="UTC"), "n": float("nan")}, fields)
    {'at': '2013-01-01T10:00:00Z', 'n': None}
    """
    out: dict[str, Any] = {}
    for field in fields:
        value, kind = row[field["name"]], field["kind"]
        if pd.isna(value):
            value = None
        elif kind == "datetime":
            value = pd.Timestamp(value).tz_convert("UTC").isoformat().replace("+00:00", "Z")
        elif kind == "numeric":
            value = float(value)
        elif kind == "boolean":
            value = bool(value)
        else:
            value = str(value)
        out[field["name"]] = value
    return out


def from_json(row: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
    """The inverse of :func:`to_json`, for rows known to be well-formed; a missing value is None.

    >>> from_json({"at": "2013-01-01T10:00:00Z", "n": 2}, [{"name": "at", "kind": "datetime"},
    ...           {"name": "n", "kind": "numeric"}])
    {'at': datetime.datetime(2013, 1, 1, 10, 0, tzinfo=datetime.timezone.utc), 'n': 2.0}
    """
    out: dict[str, Any] = {}
    for field in fields:
        value = row[field["name"]]
        if value is not None and field["kind"] == "datetime":
            value = datetime.fromisoformat(value).astimezone(UTC)
        elif value is not None and field["kind"] == "numeric":
            value = float(value)
        elif field["kind"] == "categorical":
            value = level(value)
        out[field["name"]] = value
    return out
