"""What online features need of the tables: which columns, and how far back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from tasks.bundle.horizon import Horizon, newest_known, shortest_windows
from tasks.engine import Plan
from tasks.engine.compute import sees_own
from tasks.engine.expression import Expression
from tasks.engine.facts import MISSING, Facts
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
        moments = (table.event_time, table.known_at, table.later.get(make["column"]))
        columns = {*(table.key or table.columns), *(t.column for t in moments if t)}
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


@dataclass(frozen=True)
class Kept:
    """One table's history: its frame, the newest moment at which something in it became known, and whether rows that a
    prediction could see were left out (µs; None: it has no times, or no events)."""

    frame: pd.DataFrame
    known_until: int | None
    cut: bool


def known(frame: pd.DataFrame, plan: Plan, name: str, as_of: int | None) -> pd.DataFrame:
    """The rows whose event was known at ``as_of`` (µs); others are told to the online state when they are."""
    table = plan.tables[name]
    if table.event_time is None:
        return frame
    facts = Facts(table, frame)
    counts = (facts.event != MISSING) & (facts.known != MISSING)
    if as_of is not None:
        counts &= facts.known <= as_of
    return frame[counts]


def keep(frame: pd.DataFrame, plan: Plan, name: str, need: Need, since: int | None) -> Kept:
    """The needed columns (in the table's order) of the rows that a prediction at ``since`` (µs) or later can see."""
    table = plan.tables[name]
    kept = frame[[c for c in frame.columns if c in need.columns or c == UNTIL]]
    if table.event_time is None:
        return Kept(kept.reset_index(drop=True), None, False)
    until = newest_known(plan, name, kept)
    if need.reach is None or since is None:
        return Kept(kept.reset_index(drop=True), until, False)
    seen = Facts(table, kept).event >= since - need.reach
    return Kept(kept[seen].reset_index(drop=True), until, not bool(seen.all()))


def horizon(plan: Plan, history: dict[str, Kept], since: int | None) -> Horizon:
    """From when a package with this history answers: from ``since`` (µs), or always where nothing was cut off."""
    until = {name: one.known_until for name, one in history.items() if one.known_until is not None}
    return Horizon(since if any(one.cut for one in history.values()) else None, until, shortest_windows(plan))
