"""A plan over whole tables in memory, by the local engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from tasks.engine.answers import asked_tables, check_unique, in_hours
from tasks.engine.asof import known_before, prediction_times
from tasks.engine.assemble import as_frame, finish
from tasks.engine.codes import composite
from tasks.engine.exact import TooWide
from tasks.engine.facts import FOREVER, MISSING, Events, factorize, series, zoned
from tasks.engine.local import Index
from tasks.engine.plan import Feature, Group, Plan
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.engine.source import FrameRows, Values, records
from tasks.engine.state import State
from tasks.engine.windows import IndexedWindow
from tasks.errors import RefitError, some
from tasks.values.durations import Span

RUN = 1 << 15  # rows at a time: what they need stays in the processor's cache
THREADS_FROM = 20_000  # rows
Put = Callable[[Feature, Index, np.ndarray], None]  # values in the order of the index's rows


def compute(plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Features of ``rows`` (of the problem table), in plan order, with the rows' index.

    ``tables`` holds every table that the plan names, as validated. Raises :class:`~tasks.errors.RefitError` with
    table, column and row numbers for input that has no right answer.
    """
    check_zones(plan, tables, rows)
    if plan.children:
        same = rows is tables.get(plan.table)
        tables = {**tables, **child_tables(plan, tables)}
        rows = tables[plan.table] if same else rows
    facts = asked_tables(plan, tables)
    t = prediction_times(plan, rows)
    by_time = np.argsort(t, kind="stable")
    encoder = KeyCodes(plan, rows)
    block = FeatureBlock(plan, len(rows))

    asked = plan.groups
    own: list[np.ndarray] = []

    def work(group: Group) -> None:
        table = facts[group.table].later(group.known)
        index = encoder.index(table, group.on, t, by_time)
        group_features(group, table, index, t, block.put)
        index.release()

    def find_own() -> None:
        own.append(rows_that_see_themselves(facts[plan.table], encoder, t))

    # What the groups share is made before they run side by side.
    shared: dict[tuple[object, ...], Callable[[], object]] = {}
    for group in asked:
        table = facts[group.table].later(group.known)
        for mine, theirs in group.on:
            shared[group.table, mine, theirs] = partial(encoder.column, table, mine, theirs)
        shared[group.table, group.known] = table.order
        for recipe in group.asked:
            if recipe.column:
                shared[group.table, recipe.column] = partial(table.values, recipe.column)
    tasks: list[Callable[[], object]] = [partial(work, group) for group in asked]
    if plan.sees_own:
        tasks.insert(0, find_own)
        for column in plan.own.key:
            shared[plan.table, column, column] = partial(encoder.column, facts[plan.table], column, column)
    workers = min(os.cpu_count() or 1, 4) if len(rows) >= THREADS_FROM else 1
    with ThreadPoolExecutor(workers) as pool:
        for calls in (list(shared.values()), tasks):
            spread = pool.map if workers > 1 else map
            list(spread(lambda call: call(), calls))
    if own and len(own[0]):
        here = [f for g in asked if g.table == plan.table for f in g.features]
        one_by_one(plan, tables, rows, own[0], here, block)  # the online engine leaves out their own event
    for group in asked:
        at, counted = corrected(group, facts[group.table], encoder, t)
        if len(at):
            one_by_one(plan, tables, rows, at, counted, block)
    return block.frame(finish(plan, FrameRows(plan.own, rows), block.made), rows.index)


def child_tables(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables whose events have features of their own (depth 2), with these as further columns."""
    extended = {}
    for name, child in plan.children.items():
        made = compute(child, tables, tables[name])
        extended[name] = pd.concat([tables[name].drop(columns=list(made.columns), errors="ignore"), made], axis=1)
    return extended


def rows_that_see_themselves(facts: Events, encoder: KeyCodes, t: np.ndarray) -> np.ndarray:
    """Rows whose own event, found by the table's key, was known before their prediction time."""
    codes, row_codes = encoder.codes(facts, tuple((c, c) for c in facts.table.key))
    place = np.full(max(int(codes.max(initial=-1)), int(row_codes.max(initial=-1))) + 2, -1)
    at = np.flatnonzero((codes >= 0) & (facts.known != MISSING) & (facts.event != MISSING))
    if not len(at):
        return at
    if facts.until is not None:  # of a row's states, the one that was known first comes last, and so stays
        at = at[np.argsort(-facts.known[at], kind="stable")]
    place[codes[at]] = at
    own = place[row_codes]  # the last place stays -1, for rows without a key
    return np.flatnonzero((own >= 0) & (t != MISSING) & known_before(facts.known[own], t))


def corrected(group: Group, facts: Events, encoder: KeyCodes, t: np.ndarray) -> tuple[np.ndarray, list[Feature]]:
    """Rows whose key a correction gave or took an event, or moved one in order, and features of the last so many events.

    Events may come into view there again, for which the index of whole tables has no form.
    """
    last = [feature for feature, recipe in group.aggregates if recipe.window.last is not None]
    if facts.until is None or not last:
        return np.zeros(0, np.int64), []
    codes, row_codes = encoder.codes(facts, group.on)
    order = np.lexsort((facts.known, facts.chains))
    order = order[facts.chains[order] >= 0]
    chain, code, event = facts.chains[order], codes[order], facts.event[order]
    until, known = facts.until[order], facts.known[order]
    more = np.append(chain[1:] == chain[:-1], False)
    # A state is followed by the next one at once, in the same place, or else the event leaves this key's view.
    follows = (np.append(known[1:], 0) == until) & (np.append(event[1:], 0) == event) & (np.append(code[1:], 0) == code)
    moved = np.unique(chain[np.where(more, ~follows, until != FOREVER)])
    touched = np.unique(code[np.isin(chain, moved) & (code >= 0)])
    touched = np.union1d(touched, _overtaken(facts, codes))
    return np.flatnonzero(np.isin(row_codes, touched) & (t != MISSING)), last


def _overtaken(facts: Events, codes: np.ndarray) -> np.ndarray:
    """Keys in which a correction puts an event behind another one of its moment, since the later known counts as newer."""
    order = facts.order()
    order = order[codes[order] >= 0]
    order = order[np.argsort(codes[order], kind="stable")]
    event = np.where(facts.chains >= 0, facts.chains, -1 - np.arange(len(codes)))  # what is the same one
    seen = pd.DataFrame({"code": codes[order], "moment": facts.event[order], "event": event[order]})
    runs = seen[(seen != seen.shift()).any(axis=1)]
    return runs["code"][runs.duplicated()].unique()


def one_by_one(
    plan: Plan,
    tables: Mapping[str, pd.DataFrame],
    rows: pd.DataFrame,
    at: np.ndarray,
    features: list[Feature],
    block: FeatureBlock,
) -> None:
    """Compute features of some rows anew by the online engine."""
    state = State(replace(plan, children={}), tables)  # the tables have the events' own features already
    for i, record in zip(at.tolist(), records(rows.iloc[at]), strict=True):
        values = state.compute_row(record)
        for feature in features:
            block.made[feature.name][i] = values[feature.name]


class FeatureBlock:
    """Where features are put: one (features, rows) block of float64, and columns of objects beside it."""

    def __init__(self, plan: Plan, n: int):
        self.plan, self.n = plan, n
        self.numeric = [f.name for f in plan.features if f.kind == "numeric"]
        self.values = np.empty((len(self.numeric), n))
        place = {name: i for i, name in enumerate(self.numeric)}
        self.made: dict[str, np.ndarray] = {}
        for group in plan.groups:
            for feature in group.features:
                numeric = feature.name in place
                name = feature.name
                self.made[name] = self.values[place[name]] if numeric else np.full(n, np.nan, dtype=object)

    def put(self, feature: Feature, index: Index, values: np.ndarray) -> None:
        """A whole feature at once, row after row: its values are still in the processor's cache, and the block is not."""
        made = self.made[feature.name]
        if values.dtype == made.dtype:
            np.take(values, index.place_of_row, out=made, mode="clip")
        else:
            made[:] = values[index.place_of_row]

    def frame(self, made: Mapping[str, Values], index: pd.Index) -> pd.DataFrame:
        """All features in plan order, without copying the block."""
        for i, name in enumerate(self.numeric):
            if name not in self.made:
                self.values[i] = made[name]
        return as_frame(self.plan, made, index, self.values)


def check_zones(plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> None:
    """Refuse moments with a zone beside moments without: which instant is meant cannot be known."""
    seen: dict[bool, str] = {}
    for name, frame in [(plan.table, rows), *((n, f) for n, f in tables.items() if n in plan.tables)]:
        for column, kind in plan.tables[name].columns.items():
            if kind == "datetime" and column in frame.columns:
                has = zoned(frame[column])
                if has is not None:
                    seen.setdefault(has, f"{name}.{column}")
    if len(seen) == 2:
        raise RefitError(
            f"mixed time zones: {seen[True]} has a time zone and {seen[False]} has none; convert both to UTC"
        )


class KeyCodes:
    """Key codes that events and rows share; each column is encoded once."""

    def __init__(self, plan: Plan, rows: pd.DataFrame):
        self.plan, self.rows = plan, rows
        self._done: dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray, int]] = {}

    def codes(self, facts: Events, on: tuple[tuple[str, str], ...]) -> tuple[np.ndarray, np.ndarray]:
        """int64 codes of the table's events and of the rows; -1 where any part of the key is missing."""
        sizes = [len(facts.frame), len(self.rows)]
        columns = (self.column(facts, mine, theirs) for mine, theirs in on)
        event, row = composite((((e, r), width) for e, r, width in columns), sizes)
        return event, row

    def index(self, facts: Events, on: tuple[tuple[str, str], ...], t: np.ndarray, by_time: np.ndarray) -> Index:
        """The table's events and the rows by this key. A table without times is joined whatever the time."""
        codes, row_codes = self.codes(facts, on)
        if facts.table.event_time is None:
            check_unique(facts, codes, on)
            return Index(facts, codes, row_codes, np.ones(len(row_codes), np.int64), by_time)
        return Index(facts, codes, np.where(t == MISSING, -1, row_codes), t, by_time)

    def column(self, facts: Events, mine: str, theirs: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Codes of one column of the table and of the rows, and how many there can be."""
        name = facts.table.name
        if (name, mine, theirs) not in self._done:
            kind = facts.table.columns[theirs]
            if self.rows is facts.frame and mine == theirs:
                event, names = facts.categories(mine)
                row = event
            else:
                parts = [series(facts.frame, theirs, name), series(self.rows, mine, self.plan.table)]
                (event, row), names = factorize(parts, kind, theirs, name)
            self._done[name, mine, theirs] = event, row, max(len(names), 1)
        return self._done[name, mine, theirs]


def group_features(group: Group, facts: Events, index: Index, t: np.ndarray, put: Put) -> None:
    """Compute the features of one group for all rows; hand each to ``put`` in the order of the index."""
    for feature, lookup in group.lookups:
        put(feature, index, looked_up(facts, feature, lookup, index.newest_event(lookup.within), t[index.rows]))
    asked: dict[tuple[str | None, Span], list[tuple[Feature, Aggregate]]] = {}
    for feature, recipe in group.aggregates:
        asked.setdefault((recipe.column, recipe.window), []).append((feature, recipe))
    for (name, span), features in asked.items():
        if name is None:
            p = index.positions(span)
            for feature, _ in features:
                put(feature, index, (p.hi - p.lo).astype(np.float64))
            continue
        made = np.empty((len(features), len(index.rows)))
        for begin in range(0, len(index.rows), RUN):
            part = slice(begin, begin + RUN)
            window = IndexedWindow(index, index.column(name), span, part)
            for values, (_, recipe) in zip(made, features, strict=True):
                try:
                    values[part] = recipe.primitive.compute(window)
                except TooWide as error:
                    raise too_wide(facts, name, error) from None
        for (feature, recipe), values in zip(features, made, strict=True):
            put(feature, index, as_feature(facts, feature, recipe, name, values, index.t))


def too_wide(facts: Events, column: str, error: TooWide) -> RefitError:
    """Say which values stand out: the largest and the smallest in size."""
    size = np.abs(np.nan_to_num(facts.values(column)))
    ends = {int(np.argmax(size)), int(np.argmin(np.where(size > 0, size, np.inf)))} if len(size) else set()
    return RefitError(f"{facts.table.name}.{column}: {error}; look at rows {some(sorted(ends))}")


def as_feature(
    facts: Events, feature: Feature, recipe: Aggregate, column: str, value: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """A primitive's result in the feature's form: moments in hours, categories by name."""
    if feature.kind != "numeric":
        return named(value, facts.categories(column)[1])
    return in_hours(value, recipe.primitive.moment, t) if facts.table.columns[column] == "datetime" else value


def named(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Category names (object) of float codes; NaN stays."""
    result = np.full(len(codes), np.nan, dtype=object)
    there = ~np.isnan(codes)
    result[there] = names[codes[there].astype(np.int64)]
    return result


def looked_up(facts: Events, feature: Feature, recipe: LookedUp, at: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A column's values at table positions (-1: none)."""
    if not len(facts.frame):
        return np.full(len(at), np.nan)
    values = np.where(at >= 0, facts.values(recipe.column)[np.maximum(at, 0)], np.nan)
    if feature.kind != "numeric":
        return named(values, facts.categories(recipe.column)[1])
    return in_hours(values, "moment", t) if facts.table.columns[recipe.column] == "datetime" else values
