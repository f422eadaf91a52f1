"""What the engines do alike: tables checked before they are asked, and results brought into a feature's form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks.engine.facts import HOUR, Events
from tasks.engine.plan import Plan
from tasks.errors import RefitError, nearest, some


def asked_tables(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, Events]:
    """The tables that the plan asks, checked."""
    facts = {}
    for name in dict.fromkeys(g.table for g in plan.groups):
        if name not in tables:
            raise RefitError(f"the plan needs table {name!r}, which is not there." + nearest(name, tables))
        facts[name] = Events(plan.tables[name], tables[name])
        facts[name].check_key()
    return facts


def check_unique(facts: Events, codes: np.ndarray, on: tuple[tuple[str, str], ...]) -> None:
    """Refuse a lookup in a table without times where a key has several rows: none of them is the newest."""
    counts = np.bincount(codes[codes >= 0], minlength=1)
    if counts.max() > 1:
        rows = np.flatnonzero((codes >= 0) & (counts[codes] > 1))
        raise RefitError(
            f"{facts.table.name}: rows {some(rows.tolist())} share their key ({', '.join(c for _, c in on)}) with another "
            "row, so a lookup has no one answer; remove the duplicates, or declare event_time"
        )


def in_hours(value: np.ndarray, moment: str | None, t: np.ndarray) -> np.ndarray:
    """A result over a datetime column (µs): a moment as hours before t, a span as hours, a number as it is."""
    if moment == "moment":
        return (t - value) / HOUR
    return value / HOUR if moment == "span" else value
