"""What online features need of the tables: which columns, and how far back."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tasks.artifacts.columns import RECEIVED, UNTIL
from tasks.bundle.horizon import Horizon, newest_known, shortest_windows
from tasks.engine import Plan
from tasks.engine.facts import MISSING, Events
from tasks.engine.recipes import Need


def needs(plan: Plan) -> dict[str, Need]:
    """What the features read of each table beside the row itself, by the table's name."""
    if plan.children:  # features of features: their own windows lie before these
        return {name: Need(frozenset(table.columns), None) for name, table in plan.tables.items()}
    return plan.events()


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
    facts = Events(table, frame)
    counts = (facts.event != MISSING) & (facts.known != MISSING)
    if as_of is not None:
        counts &= facts.known <= as_of
    return frame[counts]


def keep(frame: pd.DataFrame, plan: Plan, name: str, need: Need, since: int | None) -> Kept:
    """The needed columns (in the table's order) of the rows that a prediction at ``since`` (µs) or later can see."""
    table = plan.tables[name]
    kept = frame[[c for c in frame.columns if c in need.columns or c in (RECEIVED, UNTIL)]]
    if table.event_time is None:
        return Kept(kept.reset_index(drop=True), None, False)
    until = newest_known(plan, name, kept)
    if need.reach is None or since is None:
        return Kept(kept.reset_index(drop=True), until, False)
    seen = Events(table, kept).event >= since - need.reach
    return Kept(kept[seen].reset_index(drop=True), until, not bool(seen.all()))


def horizon(plan: Plan, history: dict[str, Kept], since: int | None) -> Horizon:
    """From when a package with this history answers: from ``since`` (µs), or always where nothing was cut off."""
    until = {name: one.known_until for name, one in history.items() if one.known_until is not None}
    return Horizon(since if any(one.cut for one in history.values()) else None, until, shortest_windows(plan))
