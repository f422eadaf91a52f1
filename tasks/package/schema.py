"""The typed input of one row: the columns of the problem table that features are made from."""

from __future__ import annotations

from typing import Any

from tasks.params import Params


def schema(params: Params, columns: list[str]) -> dict[str, Any]:
    """``schema.json``: kind and nullability are demanded of clients; bounds and allowed values are hints."""
    table = params.data.tables[params.problem.table]
    fields = []
    for name in columns:
        column = table.columns[name]
        entry: dict[str, Any] = {"name": name, "kind": column.kind, "nullable": column.nullable}
        entry |= {key: getattr(column, key) for key in ("min", "max") if getattr(column, key) is not None}
        if column.allowed is not None:
            entry["allowed"] = list(column.allowed)
        fields.append(entry)
    return {"table": params.problem.table, "fields": fields}
