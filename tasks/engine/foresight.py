"""Columns that equal an aggregate over times to come: which columns of which tables are held against which.

Every column that a feature reads is held against every other column (labels and outcomes too) of every table with times
that shares a key with it: over the key's whole life, or its day, week, month or year; over the next rows and days; over
windows with the row in their middle. First on a sample of keys, with all their rows; what agrees there is counted in all
rows (windows: in at most :data:`MANY`). :mod:`tasks.engine.ahead` has the arithmetic and the bound on chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.ahead import (
    AGREE,
    DAY,
    FEWEST,
    LIFE,
    WORDS,
    Lives,
    Tally,
    Timeline,
    by_group,
    close,
    first_at,
    slack_of,
    tally,
    telling,
)  # fmt: skip
from tasks.engine.compute import prediction_times
from tasks.engine.expression import Expression
from tasks.engine.facts import FOREVER, MISSING, Table, Time, micros
from tasks.engine.plan import Feature, Plan
from tasks.engine.scan import Finding
from tasks.states import last_known

KEYS = 200  # of a sample
ROWS = 8000  # events of a sample
MANY = 200_000  # events in which windows are counted
STRETCH = 1500  # events of one key in a sample, where windows are looked at
LEVELS = 4  # keys at least, whose whole lives can tell
GLANCE = 24  # rows that say which columns are worth more
CELLS = 2e6  # comparisons at once
MOST = 4  # keys of a table, and two of several columns
PERIODS = ("day", "week", "month", "year")
KINDS = {"numeric": "number", "boolean": "number", "datetime": "moment", "categorical": "level", "text": "level"}
ROWS_OF = ""  # the column that counts rows


@dataclass
class Side:
    """A table's rows in time: when they happened (``t``), and when their columns are asked for.

    ``read``: columns under suspicion; ``values``: features that stand for some of them.
    """

    spec: Table
    frame: pd.DataFrame
    t: np.ndarray
    asked: np.ndarray
    read: list[str]
    keys: list[tuple[str, ...]]
    outcome: frozenset[str]
    problem: bool
    values: dict[str, pd.Series] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.name

    def column(self, name: str) -> pd.Series:
        return self.values[name] if name in self.values else self.frame[name]

    def kind(self, name: str) -> str:
        if name in self.spec.columns and name not in self.values:
            return KINDS.get(self.spec.columns[name], "")
        return "number" if pd.api.types.is_numeric_dtype(self.column(name).dtype) else "level"

    def kept(self, at: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """``(rows, names)`` float64, levels as NaN; and texts of the levels."""
        out, texts = np.full((len(at), len(names)), np.nan), []
        for j, name in enumerate(names):
            column, kind = self.column(name).iloc[at], self.kind(name)
            if kind == "number":
                out[:, j] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            elif kind == "moment":
                whole = micros(column, name, self.name)
                out[:, j] = np.where(whole == MISSING, np.nan, whole)
            else:
                texts.append(column.to_numpy(dtype=object))
        out[np.isinf(out)] = np.nan
        return out, texts


@dataclass(frozen=True)
class Match:
    """One column that agrees with an aggregate of another; ``order`` is the simplest first."""

    column: str
    source: str
    why: str
    agree: float
    units: int
    order: int


def aggregates_ahead(
    tables: Mapping[str, pd.DataFrame], plan: Plan, rows: pd.DataFrame, features: pd.DataFrame, seed: int
) -> tuple[list[Finding], int]:
    """Findings of kind ``future aggregate``, and how many comparisons were made.

    ``rows`` and their ``features`` (of which those of :func:`still` are needed) are in one order. A plan without times has nothing to look at.
    """
    if plan.time is None:
        return [], 0
    sides = {side.name: side for side in _sides(tables, plan, rows, features)}
    matches: list[Match] = []
    made = 0
    for asked in sides.values():
        for told in sides.values():
            pair = Pair(asked, told, plan, np.random.default_rng(seed))
            matches += pair.matches()
            made += pair.made
    suspected = {m.column for m in matches}
    best: dict[str, Match] = {}
    for m in sorted(matches, key=lambda m: (m.source in suspected, -m.agree, m.order, -m.units)):
        best.setdefault(m.column, m)
    return [Finding("future aggregate", m.column, m.why) for m in best.values()], made


def still(plan: Plan) -> Plan:
    """The same plan with only what it looks up in tables without times: these columns stand for the rows that ask."""
    return replace(plan, features=tuple(f for f in plan.features if _is_still(plan, f)), children={})


def _is_still(plan: Plan, feature: Feature) -> bool:
    make = feature.make
    if make["op"] != "lookup" or plan.tables[make["table"]].event_time is not None:
        return False
    return plan.tables[make["table"]].columns.get(make["column"]) != "datetime"


def _sides(
    tables: Mapping[str, pd.DataFrame], plan: Plan, rows: pd.DataFrame, features: pd.DataFrame
) -> Iterator[Side]:
    for name, spec in plan.tables.items():
        own = name == plan.table
        if name not in tables or (spec.event_time is None and not own):
            continue
        frame = (rows if own else last_known(tables[name])).reset_index(drop=True)
        moment = spec.event_time or plan.time
        assert moment is not None
        t = _moment(frame, moment, name)
        known = prediction_times(plan, frame) if own else _moment(frame, spec.known_at or moment, name)
        outcome = set(spec.outcome) | set(spec.later)
        if own:
            outcome |= {str(plan.target.get("name", "")), str(plan.target.get("column", ""))}
        times = {w.column for w in (spec.event_time, spec.known_at, plan.time if own else None) if w}
        read = [c for c in read_by(plan, name) if c in frame.columns and c not in outcome | times | set(spec.key)]
        looked = {}
        if own:
            names = [f.name for f in plan.features if _is_still(plan, f) and f.name in features.columns]
            looked = {name: features[name].reset_index(drop=True) for name in names}
        keys = _keys(plan, spec, frame, frozenset(outcome | times))
        yield Side(spec, frame, t, np.maximum(t, known), [*read, *looked], keys, frozenset(outcome), own, looked)


def _moment(frame: pd.DataFrame, time: Time, table: str) -> np.ndarray:
    base = micros(frame[time.column], time.column, table)
    return np.where(base == MISSING, MISSING, base + time.offset)


def read_by(plan: Plan, table: str) -> list[str]:
    """Columns of a table that features read, but for those that only say whose a row is."""
    found: list[str] = []
    for feature in plan.features:
        make: dict[str, Any] = feature.make
        if make["op"] == "expression" and table == plan.table:
            found += [n for n in Expression.parse(make["text"]).names if n not in plan.names]
        elif make.get("column") is not None and make.get("table", plan.table) == table:
            found.append(make["column"])
    return [c for c in dict.fromkeys(found) if c in plan.tables[table].columns]


def _keys(plan: Plan, spec: Table, frame: pd.DataFrame, never: frozenset[str]) -> list[tuple[str, ...]]:
    """By what rows may belong together: as the plan groups them, by levels, by whole numbers that come again."""
    own, n = spec.name == plan.table, len(frame)
    asked: list[tuple[str, ...]] = []
    for f in plan.features:
        make = f.make
        if make["op"] == "aggregate" and (own or make["table"] == spec.name):
            asked.append(tuple(make["by"]))
        elif make["op"] == "lookup":
            asked.append(tuple(make["on"] if own else make["on"].values() if make["table"] == spec.name else ()))
    order = ("categorical", "numeric")
    single = [(c,) for kind in order for c in spec.columns if spec.columns[c] == kind]
    found: list[tuple[str, ...]] = []
    several: list[tuple[str, ...]] = []
    for key in dict.fromkeys([*asked, *((c,) for k in asked for c in k), *((c,) for c in spec.key), *single]):
        if not key or any(c not in frame.columns or c in never for c in key):
            continue
        if len(found) >= MOST if len(key) == 1 else len(several) >= 2:
            continue
        if spec.columns[key[0]] == "numeric" and (key not in asked or len(key) > 1):
            values = frame[key[0]].to_numpy(dtype=np.float64, na_value=np.nan)
            if not np.array_equal(values, np.floor(values), equal_nan=True):
                continue
        plain = len(key) == 1 and key not in asked and spec.columns[key[0]] == "numeric"
        if (FEWEST if plain else 2) <= len(frame[list(key)].drop_duplicates()) <= n / 2:
            (found if len(key) == 1 else several).append(key)
    return [*found, *several]


class Pair:
    """Columns of one table's rows against columns of one table's events (which may be the same)."""

    def __init__(self, asked: Side, told: Side, plan: Plan, rng: np.random.Generator) -> None:
        self.asked, self.told, self.rng, self.made = asked, told, rng, 0
        self.own = asked is told
        self.sources = [c for c, kind in told.spec.columns.items() if kind in KINDS and c in told.frame.columns]
        name = str(plan.target.get("name", ""))
        if told.name == plan.table and name in told.frame.columns and name not in self.sources:
            self.sources.append(name)
        self.outcome = np.array([c in told.outcome for c in self.sources] + [False])
        self._codes: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = {}

    # Who belongs together -----------------------------------------------------------------------------------------

    def keys(self) -> list[tuple[str, ...]]:
        """Keys that both have, by the same names and kinds; the empty one is the whole table."""
        a, b = self.asked.spec.columns, self.told.spec.columns
        shared = [k for k in self.told.keys if all(c in a and a[c] == b[c] and c in self.asked.frame for c in k)]
        return [*shared, ()] if self.own or not shared else shared

    def codes(self, key: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """int64 of the asked rows and of the events; -1 where a part of the key, or the moment, is missing."""
        if key not in self._codes:
            n = len(self.asked.frame)
            total = np.zeros(n if self.own else n + len(self.told.frame), np.int64)
            for column in key:
                parts = [self.asked.frame[column], *([] if self.own else [self.told.frame[column]])]
                codes, _ = pd.factorize(parts[0] if self.own else pd.concat(parts, ignore_index=True))
                total = np.where((codes < 0) | (total < 0), -1, total * (codes.max(initial=0) + 1) + codes)
                total = np.where(total < 0, -1, pd.factorize(total)[0] if len(key) > 1 else total)
            total[np.concatenate([s.t for s in self._both]) == MISSING] = -1
            self._codes[key] = total[:n], total if self.own else total[n:]
        return self._codes[key]

    @property
    def _both(self) -> list[Side]:
        return [self.asked] if self.own else [self.asked, self.told]

    def in_period(self, codes: tuple[np.ndarray, np.ndarray], period: str) -> tuple[np.ndarray, np.ndarray]:
        """The same keys, each period by itself."""
        n = len(codes[0])
        total = codes[0] if self.own else np.concatenate(codes)
        at = np.flatnonzero(total >= 0)
        t = (self.asked.t if self.own else np.concatenate([self.asked.t, self.told.t]))[at]
        if period in ("day", "week"):
            number = t // DAY if period == "day" else (t // DAY + 3) // 7  # weeks begin on Monday
        else:
            number = t.view("datetime64[us]").astype(f"datetime64[{period[0].upper()}]").view(np.int64)
        number = number - number.min(initial=0)
        joint = np.full(len(total), -1)
        joint[at] = pd.factorize(total[at] * (number.max(initial=0) + 1) + number)[0]
        return joint[:n], joint if self.own else joint[n:]

    def _fewer(self, codes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The same for some of the keys only, so that each period of theirs need not be told apart everywhere."""
        chosen = self._chosen(codes, 10 * KEYS, 5 * ROWS, 40 * ROWS)
        lut = np.full(int(max(codes[0].max(initial=-1), codes[1].max(initial=-1))) + 2, False)
        lut[chosen] = True
        few = np.where(lut[codes[0]], codes[0], -1)
        return few, few if self.own else np.where(lut[codes[1]], codes[1], -1)

    # Values -------------------------------------------------------------------------------------------------------

    def values(self, rows: np.ndarray, columns: Sequence[str], events: np.ndarray, sources: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Columns of rows and sources of events; levels of both by common numbers. The last source counts rows."""
        C, own = self.asked.kept(rows, columns)
        V, other = self.told.kept(events, [s for s in sources if s != ROWS_OF])
        if own and other:
            codes = pd.factorize(np.concatenate([*own, *other]))[0].astype(float)
            codes[codes < 0] = np.nan
            ends = np.cumsum([len(part) for part in (*own, *other)])
            split = iter(np.split(codes, ends[:-1]))
            for out, side, names in ((C, self.asked, columns), (V, self.told, sources)):
                for j, name in enumerate(names):
                    if name != ROWS_OF and side.kind(name) == "level":
                        out[:, j] = next(split)
        elif other:
            for j, name in enumerate(s for s in sources if s != ROWS_OF and self.told.kind(s) == "level"):
                at = [s for s in sources if s != ROWS_OF].index(name)
                codes = pd.factorize(other[j])[0].astype(float)
                V[:, at] = np.where(codes < 0, np.nan, codes)
        ones = np.ones((len(events), 1))
        return C, np.hstack([V, ones]) if ROWS_OF in sources else V

    @cached_property
    def _kinds(self) -> dict[str, np.ndarray]:
        own = np.array([self.asked.kind(c) for c in self.asked.read])
        other = np.array([*(self.told.kind(c) for c in self.sources), "rows"])
        same = np.array([c == s for c in self.asked.read for s in (*self.sources, ROWS_OF)]).reshape(len(own), -1)
        numbers, equal = (own == "number")[:, None], own[:, None] == other[None, :]
        plain = numbers & (other == "number")[None, :]
        value = equal & ~same if self.own else equal
        size = value & (own != "level")[:, None]
        return {
            "max": size, "min": size, "median": size, "first": value, "last": value, "value": value,
            "sum": (plain & ~(same & self.own)) | (numbers & (other == "rows")[None, :]),
            "mean": plain & ~(same & self.own), "std": plain & ~(same & self.own),
            "count": numbers & (other != "rows")[None, :], "nunique": numbers & (other != "rows")[None, :],
        }  # fmt: skip

    # The look -----------------------------------------------------------------------------------------------------

    def matches(self) -> Iterator[Match]:
        if not self.asked.read or not len(self.asked.frame) or not len(self.told.frame):
            return
        for key in self.keys():
            codes = self.codes(key)
            steady = np.zeros(len(self.asked.read), bool)
            if key:
                found, steady = self._lives(key, "", codes, steady)
                yield from found
            few = self._fewer(codes) if key else codes
            for period in PERIODS:
                if not steady.all():
                    yield from self._lives(key, period, self.in_period(few, period), steady)[0]
            yield from self._windows(key, codes, ~steady)

    def _lives(self, key: tuple[str, ...], period: str, codes: tuple[np.ndarray, np.ndarray], never: np.ndarray) -> tuple[list[Match], np.ndarray]:  # fmt: skip
        """Columns that are constant for a key and equal an aggregate over its life; and which are constant at all."""
        rows, events, size = self._sample(codes)
        steady = np.zeros(len(self.asked.read), bool)
        if size < LEVELS:
            return [], steady
        C, _ = self.asked.kept(rows[1], self.asked.read)
        levels = [j for j, c in enumerate(self.asked.read) if self.asked.kind(c) == "level"]
        for j in levels:
            codes_of, _ = pd.factorize(self.asked.column(self.asked.read[j]).iloc[rows[1]])
            C[:, j] = np.where(codes_of < 0, np.nan, codes_of)
        ends = by_group(rows[0], C, size, ("max", "min"))
        with np.errstate(invalid="ignore"):
            there, same = ~np.isnan(ends["max"]), ends["max"] == ends["min"]
        several = np.bincount(rows[0], minlength=size)[:, None] > 1
        alone = not self.own and not several.any()  # one row a key, as a table of people has
        use = there & (several | alone)
        steady = (use.sum(axis=0) > 0) & ((same & use).sum(axis=0) >= 0.98 * use.sum(axis=0))
        varies = np.array([len(np.unique(column[~np.isnan(column)])) > 1 for column in C.T], bool)
        look = np.flatnonzero(steady & varies & ~never)
        if not len(look):
            return [], steady
        columns, sources = [self.asked.read[j] for j in look], [*self.sources, ROWS_OF]
        C, V = self.values(rows[1], columns, events[1], sources)
        first, c = _firsts(rows[0], self.asked.asked[rows[1]], C, size)
        lives = Lives.of(events[0], self.told.t[events[1]], V, first)
        everywhere = np.ones(size, bool)
        found = []
        for how in LIFE:
            allowed = self._kinds[how][look]
            self.made += int(allowed.sum())
            tells, a = lives.telling(how), lives.whole[how]
            for k in range(len(look)):
                slack, sharp = slack_of(c[:, k])
                sharp = sharp and how in ("mean", "std")
                same = close(a, c[:, k, None], slack) & tells
                hits, units = same.sum(axis=0), (tells & ~np.isnan(c[:, k])[:, None]).sum(axis=0)
                for s in np.flatnonzero(allowed[k] & (units >= 4) & (hits >= AGREE * units)):
                    sampled = tally(a[:, s], c[:, k], tells[:, s], everywhere, slack, sharp)
                    if sampled.proves(self.made, sharp):
                        found.append((sampled.chance, columns[k], sources[s], how, sharp))
        return self._counted(sorted(found), key, period, codes), steady

    def _counted(self, found: list[tuple[float, str, str, str, bool]], key: tuple[str, ...], period: str, codes: tuple[np.ndarray, np.ndarray]) -> list[Match]:  # fmt: skip
        """The same in all rows, for what the sample showed."""
        out: list[Match] = []
        times = dict.fromkeys((c for _, c, *_ in found), 0)
        if not found:
            return out
        if period and key:
            codes = self.in_period(self.codes(key), period)
        rows = _ordered(codes[0], self.asked.t, np.flatnonzero(codes[0] >= 0))
        events = rows if self.own else _ordered(codes[1], self.told.t, np.flatnonzero(codes[1] >= 0))
        size = int(max(codes[0].max(), codes[1].max())) + 1
        for _, column, source, how, sharp in found:
            times[column] += 1
            if times[column] > 4:
                continue
            C, V = self.values(rows, [column], events, [source])
            first, c = _firsts(codes[0][rows], self.asked.asked[rows], C, size)
            lives = Lives.of(codes[1][events], self.told.t[events], V, first, (how,))
            a, tells, slack = lives.whole[how][:, 0], lives.telling(how)[:, 0], slack_of(c[:, 0])[0]
            whole = tally(a, c[:, 0], tells, np.ones(size, bool), slack, sharp)
            if not whole.proves(self.made, sharp):
                continue
            each = a[codes[0][rows]]
            both = ~np.isnan(each) & ~np.isnan(C[:, 0])
            agree = both & close(each, C[:, 0], slack)
            shown = int(np.flatnonzero(agree & (tells & close(a, c[:, 0], slack))[codes[0][rows]])[0])
            g = codes[0][rows[shown]]
            known = lives.upto[how][g, 0]
            share = float(agree.sum() / both.sum())
            order = (0 if not period else 20) + LIFE.index(how)
            over = f"of the same {_joined(key)}" if key else "of the table"
            over += f" in the same {period}" if period else " over its whole life"
            what = "the number of" if source == ROWS_OF else f"{self._what(how, source)} over"
            rows_of = "all rows" if self.own or source != ROWS_OF else f"all rows of {self.told.name}"
            said = f"it is {what} {rows_of} {over}, later ones included, in {_share(share)} of {int(both.sum()):,} rows"
            said += (
                f"; {whole.hits:,} of {whole.units:,} keys have it in their first row already, when it cannot be known"
            )
            said += f". For instance row {int(rows[shown])}{self._who(key, int(rows[shown]))}: {self._show(column, int(rows[shown]))}"
            if source == ROWS_OF or self.told.kind(source) == "number" or how in ("count", "nunique"):
                said += f", where the rows so far give {_number(known)}"
            out.append(Match(self._name(column), self._source(source), said, share, whole.units, order))
        return out

    def _windows(self, key: tuple[str, ...], codes: tuple[np.ndarray, np.ndarray], look: np.ndarray) -> Iterator[Match]:
        """Columns that equal an aggregate over rows or days to come, or over a window with the row in its middle."""
        varied = np.flatnonzero(look)
        if not len(varied):
            return
        columns, sources = [self.asked.read[j] for j in varied], [*self.sources, ROWS_OF]
        line, C, _, _ = self._line(codes, ROWS, STRETCH, columns, sources)
        if len(line.moment) < 2 * FEWEST:
            return
        forward = self._forward(codes, sources)
        probes = int(np.clip(CELLS / (len(columns) * len(sources)), 128, 512))
        at = np.sort(self.rng.permutation(len(line.moment))[:probes])
        C, few = C[at], line.at(at)
        slacks = np.array([slack_of(c)[0] for c in C.T])
        suspects: list[tuple[float, int, int | None, str, str]] = []
        for outcomes in (False, True):
            use = self.outcome if outcomes else np.ones(len(sources), bool)
            if outcomes and not (self.own and use.any()):
                continue
            for span in few.spans(outcomes):
                for how in span.aggregates:
                    allowed = self._kinds[how][varied] & (use if how == "value" else use & forward)
                    self.made += int(allowed.sum())
                    if not allowed.any() or span.full.sum() < 10:
                        continue
                    a = np.where(span.full[:, None], few.over(span.low, span.high, how), np.nan)
                    tells = telling(a, few.known(span, how, self.outcome))
                    everywhere, a = a, np.where(tells, a, np.nan)
                    worth = allowed & (tells.sum(axis=0) >= 8)
                    worth &= _worth(a[:GLANCE], C[:GLANCE], slacks)
                    for k in np.flatnonzero(worth.any(axis=1)):
                        some = np.flatnonzero(worth[k])
                        hits = close(a[:, some], C[:, k, None], slacks[k]).sum(axis=0)
                        units = (tells[:, some] & ~np.isnan(C[:, k])[:, None]).sum(axis=0)
                        for j in np.flatnonzero((units >= 8) & (hits >= 0.9 * units)):
                            there = ~np.isnan(everywhere[:, some[j]]) & ~np.isnan(C[:, k])
                            share = close(everywhere[there, some[j]], C[there, k], slacks[k]).mean()
                            if share >= 0.9:
                                suspects.append((-share, int(k), int(some[j]), span.said, how))
        numbers = [k for k, c in enumerate(columns) if self.asked.kind(c) == "number"]
        for said, a, known in few.gaps() if numbers else ():
            self.made += len(numbers)
            tells = telling(a[:, None], [known[:, None]])[:, 0]
            for number in numbers:
                hits, units = (
                    int((tells & _in_time(a, C[:, number], slacks[number])).sum()),
                    int((tells & ~np.isnan(C[:, number])).sum()),
                )
                if units >= 8 and hits >= 0.9 * units:
                    suspects.append((-hits / units, number, None, said, ""))
        yield from self._confirmed(suspects, key, codes, columns, sources)

    def _confirmed(self, suspects: list[tuple[float, int, int | None, str, str]], key: tuple[str, ...], codes: tuple[np.ndarray, np.ndarray], columns: list[str], sources: list[str]) -> Iterator[Match]:  # fmt: skip
        """The same in many more rows, for what the sample showed."""
        tried = dict.fromkeys(range(len(columns)), 0)
        for place, (_, k, s, said, how) in enumerate(sorted(suspects, key=lambda one: one[0])):
            tried[k] += 1
            if tried[k] > 6:
                continue
            names = [sources[s]] if s is not None else [ROWS_OF]
            line, C, rows, group = self._line(codes, MANY, MANY, [columns[k]], names)
            c, (slack, sharp) = C[:, 0], slack_of(C[:, 0])
            if s is None:
                found = self._gap(line, said)
                if found is None:
                    continue
                a, known, same = found[0], [found[1]], _in_time(found[0], c, slack)
                if len(np.unique(np.round(a[~np.isnan(a)], 6))) < 20:  # a rhythm, and every calendar knows it
                    continue
                a = np.where(same, c, a)
            else:
                outcome = self.outcome[[s]]
                span = next(x for outcomes in (False, True) for x in line.spans(outcomes) if x.said == said)
                a = np.where(span.full, line.over(span.low, span.high, how)[:, 0], np.nan)
                known = [one[:, 0] for one in line.known(span, how, outcome)]
                if how == "value" and self.own and not outcome[0] and self._looks_back(line, c):
                    continue
            tells = telling(a, known)
            new = np.append(True, (group[1:] != group[:-1]) | (a[1:] != a[:-1]))
            sharp = sharp and how in ("mean", "std")
            count = tally(a, c, tells, new, slack, sharp)
            if not count.proves(self.made, sharp):
                continue
            yield self._window(key, columns[k], names[0], said, how, count, rows, tells & close(a, c, slack), place)

    def _window(self, key: tuple[str, ...], column: str, source: str, said: str, how: str, count: Tally, rows: np.ndarray, agree: np.ndarray, place: int) -> Match:  # fmt: skip
        shown = int(rows[np.flatnonzero(agree)[0]])
        whose = f" of the same {_joined(key)}" if key else ""
        where = said.replace(" rows", f" rows{whose}", 1) if " rows" in said else said + whose
        what = f"the {where}" if not how else f"{self._what(how, source)} {'in' if how == 'value' else 'over'} {where}"
        share = count.agree / count.rows
        why = f"it is {what}, in {_share(share)} of {count.rows:,} rows, and in {count.hits:,} of {count.units:,} where nothing known by then is the same"
        why += f". For instance row {shown}{self._who(key, shown)}: {self._show(column, shown)}"
        return Match(self._name(column), self._source(source), why, share, count.units, 50 + min(place, 900))

    def _gap(self, line: Timeline, said: str) -> tuple[np.ndarray, np.ndarray] | None:
        return next(((a, known) for name, a, known in line.gaps() if name == said), None)

    def _forward(self, codes: tuple[np.ndarray, np.ndarray], sources: list[str]) -> np.ndarray:
        """Sources that do not look back themselves: those are missing, or all the same, in the first row of every key.

        A window over another column's past values reaches no further than that column, so it proves nothing. Outcomes
        are what they are.
        """
        order = _ordered(codes[1], self.told.t, np.flatnonzero(codes[1] >= 0))
        first = order[np.append(True, np.diff(codes[1][order]) != 0)][:1000]
        _, V = self.values(first[:0], [], first, sources)
        there = ~np.isnan(V)
        with np.errstate(invalid="ignore"):
            same = there.any(axis=0) & (np.nanmax(np.where(there, V, -np.inf), axis=0) == np.nanmin(np.where(there, V, np.inf), axis=0))  # fmt: skip
        back = (there.mean(axis=0) <= 0.1) | (same & (len(first) >= FEWEST))
        back[-1] = False
        return self.outcome | ~back

    def _looks_back(self, line: Timeline, c: np.ndarray) -> bool:
        """Whether the other column may be this one's past: this one is there, and varies, in the keys' last rows too.

        The next value of another column is its own previous value, seen from there. Only its maker fills the last rows.
        """
        last = c[line.here == line.end - 1]
        there = last[~np.isnan(last)]
        filled = len(last) >= 3 and len(np.unique(there)) == 1
        return not (filled or len(there) <= 0.1 * len(last))

    # Samples ------------------------------------------------------------------------------------------------------

    def _sample(self, codes: tuple[np.ndarray, np.ndarray]) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], int]:  # fmt: skip
        """Some keys with all their rows: (code, position) of rows and of events in order of key and time; how many keys."""
        chosen = self._chosen(codes, KEYS, ROWS, 8 * ROWS)
        lut = np.full(int(max(codes[0].max(initial=-1), codes[1].max(initial=-1))) + 2, -1)
        lut[chosen] = np.arange(len(chosen))
        sides = []
        for own, t in ((codes[0], self.asked.t), (codes[1], self.told.t)):
            new = lut[own]
            at = _ordered(new, t, np.flatnonzero(new >= 0))
            sides.append((new[at], at))
            if self.own:
                sides.append(sides[0])
                break
        return sides[0], sides[1], len(chosen)

    def _chosen(self, codes: tuple[np.ndarray, np.ndarray], keys: int, events: int, most: int) -> np.ndarray:
        """Keys drawn at random that have events enough and together not too many; the smallest where all have many.

        These have ``most`` events together: what is larger is not looked at.
        """
        size = int(max(codes[0].max(initial=-1), codes[1].max(initial=-1))) + 1
        count = np.bincount(codes[1][codes[1] >= 0], minlength=size)
        asked = np.bincount(codes[0][codes[0] >= 0], minlength=size)
        able = self.rng.permutation(np.flatnonzero((count >= 2) & (asked >= 1)))
        small = able[np.cumsum(count[able]) <= events][:keys]
        if len(small) < min(len(able), 24):
            small = able[np.argsort(count[able], kind="stable")][:24]
            small = small[np.cumsum(count[small]) <= most]
        return np.sort(small)

    def _line(self, codes: tuple[np.ndarray, np.ndarray], events: int, stretch: int, columns: list[str], sources: list[str]) -> tuple[Timeline, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Some keys' events, those of large keys cut to a stretch; the asked rows among them, their positions and keys."""
        rng, self.rng = self.rng, np.random.default_rng(0)  # the same keys, whatever was drawn before
        chosen = self._chosen(codes, events, events, FOREVER)
        self.rng = rng
        lut = np.full(int(max(codes[0].max(initial=-1), codes[1].max(initial=-1))) + 2, -1)
        lut[chosen] = np.arange(len(chosen))
        new = lut[codes[1]]
        at = _ordered(new, self.told.t, np.flatnonzero(new >= 0))
        code = new[at]
        start = np.searchsorted(code, np.arange(len(chosen)))
        size = np.diff(np.append(start, len(at)))
        share = max(min(stretch, events // max(len(chosen), 1)), 50)
        place = np.arange(len(at)) - start[code] if len(at) else np.zeros(0, np.int64)
        kept = place >= (size - share)[code] if len(at) else np.zeros(0, bool)  # the newest
        whole, at, code = size <= share, at[kept], code[kept]
        t = self.told.t[at]
        start, end = (np.searchsorted(code, np.arange(len(chosen)), side) for side in ("left", "right"))
        if self.own:
            rows, group, here = at, code, np.arange(len(at))
            later = here + 1
            blind = (later == end[group]) | (t[np.minimum(later, len(t) - 1)] > self.asked.asked[rows])
        else:
            mine = lut[codes[0]]
            rows = _ordered(mine, self.asked.t, np.flatnonzero(mine >= 0))[: 2 * events]
            group = mine[rows]
            here, later = (
                first_at(t, start[group], end[group], self.asked.asked[rows], side) for side in ("left", "right")
            )
            blind = whole[group] | (here > start[group])
        rows, group, here, later = rows[blind], group[blind], here[blind], later[blind]
        C, V = self.values(rows, columns, at, sources)
        last = int(self.told.t.max(initial=0))
        moment = self.asked.t[rows] if self.own else self.asked.asked[rows]
        line = Timeline(t, V, moment, start[group], end[group], here, later, whole[group], last, self.own)
        return line, C, rows, group

    # Words --------------------------------------------------------------------------------------------------------

    def _name(self, column: str) -> str:
        return column if self.asked.problem else f"{self.asked.name}.{column}"

    def _source(self, source: str) -> str:
        return source if self.told.problem else f"{self.told.name}.{source}"

    def _what(self, how: str, source: str) -> str:
        if source == ROWS_OF:
            return "the number of rows" if self.own else f"the number of rows of {self.told.name}"
        return f"the {WORDS[how]} {source if self.own else f'{self.told.name}.{source}'}"

    def _who(self, key: tuple[str, ...], row: int) -> str:
        return f" ({', '.join(f'{c} {self.asked.frame[c].iloc[row]}' for c in key)})" if key else ""

    def _show(self, column: str, row: int) -> str:
        value = self.asked.column(column).iloc[row]
        return _number(float(value)) if isinstance(value, int | float | np.number) else str(value)


def _ordered(codes: np.ndarray, t: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Positions by key, then time, then as they stand."""
    return at[np.lexsort((t[at], codes[at]))]


def _firsts(codes: np.ndarray, t: np.ndarray, C: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The moment of each key's first row, and the columns in it; rows are in order of key and time."""
    first, c = np.full(size, FOREVER), np.full((size, C.shape[1]), np.nan)
    at = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else np.zeros(0, np.int64)
    first[codes[at]], c[codes[at]] = t[at], C[at]
    return first, c


def _worth(a: np.ndarray, C: np.ndarray, slacks: np.ndarray) -> np.ndarray:
    """Which columns of ``C`` agree with which of ``a`` in a few rows, or these say too little: ``(columns, columns)``."""
    there = ~np.isnan(a)[:, None, :] & ~np.isnan(C)[:, :, None]
    hits = close(a[:, None, :], C[:, :, None], slacks[None, :, None]).sum(axis=0)
    units = there.sum(axis=0)
    return (hits >= 0.6 * units) | (units < 4)


def _in_time(a: np.ndarray, c: np.ndarray, slack: float) -> np.ndarray:
    """Whether a time agrees, rounded or cut to whole units where the column has these."""
    return close(a, c, slack) | (close(np.floor(a), c, 1e-9) if slack > 0.4 else False)


def _joined(key: Sequence[str]) -> str:
    return " and ".join(key)


def _share(share: float) -> str:
    return f"{np.floor(share * 1000) / 10:g}%"


def _number(value: float) -> str:
    return "nothing" if np.isnan(value) else f"{value:.6g}"
