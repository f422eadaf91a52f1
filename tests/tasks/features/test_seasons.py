"""Parts of the calendar that the training rows have not seen to the end of their round."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine.dates import date_part
from tasks.engine.facts import MISSING
from tasks.features.seasons import DAY, unfinished

HOUR = DAY // 24


def frame(moments: np.ndarray, offset_hours: int = 0) -> pd.DataFrame:
    """Columns of a table whose owner writes the calendar in a time zone of his own, and two that only look alike."""
    local = moments + offset_hours * HOUR
    parts = {part: date_part(local, part) for part in ("year", "month", "day", "weekday", "hour", "day_of_year")}
    months_of_stay = np.random.default_rng(0).integers(1, 13, len(moments)).astype(float)
    return pd.DataFrame(parts).assign(months_of_stay=months_of_stay, name=pd.Series(["a"] * len(moments), dtype="str"))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (20, ["month", "day", "day_of_year"]),
        (200, ["month", "day_of_year"]),
        (328, ["month", "day_of_year"]),
        (330, []),
    ],
)
def test_the_month_waits_for_a_year_and_the_day_for_a_month(days: int, expected: list[str]) -> None:
    moments = np.arange(0, 500 * 24, 3) * HOUR
    found = unfinished(frame(moments), moments, moments <= days * DAY)
    assert list(found) == expected
    assert all(f"the training rows span {days} days, no whole" in why for why in found.values())


def test_a_month_in_another_time_zone_is_the_month() -> None:
    moments = np.arange(0, 500 * 24, 3) * HOUR
    found = unfinished(frame(moments, offset_hours=-5), moments, moments < 160 * DAY)
    assert list(found) == ["month", "day_of_year"]


def test_rows_without_a_moment_say_nothing_of_it() -> None:
    moments = np.arange(0, 300 * 24, 3) * HOUR
    train = moments < 100 * DAY
    some = np.where(np.arange(len(moments)) % 3 == 0, MISSING, moments)
    assert list(unfinished(frame(moments), some, train)) == ["month", "day_of_year"]
    assert unfinished(frame(moments), np.full(len(moments), MISSING), train) == {}
    assert unfinished(frame(moments), moments, moments < 0) == {}
