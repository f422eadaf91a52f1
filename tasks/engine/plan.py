"""The plan: the serialised definition of the features. :mod:`tasks.engine.derive` makes it from ``params.yaml``.

A plan says what each feature is, in a form that JSON holds and a stable hash identifies, and what it reads. It knows no
engine: those (:mod:`tasks.engine.compute`, :mod:`tasks.engine.online`, :mod:`tasks.engine.from_disk`,
:mod:`tasks.engine.spark`) stand above it, and all give the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

from tasks.engine.facts import Json, TableSchema, Time, never_sees_itself
from tasks.engine.recipes import Aggregate, FromRow, FromTable, LookedUp, Need, Recipe, from_dict
from tasks.errors import RefitError

FORMAT = 1


@dataclass(frozen=True)
class Feature:
    """One feature: its name, ``kind`` (numeric, categorical or text), a sentence, and what it is made of."""

    name: str
    kind: str
    description: str
    recipe: Recipe

    @classmethod
    def of(cls, recipe: Recipe, tables: Mapping[str, TableSchema], own: str, name: str = "") -> Feature:
        """The feature that a recipe makes for rows of the table ``own``; under its own name, unless one is given."""
        return cls(name or recipe.name(own), recipe.kind(tables, own), recipe.says(tables, own), recipe)

    def to_dict(self) -> dict[str, object]:
        """As JSON."""
        about: dict[str, object] = {"name": self.name, "kind": self.kind, "description": self.description}
        return {**about, "make": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, value: Json) -> Feature:
        """From what :meth:`to_dict` gave."""
        return cls(value["name"], value["kind"], value["description"], from_dict(value["make"]))


@dataclass(frozen=True)
class Predicted:
    """The target: its name, its column, and the number that this is compared with (None: it is taken as it is)."""

    name: str
    column: str
    above: float | None = None


@dataclass(frozen=True)
class Group:
    """Features that ask one table by one key: ``on`` pairs the row's columns with the table's.

    ``known``: when their column becomes known, where that is later than its row.
    """

    table: str
    on: tuple[tuple[str, str], ...]
    features: tuple[Feature, ...]
    known: Time | None = None

    @cached_property
    def lookups(self) -> tuple[tuple[Feature, LookedUp], ...]:
        """Its lookups, each with its recipe."""
        return tuple((f, f.recipe) for f in self.features if isinstance(f.recipe, LookedUp))

    @cached_property
    def aggregates(self) -> tuple[tuple[Feature, Aggregate], ...]:
        """Its aggregates, each with its recipe."""
        return tuple((f, f.recipe) for f in self.features if isinstance(f.recipe, Aggregate))

    @property
    def asked(self) -> tuple[FromTable, ...]:
        """The recipes, in the order of the features."""
        return tuple(f.recipe for f in self.features if isinstance(f.recipe, FromTable))


@dataclass(frozen=True)
class Plan:
    """What to compute for the rows of ``table`` as of ``time`` (and not after ``cap``, where that is set).

    ``children`` are plans over other rows' own events: their features serve as columns of those tables (depth 2).
    """

    table: str
    tables: dict[str, TableSchema]
    features: tuple[Feature, ...]
    time: Time | None = None
    cap: Time | None = None
    target: Predicted | None = None
    children: dict[str, Plan] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready; :meth:`from_dict` gives back an equal plan."""
        return {"format": FORMAT, **self._json()}

    def _json(self) -> dict[str, object]:
        return {
            "table": self.table,
            "tables": {name: table.to_dict() for name, table in self.tables.items()},
            "features": [feature.to_dict() for feature in self.features],
            "time": asdict(self.time) if self.time else None,
            "cap": asdict(self.cap) if self.cap else None,
            "target": asdict(self.target) if self.target else {},
            "children": {name: child._json() for name, child in self.children.items()},
        }

    @classmethod
    def from_dict(cls, value: Json) -> Plan:
        """From what :meth:`to_dict` gave. Raises :class:`RefitError` for a plan of another format."""
        if value.get("format", FORMAT) != FORMAT:
            raise RefitError(
                f"plan: format {value.get('format')!r} is not {FORMAT}; make the package anew with this Refit"
            )
        time = {k: Time(**value[k]) if value.get(k) else None for k in ("time", "cap")}
        return cls(
            table=value["table"],
            tables={name: TableSchema.from_dict(table) for name, table in value["tables"].items()},
            features=tuple(Feature.from_dict(feature) for feature in value["features"]),
            target=Predicted(**value["target"]) if value.get("target") else None,
            children={name: cls.from_dict(child) for name, child in value.get("children", {}).items()},
            **time,
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def own(self) -> TableSchema:
        """The table whose rows get the features."""
        return self.tables[self.table]

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(f.name for f in self.features)

    @cached_property
    def of_row(self) -> tuple[tuple[Feature, FromRow], ...]:
        """The features that are made of the row itself, in order."""
        return tuple((f, f.recipe) for f in self.features if isinstance(f.recipe, FromRow))

    @cached_property
    def of_tables(self) -> tuple[tuple[Feature, FromTable], ...]:
        """The features that ask a table, in order."""
        return tuple((f, f.recipe) for f in self.features if isinstance(f.recipe, FromTable))

    @property
    def asking(self) -> tuple[tuple[Feature, FromTable], ...]:
        """The features that ask a table, with those of the events' own features."""
        return self.of_tables + tuple(pair for child in self.children.values() for pair in child.asking)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The features that ask a table, by table, key and when their column is known."""
        by_key: dict[tuple[str, tuple[tuple[str, str], ...], Time | None], list[Feature]] = {}
        for feature, recipe in self.of_tables:
            known = self.tables[recipe.table].later.get(recipe.column) if recipe.column else None
            by_key.setdefault((recipe.table, recipe.on, known), []).append(feature)
        return tuple(Group(table, on, tuple(features), known) for (table, on, known), features in by_key.items())

    @cached_property
    def sees_own(self) -> bool:
        """Whether a row's own event could be in view at its prediction time, so that it has to be looked for."""
        if not any(group.table == self.table and group.aggregates for group in self.groups):
            return False
        return not never_sees_itself(self.time, self.own.event_time) and self.cap is None

    # What is read ----------------------------------------------------------------------------------------------------

    @cached_property
    def read_by(self) -> dict[str, tuple[str, ...]]:
        """Columns of the row that each feature reads itself, by its name.

        A name in a transform is a feature where one was made before it, and a column of the row otherwise.
        """
        read: dict[str, tuple[str, ...]] = {}
        for feature in self.features:
            parts = (part for part in feature.recipe.parts if part not in read)
            read[feature.name] = (*feature.recipe.row, *parts)
        return read

    def row_columns(self, *features: Feature) -> list[str]:
        """Columns of its table that a row has to bring for some features (for all, if none is named), in table order."""
        used = {time.column for time in (self.time, self.cap) if time}
        used |= {column for f in features or self.features for column in self.read_by[f.name]}
        return [column for column in self.own.columns if column in used]

    @property
    def identity(self) -> list[str]:
        """Columns by which a row's own event is told from the others, where it could be among them."""
        return list(self.own.key) if self.sees_own else []

    def events(self, *features: Feature) -> dict[str, Need]:
        """What features that ask a table (all, if none is named) read of each, beside the row itself."""
        needs: dict[str, Need] = {}
        for feature in features or self.features:
            if isinstance(recipe := feature.recipe, FromTable):
                needs[recipe.table] = needs.get(recipe.table, Need()) | recipe.reads(self.tables[recipe.table])
        return needs

    def columns_used(self) -> dict[str, set[str]]:
        """The columns of each table that the plan's features, and their children's, need."""
        used: dict[str, set[str]] = {name: set() for name in self.tables}
        used[self.table] |= {*self.row_columns(), *self.identity}
        for name, read in self.events().items():
            used[name] |= read.columns
        for child in self.children.values():
            for name, columns in child.columns_used().items():
                used.setdefault(name, set()).update(columns)
        return used
