"""A plan over whole tables in memory, by the local engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.exact import TooWide
from tasks.engine.facts import (
    FOREVER,
    HOUR,
    MISSING,
    Facts,
    Table,
    Time,
    factorize,
    micros,
    never_sees_itself,
    numbers,
    series,
    zoned,
)
from tasks.engine.local import Index, Span, dense
from tasks.engine.plan import Feature, Plan
from tasks.engine.primitives import Primitive, parse_primitive
from tasks.engine.rows import finish
from tasks.engine.windows import IndexedWindow
from tasks.errors import RefitError, nearest, some

RUN = 1 << 15  # rows at a time: what they need stays in the processor's cache
THREADS_FROM = 20_000  # rows
Put = Callable[[Feature, Index, np.ndarray], None]  # values in the order of the index's rows


@dataclass(frozen=True)
class Group:
    """Features that ask one table by one key: ``on`` pairs the row's columns with the table's.

    ``known``: when their column becomes known, where that is later than its row.
    """

    table: str
    on: tuple[tuple[str, str], ...]
    features: tuple[Feature, ...]
    known: Time | None = None


def groups(plan: Plan) -> list[Group]:
    found: dict[tuple[str, tuple[tuple[str, str], ...], Time | None], list[Feature]] = {}
    for feature in plan.features:
        make = feature.make
        if make["op"] == "aggregate":
            on = tuple((c, c) for c in make["by"])
        elif make["op"] == "lookup":
            on = tuple(make["on"].items())
        else:
            continue
        known = plan.tables[make["table"]].later.get(make["column"])
        found.setdefault((make["table"], on, known), []).append(feature)
    return [Group(table, on, tuple(features), known) for (table, on, known), features in found.items()]


@dataclass
class Rows:
    """The rows that ask: a frame of the problem table."""

    table: Table
    frame: pd.DataFrame

    def number(self, column: str) -> np.ndarray:
        return numbers(series(self.frame, column, self.table.name), column, self.table.name)

    def moment(self, column: str) -> np.ndarray:
        return micros(series(self.frame, column, self.table.name), column, self.table.name)

    def text(self, column: str) -> Any:
        return series(self.frame, column, self.table.name)


def prediction_times(plan: Plan, rows: pd.DataFrame) -> np.ndarray:
    """int64 µs for each row; MISSING where the plan has no times or the row has none."""
    if plan.time is None:
        return np.full(len(rows), MISSING)
    base = micros(series(rows, plan.time.column, plan.table), plan.time.column, plan.table)
    t = np.where(base == MISSING, MISSING, base + plan.time.offset)
    if plan.cap:
        known = micros(series(rows, plan.cap.column, plan.table), plan.cap.column, plan.table)
        t = np.where(known == MISSING, t, np.minimum(t, known + plan.cap.offset))
    return t


def compute(plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """:meth:`Plan.compute`."""
    check_zones(plan, tables, rows)
    if plan.children:
        same = rows is tables.get(plan.table)
        tables = {**tables, **child_tables(plan, tables)}
        rows = tables[plan.table] if same else rows
    facts = prepare(plan, tables)
    t = prediction_times(plan, rows)
    by_time = np.argsort(t, kind="stable")
    encoder = Encoder(plan, rows)
    block = Block(plan, len(rows))

    asked = groups(plan)
    own: list[np.ndarray] = []

    def work(group: Group) -> None:
        table = facts[group.table].later(group.known)
        index = encoder.index(table, group.on, t, by_time)
        group_features(group, table, index, t, block.put)
        index.release()

    def find_own() -> None:
        own.append(rows_that_see_themselves(facts[plan.table], encoder, t))

    # What the groups share is made before they run side by side.
    shared: dict[Any, Callable[[], Any]] = {}
    for group in asked:
        table = facts[group.table].later(group.known)
        for mine, theirs in group.on:
            shared[group.table, mine, theirs] = partial(encoder.column, table, mine, theirs)
        shared[group.table, group.known] = table.order
        for column in {f.make["column"] for f in group.features} - {None}:
            shared[group.table, column] = partial(table.values, column)
    tasks: list[Callable[[], Any]] = [partial(work, group) for group in asked]
    if sees_own(plan):
        tasks.insert(0, find_own)
        for column in plan.tables[plan.table].key:
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
    return block.frame(finish(plan, Rows(plan.tables[plan.table], rows), block.made), rows.index)


def child_tables(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables whose events have features of their own (depth 2), with these as further columns."""
    extended = {}
    for name, child in plan.children.items():
        made = child.compute(tables, tables[name])
        extended[name] = pd.concat([tables[name].drop(columns=list(made.columns), errors="ignore"), made], axis=1)
    return extended


def sees_own(plan: Plan) -> bool:
    """Whether a row's own event could be in view at its prediction time, so that it has to be looked for."""
    table = plan.tables[plan.table]
    if not any(g.table == plan.table and f.make["op"] == "aggregate" for g in groups(plan) for f in g.features):
        return False
    return not never_sees_itself(plan.time, table.event_time) and plan.cap is None


def rows_that_see_themselves(facts: Facts, encoder: Encoder, t: np.ndarray) -> np.ndarray:
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
    return np.flatnonzero((own >= 0) & (t != MISSING) & (facts.known[own] < t))


def corrected(group: Group, facts: Facts, encoder: Encoder, t: np.ndarray) -> tuple[np.ndarray, list[Feature]]:
    """Rows whose key a correction gave or took an event, or moved one in time, and features of the last so many events.

    Events may come into view there again, for which the index of whole tables has no form.
    """
    last = [f for f in group.features if f.make["op"] == "aggregate" and f.make["window"].startswith("last ")]
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
    return np.flatnonzero(np.isin(row_codes, touched) & (t != MISSING)), last


def one_by_one(
    plan: Plan,
    tables: Mapping[str, pd.DataFrame],
    rows: pd.DataFrame,
    at: np.ndarray,
    features: list[Feature],
    block: Block,
) -> None:
    """Compute features of some rows anew by the online engine."""
    state = plan.start(tables)
    for i, record in zip(at.tolist(), rows.iloc[at].to_dict("records"), strict=True):
        values = state.compute_row(record)
        for feature in features:
            block.made[feature.name][i] = values[feature.name]


def prepare(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, Facts]:
    """The tables that the plan asks, checked."""
    facts = {}
    for name in dict.fromkeys(g.table for g in groups(plan)):
        if name not in tables:
            raise RefitError(f"the plan needs table {name!r}, which is not there." + nearest(name, tables))
        facts[name] = Facts(plan.tables[name], tables[name])
        facts[name].check_key()
    return facts


class Block:
    """Where features are put: one (features, rows) block of float64, and columns of objects beside it."""

    def __init__(self, plan: Plan, n: int):
        self.plan, self.n = plan, n
        self.numeric = [f.name for f in plan.features if f.kind == "numeric"]
        self.values = np.empty((len(self.numeric), n))
        place = {name: i for i, name in enumerate(self.numeric)}
        self.made: dict[str, Any] = {}
        for group in groups(plan):
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

    def frame(self, made: Mapping[str, Any], index: pd.Index) -> pd.DataFrame:
        """All features in plan order, without copying the block."""
        for i, name in enumerate(self.numeric):
            if name not in self.made:
                self.values[i] = made[name]
        result = pd.DataFrame(self.values.T, index=index, columns=pd.Index(self.numeric), copy=False)
        for i, feature in enumerate(self.plan.features):
            if feature.kind != "numeric":
                column = made[feature.name]
                text = column if isinstance(column, pd.Series) else pd.Series(column, index=index)
                result.insert(i, feature.name, text.astype("str"))
        return result


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


class Encoder:
    """Key codes that events and rows share; each column is encoded once."""

    def __init__(self, plan: Plan, rows: pd.DataFrame):
        self.plan, self.rows = plan, rows
        self._done: dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray, int]] = {}

    def codes(self, facts: Facts, on: tuple[tuple[str, str], ...]) -> tuple[np.ndarray, np.ndarray]:
        """int64 codes of the table's events and of the rows; -1 where any part of the key is missing."""
        event = np.zeros(len(facts.frame), np.int64)
        row = np.zeros(len(self.rows), np.int64)
        size = 1
        for mine, theirs in on:
            e, r, width = self.column(facts, mine, theirs)
            event = np.where((event < 0) | (e < 0), -1, event * width + e)
            row = np.where((row < 0) | (r < 0), -1, row * width + r)
            size *= width
            if size > 4 * (len(event) + len(row)) + 1000:
                event, row, size = dense(event, row)
        return event, row

    def index(self, facts: Facts, on: tuple[tuple[str, str], ...], t: np.ndarray, by_time: np.ndarray) -> Index:
        """The table's events and the rows by this key. A table without times is joined whatever the time."""
        codes, row_codes = self.codes(facts, on)
        if facts.table.event_time is None:
            check_unique(facts, codes, on)
            return Index(facts, codes, row_codes, np.ones(len(row_codes), np.int64), by_time)
        return Index(facts, codes, np.where(t == MISSING, -1, row_codes), t, by_time)

    def column(self, facts: Facts, mine: str, theirs: str) -> tuple[np.ndarray, np.ndarray, int]:
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


def check_unique(facts: Facts, codes: np.ndarray, on: tuple[tuple[str, str], ...]) -> None:
    """Refuse a lookup in a table without times where a key has several rows: none of them is the newest."""
    counts = np.bincount(codes[codes >= 0], minlength=1)
    if counts.max() > 1:
        rows = np.flatnonzero((codes >= 0) & (counts[codes] > 1))
        raise RefitError(
            f"{facts.table.name}: rows {some(rows.tolist())} share their key ({', '.join(c for _, c in on)}) with another "
            "row, so a lookup has no one answer; remove the duplicates, or declare event_time"
        )


def group_features(group: Group, facts: Facts, index: Index, t: np.ndarray, put: Put) -> None:
    """Compute the features of one group for all rows; hand each to ``put`` in the order of the index."""
    for feature in group.features:
        if feature.make["op"] == "lookup":
            within = feature.make["within"]
            at = index.newest_event(Span.parse(within) if within else Span())
            put(feature, index, looked_up(facts, feature, at, t[index.rows]))
    asked: dict[tuple[str | None, Span], list[Feature]] = {}
    for feature in group.features:
        if feature.make["op"] == "aggregate":
            asked.setdefault((feature.make["column"], Span.parse(feature.make["window"])), []).append(feature)
    for (name, span), features in asked.items():
        if name is None:
            p = index.positions(span)
            for feature in features:
                put(feature, index, (p.hi - p.lo).astype(np.float64))
            continue
        wanted = [parse_primitive(f.make["primitive"]) for f in features]
        made = np.empty((len(wanted), len(index.rows)))
        for begin in range(0, len(index.rows), RUN):
            part = slice(begin, begin + RUN)
            window = IndexedWindow(index, index.column(name), span, part)
            for values, primitive in zip(made, wanted, strict=True):
                try:
                    values[part] = primitive.compute(window)
                except TooWide as error:
                    raise too_wide(facts, name, error) from None
        for feature, primitive, values in zip(features, wanted, made, strict=True):
            put(feature, index, as_feature(facts, feature, primitive, values, index.t))


def too_wide(facts: Facts, column: str, error: TooWide) -> RefitError:
    """Say which values stand out: the largest and the smallest in size."""
    size = np.abs(np.nan_to_num(facts.values(column)))
    ends = {int(np.argmax(size)), int(np.argmin(np.where(size > 0, size, np.inf)))} if len(size) else set()
    return RefitError(f"{facts.table.name}.{column}: {error}; look at rows {some(sorted(ends))}")


def as_feature(facts: Facts, feature: Feature, primitive: Primitive, value: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A primitive's result in the feature's form: moments in hours, categories by name."""
    column = feature.make["column"]
    if feature.kind != "numeric":
        return named(value, facts.categories(column)[1])
    return in_hours(value, primitive.moment, t) if facts.table.columns[column] == "datetime" else value


def named(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Category names (object) of float codes; NaN stays."""
    result = np.full(len(codes), np.nan, dtype=object)
    there = ~np.isnan(codes)
    result[there] = names[codes[there].astype(np.int64)]
    return result


def in_hours(value: np.ndarray, moment: str | None, t: np.ndarray) -> np.ndarray:
    """A result over a datetime column (µs): a moment as hours before t, a span as hours, a number as it is."""
    if moment == "moment":
        return (t - value) / HOUR
    return value / HOUR if moment == "span" else value


def looked_up(facts: Facts, feature: Feature, at: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A column's values at table positions (-1: none)."""
    column = feature.make["column"]
    if not len(facts.frame):
        return np.full(len(at), np.nan)
    values = np.where(at >= 0, facts.values(column)[np.maximum(at, 0)], np.nan)
    if feature.kind != "numeric":
        return named(values, facts.categories(column)[1])
    return in_hours(values, "moment", t) if facts.table.columns[column] == "datetime" else values
