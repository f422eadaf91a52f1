"""``features.lookups: auto`` and ``features.history: auto``: what a user would list.

All but the windows is a function of ``params.yaml`` alone (tables, kinds, keys, moments, outcomes). The windows follow
the table's rhythm (:mod:`tasks.engine.rhythm`), which is measured once a run, by the stage ``features``. What comes out
goes through the same plan and engine as what is listed by hand, hence the same rule of time. A column means the same in
two tables where it has the same name and kind.

Lookups: every other table whose key consists of columns of the problem's table; the moment that a table with
``event_time`` has in its key is left out, and the newest row known before the prediction time counts. All columns that
are numbers, categories, booleans or texts are taken.

History: every table with ``event_time`` that shares a key with the problem's table, which comes first itself.

- Keys: shared columns that are part of a declared key or of a lookup's ``on``, then the other shared categories, each
  in order of declaration, :data:`KEYS` at most; not an outcome, nor what is alone the key of the events. Of these, up
  to :data:`PAIRS` pairs in which at least one has declared few values (``allowed``) and neither is alone the key of a
  table: groups of two would be too thin otherwise.
- Windows: at most :data:`WINDOWS` of :data:`LADDER` for each key; none for a key of which no row has an earlier event.
- Columns: of the problem's table the target, the column it is made from and the other outcomes; of other tables all but
  keys and what both tables have. Numbers get mean and std, booleans mean, categories n_unique and the shares of the
  positive class and of allowed values (:data:`SHARES` at most); events are counted.
- At most :data:`MOST` features, an equal part for each table: later columns are left out first, then later keys. How
  many windows a key got changes nothing here, so that other keys keep their features when one key's windows change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, groupby
from typing import TYPE_CHECKING

from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks import params as p

LADDER = ("1h", "6h", "1d", "7d", "31d", "92d", "366d", "all")  # up to the longest month, quarter and year
WINDOWS = 3
KEYS = 6
PAIRS = 3
SHARES = 3
MOST = 240

Key = tuple[str, tuple[str, ...]]  # a table, and the columns of a key of it
Windows = Mapping[Key, tuple[str, ...]]  # the windows of each key; none: the key is left out


@dataclass(frozen=True)
class Lookups:
    """What is looked up in a table: ``columns`` of the row whose columns ``on`` equal the asking row's."""

    table: str
    on: dict[str, str]
    columns: tuple[str, ...]
    within: str | None = None


@dataclass(frozen=True)
class Aggregates:
    """What is aggregated of a table: ``by`` which keys, in which windows, which primitives of which columns."""

    table: str
    by: tuple[tuple[str, ...], ...]
    windows: tuple[str, ...]
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    count: bool = True


def lookups_of(params: p.Params) -> tuple[Lookups, ...]:
    """The lookups as listed, or for ``auto`` as derived. Raises :class:`RefitError` where ``auto`` finds none."""
    if isinstance(params.features.lookups, tuple):
        return tuple(Lookups(one.table, one.on, one.columns, one.within) for one in params.features.lookups)
    lookups = []
    for name, there in params.data.tables.items():
        if name == params.problem.table or (there.event_time and not params.problem.prediction_time):
            continue
        on = [c for c in there.key if not (there.event_time and c == there.event_time.column)]
        wanted = ("numeric", "categorical", "boolean", "text")
        columns = tuple(c for c, column in there.columns.items() if c not in there.key and column.kind in wanted)
        if on and columns and set(on) <= set(_shared(params, there)):
            lookups.append(Lookups(name, {c: c for c in on}, columns))
    if not lookups:
        raise RefitError(
            f"features.lookups: 'auto' finds no other table whose key consists of columns of {params.problem.table!r}; "
            "declare data.tables.NAME.key, list the lookups, or remove the line"
        )
    return tuple(lookups)


def history_keys(params: p.Params) -> dict[str, tuple[tuple[str, ...], ...]]:
    """For ``history: auto``, the keys of each table: what windows have to be found for.

    Raises :class:`RefitError` where there is no table to aggregate.
    """
    tables, own = params.data.tables, params.problem.table
    keys = {name: _keys(params, tables[name]) for name in (own, *(n for n in tables if n != own))}
    keys = {name: by for name, by in keys.items() if by and tables[name].event_time}
    if not keys:
        raise RefitError(
            f"features.history: 'auto' finds no table with event_time that shares a key with {own!r}; "
            "declare event_time and keys under data.tables, list the history, or remove the line"
        )
    names = list(keys)[: MOST // (2 * WINDOWS)]
    most = MOST // len(names) // (2 * WINDOWS)
    return {name: tuple(keys[name][:most]) for name in names}


def any_windows(params: p.Params) -> Windows:
    """Every window that ``history: auto`` could come to use, for checks before there is data."""
    if isinstance(params.features.history, tuple):
        return {}
    return {(table, key): LADDER for table, by in history_keys(params).items() for key in by}


def history_of(params: p.Params, windows: Windows | None = None) -> tuple[Aggregates, ...]:
    """The history as listed, or for ``auto`` as derived, with the windows of each of :func:`history_keys`."""
    if isinstance(params.features.history, tuple):
        return tuple(
            Aggregates(one.table, one.by, one.windows, one.columns, one.count) for one in params.features.history
        )
    if windows is None:
        raise ValueError("history: auto needs windows, as tasks.engine.rhythm finds them")
    keys = history_keys(params)
    history = []
    for table, by in keys.items():
        columns = _bounded(_columns(params, table), MOST // len(keys) // (len(by) * WINDOWS) - 1)
        for spans, alike in groupby([(windows[table, key], key) for key in by], lambda pair: pair[0]):
            if spans:
                made = params.data.tables[table].snapshots  # snapshots are as many as there are weeks: no news
                by_keys = tuple(key for _, key in alike)
                history.append(Aggregates(table, by_keys, spans, columns, not made))
    return tuple(history)


def _bounded(columns: dict[str, tuple[str, ...]], room: int) -> dict[str, tuple[str, ...]]:
    """As many primitives as there is room for, from the first column on."""
    kept: dict[str, tuple[str, ...]] = {}
    for column, primitives in columns.items():
        if primitives[:room]:
            kept[column] = primitives[:room]
            room -= len(kept[column])
    return kept


def _shared(params: p.Params, there: p.Table) -> list[str]:
    """Columns by which a row of the problem's table finds rows of another: same name and kind, known from the start."""
    own, target = params.data.tables[params.problem.table], params.problem.target
    hidden = {*own.outcome, *there.outcome, target.column}
    return [
        name
        for name, column in own.columns.items()
        if name not in hidden
        and column.kind in ("categorical", "numeric", "boolean")
        and name in there.columns
        and there.columns[name].kind == column.kind
    ]


def _keys(params: p.Params, there: p.Table) -> list[tuple[str, ...]]:
    """Keys to aggregate by: single columns, then pairs."""
    own, tables = params.data.tables[params.problem.table], params.data.tables.values()
    listed = params.features.lookups if isinstance(params.features.lookups, tuple) else ()
    joins = {c for table in tables for c in table.key} | {c for look in listed for c in look.on}
    shared = [c for c in _shared(params, there) if there.key != (c,)]
    single = [c for c in shared if c in joins]
    single += [c for c in shared if c not in joins and own.columns[c].kind == "categorical"]
    single = single[:KEYS]
    group = [c for c in single if all(table.key != (c,) for table in tables)]
    pairs = [pair for pair in combinations(group, 2) if any(own.columns[c].allowed for c in pair)]
    return [*((c,) for c in single), *pairs[:PAIRS]]


def _columns(params: p.Params, name: str) -> dict[str, tuple[str, ...]]:
    """What is known only after an event, the target first, with the primitives of each kind."""
    table, target = params.data.tables[name], params.problem.target
    made: dict[str, tuple[str, ...]] = {}
    if name != params.problem.table:
        wanted = [c for c in table.columns if c not in table.key and c not in _shared(params, table)]
    else:
        wanted = list(dict.fromkeys([*([target.column] if target.given else []), *table.outcome]))
        if target.above is not None:
            made[target.name] = ("mean",)
    for column in wanted:
        spec = table.columns[column]
        positive = target.positive if name == params.problem.table and column == target.column else None
        primitives = _primitives(spec, positive)
        if primitives:
            made[column] = primitives
    return made


def _primitives(column: p.Column, positive: object = None) -> tuple[str, ...]:
    """The primitives of a column by its kind; none for moments and texts.

    >>> from tasks.params import Column
    >>> _primitives(Column(kind="numeric"))
    ('mean', 'std')
    >>> _primitives(Column(kind="categorical", allowed=("paid", "late")), "late")
    ('n_unique', 'share(late)', 'share(paid)')
    """
    if column.kind == "categorical":
        levels = dict.fromkeys([*([str(positive)] if positive is not None else []), *(column.allowed or ())])
        return ("n_unique", *(f"share({level})" for level in list(levels)[:SHARES]))
    return {"numeric": ("mean", "std"), "boolean": ("mean",)}.get(column.kind, ())
