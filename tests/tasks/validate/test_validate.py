"""The stage on disk: every row of raw is accepted, quarantined or not yet known, and nothing of the future gets in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import validate
from tasks.errors import RefitError
from tasks.files import hash_tree, write_json
from tasks.params import Params
from tasks.validate import __main__ as stage
from tests.tasks.validate.conftest import Tree, order_frame, order_tree, utc, weather_frame

Make = Callable[..., Params]


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tasks.validate"])


def summary() -> dict[str, Any]:
    return json.loads(Path("data/validated/summary.json").read_text())


def accounted(name: str, raw: pd.DataFrame) -> dict[str, Any]:
    """Check that the table's rows add up, and give its counts."""
    counts = summary()["tables"][name]
    accepted = pd.read_parquet(f"data/validated/{name}.parquet")
    rejected = pd.read_parquet(f"data/quarantine/{name}.parquet")
    assert counts["accepted"] + counts["quarantined"] + counts["not_yet_known"] == counts["input"] == len(raw)
    assert (len(accepted), len(rejected)) == (counts["accepted"], counts["quarantined"])
    assert (rejected["__reason__"].str.len() > 0).all()
    assert rejected["__row__"].is_monotonic_increasing
    return counts


def test_a_clean_project(make: Make, tree: Tree) -> None:
    make(tree, orders=order_frame(), weather=weather_frame())
    stage.main()
    # At noon of 10 February the orders due until the 11th are predicted, and those ended by 10:00 are known.
    assert accounted("orders", order_frame())["not_yet_known"] == 60 - 42
    orders = pd.read_parquet("data/validated/orders.parquet")
    known = orders["ended_at"] + pd.Timedelta(hours=2) <= pd.Timestamp("2024-02-10T12:00Z")
    assert orders["hours"].notna().tolist() == known.tolist()
    assert 0 < (~known).sum() < 5
    assert orders["slow"].isna().equals(orders["hours"].isna())
    assert (orders["slow"] == (orders["hours"] > 10)).where(known, True).all()
    assert accounted("weather", weather_frame())["not_yet_known"] == 60 - 41
    assert list(pd.read_parquet("data/quarantine/orders.parquet"))[-2:] == ["__row__", "__reason__"]
    assert summary()["as_of"] == "2024-02-10T12:00:00+00:00"


def test_what_the_effects_ask_for_counts_more(make: Make, tree: Tree) -> None:
    make(tree, orders=order_frame(), weather=weather_frame())
    write_json("data/context/as_of.json", {"as_of": "2024-02-20"})
    stage.main()
    assert summary()["as_of"] == "2024-02-20T23:59:59.999999+00:00"
    write_json("data/context/as_of.json", {"as_of": None})
    stage.main()
    assert summary()["as_of"] is None
    assert accounted("orders", order_frame())["not_yet_known"] == 0
    write_json("data/context/as_of.json", {"as_of": "soon"})
    with pytest.raises(RefitError, match=r"as_of\.json: .*found 'soon'\. Remove the file"):
        stage.main()


def test_the_future_changes_nothing(make: Make, tree: Tree) -> None:
    """Rows and outcomes after ``as_of`` may be anything: the same bytes come out."""
    make(tree, orders=order_frame(), weather=weather_frame())
    stage.main()
    first = hash_tree("data/validated") | hash_tree("data/quarantine")
    orders = order_frame()
    later = orders["ended_at"] + pd.Timedelta(hours=2) > pd.Timestamp("2024-02-10T12:00Z")
    orders.loc[later, "hours"] = -999.0
    orders.loc[later, "ended_at"] += pd.Timedelta(days=400)
    orders.loc[orders["due_at"] > pd.Timestamp("2024-02-11T12:00Z"), ["size", "shop"]] = [77.0, "z"]
    row = int(np.flatnonzero(later)[0])
    unread = {"row": [row], "column": ["hours"], "value": ["?"], "why": ["is not a number"]}
    make(tree, {"orders": pd.DataFrame(unread)}, orders=orders, weather=weather_frame())
    stage.main()
    assert hash_tree("data/validated") | hash_tree("data/quarantine") == first


def test_bad_rows_are_in_quarantine_as_they_were(make: Make, tree: Tree) -> None:
    orders, weather = order_frame(), weather_frame()
    orders.loc[[2, 5], "size"] = [0.0, np.nan]
    weather.loc[4, "told_at"] = weather.loc[4, "day"] - pd.Timedelta(hours=1)
    problems = {"orders": pd.DataFrame({"row": [5], "column": ["size"], "value": ["big"], "why": ["is not a number"]})}
    make(tree, problems, orders=orders, weather=weather)
    stage.main()
    assert accounted("orders", orders)["reasons"] == {"size: is not a number": 1, "size: is not between 1 and 9": 1}
    rejected = pd.read_parquet("data/quarantine/orders.parquet")
    assert rejected["__row__"].tolist() == [2, 5]
    assert rejected["id"].tolist() == ["o2", "o5"]
    assert accounted("weather", weather)["reasons"] == {"told_at: is before day, so known before it happened": 1}
    failed = [f for f in summary()["expectations"] if not f["success"]]
    assert {(f["table"], f["about"], f["found"]) for f in failed} == {
        ("orders", "size", 1),
        ("weather", "told_at, day", 1),
    }


def test_a_large_table_stays_on_disk_and_comes_out_the_same(make: Make, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    orders, weather = order_frame(), weather_frame()
    orders.loc[[2, 5], "size"] = [0.0, np.nan]
    problems = {"orders": pd.DataFrame({"row": [5], "column": ["size"], "value": ["big"], "why": ["is not a number"]})}
    make(tree, problems, orders=orders, weather=weather)
    orders.to_parquet("data/raw/orders.parquet", row_group_size=7)
    for held in (False, True):  # the second time against what was accepted in the first
        monkeypatch.setattr(stage, "LARGE", 500_000)
        stage.main()
        kept = hash_tree("data/validated"), hash_tree("data/quarantine")
        monkeypatch.setattr(stage, "LARGE", 1)
        stage.main()
        assert (hash_tree("data/validated"), hash_tree("data/quarantine")) == kept
        assert accounted("orders", orders)["reasons"] == {"size: is not a number": 1, "size: is not between 1 and 9": 1}
        assert any("champion" in str(summary()["baseline"][name]) for name in tree["data"]["tables"]) == held
        for name in tree["data"]["tables"]:
            figures = json.loads(Path(f"data/validated/accepted/{name}.json").read_text())
            write_json(f"data/expectations/accepted/{name}.json", {**figures, "of": {"version": "champion"}})


def test_set_level_failures_stop_the_run_with_all_of_them(make: Make, tree: Tree) -> None:
    make(tree, orders=order_frame(), weather=weather_frame())
    stage.main()
    kept = hash_tree("data/validated")
    orders = order_frame()
    orders.loc[:20, "shop"] = "z"
    orders.loc[:30, "id"] = "same"
    make(tree, orders=orders, weather=weather_frame())
    with pytest.raises(RefitError, match=r"breaks its contract:\n  orders: 31 of 42 rows \(73\.8%\) broke the contract; data\.max_quarantined allows 20\.0%\. Most often: id: is the key of more than one row \(31 rows\)"):  # fmt: skip
        stage.main()
    assert hash_tree("data/validated") == kept
    assert len(pd.read_parquet("data/quarantine/orders.parquet")) == 31


def test_suites_in_git_are_used(make: Make, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tree, orders=order_frame(), weather=weather_frame())
    monkeypatch.setattr("sys.argv", ["tasks.validate", "--write-suite"])
    stage.main()
    assert sorted(p.name for p in Path("data/expectations").iterdir()) == ["orders.json", "weather.json"]
    assert not Path("data/validated").exists()
    first = hash_tree("data/expectations")
    stage.main()
    assert hash_tree("data/expectations") == first
    monkeypatch.setattr("sys.argv", ["tasks.validate"])
    stage.main()
    assert accounted("orders", order_frame())["quarantined"] == 0
    weather = weather_frame().assign(rain=np.nan)
    weather.loc[0, "rain"] = 1.0
    make(tree, orders=order_frame(), weather=weather)
    with pytest.raises(RefitError, match=r"weather: expect_column_proportion_of_non_null_values_to_be_between \(rain\): expected min_value 0\.9; found 0\.02"):  # fmt: skip
        stage.main()
    tree["data"]["tables"]["orders"]["columns"]["size"]["max"] = 5
    make(tree, orders=order_frame(), weather=weather_frame())
    with pytest.raises(RefitError, match=r"orders\.json: derived from another schema .*differs: 'size'"):
        stage.main()


def test_a_target_that_cannot_be_learned_stops_the_run(make: Make, tree: Tree) -> None:
    make(tree, orders=order_frame().assign(hours=3.0), weather=weather_frame())
    with pytest.raises(RefitError, match=r"'slow' of 'orders' has only the class 0\.0"):
        stage.main()
    make(tree, orders=order_frame(), weather=weather_frame().assign(rain=np.nan))
    with pytest.raises(
        RefitError, match=r"data\.tables\.weather\.columns: no row of weather\.csv has a value of 'rain'"
    ):
        stage.main()


def test_unknown_arguments(make: Make, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tree, orders=order_frame(), weather=weather_frame())
    monkeypatch.setattr("sys.argv", ["tasks.validate", "--all"])
    with pytest.raises(RefitError, match="takes nothing or --write-suite, found"):
        stage.main()


def test_raw_must_be_there(make: Make, tree: Tree) -> None:
    make(tree, orders=order_frame())
    with pytest.raises(RefitError, match=r"weather\.parquet: no such file\. Run `refit run`"):
        stage.main()


moments = st.datetimes(min_value=pd.Timestamp("2024-01-10").to_pydatetime(), max_value=pd.Timestamp("2024-04-01").to_pydatetime())  # fmt: skip
faults = st.lists(
    st.tuples(
        st.integers(0, 59),
        st.sampled_from([("size", 0.0), ("size", np.nan), ("shop", "z"), ("id", "o1"), ("hours", -1.0), ("due_at", pd.NaT)]),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(as_of=st.none() | moments, faults=faults)
def test_every_row_is_somewhere(tmp_path_factory: pytest.TempPathFactory, as_of: Any, faults: list[Any]) -> None:
    tree = order_tree()
    tree["data"] |= {"as_of": as_of and as_of.isoformat(), "max_quarantined": 1}
    orders = order_frame()
    for row, (column, value) in faults:
        orders.loc[row, column] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("some"))
        patch.setattr(validate.problem, "check_problem", lambda *args: None)  # few rows are known early
        for path, frame in (("orders", orders), ("weather", weather_frame())):
            Path("data/raw").mkdir(parents=True, exist_ok=True)
            frame.to_parquet(f"data/raw/{path}.parquet")
        write_json("params.yaml", tree)
        stage.main()
        for name, frame in (("orders", orders), ("weather", weather_frame())):
            accounted(name, frame)
        kept = set(pd.read_parquet("data/validated/orders.parquet")["id"])
        exists = utc(orders["due_at"]) - pd.Timedelta(days=1) <= pd.Timestamp(as_of or "2100-01-01", tz="UTC")
        rejected = set(pd.read_parquet("data/quarantine/orders.parquet")["__row__"])
        assert rejected.isdisjoint(np.flatnonzero(orders["id"].isin(kept) & exists & ~orders["id"].duplicated(keep=False)))  # fmt: skip
        assert len(kept) == summary()["tables"]["orders"]["accepted"]
