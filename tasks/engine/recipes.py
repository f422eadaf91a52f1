"""Recipes: what a feature is made of, as types. Adding a kind of feature is one class here, and a place that derives it.

A recipe knows its name and how it is written, what it reads, of what kind its result is, the sentence that describes it,
and its JSON. Recipes of the row itself (:class:`FromRow`) also say how they are made, the same for a million rows and for
one; recipes that ask a table (:class:`FromTable`) are answered by the engines.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import numpy as np

from tasks.engine.dates import date_part
from tasks.engine.expression import Expression
from tasks.engine.facts import HOUR, MISSING, Json, TableSchema
from tasks.engine.primitives import Primitive, parse_primitive
from tasks.engine.source import Source, Values
from tasks.errors import RefitError
from tasks.values.durations import EVERYTHING, Span

KIND = {"numeric": "numeric", "boolean": "numeric", "categorical": "categorical", "text": "text"}


@dataclass(frozen=True)
class Need:
    """What is read of one table: columns, and how far back its events are needed (µs; None: all of them)."""

    columns: frozenset[str] = frozenset()
    reach: int | None = 0

    def __or__(self, other: Need) -> Need:
        endless = self.reach is None or other.reach is None
        return Need(self.columns | other.columns, None if endless else max(self.reach or 0, other.reach or 0))


@dataclass(frozen=True)
class Recipe(ABC):
    """What each recipe says. ``own`` is the table whose rows get the feature, ``tables`` all that the plan knows."""

    op: ClassVar[str]  # as its JSON calls it

    @property
    def row(self) -> tuple[str, ...]:
        """Columns of the row that it reads."""
        return ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names that it reads: features made before it, or else columns of the row."""
        return ()

    @abstractmethod
    def name(self, own: str) -> str:
        """What the feature is called."""

    def kind(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """Of the result: numeric, categorical or text."""
        return "numeric"

    @abstractmethod
    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """A sentence."""

    def to_dict(self) -> dict[str, object]:
        """As JSON; :func:`from_dict` gives back an equal recipe."""
        return {"op": self.op, **self._json()}

    def _json(self) -> dict[str, object]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, value: Json) -> Recipe:
        """From what :meth:`to_dict` gave."""
        return cls(**{one.name: value[one.name] for one in fields(cls)})


class FromRow(Recipe):
    """Made of the row itself: of its columns, and of features made before it."""

    @abstractmethod
    def make(self, source: Source, made: Mapping[str, Values], tables: Mapping[str, TableSchema], own: str) -> Values:
        """The feature of the rows that ask, from their columns and the features ``made`` before."""


class FromTable(Recipe):
    """Asks a table for the events, or the row, of the same key: those in a window before the prediction time."""

    table: str
    column: str | None

    @property
    @abstractmethod
    def on(self) -> tuple[tuple[str, str], ...]:
        """The key: columns of the row, each with the table's column that it is equal to."""

    @property
    @abstractmethod
    def span(self) -> Span:
        """How far back it looks."""

    @property
    def row(self) -> tuple[str, ...]:
        """The key's columns of the row."""
        return tuple(mine for mine, _ in self.on)

    def reads(self, table: TableSchema) -> Need:
        """What it reads of the table that it asks: keys, values, moments, and what tells events of one moment apart."""
        theirs = {theirs for _, theirs in self.on} | ({self.column} if self.column else set())
        moments = {time.column for time in table.times(self.column)}
        return Need(frozenset({*theirs, *moments, *table.content}), self.span.micros)


@dataclass(frozen=True)
class OwnColumn(FromRow):
    """A column of the row, under its own name."""

    column: str
    op: ClassVar[str] = "column"

    @property
    def row(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def name(self, own: str) -> str:
        """As the column."""
        return self.column

    def kind(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """As the column's."""
        return KIND[tables[own].columns[self.column]]

    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """That it is the row's own."""
        return f"{self.column} of the row"

    def make(self, source: Source, made: Mapping[str, Values], tables: Mapping[str, TableSchema], own: str) -> Values:
        """The column's values."""
        numeric = self.kind(tables, own) == "numeric"
        return source.number(self.column) if numeric else source.text(self.column)


@dataclass(frozen=True)
class DatePart(FromRow):
    """A part of a moment of the row: ``sched_dep.month``."""

    column: str
    part: str
    op: ClassVar[str] = "date"

    @property
    def row(self) -> tuple[str, ...]:
        """The column with the moment."""
        return (self.column,)

    def name(self, own: str) -> str:
        """``column.part``."""
        return f"{self.column}.{self.part}"

    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """Which part of which column."""
        return f"{self.part.replace('_', ' ')} of {self.column} (UTC)"

    def make(self, source: Source, made: Mapping[str, Values], tables: Mapping[str, TableSchema], own: str) -> Values:
        """float64, missing as NaN."""
        return date_part(source.moment(self.column), self.part)


@dataclass(frozen=True)
class Transform(FromRow):
    """An expression over features and columns of the row; called as it is written, unless the user gives it a name."""

    text: str
    op: ClassVar[str] = "expression"

    @cached_property
    def expression(self) -> Expression:
        """Raises :class:`RefitError` that quotes the text and says what is not allowed in it."""
        return Expression.parse(self.text)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names in the expression."""
        return self.expression.names

    def name(self, own: str) -> str:
        """The expression as written, without backticks."""
        return self.text.replace("`", "")

    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """The expression."""
        return self.name(own)

    def make(self, source: Source, made: Mapping[str, Values], tables: Mapping[str, TableSchema], own: str) -> Values:
        """float64; what has no finite value is NaN."""
        kinds = tables[own].columns
        return self.expression.evaluate(
            {n: np.asarray(made[n]) if n in made else _number(source, n, kinds[n]) for n in self.parts}
        )


def _number(source: Source, column: str, kind: str) -> np.ndarray:
    """A column of the row in an expression; a moment as hours since 1970."""
    if kind != "datetime":
        return source.number(column)
    moment = source.moment(column)
    return np.where(moment == MISSING, np.nan, moment / HOUR)


@dataclass(frozen=True)
class Power(FromRow):
    """A product of features and their powers: ``a^2 b``, named as scikit-learn's ``PolynomialFeatures`` does."""

    powers: tuple[tuple[str, int], ...]
    op: ClassVar[str] = "power"

    @property
    def parts(self) -> tuple[str, ...]:
        """Its factors' names."""
        return tuple(name for name, _ in self.powers)

    @property
    def _factors(self) -> list[str]:
        return [name for name, n in self.powers for _ in range(n)]

    def name(self, own: str) -> str:
        """The factors with their powers."""
        return " ".join(name if n == 1 else f"{name}^{n}" for name, n in self.powers)

    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """Of what it is the product."""
        return "product of " + ", ".join(self._factors)

    def make(self, source: Source, made: Mapping[str, Values], tables: Mapping[str, TableSchema], own: str) -> Values:
        """float64; what overflows is NaN."""
        first, *others = (np.asarray(made[name]) for name in self._factors)
        result = first
        with np.errstate(over="ignore"):
            for factor in others:
                result = result * factor
        return np.where(np.isfinite(result), result, np.nan)

    def _json(self) -> dict[str, object]:
        return {"powers": dict(self.powers)}

    @classmethod
    def of(cls, value: Json) -> Power:
        """From what :meth:`to_dict` gave."""
        return cls(tuple(value["powers"].items()))


@dataclass(frozen=True)
class LookedUp(FromTable):
    """A column of another table's row of the same key, the newest one known: ``planes.seats``."""

    table: str
    key: tuple[tuple[str, str], ...]  # columns of the row, with those of the table
    column: str
    within: Span = EVERYTHING  # how old the row may be
    op: ClassVar[str] = "lookup"

    @property
    def on(self) -> tuple[tuple[str, str], ...]:
        """The key, as listed."""
        return self.key

    @property
    def span(self) -> Span:
        """How old the row may be."""
        return self.within

    @staticmethod
    def parse(text: str) -> tuple[str, str]:
        """Table and column of its name; empty where there is none."""
        table, _, column = text.partition(".")
        return table, column

    def name(self, own: str) -> str:
        """``table.column``."""
        return f"{self.table}.{self.column}"

    def kind(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """As the column's; a moment becomes a number of hours."""
        return KIND.get(tables[self.table].columns[self.column], "numeric")

    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """Which column of which row."""
        there = tables[self.table]
        sentence = (
            f"{self.column} of the row of {self.table} with the same {', '.join(theirs for _, theirs in self.key)}"
        )
        if there.event_time:
            old = f", at most {self.within} old" if self.within.micros is not None else ""
            sentence += f", the newest one known before the prediction time{old}"
        return sentence + (", as hours before the prediction time" if there.columns[self.column] == "datetime" else "")

    def _json(self) -> dict[str, object]:
        within = str(self.within) if self.within.micros is not None else None
        return {"table": self.table, "on": dict(self.key), "column": self.column, "within": within}

    @classmethod
    def of(cls, value: Json) -> LookedUp:
        """From what :meth:`to_dict` gave."""
        return cls(value["table"], tuple(value["on"].items()), value["column"], Span(value["within"] or "all"))


@dataclass(frozen=True)
class Aggregate(FromTable):
    """A primitive of a table's events of the same key, seen through a window; of no column: how many there are.

    ``carrier.mean(arr_delay, 7d)`` over the row's own table, ``weather[origin].count(1h)`` over another one.
    """

    table: str
    by: tuple[str, ...]
    window: Span
    primitive: Primitive
    column: str | None
    op: ClassVar[str] = "aggregate"

    @property
    def on(self) -> tuple[tuple[str, str], ...]:
        """The key, by the same names on both sides."""
        return tuple((column, column) for column in self.by)

    @property
    def span(self) -> Span:
        """Its window."""
        return self.window

    @staticmethod
    def parse(text: str) -> tuple[tuple[str, ...], str, str | None, str] | None:
        """Key, primitive, column and window of its name over the own table, as written; None for another text.

        >>> Aggregate.parse("carrier+origin.share(late, yes, 7d)")
        (('carrier', 'origin'), 'share(yes)', 'late', '7d')
        >>> Aggregate.parse("carrier.count(last 5)")
        (('carrier',), 'count', None, 'last 5')
        """
        match = re.fullmatch(r"([^()]+)\.(\w+)\((?:(.+), )?([^,()]+)\)", text)
        if not match:
            return None
        by, primitive, inside, window = match.groups()
        column, _, argument = (inside or "").partition(", ")
        return tuple(by.split("+")), f"{primitive}({argument})" if argument else primitive, column or None, window

    def name(self, own: str) -> str:
        """As :meth:`parse` reads it; another table's name stands in front, its key in brackets."""
        key = "+".join(self.by) if self.table == own else f"{self.table}[{'+'.join(self.by)}]"
        inside = [part for part in (self.column, self.primitive.argument, str(self.window)) if part is not None]
        return f"{key}.{self.primitive.name}({', '.join(inside)})"

    def kind(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """Numeric, unless the result is a value of the column itself."""
        if self.column is None or self.primitive.result != "value":
            return "numeric"
        return KIND.get(tables[self.table].columns[self.column], "numeric")

    def says(self, tables: Mapping[str, TableSchema], own: str) -> str:
        """What of which events."""
        seen = f"{self.table} with the same {' and '.join(self.by)} {self._seen()}"
        if self.column is None:
            return f"number of {seen}"
        unit = self.primitive.unit(tables[self.table].columns[self.column])
        return f"{self.primitive.describe(self.column)} of {seen}" + (f", {unit}" if unit else "")

    def _seen(self) -> str:
        if self.window.micros is not None:
            return f"in the {self.window} before the prediction time, as far as known by then"
        return f"{f'(the {self.window}) ' if self.window.last is not None else ''}known before the prediction time"

    def _json(self) -> dict[str, object]:
        return {
            "table": self.table, "by": list(self.by), "window": str(self.window), "primitive": self.primitive.label,
            "column": self.column,
        }  # fmt: skip

    @classmethod
    def of(cls, value: Json) -> Aggregate:
        """From what :meth:`to_dict` gave."""
        primitive = parse_primitive(value["primitive"])
        return cls(value["table"], tuple(value["by"]), Span(value["window"]), primitive, value["column"])


OPERATIONS: dict[str, type[Recipe]] = {
    cls.op: cls for cls in (OwnColumn, DatePart, LookedUp, Aggregate, Transform, Power)
}


def from_dict(value: Json) -> Recipe:
    """The recipe that a plan's JSON holds. Raises :class:`RefitError` for an operation that is not known here."""
    if value["op"] not in OPERATIONS:
        raise RefitError(f"plan: operation {value['op']!r} is not known to this Refit; make the package anew with it")
    return OPERATIONS[value["op"]].of(value)
