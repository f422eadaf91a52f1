"""Which rows are compared: those that arrived after the reference was made, the newest window of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.artifacts import DriftWindow
from tasks.bundle.seen import Seen
from tasks.errors import some
from tasks.identity import identify
from tasks.params import Table
from tasks.stored import Frame

ROWS = 5000  # for a page


@dataclass(frozen=True)
class New:
    """Positions of the feature rows of the newest window, and of the newest two together (None: there are no two).

    ``about`` is for the record; ``why`` there are no rows to judge, or None.
    """

    rows: np.ndarray
    both: np.ndarray | None
    about: DriftWindow
    why: str | None = None


def newest(features: Frame, whole: Frame, table: Table, seen: Seen | None, there: Seen | None,
           window: pd.Timedelta, least: int) -> New:  # fmt: skip
    """The rows to look at.

    Where rows have a moment: those newer than every row that the model was fitted, tuned or chosen on, within ``window`` of
    the newest, labelled or not. Otherwise those that were not in its table, however many arrived since.

    Parameters
    ----------
    features : feature rows (``__row__``, ``__time__``, ``__split__``). whole : the problem's whole table, which ``__row__``
    counts in. table : its declaration. seen, there : the package's record of the rows that it has seen, and of the others.
    least : fewer rows are not judged.
    """
    times = features["__time__"]
    if times.notna().any() and (seen is None or seen.until is not None):
        end = times.max()
        newer = (
            (times > seen.until).to_numpy() if seen is not None and seen.until is not None else times.notna().to_numpy()
        )
        at = np.flatnonzero(newer & (times > end - window).to_numpy())
        both = None
        if seen is not None and seen.until is not None and end - 2 * window >= seen.until:
            both = np.flatnonzero(newer & (times > end - 2 * window).to_numpy())
        inside = times.iloc[at]
        ends = [None if len(at) == 0 else m.isoformat() for m in (inside.min(), inside.max())]
        about = DriftWindow(rule=f"newest {_days(window)}", since=ends[0], until=ends[1], rows=len(at))
        return _judged(at, both, about, least)
    about = DriftWindow(rule="arrived since", since=None, until=None, rows=0)
    none = np.zeros(0, dtype=np.int64)
    if seen is None or not seen.can_ask(table):
        why = "its package does not say which rows it was made from"
        if seen is not None:
            why = f"it knows rows by {some(seen.rule.columns)}, which this table does not have as they were"
        return New(none, None, about, f"new rows cannot be told from old ones: {why}")
    rows = features["__row__"].to_numpy()
    now = identify(whole, seen.rule)
    old = seen.has(now)[rows]
    # An older package does not name the rows that it left for testing; a new row of another part is surely new.
    old |= there.has(now)[rows] if there is not None else (features["__split__"] == "test").to_numpy()
    fresh = np.flatnonzero(~old)
    return _judged(fresh, None, about.model_copy(update={"rows": len(fresh)}), least)


def _judged(at: np.ndarray, both: np.ndarray | None, about: DriftWindow, least: int) -> New:
    if len(at) == 0:
        return New(at, None, about, "no new rows")
    if len(at) < least:
        return New(at, None, about, f"{len(at)} new rows, too few to judge ({least} are needed)")
    return New(at, both, about)


def _days(window: pd.Timedelta) -> str:
    """A duration as people write it.

    >>> _days(pd.Timedelta(days=7)), _days(pd.Timedelta(hours=36))
    ('7d', '36h')
    """
    hours = window / pd.Timedelta(hours=1)
    return f"{hours / 24:.10g}d" if hours % 24 == 0 else f"{hours:.10g}h" if hours % 1 == 0 else str(window)


def thin(rows: Frame, seed: int, limit: int = ROWS) -> Frame:
    """At most ``limit`` rows, drawn without replacement by ``seed``, in their order."""
    if len(rows) <= limit:
        return rows
    taken = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return rows.iloc[np.sort(taken)]
