"""From ``params.yaml`` to a plan: every feature with its name, its kind and a sentence."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING

from tasks.engine.auto import Aggregates, Lookups, Windows, history_of, lookups_of
from tasks.engine.dates import AUTO, part_names
from tasks.engine.facts import TableSchema, Time, never_sees_itself
from tasks.engine.plan import Feature, Plan, Predicted
from tasks.engine.primitives import Primitive, parse_primitive
from tasks.engine.recipes import KIND, Aggregate, DatePart, LookedUp, OwnColumn, Power, Transform
from tasks.errors import RefitError, nearest, some
from tasks.values.durations import Span

if TYPE_CHECKING:
    from tasks import params as p


def derive(params: p.Params, windows: Windows | None = None) -> Plan:
    """The plan that ``params.yaml`` asks for. Raises :class:`~tasks.errors.RefitError` for what cannot be.

    ``windows``: of each key where ``history`` is ``auto`` (:func:`tasks.engine.rhythm.windows_of`); the stage
    ``features`` finds them, and whoever comes later reads its ``plan.json``.
    """
    problem, features = params.problem, params.features
    tables = {name: _table(name, spec) for name, spec in params.data.tables.items()}
    own = tables[problem.table]
    target = problem.target
    if target.compared is not None:
        later = {target.name: own.later[target.column]} if target.column in own.later else {}
        own = replace(
            own,
            columns={**own.columns, target.name: "boolean"},
            outcome=(*own.outcome, target.name),
            later={**own.later, **later},
        )
        tables[problem.table] = own
    time = _time(problem.prediction_time)
    lookups, history = lookups_of(params), history_of(params, windows)
    children = _children(history, lookups, tables, own.name, time)
    for name, child in children.items():
        columns = {
            **tables[name].columns,
            **{f.name: "numeric" if f.kind == "numeric" else "categorical" for f in child.features},
        }
        tables[name] = replace(tables[name], columns=columns, outcome=(*tables[name].outcome, *child.names))
    own = tables[own.name]
    made: list[Feature] = []
    made += _columns(own, features.columns, {target.name, target.column}, time)
    made += [_date(own, c, part) for c, parts in features.dates.items() for part in parts]
    for i, look in enumerate(lookups):
        where = "features.lookups" if features.lookups == "auto" else f"features.lookups[{i}]"
        made += _lookup(own, tables[look.table], look, time, where)
    for i, past in enumerate(history):
        where = "features.history" if features.history == "auto" else f"features.history[{i}]"
        made += _history(own, tables[past.table], past, time, where)
    made += _transforms(own, features.transforms, made, features.history == "auto")
    if features.polynomial:
        made += _polynomial(features.polynomial, made)
    names = [f.name for f in made]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise RefitError(f"features: {some(twice)} would be made twice; rename or remove one")
    predicted = Predicted(target.name, target.column, target.compared) if target.given else None
    return _asking(Plan(problem.table, tables, tuple(made), time, target=predicted, children=children))


def _asking(plan: Plan) -> Plan:
    """The plan with the tables alone that it asks."""
    used = {plan.table} | {recipe.table for _, recipe in plan.of_tables}
    return replace(plan, tables={name: table for name, table in plan.tables.items() if name in used})


def _children(
    history: tuple[Aggregates, ...],
    lookups: tuple[Lookups, ...],
    tables: dict[str, TableSchema],
    problem: str,
    time: Time | None,
) -> dict[str, Plan]:
    """Depth 2: plans for the columns of history that are features of the events themselves.

    ``planes.seats`` (a parent's column) and ``tailnum.mean(arr_delay, 7d)`` (an aggregate) are computed for each event
    as of its own time, which is its prediction time in the problem's table and its event time in others, and never
    after it became known.
    """
    children = {}
    for name in dict.fromkeys(h.table for h in history):
        table = tables[name]
        wanted: dict[str, str] = {}  # each with its place in params.yaml
        for i, past in enumerate(history):
            if past.table == name:
                wanted |= {
                    c: f"features.history[{i}].columns" for c in past.columns if c not in {*table.columns, *wanted}
                }
        if not wanted:
            continue
        own_time = time if name == problem else table.event_time
        made = tuple(_inner(text, table, tables, lookups, own_time, path) for text, path in wanted.items())
        children[name] = _asking(Plan(name, tables, made, own_time, cap=table.known_at or table.event_time))
    return children


def _inner(
    text: str,
    table: TableSchema,
    tables: dict[str, TableSchema],
    lookups: tuple[Lookups, ...],
    time: Time | None,
    path: str,
) -> Feature:
    """The feature of an event that a name stands for: ``table.column`` or ``key.primitive(column, window)``."""
    where = f"{path}: {text!r}"
    if aggregate := Aggregate.parse(text):
        by, primitive, column, window = aggregate
        try:
            Span(window)
        except ValueError as error:
            raise RefitError(f"{where}: {error}") from None
        for key in by:
            table.kind(key, where)
        past = Aggregates(table.name, (by,), (window,), {column: (primitive,)} if column else {}, not column)
        return _history(table, table, past, time, where)[0]
    there, column = LookedUp.parse(text)
    if there not in tables or not column:
        raise RefitError(
            f"{where} is neither a column, nor table.column, nor an aggregate." + nearest(text, table.columns)
        )
    known = next(
        (look.on for look in lookups if look.table == there and set(look.on) <= set(table.columns)),
        None,
    )
    on = known or {k: k for k in tables[there].key if k in table.columns}
    if not on:
        raise RefitError(f"{where}: {table.name!r} has none of the key columns of {there!r}")
    return _lookup(table, tables[there], Lookups(there, on, (column,)), time, where)[0]


def _table(name: str, spec: p.Table) -> TableSchema:
    return TableSchema(
        name,
        {column: c.kind for column, c in spec.columns.items()},
        spec.key,
        _time(spec.event_time),
        _time(spec.known_at),
        spec.outcome,
        {column: Time(when.column, when.offset_micros) for column, when in spec.later.items()},
    )


def _time(moment: p.Moment | None) -> Time | None:
    return Time(moment.column, moment.offset_micros) if moment else None


def _columns(own: TableSchema, wanted: str | tuple[str, ...], target: set[str], time: Time | None) -> list[Feature]:
    """The row's own columns; ``auto``: all that are neither key, outcome nor target, and date parts of moments."""
    if not isinstance(wanted, str):
        return [_column(own, c) for c in wanted]
    moments = (own.event_time, own.known_at, *own.later.values())
    later = {t.column for t in moments if t and not (time and t.column == time.column)}
    made: list[Feature] = []
    for column, kind in own.columns.items():
        if column in {*own.key, *own.outcome, *target, *later} or kind == "ignore":
            continue
        made += [_date(own, column, part) for part in AUTO] if kind == "datetime" else [_column(own, column)]
    return made


def _column(own: TableSchema, column: str) -> Feature:
    kind = own.kind(column, "features.columns")
    if kind not in KIND:
        remedy = "name its parts under features.dates" if kind == "datetime" else "give it another kind to use it"
        raise RefitError(f"features.columns: {column!r} is of kind {kind}; {remedy}")
    return Feature.of(OwnColumn(column), {own.name: own}, own.name)


def _date(own: TableSchema, column: str, part: str) -> Feature:
    if column in own.outcome:
        raise RefitError(f"features.dates: {column!r} is an outcome of the row itself, and would leak")
    if part not in part_names():
        hint = nearest(part, part_names()) or f" Allowed: {some(part_names(), 30)}."
        raise RefitError(f"features.dates.{column}: part {part!r} is not known.{hint}")
    return Feature.of(DatePart(column, part), {own.name: own}, own.name)


def _lookup(own: TableSchema, there: TableSchema, look: Lookups, time: Time | None, where: str) -> list[Feature]:
    if there.event_time and not time:
        raise RefitError(f"{where}: its rows have an event_time, so problem.prediction_time is needed")
    for mine, other in look.on.items():
        _same_kind(own, mine, there, other, where)
        _known_key(there, other, where)
    made = []
    for column in look.columns:
        kind = there.kind(column, where)
        if kind not in (*KIND, "datetime"):
            raise RefitError(f"{where}: column {column!r} is of kind {kind}")
        recipe = LookedUp(there.name, tuple(look.on.items()), column, Span(look.within or "all"))
        made.append(Feature.of(recipe, {there.name: there}, own.name))
    return made


def _same_kind(own: TableSchema, mine: str, there: TableSchema, other: str, where: str) -> None:
    a, b = own.kind(mine, where), there.kind(other, where)
    if a != b:
        raise RefitError(f"{where}: key {own.name}.{mine} is of kind {a}, and {there.name}.{other} of kind {b}")


def _known_key(there: TableSchema, column: str, where: str) -> None:
    if column in there.later:
        raise RefitError(
            f"{where}: {column!r} is known only after its row of {there.name!r}, and cannot tell whose it is"
        )


def _history(own: TableSchema, there: TableSchema, past: Aggregates, time: Time | None, where: str) -> list[Feature]:
    if own.name == there.name and not there.key and not never_sees_itself(time, there.event_time):
        raise RefitError(
            f"data.tables.{own.name}.key: history over the problem's own table needs a key, by which a row's own event "
            "is left out; name the column that identifies a row"
        )
    made: list[Aggregate] = []
    for by in past.by:
        for column in by:
            _same_kind(own, column, there, column, f"{where}.by")
            _known_key(there, column, f"{where}.by")
        for window in map(Span, past.windows):
            if past.count:
                made.append(Aggregate(there.name, by, window, parse_primitive("count"), None))
            for column, primitives in past.columns.items():
                made += [
                    Aggregate(there.name, by, window, _primitive(text, column, there, window, where), column)
                    for text in primitives
                ]
    return [Feature.of(recipe, {there.name: there}, own.name) for recipe in made]


def _primitive(text: str, column: str, there: TableSchema, window: Span, where: str) -> Primitive:
    kind = there.kind(column, f"{where}.columns")
    try:
        primitive = parse_primitive(text)
    except RefitError as error:
        raise RefitError(f"{where}.columns.{column}: {error}") from None
    if kind not in primitive.kinds:
        raise RefitError(
            f"{where}.columns.{column}: {primitive.label!r} is for {some(primitive.kinds)} columns, and {column!r} is "
            f"{kind}"
        )
    if primitive.by_time and window.last is not None:
        raise RefitError(f"{where}.windows: {primitive.label!r} takes windows by time, not {str(window)!r}")
    return primitive


def _transforms(own: TableSchema, wanted: dict[str, str], made: list[Feature], auto: bool) -> list[Feature]:
    kinds = {c: "numeric" if k in ("numeric", "boolean", "datetime") else k for c, k in own.columns.items()}
    kinds = {c: k for c, k in kinds.items() if c not in own.outcome} | {f.name: f.kind for f in made}
    result: list[Feature] = []
    for name, text in wanted.items():
        recipe = Transform(text)
        try:
            names = recipe.parts
        except RefitError as error:
            raise RefitError(f"features.transforms.{name}: {error}") from None
        for used in names:
            if used in own.outcome:
                raise RefitError(
                    f"features.transforms.{name}: {used!r} is an outcome of the row itself, and would leak"
                )
            if used not in kinds:
                raise RefitError(
                    f"features.transforms.{name}: {used!r} is neither a feature nor a column of {own.name!r}."
                    + nearest(used, kinds)
                    + (" With history: auto the windows follow the data; list the history to fix them." if auto else "")
                )
            if kinds[used] not in ("numeric",):
                raise RefitError(f"features.transforms.{name}: {used!r} is {kinds[used]}; expressions take numbers")
        result.append(Feature.of(recipe, {own.name: own}, own.name, name))
        kinds[name] = "numeric"
    return result


def _polynomial(wanted: p.Polynomial, made: list[Feature]) -> list[Feature]:
    """Powers and products as scikit-learn's ``PolynomialFeatures`` defines and names them, degree 2 and more."""
    kinds = {f.name: f.kind for f in made}
    for column in wanted.columns:
        if kinds.get(column) != "numeric":
            what = f"is {kinds[column]}" if column in kinds else "is not a feature"
            raise RefitError(
                f"features.polynomial.columns: {column!r} {what}; numeric features are needed." + nearest(column, kinds)
            )
    choose = combinations if wanted.interaction_only else combinations_with_replacement
    result = []
    for degree in range(2, wanted.degree + 1):
        for chosen in choose(wanted.columns, degree):
            powers = Power(tuple((c, chosen.count(c)) for c in dict.fromkeys(chosen)))
            result.append(Feature.of(powers, {}, ""))
    return result
