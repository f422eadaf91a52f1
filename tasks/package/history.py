"""What online features need of the tables: which columns, and how far back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from tasks.engine import Plan
from tasks.engine.compute import sees_own
from tasks.engine.expression import Expression
from tasks.params import Duration
from tasks.states import UNTIL


@dataclass
class Need:
    """Columns of one table, and how far back its events are needed (microseconds; None: all of them)."""

    columns: set[str] = field(default_factory=set)
    reach: int | None = 0

    def extend(self, columns: set[str], reach: int | None) -> None:
        self.columns |= columns
        self.reach = None if reach is None or self.reach is None else max(self.reach, reach)


def row_columns(plan: Plan) -> list[str]:
    """Columns of the problem table that a row must bring for its features, in the table's order."""
    own = plan.tables[plan.table]
    names = {f.name for f in plan.features}
    used = {time.column for time in (plan.time, plan.cap) if time}
    for feature in plan.features:
        make = feature.make
        if make["op"] in ("column", "date"):
            used.add(make["column"])
        elif make["op"] == "lookup":
            used |= set(make["on"])
        elif make["op"] == "aggregate":
            used |= set(make["by"])
        elif make["op"] == "expression":
            used |= set(Expression.parse(make["text"]).names) - names
    return [c for c in own.columns if c in used]


def identity_columns(plan: Plan) -> list[str]:
    """Columns by which a row's own event is told from the others, where it could be among them."""
    return list(plan.tables[plan.table].key) if sees_own(plan) else []


def needs(plan: Plan) -> dict[str, Need]:
    """What the features read of each table beside the row itself, by the table's name."""
    out: dict[str, Need] = {}
    for feature in plan.features:
        make = feature.make
        if make["op"] not in ("lookup", "aggregate"):
            continue
        table = plan.tables[make["table"]]
        # The key settles the order of simultaneous events, and keeps a row's own event out.
        columns = {*(table.key or table.columns), *(t.column for t in (table.event_time, table.known_at) if t)}
        if make["op"] == "lookup":
            # Without `within` the newest row counts, however old it is.
            reach = Duration(make["within"]).micros if make["within"] else None
            columns |= {make["column"], *make["on"].values()}
        else:
            window = make["window"]
            reach = None if window == "all" or window.startswith("last ") else Duration(window).micros
            columns |= {*make["by"], *([make["column"]] if make["column"] else [])}
        out.setdefault(table.name, Need()).extend(columns, reach)
    if plan.children:  # features of features: their own windows lie before these
        return {name: Need(set(table.columns), None) for name, table in plan.tables.items()}
    return out


def keep(frame: pd.DataFrame, plan: Plan, name: str, need: Need, since: pd.Timestamp | None) -> pd.DataFrame:
    """The needed columns (in the table's order) of the rows that a prediction at ``since`` or later can see.

    Rows whose event is not known yet stay out: they are told to the online state when they are.
    """
    table = plan.tables[name]
    kept = frame[[c for c in frame.columns if c in need.columns or c == UNTIL]]
    if table.event_time is None:
        return kept.reset_index(drop=True)
    happened = kept[table.event_time.column]
    rows = happened.notna()
    if table.known_at is not None:
        rows &= kept[table.known_at.column].notna()
    if need.reach is not None and since is not None:
        rows &= happened + pd.Timedelta(table.event_time.offset, "us") >= since - pd.Timedelta(need.reach, "us")
    return kept[rows].reset_index(drop=True)
