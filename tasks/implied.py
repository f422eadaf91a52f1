"""What ``params.yaml`` implies of its tables where the label comes from another table's later events.

The table of snapshots, whose rows no file has, and the label as a column of the problem's table: an outcome that becomes
known when the row's window is over. So features, masks and splits treat it as any other column with a moment of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.errors import RefitError
from tasks.values.durations import Duration

if TYPE_CHECKING:
    from tasks.params import ColumnKind, Moment, Params, Table, Target

EVENTS = ("any", "none", "count")  # measures of the events themselves, not of a column
MADE_AT = "snapshot_at"  # the moment of a row that snapshots make


def complete(params: Params) -> None:
    """Put into ``params`` what it implies; what is wrong is left as it is, for the checks to tell."""
    tables = {name: _with_moments(table, name, params) for name, table in params.data.tables.items()}
    object.__setattr__(params, "data", params.data.model_copy(update={"tables": tables}))
    problem, target, tables = params.problem, params.problem.target, dict(tables)
    if target.events is None or not target.by or target.within is None:
        return
    if problem.snapshots and (made := _snapshots(params)) is not None:
        tables[problem.table] = made
        object.__setattr__(params, "data", params.data.model_copy(update={"tables": dict(tables)}))
    own, events = tables.get(problem.table), tables.get(target.events)
    time = problem.prediction_time or (own.moment if own else None)
    if own is None or events is None or time is None or target.name in own.columns:
        return
    if own.event_time is None:
        own = own.model_copy(update={"event_time": time})
    tables[problem.table] = own.with_made(target.name, _kind(target, events), label_known(time, target, events))
    object.__setattr__(params, "data", params.data.model_copy(update={"tables": tables}))
    object.__setattr__(params, "problem", problem.model_copy(update={"prediction_time": time}))
    if "split" not in params.model_fields_set:
        object.__setattr__(params, "split", params.split.model_copy(update={"kind": "time"}))
    if params.tuning.split == "time_series" and params.tuning.gap is None:  # as between the parts of the split
        wait = target.within.micros + (lateness(target, events) or 0)
        gap = {"gap": Duration(f"{wait // 1_000_000 + bool(wait % 1_000_000)}s")}
        object.__setattr__(params, "tuning", params.tuning.model_copy(update=gap))
    if problem.snapshots and not params.promotion.cluster:  # rows of one entity share events
        object.__setattr__(params, "promotion", params.promotion.model_copy(update={"cluster": tuple(target.by)}))


def _with_moments(table: Table, name: str, params: Params) -> Table:
    """The moments at which columns become known are themselves known only then: that there is one tells as much.

    Not those that say when the row happened, became known or is predicted.
    """
    if not isinstance(table.known, dict):
        return table
    own = [
        table.event_time,
        table.known_at,
        *([params.problem.prediction_time, table.moment] if name == params.problem.table else []),
    ]
    there = {when.column for when in own if when} | table.later.keys()
    hidden = {
        w.column: w.model_copy(update={"offset_micros": 0})
        for w in table.later.values()
        if w.column in table.columns.keys() - there
    }
    outcome = tuple(dict.fromkeys([*table.outcome, *hidden]))
    return table.model_copy(update={"known": {**table.known, **hidden}, "outcome": outcome}) if hidden else table


def _snapshots(params: Params) -> Table | None:
    """The table that snapshots make; None where the checks have something to tell of it."""
    snapshots, by = params.problem.snapshots, params.problem.target.by
    there = params.data.tables.get(snapshots.snapshots) if snapshots else None
    if snapshots is None or there is None or by is None or params.problem.table in params.data.tables:
        return None
    return None if MADE_AT in by or not set(by) <= there.columns.keys() else snapshots.made(there, by)


def _kind(target: Target, events: Table) -> ColumnKind:
    """Kind of the label: yes or no, a number, or a category of the events' own."""
    if target.made in ("any", "none") or target.above is not None:
        return "boolean"
    if target.made in EVENTS or target.made not in ("first", "last"):
        return "numeric"
    of = events.columns.get(str(target.of))
    return "categorical" if of and of.kind in ("categorical", "text") else "numeric"


def used(target: Target, events: Table) -> list[str]:
    """Columns of the events that the label is made from, beside their moment. Raises :class:`RefitError` as they do."""
    from tasks.condition import Condition
    from tasks.engine.expression import Expression

    names: list[str] = list((target.by or {}).values())
    if isinstance(target.of, str) and target.made in EVENTS:
        names += Condition.parse(target.of).names
    elif isinstance(target.of, str):
        names += [target.of] if target.of in events.columns else Expression.parse(target.of).names
    if target.where is not None:
        names += Condition.parse(target.where).names
    return list(dict.fromkeys(names))


def moments(target: Target, events: Table) -> list[Moment]:
    """When an event of the label is known: with its row, and with each of the columns used."""
    row = [when for when in (events.known_at or events.event_time,) if when]
    return row + [events.later[name] for name in used(target, events) if name in events.later]


def lateness(target: Target, events: Table) -> int | None:
    """How long after they happened the events are known, µs: as declared, or by their moments; None where these don't say.

    Nobody can say it of events that count from their receipt.
    """
    if target.late is not None:
        return target.late.micros
    happened = events.event_time
    try:
        known = moments(target, events)
    except RefitError:
        return None
    if happened is None or events.received or any(when.column != happened.column for when in known):
        return None
    return max(0, *(when.offset_micros - happened.offset_micros for when in known))


def label_known(time: Moment, target: Target, events: Table) -> Moment:
    """When a row's label is known: with the last moment of its window, once events of that moment are known."""
    assert target.within is not None
    after = target.within.micros + (lateness(target, events) or 0) - 1
    return time.model_copy(update={"offset_micros": time.offset_micros + after})
