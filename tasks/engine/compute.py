"""A plan over whole tables in memory, by the local engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.facts import HOUR, MISSING, Facts, Table, factorize, micros, numbers, series, zoned
from tasks.engine.local import Index, IndexedWindow, Span
from tasks.engine.plan import Feature, Plan
from tasks.engine.primitives import parse_primitive
from tasks.engine.rows import finish
from tasks.errors import RefitError, nearest


@dataclass(frozen=True)
class Group:
    """Features that ask one table by one key: ``on`` pairs the row's columns with the table's."""

    table: str
    on: tuple[tuple[str, str], ...]
    features: tuple[Feature, ...]


def groups(plan: Plan) -> list[Group]:
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[Feature]] = {}
    for feature in plan.features:
        make = feature.make
        if make["op"] == "aggregate":
            on = tuple((c, c) for c in make["by"])
        elif make["op"] == "lookup":
            on = tuple(make["on"].items())
        else:
            continue
        found.setdefault((make["table"], on), []).append(feature)
    return [Group(table, on, tuple(features)) for (table, on), features in found.items()]


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
    check_zones(plan, tables, rows)
    facts = {}
    for name in {g.table for g in groups(plan)}:
        if name not in tables:
            raise RefitError(f"the plan needs table {name!r}, which is not there." + nearest(name, tables))
        facts[name] = Facts(plan.tables[name], tables[name])
        facts[name].check_key()
    t = prediction_times(plan, rows)
    by_time = np.argsort(t, kind="stable")
    found: dict[str, Any] = {}
    encoder = Encoder(plan, rows)
    for group in groups(plan):
        found |= group_features(plan, group, facts[group.table], encoder, t, by_time)
    made = finish(plan, Rows(plan.tables[plan.table], rows), found)
    return pd.DataFrame({n: pd.Series(v, index=rows.index) if not isinstance(v, pd.Series) else v for n, v in made.items()}, index=rows.index)


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
            e, r, width = self._one(facts, mine, theirs)
            event = np.where((event < 0) | (e < 0), -1, event * width + e)
            row = np.where((row < 0) | (r < 0), -1, row * width + r)
            size *= width
            if size > 4 * (len(event) + len(row)) + 1000:
                event, row, size = _dense(event, row)
        return event, row

    def _one(self, facts: Facts, mine: str, theirs: str) -> tuple[np.ndarray, np.ndarray, int]:
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


def _dense(event: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Renumber codes from 0 without gaps."""
    codes, names = pd.factorize(np.concatenate([event, row]))
    codes = np.where(np.concatenate([event, row]) < 0, -1, codes).astype(np.int64)
    return codes[: len(event)], codes[len(event) :], len(names)


def group_features(
    plan: Plan, group: Group, facts: Facts, encoder: Encoder, t: np.ndarray, by_time: np.ndarray
) -> dict[str, Any]:
    """The features of one group for all rows, by name, in the rows' order."""
    codes, row_codes = encoder.codes(facts, group.on)
    index = Index(facts, codes, row_codes, np.where(t == MISSING, MISSING + 1, t), by_time)
    back = np.empty_like(index.rows)
    back[index.rows] = np.arange(len(back))
    windows: dict[tuple[str, Span], IndexedWindow] = {}
    found: dict[str, Any] = {}
    for feature in group.features:
        make = feature.make
        if make["op"] == "lookup":
            within = make["within"]
            at = index.newest_event(Span.parse(within) if within else Span())[back]
            found[feature.name] = _looked_up(facts, make["column"], feature.kind, at, t)
            continue
        span = Span.parse(make["window"])
        if make["column"] is None:
            p = index.positions(span)
            found[feature.name] = (p.hi - p.lo).astype(np.float64)[back]
            continue
        primitive = parse_primitive(make["primitive"])
        key = make["column"], span
        if key not in windows:
            windows[key] = IndexedWindow(index, index.column(make["column"]), index.positions(span))
        result = primitive.compute(windows[key])[back]
        if facts.table.columns[make["column"]] == "datetime":
            result = in_hours(result, primitive.moment, t)
        found[feature.name] = result
    return found


def in_hours(value: np.ndarray, moment: str | None, t: np.ndarray) -> np.ndarray:
    """A result over a datetime column (µs): a moment as hours before t, a span as hours, a number as it is."""
    if moment == "moment":
        return (t - value) / HOUR
    return value / HOUR if moment == "span" else value


def _looked_up(facts: Facts, column: str, kind: str, at: np.ndarray, t: np.ndarray) -> Any:
    """Values of a column at table positions (-1: none)."""
    if kind != "numeric":
        source = series(facts.frame, column, facts.table.name).astype("str")
        return source.take(np.maximum(at, 0)).where(at >= 0).array if len(source) else np.full(len(at), np.nan)
    values = facts.values(column)
    result = np.where(at >= 0, values[np.maximum(at, 0)], np.nan) if len(values) else np.full(len(at), np.nan)
    return in_hours(result, "moment", t) if facts.table.columns[column] == "datetime" else result
