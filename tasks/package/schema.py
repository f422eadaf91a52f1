"""The typed input of one row: the columns of the problem table that features are made from."""

from __future__ import annotations

from typing import Any

from tasks.params import Params
from tasks.values.missing import texts as missing


def schema(params: Params, columns: list[str], identity: list[str]) -> dict[str, Any]:
    """``schema.json``: kind and nullability are demanded of clients; bounds and allowed values are hints.

    ``missing`` has the texts that count as missing, of a field where they are others than the table's; with ``format``
    and ``case`` it makes the field's :class:`~tasks.values.reading.Reading`, so that a value is read as in the files.

    ``columns`` must be there in every row. Those of ``identity`` that are not among them may be left out: they say
    which earlier event, if any, is the row's own.
    """
    table = params.data.tables[params.problem.table]
    usual = missing(params.data.missing_everywhere)
    fields = []
    for name, column in table.columns.items():
        if name not in columns and name not in identity:
            continue
        required = name in columns
        entry: dict[str, Any] = {"name": name, "kind": column.kind, "nullable": column.nullable or not required}
        entry |= {key: getattr(column, key) for key in ("min", "max") if getattr(column, key) is not None}
        if column.format != "iso":
            entry["format"] = column.format
        texts = missing(column.missing)
        if texts != usual:
            entry["missing"] = list(texts)
        if column.case != "as_written":
            entry["case"] = column.case
        if column.allowed is not None:
            entry["allowed"] = list(column.allowed)
        if not required:
            entry["required"] = False
        fields.append(entry)
    return {"table": params.problem.table, "missing": list(usual), "fields": fields}
