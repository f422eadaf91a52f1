"""When a target becomes known, where the table shows it: a later moment that is there in exactly the rows that have a target."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

FEWEST = 10  # rows without a target, below which equal gaps may be chance


def settled_at(target: pd.Series, later: Mapping[str, pd.Series]) -> str | None:
    """The one column of ``later`` (moments after the row's own) with values where ``target`` has them, and only there.

    >>> days = pd.Series(pd.date_range("2024-01-01", periods=50))
    >>> label = pd.Series(["yes", "no"] * 15 + [None] * 20)
    >>> settled_at(label, {"closed_at": days.where(label.notna()), "sent_at": days})
    'closed_at'
    """
    there = target.notna().to_numpy()
    if (~there).sum() < FEWEST:
        return None
    found = [name for name, moments in later.items() if (moments.notna().to_numpy() == there).all()]
    return found[0] if len(found) == 1 else None
