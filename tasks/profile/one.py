"""One value of a request, read as the same value in a file would be: by the rule of :mod:`tasks.profile.kinds`.

The usual cases (a number in a numeric field and so on) are read at once. Everything else goes through a column of one
value, as :func:`~tasks.profile.kinds.coerce` reads it, so that there is no second rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from tasks.profile.kinds import EXACT, coerce
from tasks.profile.reading import MISSING
from tasks.values.levels import level
from tasks.values.moments import moment

Reader = Callable[[Any], Any]


def reader(field: Mapping[str, Any]) -> Reader:
    """A function that reads one value as a field of ``schema.json`` declares it: ``kind``, and ``format`` of times.

    It takes what JSON holds (text, numbers, booleans, null) and gives a float, a bool, a text, a UTC datetime, or None
    for a missing value. It raises ``ValueError`` that says why a value is none of its kind.

    >>> number, truth = reader({"kind": "numeric"}), reader({"kind": "boolean"})
    >>> number(2), number(" 2.50 "), number("NA"), truth("YES"), truth(0), truth(None)
    (2.0, 2.5, None, True, False, None)
    >>> number("much")
    Traceback (most recent call last):
    ValueError: is not a number
    """
    kind, form = str(field["kind"]), str(field.get("format", "iso"))
    absent = frozenset(MISSING)

    def slow(value: Any) -> Any:
        return _of_column(value, kind, form)

    def numeric(value: Any) -> Any:
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is int and -EXACT < value < EXACT:
            return float(value)
        return None if value is None or (type(value) is str and value in absent) else slow(value)

    def boolean(value: Any) -> Any:
        if type(value) is bool or value is None:
            return value
        found = None if type(value) is str and value in absent else slow(value)
        return found if found is None else bool(found)

    def category(value: Any) -> Any:
        if type(value) is str:
            return None if value in absent else level(value)
        if value is None or (isinstance(value, int | float) and value not in (math.inf, -math.inf)):
            return level(value)
        return slow(value)

    def text(value: Any) -> Any:
        if type(value) is str:
            return None if value in absent else value
        return category(value)

    def time(value: Any) -> Any:
        if value is None or (type(value) is str and (value in absent or not value.strip())):
            return None
        return moment(value, form)

    return {"numeric": numeric, "boolean": boolean, "categorical": category, "text": text, "datetime": time}[kind]


def _of_column(value: Any, kind: str, form: str) -> Any:
    """A value by way of a column that holds nothing else."""
    import pandas as pd
    import pyarrow as pa

    if not isinstance(value, str | int | float):
        raise ValueError(f"is no single value but a {type(value).__name__}")
    try:
        column = pa.chunked_array([pa.array([value])])
    except (pa.ArrowInvalid, OverflowError):  # a whole number of more than 64 bits: as a CSV file writes it
        column = pa.chunked_array([pa.array([str(value)])])
    read = coerce(column, kind, form)
    if len(read.problems):
        raise ValueError(read.problems["why"].iloc[0])
    found = read.values.iloc[0]
    if pd.isna(found):
        return None
    if kind == "datetime":
        return found.to_pydatetime().astimezone(UTC)
    return found if isinstance(found, str) else float(found)
