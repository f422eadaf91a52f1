"""What the online engine keeps of tables: their rows as they came, and the histories of the keys that are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.engine.facts import TableSchema
from tasks.engine.history import KeyHistory, nan_last
from tasks.engine.plan import Feature, Group
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.engine.source import TEXT
from tasks.values.durations import Span

Plain = str | float | None  # a value as it is kept: a text, a number, or µs as a number
Key = Plain | tuple[Plain, ...]


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
        self.known: list[int] = []
        self.rows: dict[tuple[Plain, ...], tuple[int, ...]] = {}  # store rows of each primary key: one a state

    def keys(self, columns: Mapping[str, list[Plain]]) -> list[tuple[Plain, ...]]:
        """Primary keys of rows given as columns; none where the table has no key."""
        return list(zip(*(columns[c] for c in self.table.key), strict=True)) if self.table.key else []

    def before(self, a: int, b: int) -> bool:
        """Whether row a comes before row b by content."""
        for column in self.content:
            one, other = (nan_last(self.values[column][i]) for i in (a, b))
            if one != other:
                return one < other
        return False

    def key(self, row: int, on: tuple[tuple[str, str], ...]) -> Key:
        """The key of a row by some of its columns."""
        return one_or_all(tuple(self.values[column][row] for _, column in on))


def one_or_all(parts: tuple[Plain, ...]) -> Key:
    """A key of one column stands for itself."""
    return parts[0] if len(parts) == 1 else parts


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
