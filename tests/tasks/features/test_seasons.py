"""Parts of the calendar that the training rows have not seen to the end of their round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.dates import date_part
from tasks.engine.facts import MISSING
from tasks.features.seasons import DAY, unfinished
from tasks.files import read_json
from tests.tasks.features.test_stage import run_in

HOUR = DAY // 24


def frame(moments: np.ndarray, offset_hours: int = 0) -> pd.DataFrame:
    """Columns of a table whose owner writes the calendar in a time zone of his own, and two that only look alike."""
    local = moments + offset_hours * HOUR
    parts = {
        part: date_part(local, part)
        for part in ("year", "month", "quarter", "week", "day", "weekday", "hour", "day_of_year")
    }
    months_of_stay = np.random.default_rng(0).integers(1, 13, len(moments)).astype(float)
    return pd.DataFrame(parts).assign(months_of_stay=months_of_stay, name=pd.Series(["a"] * len(moments), dtype="str"))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (20, ["month", "quarter", "week", "day", "day_of_year"]),
        (26, ["month", "quarter", "week", "day", "day_of_year"]),
        (27, ["month", "quarter", "week", "day_of_year"]),
        (328, ["month", "quarter", "week", "day_of_year"]),
        (329, []),
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
    assert list(found) == ["month", "quarter", "week", "day_of_year"]
    other = unfinished(frame(moments, offset_hours=-48), moments, moments < 20 * DAY)
    assert "day" not in other, "two days apart is another date, not another zone"
    assert "day_of_year" not in other


def test_rows_without_a_moment_say_nothing_of_it() -> None:
    moments = np.arange(0, 300 * 24, 3) * HOUR
    train = moments < 100 * DAY
    some = np.where(np.arange(len(moments)) % 3 == 0, MISSING, moments)
    assert list(unfinished(frame(moments), some, train)) == ["month", "quarter", "week", "day_of_year"]
    assert unfinished(frame(moments), np.full(len(moments), MISSING), train) == {}
    assert unfinished(frame(moments), moments, moments < 0) == {}


TIME = {"kind": "time", "test": 0.2, "valid": 0.2}
MONTHS = ["month", "at.month"]


@pytest.mark.parametrize(
    ("features", "split", "days", "expected"),
    [
        ({"columns": "auto"}, TIME, 300, MONTHS),
        ({"columns": "auto"}, TIME, 700, []),
        ({"columns": "auto"}, {"kind": "random"}, 300, []),
        ({"columns": ["month", "x"], "dates": {"at": ["month"]}}, TIME, 300, []),
    ],
)
def test_the_stage_keeps_unfinished_parts_from_models_unless_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: dict[str, Any], split: dict[str, Any], days: int,
    expected: list[str],
) -> None:  # fmt: skip
    at = pd.Series(pd.date_range("2021-01-01", periods=days, freq="D", tz="UTC")).astype("datetime64[us, UTC]")
    x = pd.Series(np.random.default_rng(0).normal(size=days))
    table = pd.DataFrame({"at": at, "month": at.dt.month.astype(float), "x": x, "y": x * 2})
    spec = {
        "problem": {"name": "p", "kind": "regression", "table": "t", "target": "y", "prediction_time": "at"},
        "data": {"tables": {"t": {"source": "x", "columns": {
            "at": "datetime", "month": "numeric", "x": "numeric", "y": "numeric"}}}},
        "features": features, "split": split, "models": {"ridge": {}},
    }  # fmt: skip
    made = run_in(tmp_path, spec, {"t": table}, monkeypatch)
    silent = read_json("data/features/summary.json").get("silent", {})
    assert sorted(name for name in silent if name != "at.hour") == sorted(expected)
    assert set(MONTHS) < set(made.columns)
