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

from tasks.artifacts.columns import RECEIVED
from tasks.engine.answers import asked_tables, check_unique, in_hours
from tasks.engine.asof import asked_at, known_before
from tasks.engine.assemble import finish
from tasks.engine.codes import composite
from tasks.engine.exact import TooWide
from tasks.engine.facts import FOREVER, MISSING, Events, TableSchema, above, numbers, series
from tasks.engine.history import Added, Ended, KeyHistory, code_of
from tasks.engine.kernels import sort_by_code
from tasks.engine.news import News, Row, from_frame, from_rows
from tasks.engine.plan import Feature, Plan, Predicted
from tasks.engine.primitives import Primitive
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.engine.source import OneRow, Values, moment
from tasks.engine.store import GroupHistories, Key, PrimaryKey, Store, lacks, one_or_all
from tasks.engine.views import HistoryWindow, View
from tasks.errors import RefitError, nearest


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
            store.fill(table)
            self.asked += [
                self._histories(GroupHistories(group, table.table), table.later(group.known), store) for group in here
            ]
        self._tasks = self._plan_tasks()

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
                asked.names, times[:, start:end].copy(), values[:, start:end].copy(), store.names, store.before
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
        key = tuple(source.key(c, table.columns[c]) for c in table.key if c in source.row)
        own = None if None in key else store.rows.get(key)
        return own if any(known_before(store.known[one], t) for one in own or ()) else None

    @staticmethod
    def _row_key(source: OneRow, asked: GroupHistories) -> Key:
        key = tuple(source.key(mine, kind) for mine, kind in asked.key)
        return None if any(part is None or part != part for part in key) else one_or_all(key)

    def _looked_up(self, feature: Feature, recipe: LookedUp, view: View, window: int, t: int) -> Values:
        newest = view.newest(window)
        store = self.stores[recipe.table]
        stored = None if newest is None else store.values[recipe.column][newest]
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

        An event whose key is already there is another state of that row: it counts from when it is known up to when the
        next one is, and of states that are known at one moment the last that came is the one that was. In a table
        without ``event_time`` it stands for the earlier row. Events known before they happened are refused, infinite
        values, and a second row without a key. Nothing is taken in where anything is refused.
        """
        if not self._knows(table):
            if table in self.plan.tables:
                return
            raise RefitError(f"update: {table!r} is not a table of the plan." + nearest(table, self.plan.tables))
        if not isinstance(events, pd.DataFrame):
            events = [events] if isinstance(events, Mapping) else list(events)
        if len(events):
            self._update(table, events)

    def _knows(self, table: str) -> bool:
        """Whether events of a table count here."""
        return table in self.stores

    def _update(self, table: str, events: pd.DataFrame | list[Row]) -> None:
        self._take_in(table, self._read(table, events))

    def _check(self, table: str, rows: list[Row]) -> None:
        """Refuse what cannot be taken in, here or below."""
        self._read(table, rows)

    def _read(self, table: str, events: pd.DataFrame | list[Row]) -> News:
        """What came, checked; raises :class:`RefitError` for what cannot be taken in."""
        store = self.stores[table]
        later = list(dict.fromkeys([None, *(a.group.known for a in self._asked_of(table))]))
        news = None
        if not isinstance(events, pd.DataFrame):
            news = from_rows(store.table, events, store.columns, later, self._made_target(table))
        if news is None:
            news = from_frame(store.table, self._frame(table, events), store.columns, later)
        keys = store.keys(news.columns)
        self._refuse_rows_without_key(store, keys)
        if store.table.event_time is None:
            self._refuse_second_rows(store, news, keys)
        return news

    def _given(self, name: str) -> TableSchema:
        """A table as its events come."""
        return self.plan.tables[name]

    def _asked_of(self, table: str) -> list[GroupHistories]:
        return [asked for asked in self.asked if asked.group.table == table]

    def _made_target(self, table: str) -> Predicted | None:
        """The target, where a column of the table is compared with a number for it."""
        target = self.plan.target
        return target if table == self.plan.table and target and target.above is not None else None

    def _frame(self, table: str, events: pd.DataFrame | list[Row]) -> pd.DataFrame:
        if isinstance(events, pd.DataFrame):
            frame = events
        else:
            spec = self._given(table)
            columns: dict[str, pd.Series | list[object]] = {}
            for column in dict.fromkeys(c for row in events for c in row):
                values = [row.get(column) for row in events]
                if column == RECEIVED or spec.columns.get(column) == "datetime":
                    whole = np.array([moment(v, column, table) for v in values], np.int64)
                    columns[column] = pd.Series(whole.view("M8[us]")).dt.tz_localize("UTC")
                else:
                    columns[column] = values
            frame = pd.DataFrame(columns)
        target = self._made_target(table)
        if target is not None and target.above is not None and target.name not in frame.columns:
            value = numbers(series(frame, target.column, table), target.column, table)
            frame = frame.assign(**{target.name: above(value, target.above)})
        return frame

    @staticmethod
    def _refuse_rows_without_key(store: Store, keys: Iterable[PrimaryKey]) -> None:
        """Where a part of the key is missing there is no telling whether two rows are one."""
        seen: set[PrimaryKey] = set()
        for i, key in enumerate(keys):
            if None in key and (key in seen or key in store.rows):
                raise RefitError(
                    f"{store.table.name}: row {i} shares its key ({', '.join(store.table.key)}), of which a part is missing, "
                    "with another row; keys must be unique"
                )
            seen.add(key)

    def _refuse_second_rows(self, store: Store, news: News, keys: list[PrimaryKey]) -> None:
        """A table without times has one row a key, or its lookups have no answer."""
        last = list({key: i for i, key in enumerate(keys)}.values()) if keys else range(len(news))
        replaced = {row for key in keys for row in store.rows.get(key, ())}
        for asked in self._asked_of(store.table.name):
            seen: set[Key] = set()
            for i in last:
                key = one_or_all(tuple(news.columns[column][i] for _, column in asked.group.on))
                history = asked.keys.get(key)
                there = history is not None and history.size and int(history.rows[0]) not in replaced
                if there or key in seen:
                    raise RefitError(
                        f"{store.table.name}: row {i} has the key {key!r}, which is already there; a table without "
                        "event_time has one row a key"
                    )
                if not lacks(key):
                    seen.add(key)

    def _take_in(self, table: str, news: News) -> None:
        store, asked_here = self.stores[table], self._asked_of(table)
        changes = store.take_in(news.columns, news.event, news.known[None], [a.group.on for a in asked_here])
        coded = {c: [self._coded(store, c, row) for row in changes.added] for c in self._coded_columns(asked_here)}
        for place, asked in enumerate(asked_here):
            ended: dict[Key, list[Ended]] = {}
            added: dict[Key, list[Added]] = {}
            for gone in changes.ended:
                if not lacks(key := gone.keys[place]):
                    ended.setdefault(key, []).append(gone.ended)
            on, known = asked.group.on, news.known[asked.group.known]
            columns = [coded[c] for c in asked.names]
            for at, (row, i) in enumerate(changes.added.items()):
                event, when = store.event[row], known[i]
                if MISSING not in (event, when) and not lacks(key := store.key(row, on)):
                    values = [column[at] for column in columns]
                    added.setdefault(key, []).append(Added(row, event, when, store.until[row], values))
            for key in {**ended, **added}:
                history = asked.keys.get(key)
                if history is None:
                    if key not in added:
                        continue  # a state that never counted
                    history = asked.keys[key] = KeyHistory.empty(asked.names, store.names, store.before)
                history.change(ended.get(key, ()), added.get(key, ()))

    @staticmethod
    def _coded_columns(asked_here: Iterable[GroupHistories]) -> dict[str, None]:
        return dict.fromkeys(column for asked in asked_here for column in asked.names)

    @staticmethod
    def _coded(store: Store, column: str, row: int) -> float:
        """A value as histories have it: a number, a category's code, or NaN."""
        value = store.values[column][row]
        if value is None:
            return np.nan
        return float(code_of(store.names[column], store.places[column], value) if isinstance(value, str) else value)


def prediction_time(plan: Plan, source: OneRow) -> int:
    """µs since 1970 of one row; MISSING where the plan has no times or the row has none."""
    return int(asked_at(plan, source)[0])
