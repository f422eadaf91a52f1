"""The typed input of one row: the columns of the problem table that features are made from."""

from __future__ import annotations

from tasks.artifacts import Schema, SchemaField
from tasks.params import Params
from tasks.values.missing import texts as missing


def schema(params: Params, columns: list[str], identity: list[str]) -> Schema:
    """``schema.json``: kind and nullability are demanded of clients; bounds and allowed values are hints.

    ``missing`` has the texts that count as missing, of a field where they are others than the table's; with ``format``,
    ``case`` and ``spellings`` it makes the field's :class:`~tasks.values.reading.Reading`, so that a value is read as in the files.

    ``columns`` must be there in every row. Those of ``identity`` that are not among them may be left out: they say
    which earlier event, if any, is the row's own. The table's other columns are ``disregarded``: they may be sent, since
    rows are often sent as they lie in the table.
    """
    table = params.data.tables[params.problem.table]
    usual = missing(params.data.missing_everywhere)
    fields = []
    for name, column in table.columns.items():
        if name not in columns and name not in identity:
            continue
        required = name in columns
        field = SchemaField(name=name, kind=column.kind, nullable=column.nullable or not required)
        texts = missing(column.missing)
        more = {
            "min": column.min,
            "max": column.max,
            "format": None if column.format == "iso" else column.format,
            "missing": None if texts == usual else list(texts),
            "case": None if column.case == "as_written" else column.case,
            "spellings": {name: list(texts) for name, texts in column.spellings.items()} or None,
            "allowed": None if column.allowed is None else list(column.allowed),
            "required": None if required else False,
        }
        fields.append(field.model_copy(update={key: value for key, value in more.items() if value is not None}))
    asked = [field.name for field in fields]
    disregarded = [name for name in table.columns if name not in asked]
    made = Schema(table=params.problem.table, missing=list(usual), fields=fields)
    return made.model_copy(update={"disregarded": disregarded}) if disregarded else made
