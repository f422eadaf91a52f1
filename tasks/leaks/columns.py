"""From a suspected feature to the column that a person can name: ``column``, or ``table.column`` of another table."""

from __future__ import annotations

from typing import Any

from tasks.engine.expression import Expression
from tasks.engine.plan import Plan


def columns_of(name: str, plan: Plan) -> list[str]:
    """The columns that a feature is made of, in order of appearance; an unknown name is a column itself.

    A number of events (``count``) reads no column but the time of these events.
    """
    features = {f.name: f for f in plan.features}
    if name not in features:
        return [name]
    make: dict[str, Any] = features[name].make
    op = make["op"]
    if op in ("column", "date"):
        return [make["column"]]
    if op == "expression":
        parts = Expression.parse(make["text"]).names
    elif op == "power":
        parts = tuple(make["powers"])
    else:
        column = make["column"]
        if column is None:
            event = plan.tables[make["table"]].event_time
            column = event.column if event else next(iter(make.get("by", ())), "")
        return [column if make["table"] == plan.table else f"{make['table']}.{column}"]
    found: list[str] = []
    for part in parts:
        found += columns_of(part, plan) if part != name else [part]
    return list(dict.fromkeys(found))
