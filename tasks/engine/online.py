"""The online engine: features of one row from recent history held in memory, and updates as events arrive.

:class:`State` keeps, for every key that the plan asks by, that key's events in order; a row's windows are found by
binary search and answered by the very primitives of the local engine, so the bits are the same. Events may arrive in
any order: each is put in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.compute import (
    check_unique,
    child_tables,
    groups,
    in_hours,
    prediction_times,
    prepare,
    sees_own,
)
from tasks.engine.exact import TooWide
from tasks.engine.facts import FOREVER, MISSING, Facts, Table, numbers
from tasks.engine.history import History, HistoryWindow, View, code_of
from tasks.engine.local import Span, sort_by_code
from tasks.engine.plan import Feature, Plan
from tasks.engine.primitives import Primitive, parse_primitive
from tasks.engine.rows import finish
from tasks.engine.store import TEXT, Asked, OneRow, Store, moment
from tasks.errors import RefitError, nearest, some


class State:
    """History in memory for :meth:`Plan.compute_row`; start one with :meth:`Plan.start`."""

    def __init__(self, plan: Plan, tables: Mapping[str, pd.DataFrame]):
        self.plan = plan
        self.own_visible = sees_own(plan)
        self.children = {name: child.start(tables) for name, child in plan.children.items()}
        self._latest_inner: dict[str, int] = {}
        kept = {name for child in plan.children.values() for name in child.tables} | (
            set(plan.tables) if plan.children else set()
        )
        self._frames = {name: tables[name] for name in kept}
        self._build({**tables, **child_tables(plan, tables)})

    def _build(self, tables: Mapping[str, pd.DataFrame]) -> None:
        plan = self.plan
        facts = prepare(plan, tables)
        self.stores: dict[str, Store] = {}
        self.asked: list[Asked] = []
        for name, table in facts.items():
            here = [g for g in groups(plan) if g.table == name]
            used = {f.make["column"] for g in here for f in g.features if f.make["column"]}
            keys = {column for g in here for _, column in g.on}
            extra = table.table.key or [c for c, k in table.table.columns.items() if k != "ignore"]
            wanted = [c for c in table.table.columns if c in used | keys | set(extra) and c in table.frame.columns]
            store = self.stores[name] = Store(table.table, wanted)
            self._fill(store, table)
            for group in here:
                columns = list(
                    dict.fromkeys(
                        f.make["column"] for f in group.features if f.make["op"] == "aggregate" and f.make["column"]
                    )
                )
                self.asked.append(self._histories(Asked(group, columns), table.later(group.known), store))
        for name in plan.children:
            latest = prediction_times(plan.children[name], facts[name].frame).max(initial=MISSING)
            self._latest_inner[name] = int(latest)
        self._tasks = self._plan_tasks()

    def _fill(self, store: Store, facts: Facts) -> None:
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

    def _histories(self, asked: Asked, facts: Facts, store: Store) -> Asked:
        """Cut the sorted events into one history a key."""
        parts = []
        for _, column in asked.group.on:
            values = facts.values(column)
            parts.append(np.where(np.isnan(values), -1, pd.factorize(values)[0]))
        codes = parts[0]
        for part in parts[1:]:
            joined = np.where((codes < 0) | (part < 0), -1, codes * (part.max(initial=0) + 1) + part)
            codes = np.where(joined < 0, -1, pd.factorize(joined)[0])
        if facts.table.event_time is None:
            check_unique(facts, codes, asked.group.on)
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
            key = self._key(store, int(order[start]), asked.group.on)
            asked.keys[key] = History(asked.names, times[:, start:end].copy(), values[:, start:end].copy(), store.names)
            start = end
        return asked

    @staticmethod
    def _key(store: Store, row: int, on: tuple[tuple[str, str], ...]) -> Any:
        key = tuple(store.values[column][row] for _, column in on)
        return key[0] if len(key) == 1 else key

    def _plan_tasks(
        self,
    ) -> list[tuple[str, list[tuple[int, list[int]]], list[tuple[Primitive, list[tuple[int, Feature]]]]]]:
        """For each column: which groups and windows are asked, and which primitive fills which feature from which of them."""
        tasks: dict[tuple[str, str], dict[str, list[tuple[int, int, Feature]]]] = {}
        for g, asked in enumerate(self.asked):
            for feature in asked.aggregates:
                make = feature.make
                place = g, asked.spans.index(Span.parse(make["window"])), feature
                tasks.setdefault((make["table"], make["column"]), {}).setdefault(make["primitive"], []).append(place)
        result: dict[tuple[str, tuple[tuple[int, int], ...]], list[tuple[Primitive, list[tuple[int, Feature]]]]] = {}
        for (_, column), primitives in tasks.items():
            for text, places in primitives.items():
                slots = tuple((g, s) for g, s, _ in places)
                named = [(i, feature) for i, (_, _, feature) in enumerate(places)]
                result.setdefault((column, slots), []).append((parse_primitive(text), named))
        tidy = []
        for (column, slots), found in result.items():
            by_group: dict[int, list[int]] = {}
            for g, s in slots:
                by_group.setdefault(g, []).append(s)
            tidy.append((column, list(by_group.items()), found))
        return tidy

    def compute_row(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """Features by name: float, text, or NaN where missing. ``row`` maps column names to plain values.

        Moments may be datetimes, ISO texts or whole µs. Raises :class:`RefitError` for a column that lacks or is wrong.
        """
        plan = self.plan
        source = OneRow(plan.tables[plan.table], row)
        t = prediction_time(plan, source)
        without = self._own_event(source, t) if self.own_visible else None
        found: dict[str, Any] = {}
        views: list[View] = []
        for asked in self.asked:
            table = self.stores[asked.group.table].table
            static = table.event_time is None
            history = asked.keys.get(self._row_key(source, asked.group.on, table)) if static or t != MISSING else None
            own = without if asked.group.table == plan.table else None
            at = 1 if static else t
            view = history.view(asked.spans, at, own) if history else View.nothing(at, len(asked.spans))
            views.append(view)
            for feature, s in asked.counts:
                found[feature.name] = np.array([view.hi[s] - view.lo[s]], np.float64)
            for feature, s in asked.lookups:
                found[feature.name] = self._looked_up(asked, feature, view, s, t)
        for column, slots, primitives in self._tasks:
            window = HistoryWindow([views[g].through(spans) for g, spans in slots], column)
            for primitive, features in primitives:
                try:
                    result = primitive.compute(window)
                except TooWide as error:
                    raise RefitError(f"{features[0][1].make['table']}.{column}: {error}") from None
                for i, feature in features:
                    found[feature.name] = self._shown(feature, primitive, result[i : i + 1], t)
        made = finish(plan, source, found)
        return {name: value[0] if isinstance(value, list) else value.item() for name, value in made.items()}

    def _own_event(self, source: OneRow, t: int) -> tuple[int, ...] | None:
        """Store rows of the row's own event, in each of its states, where one was known before ``t`` and has to be left out."""
        table, store = source.table, self.stores[source.table.name]
        own = store.rows.get(tuple(_plain(source, c, table.columns[c]) for c in table.key if c in source.row))
        return own if any(MISSING != store.known[one] < t for one in own or ()) else None

    @staticmethod
    def _row_key(source: OneRow, on: tuple[tuple[str, str], ...], table: Table) -> Any:
        key = tuple(_plain(source, mine, table.columns[theirs]) for mine, theirs in on)
        if any(k is None or k != k for k in key):
            return None
        return key[0] if len(key) == 1 else key

    def _looked_up(self, asked: Asked, feature: Feature, view: View, window: int, t: int) -> Any:
        numeric = feature.kind == "numeric"
        nothing = np.array([np.nan]) if numeric else [np.nan]
        place = view.newest(window)
        if place is None or view.history is None:
            return nothing
        store = self.stores[asked.group.table]
        value = store.values[feature.make["column"]][int(view.history.times[2, place])]
        if not numeric:
            return nothing if value is None else [value]
        result = np.array([value])
        return (
            in_hours(result, "moment", np.array([t]))
            if store.table.columns[feature.make["column"]] == "datetime"
            else result
        )

    def _shown(self, feature: Feature, primitive: Primitive, value: np.ndarray, t: int) -> Any:
        store, column = self.stores[feature.make["table"]], feature.make["column"]
        if feature.kind != "numeric":
            return [np.nan] if value[0] != value[0] else [store.names[column][int(value[0])]]
        if store.table.columns[column] == "datetime":
            return in_hours(value, primitive.moment, np.array([t]))
        return value

    def update(self, table: str, events: pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> None:
        """Take in new events of a table, in any order: a frame, one mapping, or several.

        An event whose key is already there replaces nothing: duplicated keys are refused, as are events known before
        they happened and infinite values. Nothing is taken in where anything is refused.
        """
        inner = any(table in child.plan.tables for child in self.children.values())
        if table not in self.stores and not inner:
            if table in self.plan.tables:
                return
            raise RefitError(f"update: {table!r} is not a table of the plan." + nearest(table, self.plan.tables))
        frame = self._frame(table, events)
        if frame.empty:
            return
        if inner:
            self._update_with_children(table, frame)
        else:
            self._take_in(table, frame)

    def _frame(self, table: str, events: Any) -> pd.DataFrame:
        if isinstance(events, pd.DataFrame):
            frame = events
        else:
            spec = self.plan.tables[table]
            rows = [events] if isinstance(events, Mapping) else list(events)
            columns: dict[str, Any] = {}
            for column in dict.fromkeys(c for row in rows for c in row):
                values = [row.get(column) for row in rows]
                if spec.columns.get(column) == "datetime":
                    whole = np.array([moment(v, column, table) for v in values], np.int64)
                    columns[column] = pd.Series(whole.view("M8[us]")).dt.tz_localize("UTC")
                else:
                    columns[column] = values
            frame = pd.DataFrame(columns)
        target = self.plan.target
        if table == self.plan.table and target.get("above") is not None and target["name"] not in frame.columns:
            value = numbers(frame[target["column"]], target["column"], table)
            frame = frame.assign(**{target["name"]: np.where(np.isnan(value), np.nan, value > target["above"])})
        return frame

    def _take_in(self, table: str, frame: pd.DataFrame) -> None:
        store = self.stores[table]
        facts = Facts(store.table, frame)
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
    def _refuse_second_rows(store: Store, columns: Mapping[str, list[Any]], asked_here: Iterable[Asked]) -> None:
        """A table without times has one row a key, or its lookups have no answer."""
        for asked in asked_here:
            seen = set(asked.keys)
            names = [c for _, c in asked.group.on]
            for i, key in enumerate(zip(*(columns[c] for c in names), strict=True)):
                plain = key[0] if len(key) == 1 else key
                if plain in seen:
                    raise RefitError(
                        f"{store.table.name}: row {i} has the key {plain!r}, which is already there; a table without "
                        "event_time has one row a key"
                    )
                seen.add(plain)

    def _add(self, asked: Asked, store: Store, row: int, event: int, known: int) -> None:
        key = self._key(store, row, asked.group.on)
        if any(k is None or k != k for k in (key if isinstance(key, tuple) else (key,))):
            return
        history = asked.keys.get(key)
        if history is None:
            empty = History(asked.names, np.zeros((4, 0), np.int64), np.zeros((len(asked.names), 0)), store.names)
            history = asked.keys[key] = empty
        values = [
            np.nan
            if (v := store.values[c][row]) is None
            else float(code_of(store.names[c], store.places[c], v))
            if c in store.names
            else v
            for c in asked.names
        ]
        history.add(event, known, row, values, store.before)

    def _plain_values(self, facts: Facts, column: str) -> list[Any]:
        if self.plan.tables[facts.table.name].columns[column] in TEXT:
            source = facts.frame[column] if column in facts.frame.columns else None
            if source is None:
                raise RefitError(f"update of {facts.table.name!r}: column {column!r} is missing")
            return [None if v is None or v is pd.NA or v != v else str(v) for v in source.tolist()]
        return facts.values(column).tolist()

    def _update_with_children(self, table: str, frame: pd.DataFrame) -> None:
        """Depth 2: the events' own features are computed as the events arrive.

        Where facts arrive that were known before an event whose features are computed already, those are made anew from
        all events.
        """
        for child in self.children.values():
            if table in child.plan.tables:
                child.update(table, frame)
        self._frames[table] = pd.concat([self._frames[table], frame], ignore_index=True)
        child_plan = self.plan.children.get(table)
        earliest = Facts(self.plan_tables(table), frame).known
        earliest = earliest[earliest != MISSING]
        if len(earliest) and int(earliest.min()) < max(self._latest_inner.values()):
            self._build({**self._frames, **child_tables(self.plan, self._frames)})
            return
        if child_plan:
            state = self.children[table]
            made = pd.DataFrame([state.compute_row(r) for r in frame.to_dict("records")], index=frame.index)
            latest = int(prediction_times(child_plan, frame).max(initial=MISSING))
            self._latest_inner[table] = max(self._latest_inner[table], latest)
            frame = pd.concat([frame, made], axis=1)
        if table in self.stores:
            self._take_in(table, frame)

    def plan_tables(self, name: str) -> Table:
        """A table as the children see it, without columns of their making."""
        return next((c.tables[name] for c in self.plan.children.values() if name in c.tables), self.plan.tables[name])


def prediction_time(plan: Plan, source: OneRow) -> int:
    """µs since 1970 of one row; MISSING where the plan has no times or the row has none."""
    if plan.time is None:
        return int(MISSING)
    t = moment(source._value(plan.time.column), plan.time.column, plan.table)
    t = t if t == MISSING else t + plan.time.offset
    if plan.cap and t != MISSING:
        known = moment(source._value(plan.cap.column), plan.cap.column, plan.table)
        t = t if known == MISSING else min(t, known + plan.cap.offset)
    return t


def _plain(source: OneRow, column: str, kind: str) -> Any:
    """A key part of the row in the store's form: text, float, or µs as a float."""
    if kind in TEXT:
        value = source._value(column)
        return None if value is None or value is pd.NA or value != value else str(value)
    if kind == "datetime":
        whole = moment(source._value(column), column, source.table.name)
        return None if whole == MISSING else float(whole)
    return float(source.number(column)[0])
