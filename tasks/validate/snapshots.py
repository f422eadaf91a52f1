"""Rows that no file has: each entity of a table, again and again, from when it is first known.

The moments lie on a grid that does not move from run to run, so that the same entity at the same moment is the same row:
from ``from`` on, else whole steps of ``every`` since Monday 5 January 1970, 0:00 UTC.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from tasks.engine.facts import MISSING
from tasks.errors import RefitError
from tasks.implied import MADE_AT
from tasks.params import Params
from tasks.validate.labels import as_moments, count_before, instant, latest, learned, micros

MONDAY = 4 * 86_400_000_000  # µs: 5 January 1970
MOST = 50_000_000  # rows


def make(entities: pd.DataFrame, events: pd.DataFrame, params: Params, as_of: datetime | None) -> pd.DataFrame:
    """The rows, by moment and then by the entities' order in their table: the columns ``by`` and ``snapshot_at``.

    ``entities``: accepted rows of the table that has them. ``events``: those of the label's table. An entity is there at
    a moment where a row of it was known before; entities without times are there from the first event of any on.

    Raises
    ------
    RefitError
        If there is no moment between the ends, or there would be too many rows.
    """
    problem, target = params.problem, params.problem.target
    snapshots, by = problem.snapshots, list(target.by or {})
    assert snapshots
    declared, of_events = params.data.tables[snapshots.snapshots], params.data.tables[str(target.events)]
    assert of_events.event_time
    happened = micros(events, of_events.event_time)
    entities = entities[entities[by].notna().all(axis=1)].reset_index(drop=True)
    code, _ = pd.factorize(pd.MultiIndex.from_frame(entities[by])) if len(by) > 1 else pd.factorize(entities[by[0]])
    first = entities.drop_duplicates(by).reset_index(drop=True)
    since = np.full(len(first), MISSING)
    if declared.event_time:
        known = latest(*(learned(entities, when) for when in (declared.event_time, declared.known_at) if when))
        since = np.full(len(first), np.iinfo(np.int64).max)
        there = known != MISSING
        np.minimum.at(since, code[there], known[there])

    last = instant(as_of) if as_of else int(happened.max(initial=MISSING))
    if snapshots.until:
        last = min(last, instant(snapshots.until))
    step = snapshots.every.micros
    begin = int(since.min(initial=np.iinfo(np.int64).max)) if declared.event_time else _first(happened)
    start = instant(snapshots.since) if snapshots.since else MONDAY + ((begin - MONDAY) // step + 1) * step
    if start > last or not len(first):
        raise RefitError(
            f"problem.table: no snapshot of {snapshots.snapshots!r}: its {len(first):,} entities begin at "
            f"{pd.Timestamp(start, unit='us')}, and the data end at {pd.Timestamp(last, unit='us')}. Check from, until "
            "and data.as_of"
        )
    at = np.arange(start, last + 1, step)
    if len(at) * len(first) > MOST:
        raise RefitError(
            f"problem.table: {len(first):,} entities at {len(at):,} moments would be more than {MOST:,} rows; "
            "set a longer `every`, a later `from`, or `active`"
        )
    moment, entity = np.nonzero(since[None, :] < at[:, None])
    rows = first[by].iloc[entity].reset_index(drop=True).assign(**{MADE_AT: as_moments(at[moment])})
    if snapshots.active:
        if declared.event_time:
            what, when, seen, pairs = entities, micros(entities, declared.event_time), known, {c: c for c in by}
        else:
            what, when, pairs = events, happened, dict(target.by or {})
            seen = latest(*(learned(events, m) for m in (of_events.event_time, of_events.known_at) if m))
        counts = count_before(rows, at[moment], what, when, seen, pairs, str(snapshots.active))
        rows = rows[counts > 0].reset_index(drop=True)
    if rows.empty:
        raise RefitError(
            f"problem.table: no entity of {snapshots.snapshots!r} is there at any of the {len(at):,} moments from "
            f"{pd.Timestamp(start, unit='us')} on. Check from, until, active and data.as_of"
        )
    return rows


def _first(times: np.ndarray) -> int:
    there = times[times != MISSING]
    return int(there.min()) if len(there) else np.iinfo(np.int64).max // 2
