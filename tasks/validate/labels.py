"""Labels from the future: what another table's events come to hold in the time after a row's prediction time.

The window of a row at ``t`` holds the events from ``t`` on up to, and without, ``t + within``: a feature sees what was known
before ``t``, so that no event is both and none is neither. An event counts that was known ``late`` after it happened at
most. The label is known when the last moment of the window is over, and ``late`` more; until then it is missing, for
"nothing happened yet" is no "nothing happens". From then on it never changes.

The features' engine makes it: seen from ``t + within``, the window is one into the past, and with every event taken to
be known ``late`` earlier (not before it happened), what is in view is what counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from tasks.condition import Condition
from tasks.engine.compute import compute
from tasks.engine.expression import Expression
from tasks.engine.facts import MISSING, TableSchema, Time, above
from tasks.engine.plan import Feature, Plan
from tasks.engine.primitives import parse_primitive
from tasks.engine.recipes import Aggregate
from tasks.engine.source import EPOCH
from tasks.errors import RefitError, some
from tasks.implied import EVENTS, lateness, moments
from tasks.kinds import find_kind
from tasks.params import Moment, Params, Target
from tasks.params import Table as Declared
from tasks.validate import known
from tasks.values.durations import Span

VALUE, KEY, OWN = "value", "key{}", "own{}"


@dataclass(frozen=True)
class Label:
    """The label of each row, missing where it is not known; and lines on what became of the rows."""

    values: pd.Series
    said: list[str]


def micros(frame: pd.DataFrame, when: Moment) -> np.ndarray:
    """A moment of each row, int64 µs, missing as MISSING."""
    return _micros(known.moment(frame, when))


def learned(frame: pd.DataFrame, when: Moment) -> np.ndarray:
    """The same of a moment at which something becomes known: events not before they were received."""
    return _micros(known.learned(frame, when))


def _micros(times: pd.Series) -> np.ndarray:
    return times.dt.tz_convert(None).to_numpy("datetime64[us]").view(np.int64)


def latest(*times: np.ndarray) -> np.ndarray:
    """The latest of moments; missing where one is."""
    gone = np.logical_or.reduce([t == MISSING for t in times])
    return np.where(gone, MISSING, np.maximum.reduce(times))


def label(rows: pd.DataFrame, events: pd.DataFrame, params: Params, as_of: datetime | None) -> Label:
    """The label of ``rows``, from all accepted ``events``. Without ``as_of`` the events say how far the data reach.

    Where the events are of the problem's own table, ``rows`` and ``events`` are the same rows in the same order.
    """
    problem, target = params.problem, params.problem.target
    spec = params.data.tables[str(target.events)]
    assert problem.prediction_time
    assert spec.event_time
    assert target.within
    assert target.by
    late = lateness(target, spec) or 0
    happened = micros(events, spec.event_time)
    told = latest(happened, *(learned(events, when) for when in moments(target, spec)))
    counts_at = np.where(told == MISSING, MISSING, np.maximum(happened, told - late))
    if (told == MISSING).all():
        raise RefitError(
            f"problem.target.from: table {target.events!r} has no event that is known, so nobody has a label; check its "
            "source and data.as_of"
        )
    t = micros(rows, problem.prediction_time)
    end = np.where(t == MISSING, MISSING, t + target.within.micros)
    reach = instant(as_of) - late if as_of else int(counts_at.max(initial=MISSING))
    complete = rows[list(target.by)].notna().all(axis=1).to_numpy() & (t != MISSING)
    mature = complete & (end - 1 <= reach)

    chosen = _chosen(events, target, spec)
    value = _values(events, target, spec)
    itself = target.events == problem.table  # the rows are the events, and a row's own one does not count
    own = params.data.tables[problem.table].key if itself and target.made not in EVENTS else ()
    made = _measured(
        rows, end, events[chosen], happened[chosen], counts_at[chosen], value[chosen], target, own, _kinds(target, spec)
    )
    if itself and target.made in EVENTS:  # quicker than to leave it out
        made = made - (chosen & (counts_at != MISSING) & (happened >= t) & (counts_at < end) & complete)
    result = _answer(made, target).where(mature)
    said = [_counts(result, complete, mature, problem.kind, target)]
    lost = told[(happened != MISSING) & (told != MISSING)] - happened[(happened != MISSING) & (told != MISSING)]
    if (lost > late).any():
        said.append(
            f"{target.name}: {int((lost > late).sum()):,} of {len(events):,} events of {target.events} became known more than "
            f"{target.late} after they happened, and count in no label (problem.target.late)"
        )
    begin = happened[happened != MISSING].min(initial=np.iinfo(np.int64).max)
    if before := int((mature & (end <= begin)).sum()):
        said.append(
            f"{target.name}: the windows of {before:,} rows are over before the first event of {target.events} "
            f"({_shown(int(begin))}): if that is where the table begins, leave these rows out"
        )
    newest = int(happened.max(initial=MISSING))
    if as_of and newest != MISSING and newest < reach - target.within.micros:
        said.append(
            f"{target.name}: the newest event of {target.events} is of {_shown(newest)}, and data.as_of is "
            f"{_shown(instant(as_of))}: if the table ends before it is complete, later rows get wrong labels; set data.as_of to its end"
        )
    return Label(result, said)


def instant(moment: datetime) -> int:
    """A moment as µs since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _shown(moment: int) -> str:
    return f"{pd.Timestamp(moment, unit='us'):%Y-%m-%d %H:%M}"


def _chosen(events: pd.DataFrame, target: Target, spec: Declared) -> np.ndarray:
    """Which events are measured."""
    text = target.of if target.made in EVENTS else target.where
    kinds = {name: column.kind for name, column in spec.columns.items()}
    return Condition.parse(text).true(events, kinds) if isinstance(text, str) else np.ones(len(events), bool)


def _kinds(target: Target, spec: Declared) -> str:
    column = spec.columns.get(str(target.of))
    return column.kind if column and target.made not in EVENTS else "numeric"


def _values(events: pd.DataFrame, target: Target, spec: Declared) -> pd.Series:
    """What is measured of each event."""
    if target.made in EVENTS:
        return pd.Series(np.ones(len(events)), index=events.index)
    if str(target.of) in spec.columns:
        return events[str(target.of)]
    expression = Expression.parse(str(target.of))
    values = expression.evaluate({n: events[n].to_numpy(np.float64, na_value=np.nan) for n in expression.names})
    return pd.Series(values, index=events.index)


def count_before(rows: pd.DataFrame, t: np.ndarray, events: pd.DataFrame, happened: np.ndarray, seen: np.ndarray,
                 by: dict[str, str], window: str) -> np.ndarray:  # fmt: skip
    """How many events of its key each row has in the ``window`` before ``t``; float64 (n,)."""
    return _ask(rows, t, events, happened, seen, None, by, (), "count", window, "numeric").to_numpy(np.float64)


def _measured(rows: pd.DataFrame, end: np.ndarray, events: pd.DataFrame, happened: np.ndarray, counts_at: np.ndarray,
              value: pd.Series, target: Target, own: tuple[str, ...], kind: str) -> pd.Series:  # fmt: skip
    assert target.by
    assert target.made
    primitive: str = "count" if target.made in EVENTS else target.made
    asked = None if target.made in EVENTS else value
    return _ask(rows, end, events, happened, counts_at, asked, target.by, own, primitive, str(target.within), kind)


def _ask(rows: pd.DataFrame, t: np.ndarray, events: pd.DataFrame, happened: np.ndarray, seen: np.ndarray,
         value: pd.Series | None, by: dict[str, str], own: tuple[str, ...], primitive: str, window: str, kind: str) -> pd.Series:  # fmt: skip
    """A primitive of each row's events by the features' engine. ``own``: the key by which a row's own event is left out."""
    keys = {KEY.format(i): pair for i, pair in enumerate(by.items())}
    names = {OWN.format(i): name for i, name in enumerate(own)}
    mine = {k: rows[a].reset_index(drop=True) for k, (a, _) in keys.items()} | {"t": as_moments(t)}
    theirs = {k: events[b].reset_index(drop=True) for k, (_, b) in keys.items()}
    theirs |= {"happened": as_moments(happened), "seen": as_moments(seen)}
    if value is not None:
        theirs[VALUE] = value.reset_index(drop=True)
    mine |= {k: rows[name].reset_index(drop=True) for k, name in names.items()}
    theirs |= {k: events[name].reset_index(drop=True) for k, name in names.items()}
    kinds = {name: _kind(column) for name, column in (mine | theirs).items()}
    if kind in ("categorical", "text"):
        kinds[VALUE] = "categorical"
    table = TableSchema("events", kinds, tuple(names), Time("happened"), Time("seen"))
    column = None if value is None else VALUE
    recipe = Aggregate("events", tuple(keys), Span(window), parse_primitive(primitive), column)
    category = kind in ("categorical", "text") and primitive in ("first", "last")
    feature = Feature("label", "categorical" if category else "numeric", "", recipe)
    asking = "events" if own else "rows"
    tables = {"events": table, asking: table if own else TableSchema("rows", kinds)}
    plan = Plan(asking, tables, (feature,), Time("t"))
    return compute(plan, {"events": pd.DataFrame(theirs)}, pd.DataFrame(mine))["label"]


def as_moments(times: np.ndarray) -> pd.Series:
    """µs since 1970 as a UTC column, missing as NaT."""
    return pd.Series(pd.to_datetime(pd.Series(times.view("M8[us]")), utc=True))


def _kind(column: pd.Series) -> str:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return "datetime"
    return "numeric" if pd.api.types.is_numeric_dtype(column.dtype) else "categorical"


def _answer(made: pd.Series, target: Target) -> pd.Series:
    if target.made == "any":
        return (made > 0).astype(np.float64)
    if target.made == "none":
        return (made == 0).astype(np.float64)
    if target.above is not None:
        return pd.Series(above(made.to_numpy(np.float64), target.above), made.index)
    return made


def _counts(result: pd.Series, complete: np.ndarray, mature: np.ndarray, kind: str, target: Target) -> str:
    there = result.dropna()
    parts = [f"{len(there):,} of {len(result):,} rows have their label"]
    if find_kind(kind).positive is not None and len(there) and there.isin((0.0, 1.0)).all():
        parts.append(f"{there.mean():.1%} of them positive")
    waiting = int((complete & ~mature).sum())
    if waiting:
        parts.append(f"{waiting:,} wait until the {target.within} after them are over")
    if empty := int((mature & result.isna().to_numpy()).sum()):
        parts.append(f"{empty:,} had no event to take the {target.made} of")
    if alone := int((~complete).sum()):
        parts.append(f"{alone:,} lack {some(target.by or ())} or their moment")
    return f"{target.name}: {', '.join(parts)}"
