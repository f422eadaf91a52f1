"""The online engine: features of one row from recent history held in memory, and updates as events arrive.

:class:`State` keeps, for every key that the plan asks by, that key's events in order; a row's windows are found by
binary search and answered by the very primitives of the local engine, so the bits are the same. Events may arrive in
any order: each is put in its place. Plans whose events have features of their own: :mod:`tasks.engine.online`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.engine.answers import asked_tables, check_unique, in_hours
from tasks.engine.asof import asked_at, known_before
from tasks.engine.assemble import finish
from tasks.engine.codes import composite
from tasks.engine.exact import TooWide
from tasks.engine.facts import FOREVER, MISSING, Events, above, numbers
from tasks.engine.history import HistoryWindow, KeyHistory, View, code_of
from tasks.engine.kernels import sort_by_code
from tasks.engine.plan import Feature, Plan
from tasks.engine.primitives import Primitive
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.engine.source import OneRow, Values, moment, plain_text
from tasks.engine.store import GroupHistories, Key, Plain, Store, one_or_all
from tasks.errors import RefitError, nearest, some

Row = Mapping[str, object]  # plain values by column


class Fill(NamedTuple):
    """A feature that is filled from a place of a primitive's result."""

    place: int
    feature: Feature
    recipe: Aggregate


class Task(NamedTuple):
    """Primitives of one column, over windows of several groups: ``slots`` are a group's number and its windows' places."""

    column: str
    slots: list[tuple[int, list[int]]]
    primitives: list[tuple[Primitive, list[Fill]]]


class State:
    """History in memory of a plan without children, for one row at a time."""

    def __init__(self, plan: Plan, tables: Mapping[str, pd.DataFrame]):
        self.plan = plan
        self._build(tables)

    def _build(self, tables: Mapping[str, pd.DataFrame]) -> None:
        facts = asked_tables(self.plan, tables)
        self.stores: dict[str, Store] = {}
        self.asked: list[GroupHistories] = []
        for name, table in facts.items():
            here = [g for g in self.plan.groups if g.table == name]
            recipes = [recipe for group in here for recipe in group.asked]
            wanted = {theirs for recipe in recipes for _, theirs in recipe.on} | set(table.table.content)
            wanted |= {recipe.column for recipe in recipes if recipe.column}
            columns = [c for c in table.table.columns if c in wanted and c in table.frame.columns]
            store = self.stores[name] = Store(table.table, columns)
            self._fill(store, table)
            self.asked += [
                self._histories(GroupHistories(group, table.table), table.later(group.known), store) for group in here
            ]
        self._tasks = self._plan_tasks()

    def _fill(self, store: Store, facts: Events) -> None:
        """Columns of the table as lists of plain values, ready for rows to come."""
        for column in store.columns:
            if column in store.names:
                codes, names = facts.categories(column)
                store.names[column] = [str(n) for n in names]
                store.places[column] = {n: i for i, n in enumerate(store.names[column])}
                store.values[column] = [store.names[column][c] if c >= 0 else None for c in codes.tolist()]
            else:
                store.values[column] = facts.values(column).tolist()
        store.size = len(facts.frame)
        store.known = facts.known.tolist()
        for i, key in enumerate(store.keys(store.values)):
            store.rows[key] = (*store.rows.get(key, ()), i)

    def _histories(self, asked: GroupHistories, facts: Events, store: Store) -> GroupHistories:
        """Cut the sorted events into one history a key."""
        on = asked.group.on
        parts = (pd.factorize(facts.values(column)) for _, column in on)
        (codes,) = composite((((part,), len(names)) for part, names in parts), [len(facts.frame)])
        if asked.timeless:
            check_unique(facts, codes, on)
        order = facts.order()
        order = order[codes[order] >= 0]
        order = order[sort_by_code(codes[order], int(codes.max(initial=-1)) + 1)]
        until = np.full(len(order), FOREVER) if facts.until is None else facts.until[order]
        times = np.stack([facts.event[order], facts.known[order], order, until])
        columns = [facts.values(c)[order] for c in asked.names]
        values = np.stack(columns) if columns else np.zeros((0, len(order)))
        ends = (np.flatnonzero(np.diff(codes[order])) + 1).tolist() + ([len(order)] if len(order) else [])
        start = 0
        for end in ends:
            key = store.key(int(order[start]), on)
            asked.keys[key] = KeyHistory(
                asked.names, times[:, start:end].copy(), values[:, start:end].copy(), store.names
            )
            start = end
        return asked

    def _plan_tasks(self) -> list[Task]:
        """For each column: which groups and windows are asked, and which primitive fills which feature from which of them."""
        places: dict[tuple[str, str], dict[Primitive, list[tuple[int, int, Feature, Aggregate]]]] = {}
        for g, asked in enumerate(self.asked):
            for feature, recipe, column, s in asked.aggregates:
                here = places.setdefault((recipe.table, column), {})
                here.setdefault(recipe.primitive, []).append((g, s, feature, recipe))
        alike: dict[tuple[str, tuple[tuple[int, int], ...]], list[tuple[Primitive, list[Fill]]]] = {}
        for (_, column), primitives in places.items():
            for primitive, askers in primitives.items():
                slots = tuple((g, s) for g, s, _, _ in askers)
                fills = [Fill(i, feature, recipe) for i, (_, _, feature, recipe) in enumerate(askers)]
                alike.setdefault((column, slots), []).append((primitive, fills))
        tasks = []
        for (column, slots), asked_for in alike.items():
            by_group: dict[int, list[int]] = {}
            for g, s in slots:
                by_group.setdefault(g, []).append(s)
            tasks.append(Task(column, list(by_group.items()), asked_for))
        return tasks

    def compute_row(self, row: Row) -> dict[str, str | float]:
        """Features by name: float, text, or NaN where missing. ``row`` maps column names to plain values.

        Moments may be datetimes, ISO texts or whole µs. Raises :class:`RefitError` for a column that lacks or is wrong.
        """
        plan = self.plan
        source = OneRow(plan.own, row)
        t = prediction_time(plan, source)
        without = self._own_event(source, t) if plan.sees_own else None
        from_tables: dict[str, Values] = {}
        views: list[View] = []
        for asked in self.asked:
            history = asked.keys.get(self._row_key(source, asked)) if asked.timeless or t != MISSING else None
            own = without if asked.group.table == plan.table else None
            at = 1 if asked.timeless else t
            view = history.view(asked.spans, at, own) if history else View.nothing(at, len(asked.spans))
            views.append(view)
            for name, s in asked.counts:
                from_tables[name] = np.array([view.hi[s] - view.lo[s]], np.float64)
            for feature, recipe, s in asked.lookups:
                from_tables[feature.name] = self._looked_up(feature, recipe, view, s, t)
        for column, slots, primitives in self._tasks:
            window = HistoryWindow([views[g].through(spans) for g, spans in slots], column)
            for primitive, fills in primitives:
                try:
                    result = primitive.compute(window)
                except TooWide as error:
                    raise RefitError(f"{fills[0].recipe.table}.{column}: {error}") from None
                for i, feature, aggregate in fills:
                    from_tables[feature.name] = self._shown(feature, aggregate, column, result[i : i + 1], t)
        made = finish(plan, source, from_tables)
        return {name: value[0] if isinstance(value, list) else value.item() for name, value in made.items()}

    def _own_event(self, source: OneRow, t: int) -> tuple[int, ...] | None:
        """Store rows of the row's own event, in each of its states, where one was known before ``t`` and has to be left out."""
        table, store = source.table, self.stores[source.table.name]
        own = store.rows.get(tuple(source.key(c, table.columns[c]) for c in table.key if c in source.row))
        return own if any(known_before(store.known[one], t) for one in own or ()) else None

    @staticmethod
    def _row_key(source: OneRow, asked: GroupHistories) -> Key:
        key = tuple(source.key(mine, kind) for mine, kind in asked.key)
        return None if any(part is None or part != part for part in key) else one_or_all(key)

    def _looked_up(self, feature: Feature, recipe: LookedUp, view: View, window: int, t: int) -> Values:
        place = view.newest(window)
        store = self.stores[recipe.table]
        stored = (
            store.values[recipe.column][int(view.history.times[2, place])]
            if view.history and place is not None
            else None
        )
        if feature.kind != "numeric":
            return [np.nan if stored is None else str(stored)]
        value = np.array([np.nan if stored is None else stored], np.float64)
        datetime = store.table.columns[recipe.column] == "datetime"
        return in_hours(value, "moment", np.array([t])) if datetime else value

    def _shown(self, feature: Feature, recipe: Aggregate, column: str, value: np.ndarray, t: int) -> Values:
        store = self.stores[recipe.table]
        if feature.kind != "numeric":
            return [np.nan] if value[0] != value[0] else [store.names[column][int(value[0])]]
        if store.table.columns[column] == "datetime":
            return in_hours(value, recipe.primitive.moment, np.array([t]))
        return value

    # Updates ---------------------------------------------------------------------------------------------------------

    def update(self, table: str, events: pd.DataFrame | Row | Iterable[Row]) -> None:
        """Take in new events of a table, in any order: a frame, one mapping, or several.

        An event whose key is already there replaces nothing: duplicated keys are refused, as are events known before
        they happened and infinite values. Nothing is taken in where anything is refused.
        """
        if not self._knows(table):
            if table in self.plan.tables:
                return
            raise RefitError(f"update: {table!r} is not a table of the plan." + nearest(table, self.plan.tables))
        frame = self._frame(table, events)
        if not frame.empty:
            self._update(table, frame)

    def _knows(self, table: str) -> bool:
        """Whether events of a table count here."""
        return table in self.stores

    def _update(self, table: str, frame: pd.DataFrame) -> None:
        self._take_in(table, frame)

    def _frame(self, table: str, events: pd.DataFrame | Row | Iterable[Row]) -> pd.DataFrame:
        if isinstance(events, pd.DataFrame):
            frame = events
        else:
            spec = self.plan.tables[table]
            rows = [events] if isinstance(events, Mapping) else list(events)
            columns: dict[str, pd.Series | list[object]] = {}
            for column in dict.fromkeys(c for row in rows for c in row):
                values = [row.get(column) for row in rows]
                if spec.columns.get(column) == "datetime":
                    whole = np.array([moment(v, column, table) for v in values], np.int64)
                    columns[column] = pd.Series(whole.view("M8[us]")).dt.tz_localize("UTC")
                else:
                    columns[column] = values
            frame = pd.DataFrame(columns)
        target = self.plan.target
        if table == self.plan.table and target and target.above is not None and target.name not in frame.columns:
            value = numbers(frame[target.column], target.column, table)
            frame = frame.assign(**{target.name: above(value, target.above)})
        return frame

    def _take_in(self, table: str, frame: pd.DataFrame) -> None:
        store = self.stores[table]
        facts = Events(store.table, frame)
        facts.check_key()
        columns = {c: self._plain_values(facts, c) for c in store.columns}
        keys = store.keys(columns)
        twice = [i for i, key in enumerate(keys) if key in store.rows]
        if twice:
            raise RefitError(f"{table}: rows {some(twice)} carry keys that are already there; keys must be unique")
        asked_here = [a for a in self.asked if a.group.table == table]
        if store.table.event_time is None:
            self._refuse_second_rows(store, columns, asked_here)
        known_of = [(asked, facts.later(asked.group.known).known) for asked in asked_here]
        for i in range(len(frame)):
            row = store.size
            for column, values in columns.items():
                store.values[column].append(values[i])
            store.known.append(int(facts.known[i]))
            store.size += 1
            if keys:
                store.rows[keys[i]] = (row,)
            event = int(facts.event[i])
            for asked, known in known_of:
                if MISSING not in (event, known[i]):
                    self._add(asked, store, row, event, int(known[i]))

    @staticmethod
    def _refuse_second_rows(
        store: Store, columns: Mapping[str, list[Plain]], asked_here: Iterable[GroupHistories]
    ) -> None:
        """A table without times has one row a key, or its lookups have no answer."""
        for asked in asked_here:
            seen = set(asked.keys)
            for i, parts in enumerate(zip(*(columns[c] for _, c in asked.group.on), strict=True)):
                key = one_or_all(parts)
                if key in seen:
                    raise RefitError(
                        f"{store.table.name}: row {i} has the key {key!r}, which is already there; a table without "
                        "event_time has one row a key"
                    )
                seen.add(key)

    def _add(self, asked: GroupHistories, store: Store, row: int, event: int, known: int) -> None:
        key = store.key(row, asked.group.on)
        if any(k is None or k != k for k in (key if isinstance(key, tuple) else (key,))):
            return
        history = asked.keys.get(key)
        if history is None:
            empty = KeyHistory(asked.names, np.zeros((4, 0), np.int64), np.zeros((len(asked.names), 0)), store.names)
            history = asked.keys[key] = empty
        history.add(event, known, row, [self._coded(store, column, row) for column in asked.names], store.before)

    @staticmethod
    def _coded(store: Store, column: str, row: int) -> float:
        """A value as histories have it: a number, a category's code, or NaN."""
        value = store.values[column][row]
        if value is None:
            return np.nan
        return float(code_of(store.names[column], store.places[column], value) if isinstance(value, str) else value)

    def _plain_values(self, facts: Events, column: str) -> list[Plain]:
        if column in self.stores[facts.table.name].names:
            if column not in facts.frame.columns:
                raise RefitError(f"update of {facts.table.name!r}: column {column!r} is missing")
            return [plain_text(value) for value in facts.frame[column].tolist()]
        values: list[Plain] = facts.values(column).tolist()
        return values


def prediction_time(plan: Plan, source: OneRow) -> int:
    """µs since 1970 of one row; MISSING where the plan has no times or the row has none."""
    return int(asked_at(plan, source)[0])
