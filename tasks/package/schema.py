"""What is taken of a row: of one that is asked about, and of an event of each table."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.artifacts import EventMoment, EventTable, EventTables, Schema, SchemaField
from tasks.params import Column, Moment, Params, Table
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
    asked = [name for name in table.columns if name in columns or name in identity]
    return _of_table(params, params.problem.table, table.columns, asked, {*identity} - {*columns})


def events(params: Params) -> EventTables:
    """``events.json``: of each table that has a source, what an event of it must look like.

    All columns are in it but ignored ones, which are ``disregarded``. Outcomes may be left out: an event often comes
    before they are known, and a later one with the same key brings them.
    """
    return EventTables(
        tables={name: _events_of(params, name, t) for name, t in params.data.tables.items() if not t.snapshots}
    )


def _events_of(params: Params, name: str, table: Table) -> EventTable:
    given = table.given
    asked = [column for column, declared in given.items() if declared.kind != "ignore"]
    return EventTable(
        row=_of_table(params, name, given, asked, table.outcome),
        key=list(table.key),
        event_time=_moment(table.event_time),
        known_at=_moment(table.known_at),
        outcome=[column for column in table.outcome if column in given],
        later={column: made for column, when in table.later.items() if column in given and (made := _moment(when))},
    )


def _moment(moment: Moment | None) -> EventMoment | None:
    return EventMoment(column=moment.column, offset=moment.offset_micros) if moment else None


def _of_table(
    params: Params, name: str, columns: dict[str, Column], asked: list[str], optional: Iterable[str]
) -> Schema:
    """The columns ``asked`` of a table's; those that are ``optional`` may be left out, the others are disregarded."""
    usual = missing(params.data.missing_everywhere)
    fields = [_field(one, columns[one], usual, required=one not in optional) for one in asked]
    disregarded = [one for one in columns if one not in asked]
    made = Schema(table=name, missing=list(usual), fields=fields)
    return made.model_copy(update={"disregarded": disregarded}) if disregarded else made


def _field(name: str, column: Column, usual: tuple[str, ...], *, required: bool) -> SchemaField:
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
    return field.model_copy(update={key: value for key, value in more.items() if value is not None})
