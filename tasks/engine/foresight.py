"""Columns that equal an aggregate over times to come: which columns of which tables are held against which.

Every column that a feature reads is held against every other column (labels and outcomes too) of every table with times
that shares a key with it: over the key's whole life, or its day, week, month or year; over the next rows and days; over
windows with the row in their middle. First on a sample of keys, with all their rows; what agrees there is counted in all
rows (windows: in at most :data:`tasks.engine.draws.MANY`). :mod:`tasks.engine.ahead` has the arithmetic and the bound on
chance, :mod:`tasks.engine.draws` the samples. Tables may stay on disk: each column is then read once for many samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tasks.engine.ahead import (
    AGREE,
    FEWEST,
    LIFE,
    WORDS,
    Lives,
    Tally,
    Timeline,
    by_group,
    close,
    slack_of,
    tally,
    telling,
)  # fmt: skip
from tasks.engine.draws import MANY, PERIODS, Both, Drawn, Key, Stretch, ordered
from tasks.engine.facts import FOREVER
from tasks.engine.leak_scans import Finding
from tasks.engine.plan import Plan
from tasks.engine.timed_tables import KINDS, TimedTable, timed_tables
from tasks.stored import Frame

LEVELS = 4  # keys at least, whose whole lives can tell
GLANCE = 24  # rows that say which columns are worth more
CELLS = 2e6  # comparisons at once
HELD = 300_000  # rows of samples that are looked at together: what they need of a table on disk is read once
ROWS_OF = ""  # the column that counts rows


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
    tables: Mapping[str, Frame], plan: Plan, rows: Frame, features: Frame, seed: int
) -> tuple[list[Finding], int]:
    """Findings of kind ``future aggregate``, and how many comparisons were made.

    ``rows`` and their ``features`` (of which those of :func:`tasks.engine.timed_tables.still` are needed) are in one order. All of
    them are data frames, or stay on disk (:class:`tasks.stored.Stored`). A plan without times has nothing to look at.
    """
    if plan.time is None:
        return [], 0
    looked = list(timed_tables(tables, plan, rows, features))
    matches: list[Match] = []
    made = 0
    for asked in looked:
        for events_table in looked:
            pair = ColumnPair(asked, events_table, plan, seed)
            matches += pair.matches()
            made += pair.made
    suspected = {m.column for m in matches}
    best: dict[str, Match] = {}
    for m in sorted(matches, key=lambda m: (m.source in suspected, -m.agree, m.order, -m.units)):
        best.setdefault(m.column, m)
    return [Finding("future aggregate", m.column, m.why) for m in best.values()], made


class ColumnPair:
    """Columns of one table's rows against columns of one table's events (which may be the same)."""

    def __init__(self, asked: TimedTable, events_table: TimedTable, plan: Plan, seed: int) -> None:
        self.asked, self.events_table, self.made = asked, events_table, 0
        self.both = Both(asked, events_table)
        self.own = self.both.own
        self.draws, self.probes = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        self.sources = [
            c for c, kind in events_table.spec.columns.items() if kind in KINDS and c in events_table.frame.columns
        ]
        name = plan.target.name if plan.target else ""
        if events_table.name == plan.table and name in events_table.frame.columns and name not in self.sources:
            self.sources.append(name)
        self.outcome = np.array([c in events_table.outcome for c in self.sources] + [False])

    # Values -------------------------------------------------------------------------------------------------------

    def values(
        self, rows: np.ndarray, columns: Sequence[str], events: np.ndarray, sources: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Columns of rows and sources of events; levels of both by common numbers. The last source counts rows."""
        C, own = self.asked.kept(rows, columns)
        V, other = self.events_table.kept(events, [s for s in sources if s != ROWS_OF])
        if own and other:
            codes = pd.factorize(np.concatenate([*own, *other]))[0].astype(float)
            codes[codes < 0] = np.nan
            ends = np.cumsum([len(part) for part in (*own, *other)])
            split = iter(np.split(codes, ends[:-1]))
            for out, side, names in ((C, self.asked, columns), (V, self.events_table, sources)):
                for j, name in enumerate(names):
                    if name != ROWS_OF and side.kind(name) == "level":
                        out[:, j] = next(split)
        elif other:
            for j, name in enumerate(s for s in sources if s != ROWS_OF and self.events_table.kind(s) == "level"):
                at = [s for s in sources if s != ROWS_OF].index(name)
                codes = pd.factorize(other[j])[0].astype(float)
                V[:, at] = np.where(codes < 0, np.nan, codes)
        ones = np.ones((len(events), 1))
        return C, np.hstack([V, ones]) if ROWS_OF in sources else V

    @cached_property
    def _kinds(self) -> dict[str, np.ndarray]:
        own = np.array([self.asked.kind(c) for c in self.asked.read])
        other = np.array([*(self.events_table.kind(c) for c in self.sources), "rows"])
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
        """Every column that equals an aggregate of events to come, sample by sample."""
        if not self.asked.read or not len(self.asked.frame) or not len(self.events_table.frame):
            return
        batch: list[Drawn] = []
        for key in self.both.shared():
            batch.append(self.both.draw(key, self.draws))
            if sum(drawn.size for drawn in batch) > HELD:
                yield from self._batch(batch)
                batch = []
        if batch:
            yield from self._batch(batch)

    def _batch(self, batch: list[Drawn]) -> Iterator[Match]:
        rows = np.concatenate([at for drawn in batch for at in drawn.rows])
        events = np.concatenate([at for drawn in batch for at in drawn.events])
        if self.own:
            self.asked.hold(np.concatenate([rows, events]), [*self.asked.read, *self.sources])
        else:
            self.asked.hold(rows, self.asked.read)
            self.events_table.hold(events, self.sources)
        for drawn in batch:
            yield from self._look(drawn)

    def _look(self, drawn: Drawn) -> Iterator[Match]:
        steady = np.zeros(len(self.asked.read), bool)
        if drawn.key:
            matches, steady = self._lives(drawn, "", steady)
            yield from matches
        for period in PERIODS:
            if not steady.all():
                yield from self._lives(drawn, period, steady)[0]
        yield from self._windows(drawn, ~steady)

    def _lives(self, drawn: Drawn, period: str, never: np.ndarray) -> tuple[list[Match], np.ndarray]:
        """Columns that are constant for a key and equal an aggregate over its life; and which are constant at all."""
        sample = drawn.lives[period]
        rows, events, size = sample.rows, sample.events, sample.size
        steady = np.zeros(len(self.asked.read), bool)
        if size < LEVELS:
            return [], steady
        C, _ = self.asked.kept(rows[1], self.asked.read)
        levels = [j for j, c in enumerate(self.asked.read) if self.asked.kind(c) == "level"]
        for j in levels:
            codes_of, _ = pd.factorize(self.asked.at(self.asked.read[j], rows[1]))
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
        lives = Lives.of(events[0], self.events_table.t[events[1]], V, first)
        everywhere = np.ones(size, bool)
        agreeing = []
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
                        agreeing.append((sampled.chance, columns[k], sources[s], how, sharp))
        return self._counted(sorted(agreeing), drawn.key, period), steady

    def _counted(self, sampled: list[tuple[float, str, str, str, bool]], key: Key, period: str) -> list[Match]:
        """The same in all rows, for what the sample showed."""
        out: list[Match] = []
        times = dict.fromkeys((c for _, c, *_ in sampled), 0)
        if not sampled:
            return out
        codes = self.both.codes(key)
        if period:
            codes = self.both.in_period(codes, period)
        rows = ordered(codes[0], self.asked.t, np.flatnonzero(codes[0] >= 0))
        events = rows if self.own else ordered(codes[1], self.events_table.t, np.flatnonzero(codes[1] >= 0))
        size = int(max(codes[0].max(), codes[1].max())) + 1
        for _, column, source, how, sharp in sampled:
            times[column] += 1
            if times[column] > 4:
                continue
            C, V = self.values(rows, [column], events, [source])
            first, c = _firsts(codes[0][rows], self.asked.asked[rows], C, size)
            lives = Lives.of(codes[1][events], self.events_table.t[events], V, first, (how,))
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
            rows_of = "all rows" if self.own or source != ROWS_OF else f"all rows of {self.events_table.name}"
            why = f"it is {what} {rows_of} {over}, later ones included, in {_share(share)} of {int(both.sum()):,} rows"
            why += (
                f"; {whole.hits:,} of {whole.units:,} keys have it in their first row already, when it cannot be known"
            )
            why += f". For instance row {int(rows[shown])}{self._who(key, int(rows[shown]))}: {self._show(column, int(rows[shown]))}"
            if source == ROWS_OF or self.events_table.kind(source) == "number" or how in ("count", "nunique"):
                why += f", where the rows so far give {_number(known)}"
            out.append(Match(self._name(column), self._source(source), why, share, whole.units, order))
        return out

    def _windows(self, drawn: Drawn, look: np.ndarray) -> Iterator[Match]:
        """Columns that equal an aggregate over rows or days to come, or over a window with the row in its middle."""
        varied = np.flatnonzero(look)
        if not len(varied):
            return
        columns, sources = [self.asked.read[j] for j in varied], [*self.sources, ROWS_OF]
        line, C = self._line(drawn.stretch, columns, sources)
        if len(line.moment) < 2 * FEWEST:
            return
        forward = self._forward(drawn.first, sources)
        probes = int(np.clip(CELLS / (len(columns) * len(sources)), 128, 512))
        at = np.sort(self.probes.permutation(len(line.moment))[:probes])
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
                                suspects.append((-share, int(k), int(some[j]), span.name, how))
        numbers = [k for k, c in enumerate(columns) if self.asked.kind(c) == "number"]
        for name, a, known in few.gaps() if numbers else ():
            self.made += len(numbers)
            tells = telling(a[:, None], [known[:, None]])[:, 0]
            for number in numbers:
                hits, units = (
                    int((tells & _in_time(a, C[:, number], slacks[number])).sum()),
                    int((tells & ~np.isnan(C[:, number])).sum()),
                )
                if units >= 8 and hits >= 0.9 * units:
                    suspects.append((-hits / units, number, None, name, ""))
        yield from self._confirmed(suspects, drawn.key, columns, sources)

    def _confirmed(
        self, suspects: list[tuple[float, int, int | None, str, str]], key: Key, columns: list[str], sources: list[str]
    ) -> Iterator[Match]:
        """The same in many more rows, for what the sample showed."""
        tried = dict.fromkeys(range(len(columns)), 0)
        if not suspects:
            return
        stretch = self.both.stretch(self.both.codes(key), MANY, MANY)
        group = stretch.group
        for place, (_, k, s, name, how) in enumerate(sorted(suspects, key=lambda one: one[0])):
            tried[k] += 1
            if tried[k] > 6:
                continue
            names = [sources[s]] if s is not None else [ROWS_OF]
            line, C = self._line(stretch, [columns[k]], names)
            c, (slack, sharp) = C[:, 0], slack_of(C[:, 0])
            if s is None:
                gap = self._gap(line, name)
                if gap is None:
                    continue
                a, known, same = gap[0], [gap[1]], _in_time(gap[0], c, slack)
                if len(np.unique(np.round(a[~np.isnan(a)], 6))) < 20:  # a rhythm, and every calendar knows it
                    continue
                a = np.where(same, c, a)
            else:
                outcome = self.outcome[[s]]
                span = next(x for outcomes in (False, True) for x in line.spans(outcomes) if x.name == name)
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
            yield self._window(
                key, columns[k], names[0], name, how, count, stretch.rows, tells & close(a, c, slack), place
            )

    def _window(
        self,
        key: Key,
        column: str,
        source: str,
        name: str,
        how: str,
        count: Tally,
        rows: np.ndarray,
        agree: np.ndarray,
        place: int,
    ) -> Match:
        shown = int(rows[np.flatnonzero(agree)[0]])
        whose = f" of the same {_joined(key)}" if key else ""
        where = name.replace(" rows", f" rows{whose}", 1) if " rows" in name else name + whose
        what = f"the {where}" if not how else f"{self._what(how, source)} {'in' if how == 'value' else 'over'} {where}"
        share = count.agree / count.rows
        why = (
            f"it is {what}, in {_share(share)} of {count.rows:,} rows, and in {count.hits:,} of {count.units:,} where nothing "
            "known by then is the same"
        )
        why += f". For instance row {shown}{self._who(key, shown)}: {self._show(column, shown)}"
        return Match(self._name(column), self._source(source), why, share, count.units, 50 + min(place, 900))

    def _gap(self, line: Timeline, wanted: str) -> tuple[np.ndarray, np.ndarray] | None:
        return next(((a, known) for name, a, known in line.gaps() if name == wanted), None)

    def _line(self, stretch: Stretch, columns: list[str], sources: list[str]) -> tuple[Timeline, np.ndarray]:
        """The events of a stretch with their values, and the columns of the rows among them."""
        C, V = self.values(stretch.rows, columns, stretch.at, sources)
        return stretch.timeline(V), C

    def _forward(self, first: np.ndarray, sources: list[str]) -> np.ndarray:
        """Sources that do not look back themselves: those are missing, or all the same, in the ``first`` rows of keys.

        A window over another column's past values reaches no further than that column, so it proves nothing. Outcomes
        are what they are.
        """
        _, V = self.values(first[:0], [], first, sources)
        there = ~np.isnan(V)
        with np.errstate(invalid="ignore"):
            same = there.any(axis=0) & (
                np.nanmax(np.where(there, V, -np.inf), axis=0) == np.nanmin(np.where(there, V, np.inf), axis=0)
            )
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

    # Words --------------------------------------------------------------------------------------------------------

    def _name(self, column: str) -> str:
        return column if self.asked.problem else f"{self.asked.name}.{column}"

    def _source(self, source: str) -> str:
        return source if self.events_table.problem else f"{self.events_table.name}.{source}"

    def _what(self, how: str, source: str) -> str:
        if source == ROWS_OF:
            return "the number of rows" if self.own else f"the number of rows of {self.events_table.name}"
        return f"the {WORDS[how]} {source if self.own else f'{self.events_table.name}.{source}'}"

    def _who(self, key: Key, row: int) -> str:
        return f" ({', '.join(f'{c} {self.asked.frame[c].iloc[row]}' for c in key)})" if key else ""

    def _show(self, column: str, row: int) -> str:
        value = self.asked.column(column).iloc[row]
        return _number(float(value)) if isinstance(value, int | float | np.number) else str(value)


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
