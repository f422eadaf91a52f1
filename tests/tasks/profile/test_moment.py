"""Which column says when a row happened, and which only looks like it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.profile.moment import choose

N = 400
RNG = np.random.default_rng(0)
DAYS = pd.Series(pd.date_range("2022-01-01", periods=N, tz="UTC"))
SHUFFLED = DAYS.sample(frac=1, random_state=0).reset_index(drop=True)
SOON = pd.to_timedelta(RNG.integers(1, 9, N), "D")
BIRTHS = pd.Series(pd.Timestamp("1940-01-01", tz="UTC") + pd.to_timedelta(RNG.integers(0, 25_000, N), "D"))


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"date": DAYS}, "date"),
        ({"x": SHUFFLED}, "x"),
        ({"month": pd.Series(pd.to_datetime(SHUFFLED.dt.strftime("%Y-%m"), utc=True))}, "month"),
        ({"delivered_at": SHUFFLED + SOON, "ordered_at": SHUFFLED}, "ordered_at"),
        ({"a": SHUFFLED + SOON, "b": SHUFFLED}, "b"),
        ({"tpep_pickup_datetime": SHUFFLED, "tpep_dropoff_datetime": SHUFFLED + pd.Timedelta(hours=1)}, "tpep_pickup_datetime"),
        ({"birth_date": DAYS, "visit": SHUFFLED}, "visit"),
        ({"birthday": BIRTHS, "created": SHUFFLED}, "created"),
        ({"due_date": DAYS + SOON, "invoice_date": DAYS}, "invoice_date"),
        ({"closed": SHUFFLED.where(RNG.random(N) < 0.6), "opened": SHUFFLED}, "opened"),
        ({"seen": BIRTHS.sort_values(ignore_index=True)}, "seen"),  # decades, but the rows are in their order
        ({"sched_dep_at": SHUFFLED, "arrived_at": SHUFFLED + SOON}, "sched_dep_at"),
        ({"scheduled": SHUFFLED, "created": SHUFFLED - SOON}, "created"),
        ({"birth_date": BIRTHS}, "birth_date: by its name no moment of the row"),
        ({"x": BIRTHS}, "x: its dates span 68 years in no order, as birthdays do"),  # without a name that says so: no order, over decades
        ({"hire_date": SHUFFLED}, "hire_date: by its name no moment of the row"),
        ({"expires": SHUFFLED}, "expires: by its name a plan"),
        ({"quarter": DAYS.dt.floor("D").where(DAYS.index % 2 == 0, DAYS[0]).mask(DAYS.index % 2 == 0, DAYS[9])}, "quarter: only 2 different dates, too few to part the newest rows"),
        ({"date": DAYS.where(RNG.random(N) < 0.8)}, "date: empty in 2"),
        ({}, "no column says when a row happened"),
    ],
)  # fmt: skip
def test_the_moment_of_a_row(times: dict[str, pd.Series], chosen: str) -> None:
    """A column's name, or why none of them is one."""
    found = choose(times)
    if chosen in times:
        assert (found.column, found.why) == (chosen, f"{chosen} says when each row happened")
    else:
        assert found.column is None
        assert found.why.startswith(chosen)


def test_times_after_the_moment_are_named_unless_they_are_plans() -> None:
    found = choose(
        {
            "ordered_at": SHUFFLED,
            "sched_arrival": SHUFFLED + SOON,
            "delivered_at": SHUFFLED + SOON,
            "due_date": SHUFFLED + SOON,
            "birth_date": BIRTHS,
        }
    )
    assert found.column == "ordered_at"
    assert found.later == {"delivered_at": "later than ordered_at in 100% of rows"}


def test_a_time_of_the_same_day_is_not_later_than_its_date() -> None:
    assert choose({"date": DAYS, "clock": DAYS + pd.Timedelta(hours=10)}).later == {}
