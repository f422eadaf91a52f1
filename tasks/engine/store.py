"""What the online engine keeps of tables: their rows as they came, and the histories of the keys that are asked."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tasks.engine.facts import FOREVER, Events, TableSchema
from tasks.engine.history import Ended, KeyHistory, nan_last
from tasks.engine.plan import Feature, Group
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.engine.source import TEXT
from tasks.values.durations import Span

Plain = str | float | None  # a value as it is kept: a text, a number, or µs as a number
Key = Plain | tuple[Plain, ...]
PrimaryKey = tuple[Plain, ...]
On = tuple[tuple[str, str], ...]  # pairs of the row's column and the table's


class Gone(NamedTuple):
    """A state that is no longer what it was, with the keys that its row had: one for each way to ask."""

    ended: Ended
    keys: list[Key]


class Changes(NamedTuple):
    """What rows that came made of a table: store rows that are new or written anew, each with its number among those
    that came, and states that are no longer what they were."""

    added: dict[int, int]
    ended: list[Gone]


class Store:
    """One table's events as they came: the columns that the plan needs, by store row."""

    size: int  # rows

    def __init__(self, table: TableSchema, columns: Sequence[str]):
        self.table = table
        self.columns = list(columns)
        self.content = list(table.key) or sorted(columns)  # settles ties
        self.values: dict[str, list[Plain]] = {c: [] for c in columns}
        self.names: dict[str, list[str]] = {c: [] for c in columns if table.columns[c] in TEXT}
        self.places: dict[str, dict[str, int]] = {c: {} for c in self.names}
        self.event, self.known, self.until = (array("q") for _ in range(3))  # µs
        self.rows: dict[PrimaryKey, tuple[int, ...]] = {}  # store rows of each primary key: one a state, in their order

    def keys(self, columns: Mapping[str, list[Plain]]) -> list[PrimaryKey]:
        """Primary keys of rows given as columns, a missing part as None; none where the table has no key."""
        if not self.table.key:
            return []
        parts = ([None if value != value else value for value in columns[c]] for c in self.table.key)
        return list(zip(*parts, strict=True))

    def fill(self, facts: Events) -> None:
        """The rows of a table, which is the first that comes."""
        for column in self.columns:
            if column in self.names:
                codes, names = facts.categories(column)
                self.names[column] = [str(n) for n in names]
                self.places[column] = {n: i for i, n in enumerate(self.names[column])}
                self.values[column] = [self.names[column][c] if c >= 0 else None for c in codes.tolist()]
            else:
                self.values[column] = facts.values(column).tolist()
        self.size = len(facts.frame)
        until = np.full(self.size, FOREVER) if facts.until is None else facts.until
        for line, moments in ((self.event, facts.event), (self.known, facts.known), (self.until, until)):
            line.frombytes(np.ascontiguousarray(moments).tobytes())
        for i, key in enumerate(self.keys(self.values)):
            self.rows[key] = (*self.rows.get(key, ()), i)
        if facts.until is not None:
            for key, states in self.rows.items():
                if len(states) > 1:
                    self.rows[key] = tuple(sorted(states, key=self.known.__getitem__))

    def take_in(
        self, columns: Mapping[str, list[Plain]], event: list[int], known: list[int], asked: Sequence[On]
    ) -> Changes:
        """Rows that came, in their order, given as columns and moments (µs).

        One whose key is there is another state of that row (:mod:`tasks.states`), which the key's states make room for.
        ``asked``: the ways to ask.
        """
        added: dict[int, int] = {}
        shortened: dict[int, None] = {}
        gone: list[Gone] = []
        keys = self.keys(columns)
        for i, when in enumerate(known):
            states = self.rows.get(keys[i], ()) if keys else ()
            until, place = FOREVER, len(states)
            while place and self.known[states[place - 1]] > when:
                place -= 1
            if place and self.known[states[place - 1]] == when:
                row = states[place - 1]
                if self._is(row, columns, event, i):
                    continue
                if row not in added:
                    gone.append(Gone(Ended(row, self.event[row], None), [self.key(row, on) for on in asked]))
                added[row] = i
                for column, values in columns.items():
                    self.values[column][row] = values[i]
                self.event[row] = event[i]
                continue
            if place < len(states):
                until = self.known[states[place]]
            if place and self.until[states[place - 1]] > when:
                before = states[place - 1]
                until, self.until[before] = self.until[before], when
                shortened[before] = None
            row = self._append(columns, event[i], when, until, i)
            added[row] = i
            if keys:
                self.rows[keys[i]] = (*states[:place], row, *states[place:])
        for row in shortened:
            if row not in added:
                gone.append(Gone(Ended(row, self.event[row], self.until[row]), [self.key(row, on) for on in asked]))
        return Changes(added, gone)

    def _append(self, columns: Mapping[str, list[Plain]], event: int, known: int, until: int, i: int) -> int:
        for column, values in columns.items():
            self.values[column].append(values[i])
        self.event.append(event)
        self.known.append(known)
        self.until.append(until)
        self.size += 1
        return self.size - 1

    def _is(self, row: int, columns: Mapping[str, list[Plain]], event: list[int], i: int) -> bool:
        """Whether a row that came says what the store's row says."""
        if self.event[row] != event[i] or self.table.later:
            return False
        pairs = ((self.values[column][row], values[i]) for column, values in columns.items())
        return all(one == other or (one != one and other != other) for one, other in pairs)

    def before(self, a: int, b: int) -> bool:
        """Whether row a comes before row b by content."""
        for column in self.content:
            one, other = (nan_last(self.values[column][i]) for i in (a, b))
            if one != other:
                return one < other
        return False

    def key(self, row: int, on: On) -> Key:
        """The key of a row by some of its columns."""
        return one_or_all(tuple(self.values[column][row] for _, column in on))


def one_or_all(parts: tuple[Plain, ...]) -> Key:
    """A key of one column stands for itself."""
    return parts[0] if len(parts) == 1 else parts


def lacks(key: Key) -> bool:
    """Whether a part of a key is missing."""
    return any(part is None or part != part for part in (key if isinstance(key, tuple) else (key,)))


class GroupHistories:
    """A group of the plan with the histories of its keys; ``lookups``, ``counts`` and ``aggregates`` with their windows' places."""

    def __init__(self, group: Group, table: TableSchema):
        self.group = group
        self.table = table
        self.timeless = table.event_time is None
        self.key = [(mine, table.columns[theirs]) for mine, theirs in group.on]
        self.keys: dict[Key, KeyHistory] = {}
        self.spans: list[Span] = list(dict.fromkeys(recipe.span for recipe in group.asked))
        place = self.spans.index
        self.lookups: list[tuple[Feature, LookedUp, int]] = [(f, r, place(r.span)) for f, r in group.lookups]
        self.counts = [(f.name, place(r.span)) for f, r in group.aggregates if r.column is None]
        self.aggregates: list[tuple[Feature, Aggregate, str, int]] = [
            (f, r, r.column, place(r.span)) for f, r in group.aggregates if r.column is not None
        ]
        self.names = {c: i for i, c in enumerate(dict.fromkeys(column for *_, column, _ in self.aggregates))}
