"""From a suspected feature to the column that a person can name: ``column``, or ``table.column`` of another table."""

from __future__ import annotations

from tasks.engine.plan import Plan
from tasks.engine.recipes import FromTable


def columns_of(name: str, plan: Plan) -> list[str]:
    """The columns that a feature is made of, in order of appearance; an unknown name is a column itself.

    A number of events (``count``) reads no column but the time of these events.
    """
    feature = next((f for f in plan.features if f.name == name), None)
    if feature is None:
        return [name]
    recipe = feature.recipe
    if isinstance(recipe, FromTable):
        column = recipe.column
        if column is None:
            event = plan.tables[recipe.table].event_time
            column = event.column if event else next(iter(recipe.row), "")
        return [column if recipe.table == plan.table else f"{recipe.table}.{column}"]
    own, found = plan.read_by[name], list[str]()
    for part in (*recipe.row, *recipe.parts):
        found += [part] if part in own else columns_of(part, plan)
    return list(dict.fromkeys(found))
