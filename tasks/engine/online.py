"""The online engine's state of any plan, and features of features (depth 2) as events arrive."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tasks.engine.asof import prediction_times
from tasks.engine.compute import child_tables
from tasks.engine.facts import MISSING, Events, TableSchema
from tasks.engine.plan import Plan
from tasks.engine.source import records
from tasks.engine.state import State


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
        super().__init__(plan, tables)

    def _build(self, tables: Mapping[str, pd.DataFrame]) -> None:
        extended = {**tables, **child_tables(self.plan, tables)}
        super()._build(extended)
        for name, child in self.plan.children.items():
            self._latest[name] = int(prediction_times(child, extended[name]).max(initial=MISSING))

    def _knows(self, table: str) -> bool:
        return super()._knows(table) or any(table in child.plan.tables for child in self.children.values())

    def _update(self, table: str, frame: pd.DataFrame) -> None:
        """Where facts were known before an event whose features are computed already, these are made anew from all events."""
        if not any(table in child.plan.tables for child in self.children.values()):
            return self._take_in(table, frame)
        for child in self.children.values():
            if table in child.plan.tables:
                child.update(table, frame)
        self._frames[table] = pd.concat([self._frames[table], frame], ignore_index=True)
        earliest = Events(self._given(table), frame).known
        earliest = earliest[earliest != MISSING]
        if len(earliest) and int(earliest.min()) < max(self._latest.values()):
            return self._build(self._frames)
        if table in self.children:
            state = self.children[table]
            made = pd.DataFrame([state.compute_row(r) for r in records(frame)], index=frame.index)
            latest = int(prediction_times(state.plan, frame).max(initial=MISSING))
            self._latest[table] = max(self._latest[table], latest)
            frame = pd.concat([frame, made], axis=1)
        if table in self.stores:
            self._take_in(table, frame)

    def _given(self, name: str) -> TableSchema:
        """A table as the children see it, without columns of their making."""
        seen = (child.tables[name] for child in self.plan.children.values() if name in child.tables)
        return next(seen, self.plan.tables[name])
