"""Windows of ``history: auto`` follow the table's own rhythm, hold events, and stay the same from week to week."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import MISSING
from tasks.engine.rhythm import SAMPLE, _typical, follow, windows_of
from tasks.errors import RefitError
from tasks.params import Params, parse

START = pd.Timestamp("2019-01-01", tz="UTC")
Tables = dict[str, pd.DataFrame]


def problem(known_at: str = "at", *, asked: str = "at", region: bool = False, visits: bool = False) -> Params:
    """Sales of a shop, asked for at ``at``: what will ``y`` be?"""
    columns = {"id": "numeric", "at": "datetime", "shop": "categorical", "y": "numeric"}
    if region:
        columns["region"] = "categorical"
    base: dict[str, Any] = {
        "problem": {"name": "s", "kind": "regression", "table": "sales", "target": "y", "prediction_time": asked},
        "data": {
            "tables": {
                "sales": {
                    "source": "x", "key": ["id"], "event_time": "at", "known_at": known_at, "outcome": ["y"],
                    "columns": columns,
                }
            }
        },
        "features": {"columns": ["shop"], "history": "auto"},
        "models": {"ridge": {}},
    }  # fmt: skip
    if visits:
        base["data"]["tables"]["visits"] = {
            "source": "x", "event_time": "seen",
            "columns": {"shop": "categorical", "seen": "datetime", "spent": "numeric"},
        }  # fmt: skip
    return parse(base)


def sales(times: list[pd.DatetimeIndex], **more: Any) -> Tables:
    """One shop for each list of moments, in order of time."""
    shop = np.repeat([f"s{i}" for i in range(len(times))], [len(t) for t in times])
    at = pd.DatetimeIndex(np.concatenate([t.to_numpy() for t in times])).tz_localize("UTC").as_unit("us")
    frame = pd.DataFrame({"at": at, "shop": pd.Series(shop, dtype="str")}).assign(**more)
    frame = frame.sort_values("at", kind="stable", ignore_index=True)
    frame["id"] = np.arange(len(frame), dtype=float)
    frame["y"] = np.random.default_rng(0).normal(size=len(frame))
    return {"sales": frame}


def every(step: Any, periods: int, shops: int = 12, jitter: str = "0h", seed: int = 0) -> Tables:
    rng = np.random.default_rng(seed)
    most = pd.Timedelta(jitter)
    return sales(
        [
            pd.date_range(START.tz_localize(None), periods=periods, freq=step)
            + pd.to_timedelta(np.round(rng.uniform(-0.5, 0.5, periods) * most.total_seconds()), unit="s")
            for _ in range(shops)
        ]
    )


def by_shop(tables: Tables, params: Params | None = None) -> tuple[str, ...]:
    return windows_of(params or problem(), tables)["sales", ("shop",)]


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (every("15min", 2000, 3), ("1h", "6h", "31d")),
        (every("h", 2000, 3), ("1h", "6h", "31d")),
        (every("4h", 600), ("6h", "1d", "31d")),
        (every("D", 200), ("1d", "7d", "31d")),
        (every("B", 200), ("1d", "7d", "31d")),  # four of five working days have one on the day before
        (every("D", 200, jitter="6h"), ("7d", "31d", "92d")),  # a day would be empty half of the time
        (every("7D", 100), ("7d", "31d", "92d")),
        (every("14D", 60), ("31d", "92d", "366d")),
        (every("MS", 36), ("31d", "92d", "366d")),
        (every("ME", 36), ("31d", "92d", "366d")),
        (every("MS", 36, jitter="8D"), ("92d", "366d", "all")),
        (every("QS", 20), ("92d", "366d", "all")),
        (every("YS", 12), ("366d", "all")),
        (every(pd.DateOffset(years=3), 10), ("all",)),
    ],
)  # fmt: skip
def test_windows_follow_the_gaps_between_a_keys_events(tables: Tables, expected: tuple[str, ...]) -> None:
    assert by_shop(tables) == expected


@pytest.mark.parametrize(
    ("counts", "rows", "expected"),
    [
        # events in windows of 1h, 6h, 1d, 7d, 31d, 92d, 366d, all; and how many rows of ten have each
        ([[0, 0, 1, 2, 3, 4, 5, 6]], [10], ("1d", "7d", "31d")),
        ([[0, 0, 1, 1, 1, 1, 1, 2]], [10], ("1d", "all")),  # no more events until all are counted
        ([[0, 1, 2, 3, 3, 3, 4, 4]], [10], ("6h", "1d", "31d")),  # a third one of a month at least
        ([[0, 1, 2, 2, 2, 2, 4, 4]], [10], ("6h", "1d", "366d")),
        ([[1, 2, 2, 2, 2, 2, 2, 2]], [10], ("1h", "6h")),
        ([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 2]], [5, 5], ("7d", "all")),  # every other row has two
        ([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 2]], [6, 4], ("all",)),
        ([[0, 1, 1, 1, 1, 1, 1, 2], [0, 0, 0, 0, 1, 1, 1, 2]], [6, 3], ("6h", "31d", "all")),  # two of three are filled
        ([[0, 1, 1, 1, 1, 1, 1, 2], [0, 0, 0, 0, 1, 1, 1, 2]], [5, 3], ("31d", "all")),
        ([[0, 0, 1, 1, 2, 2, 2, 2], [0, 0, 1, 1, 1, 1, 1, 2]], [1, 9], ("1d", "31d", "all")),  # one in ten has more
        ([[0, 0, 1, 1, 2, 2, 2, 2], [0, 0, 1, 1, 1, 1, 1, 2]], [1, 10], ("1d", "all")),
        ([[0] * 8, [0, 0, 1, 2, 3, 4, 5, 6]], [90, 10], ("1d", "7d", "31d")),  # rows without an event do not count
        ([[0] * 8], [10], ()),
    ],
)
def test_windows_by_hand(counts: list[list[int]], rows: list[int], expected: tuple[str, ...]) -> None:
    assert follow(np.repeat(np.array(counts), rows, axis=0)) == expected


def test_rows_that_are_looked_at_are_the_newer_half_of_a_step_and_wholes_of_moments() -> None:
    t = np.arange(100)[np.random.default_rng(0).permutation(100)]
    assert sorted(t[_typical(t)]) == list(range(48, 96))
    assert _typical(np.where(t < 20, MISSING, t)).tolist() == [
        i for i in np.argsort(t, kind="stable") if 52 <= t[i] <= 83
    ]
    assert t[_typical(t)].tolist() == list(range(48, 96))  # in order of time
    ties = np.array([1, 1, 2, 2, 2, 3, 3, 3, 3])
    assert _typical(ties).tolist() == [2, 3, 4, 5, 6, 7, 8]  # eight of nine: from the fifth on, with their like
    assert _typical(np.full(4, MISSING)).tolist() == []
    many = np.arange(12_288)
    found = _typical(many)
    assert (len(found), found[0], found[-1]) == (SAMPLE, 6144, 12_287)
    assert set(np.diff(found)) == {3, 4}


def test_windows_wait_for_labels_that_come_late_and_for_rows_that_ask_early() -> None:
    tables = every("MS", 36)
    assert by_shop(tables, problem("at + 20d")) == ("31d", "92d", "366d")
    assert by_shop(tables, problem("at + 33d")) == ("92d", "366d", "all")
    assert by_shop(tables, problem("at + 20d", asked="at - 15d")) == ("92d", "366d", "all")
    assert by_shop(tables, problem("at + 400d")) == ("all",)


def test_irregular_events_get_windows_that_most_rows_fill() -> None:
    rng = np.random.default_rng(1)
    for mean, expected in ((0.1, "6h"), (3, "7d"), (20, "31d"), (60, "92d")):
        gaps = [rng.exponential(mean, 50).cumsum() for _ in range(25)]
        tables = sales([START.tz_localize(None) + pd.to_timedelta(days, unit="D") for days in gaps])
        params = problem()
        windows = windows_of(params, tables)
        assert windows["sales", ("shop",)][0] == expected
        made = compute(derive(params, windows), tables, tables["sales"])
        assert (made[f"shop.count({expected})"].iloc[len(made) // 2 :] > 0).mean() > 0.6


def test_a_region_and_a_shop_have_windows_of_their_own() -> None:
    tables = every("MS", 36, shops=90, jitter="20D")
    tables["sales"]["region"] = pd.Series(np.where(tables["sales"]["id"] % 3 == 0, "north", "south"), dtype="str")
    windows = windows_of(problem(region=True), tables)
    assert windows == {
        ("sales", ("shop",)): ("92d", "366d", "all"),
        ("sales", ("region",)): ("1d", "7d", "31d"),
    }
    names = derive(problem(region=True), windows).names
    assert {"shop.mean(y, 92d)", "region.mean(y, 1d)"} <= set(names)
    assert not {"shop.mean(y, 1d)", "region.mean(y, 92d)"} & set(names)


def test_another_table_has_a_rhythm_of_its_own() -> None:
    tables = every("MS", 36)
    seen = pd.date_range(START, periods=365 * 3, freq="D").as_unit("us")
    tables["visits"] = pd.DataFrame(
        {"shop": pd.Series(np.tile(["s0", "s1", "s2"], 365), dtype="str"), "seen": seen, "spent": 1.0}
    )
    params = problem(visits=True)
    assert windows_of(params, tables) == {
        ("sales", ("shop",)): ("31d", "92d", "366d"),
        ("visits", ("shop",)): ("7d", "31d", "92d"),  # every third day
    }
    tables["visits"] = tables["visits"].iloc[[5, 300, 700]]
    assert windows_of(params, tables)["visits", ("shop",)] == ("all",)  # one event each: no rhythm
    tables["visits"] = tables["visits"].iloc[:0]
    assert windows_of(params, tables)["visits", ("shop",)] == ()


def test_a_key_that_pauses_gets_a_window_that_bridges_the_pause() -> None:
    tables = every("7D", 200, shops=1)
    tables["sales"]["region"] = tables["sales"]["at"].dt.month_name().astype("str")
    assert windows_of(problem(region=True), tables)["sales", ("region",)] == ("7d", "31d", "366d")


def test_a_key_that_never_comes_again_is_left_out() -> None:
    params, tables = problem(), every("D", 1, shops=300)
    windows = windows_of(params, tables)
    assert windows == {("sales", ("shop",)): ()}
    assert derive(params, windows).names == ("shop",)
    assert windows_of(params, {"sales": tables["sales"].iloc[:0]}) == windows
    timeless = tables["sales"].assign(at=tables["sales"]["at"].where(tables["sales"]["id"] < 0))
    assert windows_of(params, {"sales": timeless}) == windows


def test_a_rhythm_longer_than_the_table_leaves_one_window() -> None:
    assert by_shop(every("YS", 2)) == ("all",)
    assert by_shop(every("400D", 3)) == ("all",)


def test_only_a_listed_history_needs_no_windows() -> None:
    params = problem()
    with pytest.raises(ValueError, match="history: auto needs windows"):
        derive(params)
    listed = {"table": "sales", "by": ["shop"], "windows": ["3d"], "columns": {"y": ["mean"]}}
    tree = params.model_dump(mode="json", exclude_unset=True) | {"features": {"history": [listed]}}
    tree["problem"]["prediction_time"], tree["data"]["tables"]["sales"]["event_time"] = "at", "at"
    tree["data"]["tables"]["sales"]["known_at"] = "at"
    by_hand = parse(tree)
    assert windows_of(by_hand, {}) == {}
    assert derive(by_hand).hash == derive(by_hand, {}).hash


def test_a_monthly_tables_features_say_something() -> None:
    params, tables = problem(), every("MS", 36, shops=20)
    made = compute(derive(params, windows_of(params, tables)), tables, tables["sales"])
    late = made[tables["sales"]["at"] >= "2020-06-01"]
    assert "shop.mean(y, 31d)" in made
    assert late.notna().mean().drop("shop.std(y, 31d)").min() == 1  # of one event there is no spread
    days = compute(derive(params, {("sales", ("shop",)): ("1d", "7d", "28d")}), tables, tables["sales"])
    assert days["shop.mean(y, 7d)"].isna().all()
    assert (days["shop.count(28d)"] > 0).mean() < 0.1  # only February is that short


def test_the_plan_stays_from_week_to_week_and_in_another_order() -> None:
    """Gaps at the edge between two windows: where a window changes, it is because the table has grown by a third."""
    rng = np.random.default_rng(5)
    gaps = [rng.exponential(6.4, 90).cumsum() for _ in range(12)]  # a week holds an event in two thirds of the rows
    whole = sales([START.tz_localize(None) + pd.to_timedelta(days, unit="D") for days in gaps])["sales"]
    params = problem()
    weeks = pd.date_range(START + pd.Timedelta("60D"), START + pd.Timedelta("400D"), freq="7D")
    grown = [whole[whole["at"] <= week] for week in weeks]
    hashes = [derive(params, windows_of(params, {"sales": rows})).hash for rows in grown]
    changes = np.flatnonzero([a != b for a, b in pairwise(hashes)])
    sizes = np.array([len(rows) for rows in grown])
    steps = np.array([96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072])
    assert len(weeks) > 40
    for week in changes:
        assert ((steps > sizes[week]) & (steps <= sizes[week + 1])).any()
    assert len(changes) <= 3
    mixed = grown[-1].sample(frac=1, random_state=0).reset_index(drop=True)
    assert windows_of(params, {"sales": mixed}) == windows_of(params, {"sales": grown[-1]})


def test_a_refusal_of_the_engine_is_one_here_too() -> None:
    tables = every("D", 30)
    tables["sales"]["at"] = tables["sales"]["at"].astype(str)
    with pytest.raises(RefitError, match=r"sales\.at: expected moments"):
        windows_of(problem(), tables)
