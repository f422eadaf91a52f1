"""Parts of the calendar whose round the training rows have not seen to its end.

Rows of January to June say what those months are like. A model that may use the month then meets a July that no row
had, and goes on as if it were a June, or along a line: on the hourly weather of New York (train January to June) the
error of boosted trees in October to December is 6.0 degrees with the month and 0.5 without it, and 1.4 on the rows of
August and September, which stand for it as the test.
"""

from __future__ import annotations

import numpy as np

from tasks.engine.dates import date_part
from tasks.engine.facts import MISSING
from tasks.stored import Frame

DAY = 86_400_000_000  # µs
# part: what it goes round with, and that round's days, less a tenth: the last days of a year are like the first
ROUNDS = {
    "month": ("year", 329), "quarter": ("year", 329), "week": ("year", 329), "day_of_year": ("year", 329),
    "day": ("month", 27),
}  # fmt: skip
SAME = 0.95  # share of rows in which a column is the part
ZONE = {"day_of_year": 1, "day": 1}  # in another time zone the day is the one before or after


def unfinished(features: Frame, moments: np.ndarray, train: np.ndarray) -> dict[str, str]:
    """Numeric features that repeat a part of the row's moment whose round the training rows don't cover, and why.

    ``moments`` (n,) are int64 µs, ``train`` (n,) marks the training rows.

    >>> import pandas as pd
    >>> moments = np.arange(200) * DAY
    >>> frame = pd.DataFrame({"m": date_part(moments, "month"), "d": date_part(moments, "day"), "x": 1.0})
    >>> unfinished(frame, moments, moments < 100 * DAY)
    {'m': 'is the month, and the training rows span 99 days, no whole year'}
    """
    timed = moments != MISSING
    own = moments[train & timed]
    if not len(own):
        return {}
    span = int(own.max() - own.min()) // DAY
    open_parts = {part: whole for part, (whole, days) in ROUNDS.items() if span < days}
    calendar = {part: date_part(moments[timed], part) for part in open_parts}
    found: dict[str, str] = {}
    for name in map(str, features):
        values = features[name]
        if values.dtype != np.float64:
            continue
        here = values.to_numpy()[timed]
        for part, whole in open_parts.items():
            if np.mean(np.abs(here - calendar[part]) <= ZONE.get(part, 0)) >= SAME:
                said = part.replace("_", " ")
                found[str(name)] = f"is the {said}, and the training rows span {span} days, no whole {whole}"
                break
    return found
