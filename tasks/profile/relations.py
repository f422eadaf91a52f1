"""Several tables: which columns of one find rows of another, and what a first ``params.yaml`` makes of that.

Values decide, names help: columns belong together where most values of the problem's table are found in the other one, and
their names are alike, or the values are too many and too odd to agree by chance. A column that names each row of the other
table looks that row up; one whose values come again and again, in a table with a moment, counts and averages earlier events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.profile.comments import Remark, beside
from tasks.profile.kinds import coerce
from tasks.profile.names import bare
from tasks.profile.profiled import Profiled, kind_of
from tasks.profile.written import flow_list, flow_map, moment_text, slug, source_text
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

if TYPE_CHECKING:
    import pandas as pd
    from ruamel.yaml.comments import CommentedMap

FOUND = 0.5  # of the values are found, where the names are alike
SURELY = 0.95  # without names that are alike
MANY = 20  # so many different values do not agree by chance
LOOKED_UP = ("numeric", "categorical", "boolean", "text")
_ENDING = re.compile(r"(id|key|no|nr|num|number|code|ref|uuid)$")


@dataclass(frozen=True)
class Relation:
    """Columns of two tables with values in common.

    ``found`` is the share of the problem's rows that find one of the other table, ``one`` whether they find one at most.
    """

    mine: str
    theirs: str
    found: float
    one: bool
    alike: bool

    @property
    def said(self) -> str:
        """What was seen, in a few words."""
        return f"{100 * self.found:.0f}% of the rows find theirs by {self.mine}" + (
            "" if self.mine == self.theirs else f" = {self.theirs}"
        )


def relate(tree: CommentedMap, own: Profiled, others: Mapping[Path, Profiled]) -> Iterator[Remark]:
    """Declare further tables in the tree of a ``params.yaml``, and the features that they give; yields a remark on each.

    Aggregates are written as ``history: auto`` where there are any: their windows follow from the tables' rhythm.
    """
    name = tree["problem"]["table"]
    tables, features = tree["data"]["tables"], tree["features"]
    lookups, events = flow_list([]), False
    for path, other in others.items():
        called = _free(slug(path.stem), tables)
        found = relation(own, other, name, called)
        if found is None:
            yield Remark(
                "",
                f"{path}: left out, since no column of it finds rows of {name}; name the columns alike, or list it by hand",
                ("data", "tables"),
            )
            continue
        if found.one and other.key != found.theirs:
            other.name_by(found.theirs, "categorical")
        tables[called] = _declared(path, other)
        _same_kind(tables[name]["columns"], tables[called]["columns"], found, own)
        yield from other.told(called)
        where = ("data", "tables", called)
        if found.one:
            columns = [
                c for c in other.table.column_names if c != found.theirs and kind_of(other.specs[c]) in LOOKED_UP
            ]
            if not columns:
                yield Remark("", f"{called}: {found.said}, but no column is left to look up", where)
                continue
            on = found.mine if found.mine == found.theirs else flow_map({found.mine: found.theirs})
            lookups.append(flow_map({"table": called, "on": on, "columns": flow_list(columns)}))
            yield Remark("", f"{called}: {found.said}; its columns are looked up", ("features", "lookups"))
        elif not other.moment.column:
            yield Remark(
                "",
                f"{called}: {found.said}, several rows each, and no column says when they happened: nothing is made of them "
                "until event_time does",
                where,
            )
        elif not own.moment.column:
            yield Remark(
                "",
                f"{called}: {found.said}, several rows each; nothing is made of them until problem.prediction_time says from "
                f"when on a row of {name} is asked about, or its rows are snapshots (docs/labels.md)",
                ("problem",),
            )
        elif found.mine != found.theirs:
            yield Remark(
                "",
                f"{called}: {found.said}, several rows each; aggregates need one name for both columns: rename one",
                where,
            )
        else:
            events = True
            yield Remark("", f"{called}: {found.said}; its earlier events are aggregated", ("features", "history"))
    if lookups:
        lookups.fa.set_block_style()
        features["lookups"] = lookups
        beside(
            features, "lookups", "the row of another table with the same key; with event_time the newest known by then"
        )
    if events:
        features["history"] = "auto"


def relation(own: Profiled, other: Profiled, name: str, called: str) -> Relation | None:
    """The columns by which rows of the problem's table ``name`` find rows of another, ``called`` so; None: there are none."""
    best: tuple[float, Relation] | None = None
    mine = {c: _values(own, c) for c in own.table.column_names if c != own.target and _may_join(own, c)}
    theirs = {c: _values(other, c) for c in other.table.column_names if _may_join(other, c)}
    there = {c: set(values) for c, values in theirs.items()}
    for a, values in mine.items():
        different = set(values)
        for b, among in there.items():
            alike = _alike(a, name, b, called)
            odd = len(different) >= MANY and not all(text.isdigit() for text in list(different)[:MANY])
            if len(among) < 3 or not different or not (alike or odd):
                continue
            found = float(values.isin(among).mean())
            one = len(theirs[b]) == len(among) == other.table.num_rows - other.repeats
            if found < (FOUND if alike else SURELY) or (not one and len(among) > SURELY * other.table.num_rows):
                continue
            if not one and not alike:
                continue
            score = found + one + alike
            if best is None or score > best[0]:
                best = score, Relation(a, b, found, one, alike)
    return best[1] if best else None


def _alike(a: str, of: str, b: str, other: str) -> bool:
    """Whether two columns of two tables have names that mean the same.

    >>> _alike("customer_id", "orders", "id", "customers"), _alike("id", "orders", "OrderNo", "items")
    (True, True)
    >>> _alike("id", "orders", "id", "customers"), _alike("buyer", "orders", "customer", "customers")
    (False, False)
    """
    one, two = _core(a), _core(b)
    if one and two:
        return one == two
    return bool(one and one in bare(other)) if not two else two in bare(of)


def _may_join(table: Profiled, column: str) -> bool:
    return kind_of(table.specs[column]) in ("categorical", "numeric", "ignore") and table.moment.column != column


def _values(table: Profiled, column: str) -> pd.Series:
    """Levels of a column, each row once, without what is missing."""
    return coerce(table.table[column], Reading("categorical", missing=USUAL)).values.dropna()


def _core(name: str) -> str:
    """What is left of a name without marks and the words for an id.

    >>> _core("customer_id"), _core("CustomerNo"), _core("id")
    ('customer', 'customer', '')
    """
    return _ENDING.sub("", bare(name))


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, called = 1, name
    while called in taken:
        number += 1
        called = f"{name}_{number}"
    return called


def _declared(path: Path, other: Profiled) -> CommentedMap:
    """The section of a further table."""
    from ruamel.yaml.comments import CommentedMap

    made = CommentedMap(source=source_text(path), columns=other.columns())
    other.identify(made)
    if other.moment.column:
        made.insert(1 + ("key" in made) + ("corrections" in made), "event_time", moment_text(other.moment.column))
        beside(made, "event_time", "when a row happened; known later? then also known_at: COLUMN, or COLUMN + 1d")
    else:
        times = [c for c, spec in other.specs.items() if kind_of(spec) == "datetime"]
        when = " or ".join(times[:3]) or "COLUMN"
        beside(made, "source", f"its rows count as known at any moment; if they are not: event_time: {when}")
    return made


def _same_kind(mine: CommentedMap, theirs: CommentedMap, found: Relation, own: Profiled) -> None:
    """Give both columns of a relation one kind: what finds each other is no number, unless both are."""
    kinds = [columns[name] for columns, name in ((mine, found.mine), (theirs, found.theirs))]
    if kinds == ["numeric", "numeric"] and own.key == found.mine:
        return
    for columns, name, where in ((mine, found.mine, "another table"), (theirs, found.theirs, "the problem's table")):
        if kind_of(columns[name]) != "categorical":
            columns[name] = "categorical"
            beside(columns, name, f"finds rows of {where}")
