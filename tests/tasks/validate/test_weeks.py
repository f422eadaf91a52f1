"""Tables held against what was accepted with the champion: wrong weeks are named by their rule, ordinary ones pass."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.files import read_json, write_json, write_table
from tasks.params import Params, parse
from tasks.validate import __main__ as stage
from tasks.validate import accepted, baseline
from tests.tasks.validate import weeks
from tests.tasks.validate.weeks import HISTORY, WEEK, WRONG

past = cache(lambda: weeks.to(HISTORY))
then = cache(lambda: weeks.baseline(past()))
# Faults of a week that do not hide each other are planted together: each is named all the same. Alone: tests/bench/rules.py.
TOGETHER = (
    ("nine tenths of the rows gone",),
    ("a column half empty", "300 new shops", "the sign turned", "the label turned", "another encoding", "miles for kilometres",
     "one category only", "zeros for missing"),
    ("a thousand times as large", "a constant", "texts cut off", "another time zone"),
    ("a thousand times as large, in a twentieth", "two columns of categories swapped", "texts in a column of numbers"),
    ("two columns swapped",),
    ("rows twice",),
    ("dates a year ahead",),
    ("dates of weeks before",),
    ("times to come",),
    ("half of the shops gone",),
)  # fmt: skip


def test_every_wrong_week_is_planted() -> None:
    assert sorted(name for group in TOGETHER for name in group) == sorted(WRONG)
    assert len(WRONG) >= 20


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
def test_a_wrong_week_is_named_by_the_rule_that_it_breaks(names: tuple[str, ...]) -> None:
    new = weeks.week(HISTORY)
    for name in names:
        new = WRONG[name][0](past(), new)
    failures = weeks.judge(pd.concat([past(), new], ignore_index=True), then())
    for name in names:
        assert any(WRONG[name][1] in line for line in failures), (name, failures)
    assert all("champion version 1" in line and "; found " in line for line in failures)


@pytest.mark.parametrize("late", [0, 3])
def test_an_ordinary_week_passes_also_where_the_champion_is_old(late: int) -> None:
    more = pd.concat([past(), *(weeks.week(HISTORY + i) for i in range(late + 1))], ignore_index=True)
    assert weeks.judge(more, then()) == []


def test_a_wrong_week_is_still_named_when_the_next_is_right() -> None:
    wrong = WRONG["the sign turned"][0](past(), weeks.week(HISTORY))
    failures = weeks.judge(pd.concat([past(), wrong, weeks.week(HISTORY + 1)], ignore_index=True), then())
    assert any("change, quantiles: expected" in line for line in failures)


def test_keys_that_were_numbered_anew_are_named() -> None:
    table = pd.concat([past(), weeks.week(HISTORY)], ignore_index=True)
    failures = weeks.judge(table.assign(id=table["id"].to_numpy()[::-1]), then())
    assert any(
        "keys: expected at least half of the keys that were there, each at its moment" in line for line in failures
    )


def test_rows_that_are_gone_from_the_past_are_named() -> None:
    fewer = past()[np.arange(len(past())) % 5 > 0]
    failures = weeks.judge(pd.concat([fewer, weeks.week(HISTORY)], ignore_index=True), then())
    assert any("rows of the past: expected" in line for line in failures), failures


def test_a_time_at_another_distance_is_named() -> None:
    """Of a time that is known with the row; one that is known later has its own moments."""
    tree, new = weeks.tree(), weeks.week(HISTORY)
    tree["data"]["tables"]["orders"]["known_at"] = {"late": "at + 6d"}
    params, late = parse(tree), new.assign(due=new["due"] + pd.Timedelta(days=9))
    held = weeks.baseline(past(), params)
    failures = weeks.judge(pd.concat([past(), late], ignore_index=True), held, params)
    assert any("days from at to due, quantiles: expected" in line for line in failures), failures


def test_rows_that_end_long_before_the_run_are_named() -> None:
    until = past()["at"].max()
    held = weeks.baseline(past(), as_of=until.to_pydatetime())
    assert weeks.judge(past(), held, as_of=(until + WEEK).to_pydatetime()) == []
    (failure,) = weeks.judge(past(), held, as_of=(until + 3 * WEEK).to_pydatetime())
    assert "the whole table: at, freshness: expected a newest moment of" in failure


def test_a_run_that_knows_less_than_the_champion_is_not_judged_by_its_size() -> None:
    until = past()["at"].max()
    held = weeks.baseline(past(), as_of=until.to_pydatetime())
    earlier = past()[past()["at"] < until - 10 * WEEK].reset_index(drop=True)
    assert weeks.judge(earlier, held, as_of=(until - 10 * WEEK).to_pydatetime()) == []


def test_a_table_without_moments_is_held_against_as_a_whole() -> None:
    shops = weeks.shops(HISTORY)
    held = weeks.baseline(shops, name="shops")
    assert weeks.judge(weeks.shops(HISTORY + 12), held, name="shops") == []
    for wrong, said in (
        (
            shops.iloc[:20],
            "the whole table: rows: expected 32 to 1,280 rows (64 in the rows of champion version 1); found 20",
        ),
        (shops.assign(shop=[f"n{i}" for i in range(64)]), "keys: expected at least half of the keys that were there"),
        (shops.assign(size=shops["size"] * 1000), "all rows: size, quantiles: expected"),
        (shops.assign(town=shops["shop"]), "town, new categories: expected at most"),
    ):
        failures = weeks.judge(wrong.reset_index(drop=True), held, name="shops")
        assert any(said in line for line in failures), failures


def test_rows_that_repeat_are_named_where_a_table_has_no_key() -> None:
    tree = weeks.tree()
    del tree["data"]["tables"]["shops"]["key"]
    params, shops = parse(tree), weeks.shops(HISTORY)
    held = weeks.baseline(shops, params, "shops")
    assert weeks.judge(weeks.shops(HISTORY + 12), held, params, "shops") == []
    failures = weeks.judge(pd.concat([shops, shops], ignore_index=True), held, params, "shops")
    assert any("repeated rows: expected" in line for line in failures), failures


def test_shares_that_diverge_are_named() -> None:
    new = weeks.week(HISTORY)
    turned = {"food": "other", "other": "food", "drinks": "house", "house": "drinks"}
    new = new.assign(product=new["product"].map(turned).astype("str"))
    failures = weeks.judge(pd.concat([past(), new], ignore_index=True), then())
    assert any("shares: expected shares of categories that diverge" in line for line in failures), failures


@pytest.mark.parametrize(
    ("days", "every", "expected"),
    [(100, 0.1, 7), (300, 0.5, 28), (1100, 2, 91), (3000, 8, 365), (20, 0.02, 1), (100, 9, None)],
)
def test_a_window_is_a_week_or_the_next_length_that_has_rows_enough(
    days: int, every: float, expected: int | None
) -> None:
    at = weeks.START + pd.to_timedelta(np.arange(0, days, every), unit="D")
    frame = pd.DataFrame({"id": np.arange(len(at), dtype=float), "at": at.astype("datetime64[us, UTC]")})
    found = accepted.measure("orders", weeks.PARAMS.data.tables["orders"], weeks.PARAMS.problem, frame, None, None)
    assert found["window"] == (None if expected is None else expected * 86_400)


def test_the_narrowest_bands_are_those_of_the_page() -> None:
    """Of columns whose windows did not differ, with so many rows that chance is nothing; wider where they did."""

    def same(value: float) -> list[float]:
        return [value] * 3

    def rules(then: dict[str, Any], count: int = 40, elapsed: float = 0.0) -> dict[str, dict[str, Any]]:
        part = accepted.Part(
            "at", accepted.Columns({}, None, 0), None, {name: one["kind"] for name, one in then.items()}
        )
        made = baseline._rules(part, {"columns": then}, 10**14, count, elapsed)
        return {f"{name} {rule['meta']['check']} {rule['type']}": rule["kwargs"] for rule in made for name in [rule["kwargs"]["column"]]}  # fmt: skip

    quantiles = [[1.0, 2.0, 3.0, 4.0, 5.0]] * 3
    number = {"kind": "numeric", "missing": same(0.1), "quantiles": quantiles, "tails": [1.0, 5.0], "std": same(1.2), "range": [0.0, 10.0], "odd": same(0.0)}  # fmt: skip
    then = {
        "x": number,
        "h": {"kind": "hour", "missing": same(0.0), "quantiles": [[8.0, 9.0, 10.0, 11.0, 12.0]] * 3, "tails": [8.0, 12.0]},
        "y": {"kind": "classes", "missing": same(0.0), "shares": {"no": same(0.6), "yes": same(0.4)}},
        "c": {"kind": "categorical", "missing": same(0.0), "damaged": same(0.0), "distinct": [12, 12, 12], "levels": ["a"], "new": 0.0, "shares": {"a": 0.98}, "moved": 0.0},
    }  # fmt: skip
    found = rules(then)

    def limit(name: str, key: str) -> Any:
        (one,) = [kwargs[key] for rule, kwargs in found.items() if rule.startswith(name) and key in kwargs]
        return one

    near = pytest.approx
    assert limit("x missing", "min_value") == near(1 - 0.15, abs=1e-5)
    assert limit("x quantiles", "quantile_ranges")["value_ranges"][2] == near([2.5, 3.5], abs=1e-5)
    assert limit("x spread", "min_value") == near(0.4)
    assert [limit("x range", key) for key in ("min_value", "max_value", "mostly")] == [-10.0, 20.0, 0.98]
    assert limit("x stand-ins", "mostly") == near(0.96, abs=1e-5)
    assert limit("h quantiles", "quantile_ranges")["value_ranges"][2] == [7.5, 12.5]
    assert limit("y share of yes expect_column_values_to_be_in_set", "mostly") == near(0.3, abs=1e-5)
    assert limit("y share of yes expect_column_values_to_not_be_in_set", "mostly") == near(0.5, abs=1e-5)
    assert limit("c encoding", "mostly") == near(0.99, abs=1e-5)
    assert [limit("c categories", key) for key in ("min_value", "max_value")] == [8, 18]
    (rows,) = baseline._rows({"rows": [100, 100], "windows": 40}, 0.0)
    assert (rows["kwargs"]["min_value"], rows["kwargs"]["max_value"]) == (50, 200)

    varied = {"x": number | {"missing": [0.0, 0.1, 0.1]}}
    lows = [rules(varied, *more)["x missing values expect_column_proportion_of_non_null_values_to_be_between"]["min_value"] for more in ((40, 0.0), (4, 0.0), (4, 8.0))]  # fmt: skip
    assert 0.85 > lows[0] > lows[1] > lows[2], "wider by what windows differ, where few are known, and with age"


@pytest.mark.parametrize(
    ("lowest", "seen", "elapsed", "expected"),
    [
        (
            26.0,
            1.0,
            0,
            30 + 0.75 * 4 + 0.25 * 8,
        ),  # a year was seen: what windows differ by, and a quarter of the middle half
        (26.0, 0.25, 0, 33 + 2 + 2 * 0.75 * 4),  # of the rest of a year more is expected
        (30.0, 0.25, 0, 30 + 0.25 * 8),  # but not where windows did not differ
        (26.0, 1.0, 160, 30 + 0.75 * 4 * (1 + 3) + 2 + 2 * 10 * 4),  # and a column that moves may move on
        (30.0, 1.0, 160, 30 + 0.25 * 8),
    ],
)
def test_numbers_may_differ_more_in_the_part_of_a_year_that_was_not_seen(
    lowest: float, seen: float, elapsed: float, expected: float
) -> None:
    """Spring comes after a winter; with so many rows chance is nothing, and few make windows differ by chance alone."""

    def median(rows: int) -> float:
        levels = np.array([20.0, 26.0, 30.0, 34.0, 40.0])
        was = {
            "kind": "numeric",
            "quantiles": [list(levels - 30 + lowest), list(levels), list(levels)],
            "tails": [0.0, 0.0],
        }
        place = baseline._Place(
            "x", accepted.Part("at", accepted.Columns({}, None, 0), None, {}), rows, 16, elapsed, seen
        )
        (rule,) = baseline._numbers(place, was)
        return float(rule["kwargs"]["quantile_ranges"]["value_ranges"][2][1])

    assert median(10**14) == pytest.approx(expected, abs=1e-4)
    more = 2 * (1 - seen) + 2 * elapsed / 16
    assert median(100) - 2 * 8 / np.sqrt(100) == pytest.approx(expected - more * (30 - lowest), abs=1e-4)


def test_the_outer_rows_may_be_gone_for_a_week_where_a_quarter_roams() -> None:
    """Directions of the wind: in some weeks none comes from the west. A week without rain has no spread either."""

    def rules(low: list[float], whole: list[float], high: list[float]) -> dict[str, Any]:
        was = {"kind": "numeric", "quantiles": [low, high, whole], "tails": [low[0], high[-1]], "std": [1.0, 9.0, 5.0],
               "range": [0.0, 360.0], "odd": [0.0] * 3}  # fmt: skip
        place = baseline._Place("x", accepted.Part("at", accepted.Columns({}, None, 0), None, {}), 500, 17, 0.0)
        return {rule["meta"]["check"]: rule["kwargs"] for rule in baseline._numbers(place, was)}

    still = [10.0, 130, 260, 310, 350]
    steady, wind = (rules([10.0, 130, 260, low, 320], still, [10.0, 130, 260, 330, 360]) for low in (300, 200))
    ranges = [found["quantiles"]["quantile_ranges"]["value_ranges"] for found in (steady, wind)]
    assert ranges[0][4][0] > ranges[0][3][0]
    assert ranges[1][4][0] == ranges[1][3][0] < ranges[0][3][0]
    assert ranges[0][0] == ranges[1][0]
    assert "spread" in steady
    assert "spread" not in rules([0.0] * 5, [0.0, 0, 0, 0, 1], [0.0, 0, 0, 0, 2])


def test_what_is_accepted_is_the_same_bytes_for_the_same_rows() -> None:
    once, again = (json.dumps(weeks.baseline(frame), allow_nan=False) for frame in (past(), past().copy()))
    assert once == again
    assert len(once) < 20_000


# On disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Orders and shops, as validated before and accepted with champion 1; the week that comes next is in raw."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tasks.validate"])
    write_json("params.yaml", weeks.tree())
    held = {"orders": then(), "shops": weeks.baseline(weeks.shops(HISTORY), name="shops")}
    for name, figures in held.items():
        write_json(accepted.ACCEPTED / f"{name}.json", figures)
    write_raw(weeks.week(HISTORY))
    return parse(weeks.tree())


def write_raw(new: pd.DataFrame) -> None:
    write_table("data/raw/orders.parquet", pd.concat([past(), new], ignore_index=True))
    write_table("data/raw/shops.parquet", weeks.shops(HISTORY))


def test_the_stage_keeps_what_it_accepted_and_what_it_held_it_against(project: Params) -> None:
    stage.main()
    summary: dict[str, Any] = read_json("data/validated/summary.json")
    assert summary["baseline"] == {"orders": {"version": "1"}, "shops": {"version": "1"}}
    held = [one for one in summary["expectations"] if "scope" in one]
    assert {"orders", "shops"} == {one["table"] for one in held}
    assert all(one["success"] and one["expected"] and one["found"] for one in held)
    kept = read_json("data/validated/accepted/orders.json")
    assert kept["rows"] == summary["tables"]["orders"]["accepted"]
    assert kept["until"] > then()["until"]
    assert not Path("data/quarantine/refused").exists()


def test_columns_in_another_order_are_told_and_stop_nothing(
    project: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    shops = weeks.shops(HISTORY)
    write_table("data/raw/shops.parquet", shops[["town", "shop", "size"]])
    stage.main()
    assert (
        "shops, the whole table: order of columns: expected the order 'shop', 'size', 'town'" in capsys.readouterr().out
    )


def test_a_refused_week_stops_the_stage_and_what_it_was_waits_to_be_accepted(project: Params) -> None:
    write_raw(WRONG["the sign turned"][0](past(), weeks.week(HISTORY)))
    with pytest.raises(RefitError, match=r"(?s)breaks its contract:\n  orders, 7 days to .*change, quantiles.*`refit accept --reason") as told:  # fmt: skip
        stage.main()
    assert baseline.REMEDY in str(told.value)
    assert not Path("data/validated").exists()
    for path in sorted(Path("data/quarantine/refused").iterdir()):
        write_json(accepted.ACCEPTED / path.name, {"of": {"by": "ann", "reason": "refunds"}, **read_json(path)})
    stage.main()
    assert read_json("data/validated/summary.json")["baseline"]["orders"]["reason"] == "refunds"


def test_rows_like_another_one_are_those_of_pandas() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.choice([0.0, -0.0, 1.5, np.nan], 300),
            "what": pd.Series(rng.choice(["a", "b", "c"], 300), dtype="str").mask(rng.random(300) < 0.3),
            "at": pd.Series(pd.to_datetime(rng.integers(0, 5, 300), unit="D", utc=True)).mask(rng.random(300) < 0.2),
            "y": rng.integers(0, 4, 300).astype(float),
        }
    )
    for rows in (None, np.arange(0, 300, 2)):
        columns = accepted.Columns({name: partial(frame.get, name) for name in frame}, rows, len(frame))
        wanted = (frame if rows is None else frame.iloc[rows]).duplicated(keep=False).to_numpy()
        assert 0 < wanted.sum() < len(wanted)
        assert (accepted.repeated(columns) == wanted).all()
