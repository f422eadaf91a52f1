"""The online engine's state of any plan, and features of features (depth 2) as events arrive."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks.artifacts.columns import UNTIL
from tasks.engine.asof import prediction_times
from tasks.engine.compute import child_tables
from tasks.engine.facts import FOREVER, MISSING, Events, TableSchema
from tasks.engine.news import Row, from_frame, from_rows
from tasks.engine.plan import Plan
from tasks.engine.source import OneRow, records
from tasks.engine.state import State, prediction_time
from tasks.engine.store import Store


def start(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> State:
    """Per-key history in memory, for :meth:`State.compute_row`: the same bits as in batch over the same facts.

    ``tables`` holds every table that the plan names, as validated.
    """
    return DeepState(plan, tables) if plan.children else State(plan, tables)


class DeepState(State):
    """The state of a plan whose events have features of their own: these are computed as the events arrive."""

    def __init__(self, plan: Plan, tables: Mapping[str, pd.DataFrame]):
        self.children = {name: start(child, tables) for name, child in plan.children.items()}
        self._latest: dict[str, int] = {}
        kept = {*plan.tables, *(name for child in plan.children.values() for name in child.tables)}
        self._frames = {name: tables[name] for name in kept}
        self._came: dict[str, list[Row]] = {}  # since then
        super().__init__(plan, tables)

    def _build(self, tables: Mapping[str, pd.DataFrame]) -> None:
        extended = {**tables, **child_tables(self.plan, tables)}
        super()._build(extended)
        for name, child in self.plan.children.items():
            self._latest[name] = int(prediction_times(child, extended[name]).max(initial=MISSING))

    def _knows(self, table: str) -> bool:
        return super()._knows(table) or any(table in child.plan.tables for child in self.children.values())

    def _check(self, table: str, rows: list[Row]) -> None:
        for child in self.children.values():
            if child._knows(table):
                child._check(table, rows)
        if table in self.children:
            asking = self.children[table].plan
            for row in rows:
                source = OneRow(asking.own, row)
                prediction_time(asking, source)
                for column in asking.row_columns():
                    source.key(column, asking.own.columns[column])
        if table in self.stores:
            made = self.children[table].plan.names if table in self.children else ()
            super()._check(table, [{**row, **dict.fromkeys(made)} for row in rows])

    def _update(self, table: str, events: pd.DataFrame | list[Row]) -> None:
        """Where facts were known before an event whose features are computed already, these are made anew from all events."""
        children = [child for child in self.children.values() if child._knows(table)]
        if not children:
            return super()._update(table, events)
        rows: list[Row] = [*records(events)] if isinstance(events, pd.DataFrame) else events
        self._check(table, rows)
        for child in children:
            child.update(table, rows)
        self._came.setdefault(table, []).extend(rows)
        given = self._given(table)
        news = from_rows(given, rows, (), (None,), None) or from_frame(given, self._frame(table, rows), (), (None,))
        known = [moment for moment in news.known[None] if moment != MISSING]
        if known and min(known) < max(self._latest.values()):
            for name, came in self._came.items():
                self._frames[name] = with_news(self._given(name), self._frames[name], self._frame(name, came))
            self._came.clear()
            return self._build(self._frames)
        if table in self.children:
            state = self.children[table]
            latest = max(prediction_time(state.plan, OneRow(state.plan.own, row)) for row in rows)
            self._latest[table] = max(self._latest[table], latest)
            rows = [{**row, **state.compute_row(row)} for row in rows]
        if table in self.stores:
            super()._update(table, rows)

    def _given(self, name: str) -> TableSchema:
        """A table as the children see it, without columns of their making."""
        seen = (child.tables[name] for child in self.plan.children.values() if name in child.tables)
        return next(seen, None) or super()._given(name)


def with_news(table: TableSchema, frame: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """A table with rows that came, as the engine takes it: those whose key is there are other states of these rows."""
    columns = [c for c, kind in table.columns.items() if kind != "ignore" and c in frame.columns]
    store = Store(table, columns)
    store.fill(Events(table, frame))
    news = from_frame(table, more, columns, (None,))
    changes = store.take_in(news.columns, news.event, news.known[None], ())
    places = np.arange(store.size)
    places[list(changes.added)] = len(frame) + np.array(list(changes.added.values()), np.int64)
    last = np.array(store.until, np.int64)
    until = pd.Series(np.where(last == FOREVER, MISSING, last).view("M8[us]")).dt.tz_localize("UTC")
    whole = pd.concat([frame.drop(columns=UNTIL, errors="ignore"), more], ignore_index=True).iloc[places]
    return whole.reset_index(drop=True).assign(**{UNTIL: until})
