"""The rhythm of the tables: windows for ``history: auto`` in which events can be expected, key by key.

What counts is what a row finds: how many events of its key lie in a window at its prediction time and are known by
then. So the engine itself counts, over :data:`LADDER`, for a sample of the problem's rows. That covers the gaps
between a key's events, labels that come late, and rows that ask long before or after an event, and it is right for an
own table, for another one of any granularity, and for keys as different as a customer and a region.

Of the rows that have an earlier event at all (no row has: the key is left out):

- the first window is the shortest that holds an event in :data:`FILLED` of them: most are not empty, and a rhythm of a
  day, a week or a month with some jitter is not at the edge of its window, but well inside the next;
- then the next longer one that holds more events than the one before in :data:`MORE` of the rows, and likewise a
  third one, :data:`LONG` at least;
- where fewer than half of them have two events or more, there is no rhythm, and everything known is one window.

The windows stay the same from week to week. The rows that are looked at lie before a moment that moves only when the
table has grown by a third or a half, and by the rule of time no later fact changes what they find. Then it is looked
at anew, and a window changes only where the typical count has moved by a whole step of the ladder: the plan, and with
it the features' names, changes once, the log says the windows, and the champion keeps the plan in its own package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.engine.asof import prediction_times
from tasks.engine.auto import LADDER, WINDOWS, Key, any_windows, history_keys
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import MISSING

if TYPE_CHECKING:
    from tasks import params as p

LONG = LADDER.index("31d")
FILLED, MORE = 2 / 3, 0.1
SAMPLE = 2000  # rows


def windows_of(params: p.Params, tables: Mapping[str, pd.DataFrame]) -> dict[Key, tuple[str, ...]]:
    """The windows of each key of ``history: auto``, shortest first; nothing where the history is listed.

    ``tables`` holds every table of ``params``, as validated.
    """
    from tasks.params import Features, History

    if isinstance(params.features.history, tuple):
        return {}
    history = tuple(History(table=table, by=by, windows=LADDER) for table, by in history_keys(params).items())
    plan = derive(params.model_copy(update={"features": Features(columns=(), history=history)}))
    rows = tables[plan.table]
    asked = {name: tables[name] for name in plan.tables}  # the stage reads a table when it is first asked for
    counted = compute(plan, asked, rows.iloc[_typical(prediction_times(plan, rows))])
    keys = list(any_windows(params))
    counts = np.split(counted.to_numpy(float), len(keys), axis=1)
    return {key: follow(count) for key, count in zip(keys, counts, strict=True)}


def follow(counts: np.ndarray) -> tuple[str, ...]:
    """The windows for a key, from the events in each window of :data:`LADDER`, ``(rows, windows)``.

    >>> monthly = np.array([[0, 0, 0, 0, 1, 3, 12, 20]] * 9 + [[0, 0, 0, 0, 1, 1, 1, 1]])
    >>> follow(monthly)
    ('31d', '92d', '366d')
    >>> follow(monthly * 0), follow(np.minimum(monthly, 1))
    ((), ('all',))
    """
    seen = counts[counts[:, -1] > 0]
    if not len(seen):
        return ()
    if (seen[:, -1] > 1).mean() < 0.5:
        return LADDER[-1:]
    first = int(np.argmax((seen > 0).mean(axis=0) >= FILLED))
    chosen = [first]
    for place in range(first + 1, len(LADDER)):
        far = len(chosen) == 1 or (len(chosen) < WINDOWS and place >= LONG)
        if far and (seen[:, place] > seen[:, chosen[-1]]).mean() >= MORE:
            chosen.append(place)
    return tuple(LADDER[place] for place in chosen)


def _typical(t: np.ndarray) -> np.ndarray:
    """Positions of the rows to look at, :data:`SAMPLE` at most: the newer half of the oldest ``_step(n)`` in time."""
    there = np.flatnonzero(t != MISSING)
    if not len(there):
        return there
    there = there[np.argsort(t[there], kind="stable")]
    times, count = t[there], _step(len(there))
    there = there[(times >= times[count // 2]) & (times <= times[count - 1])]  # all rows of a moment, or none
    if len(there) > SAMPLE:
        there = there[np.linspace(0, len(there) - 1, SAMPLE).astype(int)]
    return there


def _step(n: int) -> int:
    """The largest of 1, 2, 3, 4, 6, 8, 12, 16, ... that is not above ``n``.

    >>> [_step(n) for n in (1, 2, 3, 5, 7, 11, 12, 1000)]
    [1, 2, 3, 4, 6, 8, 12, 768]
    """
    power = 1 << (n.bit_length() - 1)
    return max(power, power // 2 * 3 if power // 2 * 3 <= n else 0)
