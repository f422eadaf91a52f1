"""Features that say nothing: no model can learn from what is empty, or the same in all training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tasks.engine import Plan
from tasks.engine.facts import HOUR, MISSING, Events, Time
from tasks.errors import RefitError, some
from tasks.stored import Frame

FEW = 1000  # training rows that are looked at first: a feature that says something there says something
EMPTY, CONSTANT = "is empty in all training rows", "has one value in the training rows"


def silent(features: Frame, kinds: Mapping[str, str], train: np.ndarray) -> dict[str, str]:
    """The features that say nothing in the training rows, in order, and why.

    A feature of one value that is missing in places is not among them: where it is missing says something. A text of
    nothing but blanks counts as missing. ``kinds``: numeric, categorical or text, by feature; ``train`` (n,) marks the
    training rows. Raises :class:`RefitError` where every feature is silent.

    >>> frame = pd.DataFrame({"a": [1.0, 2.0], "b": [None] * 2, "c": ["x", "x"], "d": [1.0, None]})
    >>> kinds = {"a": "numeric", "b": "numeric", "c": "categorical", "d": "numeric"}
    >>> silent(frame, kinds, np.array([True, True]))
    {'b': 'is empty in all training rows', 'c': 'has one value in the training rows'}
    """
    if not train.any():
        return {}
    few = np.flatnonzero(train)[:FEW]
    found: dict[str, str] = {}
    for name in features.columns:
        values = features[name]
        if _silence(values.iloc[few], kinds[name]) and (why := _silence(values[train], kinds[name])):
            found[name] = why
    if found and len(found) == len(features.columns):
        empty = sum(why == EMPTY for why in found.values())
        raise RefitError(
            f"features: none of the {len(found)} features says anything in the {train.sum():,} training rows: {empty} are "
            f"empty and {len(found) - empty} have one value ({some(found)}); name other columns in features.columns"
        )
    return found


def _silence(values: pd.Series, kind: str) -> str:
    there = values.notna().to_numpy()
    if kind == "text":
        there = there & (values.fillna("").str.strip() != "").to_numpy()
    if not there.any():
        return EMPTY
    same = there.all() and bool((values == values.iloc[0]).all())
    return CONSTANT if same else ""


def never_in_view(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """A line for each table whose rows are known so late that windows stay empty, or that the newest are never seen."""
    facts: dict[str, Events] = {}
    empty: dict[str, list[str]] = {}
    for group in plan.groups:
        table = plan.tables[group.table]
        if not table.event_time or not table.known_at or group.known is not None:
            continue
        if table.name not in facts:
            facts[table.name], empty[table.name] = Events(table, tables[table.name]), []
        fact = facts[table.name]
        there = (fact.known != MISSING) & (fact.event != MISSING)
        soonest = int((fact.known - fact.event)[there].min()) if there.any() else 0
        windows = {str(recipe.window): recipe.window.micros for _, recipe in group.aggregates}
        empty[table.name] += [text for text, length in windows.items() if length is not None and length <= soonest]
    for name, hold_none in empty.items():
        known, event = plan.tables[name].known_at, plan.tables[name].event_time
        assert known
        assert event
        mend = f"If only some columns are known so late, write known_at: {{COLUMN: {_written(known)}}}"
        if hold_none:
            yield f"{name}: the windows {some(dict.fromkeys(hold_none))} hold no row, for each is known only after them. {mend}"
        elif known.column == event.column and known.offset > event.offset:
            yield f"{name}: a row counts from its {_written(known)} on, with all it says. {mend}"


def _written(time: Time) -> str:
    """A moment as ``params.yaml`` has it."""
    if not time.offset:
        return time.column
    hours = abs(time.offset) / HOUR
    span = f"{hours / 24:g}d" if hours % 24 == 0 else f"{hours:g}h"
    return f"{time.column} {'-' if time.offset < 0 else '+'} {span}"
