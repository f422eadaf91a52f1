"""Tables as the look ahead sees them, by hand: moments, columns under suspicion, keys, and what is read of a table on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.derive import derive
from tasks.engine.facts import MISSING
from tasks.engine.timed_tables import MOST, TimedTable, _different, read_by, still, timed_tables
from tasks.params import parse
from tasks.stored import Stored

TEXT = pd.StringDtype(na_value=np.nan)
DAY = 86_400_000_000  # µs
START = int(pd.Timestamp("2024-01-01", tz="UTC").timestamp() * 1e6)


def spec(**features: Any) -> dict[str, Any]:
    return {
        "problem": {"name": "p", "kind": "binary", "table": "orders", "target": "late", "prediction_time": "at - 1h"},
        "data": {
            "tables": {
                "orders": {
                    "source": "o", "key": ["id"], "event_time": "at", "known_at": "told", "outcome": ["late", "told"],
                    "columns": {"id": "numeric", "at": "datetime", "told": "datetime", "who": "categorical", "shop": "categorical",
                                "size": "numeric", "mood": "numeric", "seen": "datetime", "note": "text", "late": "boolean"},
                },
                "people": {"source": "p", "key": ["who"], "columns": {"who": "categorical", "town": "categorical", "born": "datetime", "best": "numeric"}},
                "prices": {"source": "c", "key": ["shop", "since"], "event_time": "since", "known_at": "since + 1d",
                           "columns": {"shop": "categorical", "since": "datetime", "price": "numeric"}},
            }
        },
        "features": {"columns": ["shop", "size"], **features},
        "models": {"logistic": {}},
    }  # fmt: skip


def moments(*days: float | None) -> pd.Series:
    return pd.Series(
        pd.to_datetime([None if d is None else START + d * DAY for d in days], unit="us", utc=True)
    ).astype("datetime64[us, UTC]")


def orders(n: int = 8) -> pd.DataFrame:
    days = [float(i) for i in range(n)]
    return pd.DataFrame({
        "id": days, "at": moments(None, *days[1:]), "told": moments(*(d + 2 for d in days)),
        "who": pd.Series(list("aabbaabb")[:n], dtype=TEXT), "shop": pd.Series(list("xyxyxyxy")[:n], dtype=TEXT), "size": days,
        "mood": [0.5] * n, "seen": moments(*days), "note": pd.Series(["w"] * n, dtype=TEXT), "late": [0.0, 1] * (n // 2),
    })  # fmt: skip


LOOKUPS = [{"table": "people", "on": "who", "columns": ["town", "born", "best"]}, {"table": "prices", "on": "shop", "columns": ["price"]}]  # fmt: skip


def tables(n: int = 8) -> dict[str, pd.DataFrame]:
    people = pd.DataFrame({"who": pd.Series(["a", "b"], dtype=TEXT), "town": pd.Series(["u", "v"], dtype=TEXT),
                           "born": moments(-9, -8), "best": [1.0, 2.0]})  # fmt: skip
    prices = pd.DataFrame(
        {"shop": pd.Series(list("xxyy"), dtype=TEXT), "since": moments(0, 1, 2, 3), "price": [1.0, np.inf, 3, 4]}
    )
    return {"orders": orders(n), "people": people, "prices": prices}


def seen(**features: Any) -> dict[str, TimedTable]:
    plan, made = derive(parse(spec(**features))), tables()
    computed = pd.DataFrame({f.name: 1.0 for f in plan.features}, index=made["orders"].index[::-1])
    return {side.name: side for side in timed_tables(made, plan, made["orders"], computed)}


def test_tables_with_times_and_the_problems_own_are_looked_at() -> None:
    found = seen(lookups=LOOKUPS)
    assert list(found) == ["orders", "prices"]
    own, prices = found["orders"], found["prices"]
    assert (own.problem, prices.problem) == (True, False)
    assert own.t.tolist() == [MISSING, *(START + i * DAY for i in range(1, 8))]
    assert own.asked.tolist() == own.t.tolist(), "asked an hour before, and the row itself is no earlier"
    assert prices.t.tolist() == [START + i * DAY for i in range(4)]
    assert prices.asked.tolist() == [START + (i + 1) * DAY for i in range(4)]
    assert own.outcome == {"late", "told"}
    assert prices.outcome == set()
    assert own.read == ["shop", "size", "people.town", "people.best"], "a lookup without times stands for its column"
    assert list(own.looked.columns) == ["people.town", "people.best"]
    assert prices.read == ["price"]
    assert own.kind("people.best") == "number"
    made = tables()
    del made["prices"]
    plan = derive(parse(spec(lookups=LOOKUPS)))
    assert [s.name for s in timed_tables(made, plan, made["orders"], pd.DataFrame(index=range(8)))] == ["orders"]


def test_a_lookup_of_a_moment_or_of_a_table_with_times_stands_for_no_row() -> None:
    plan = derive(parse(spec(lookups=LOOKUPS)))
    assert [f.name for f in still(plan).features] == ["people.town", "people.best"]
    assert still(plan).children == {}


def test_the_target_is_an_outcome_also_where_nobody_says_so() -> None:
    tree = spec()
    del tree["data"]["tables"]["orders"]["outcome"], tree["data"]["tables"]["orders"]["known_at"]
    tree["problem"]["target"] = {"name": "heavy", "column": "mood", "above": 0.4}
    made = tables()
    (own,) = timed_tables({"orders": made["orders"]}, derive(parse(tree)), made["orders"], pd.DataFrame(index=range(8)))
    assert own.outcome == {"heavy", "mood"}


@pytest.mark.parametrize(
    ("features", "table", "wanted"),
    [
        ({}, "orders", ["shop", "size"]),
        ({"transforms": {"ratio": "mood / size", "twice": "`ratio` * 2"}}, "orders", ["shop", "size", "mood"]),
        ({"dates": {"seen": ["hour"]}}, "orders", ["shop", "size", "seen"]),
        ({"lookups": LOOKUPS}, "people", ["town", "born", "best"]),
        ({"lookups": LOOKUPS}, "prices", ["price"]),
        ({"lookups": LOOKUPS}, "orders", ["shop", "size"]),
        ({"history": [{"table": "orders", "by": ["who"], "windows": ["2d"], "columns": {"mood": ["mean"]}}]}, "orders", ["shop", "size", "mood"]),
        ({"history": [{"table": "orders", "by": ["who"], "windows": ["2d"], "columns": {"mood": ["mean"]}}]}, "prices", []),
    ],
)  # fmt: skip
def test_columns_under_suspicion_are_those_that_features_read(
    features: dict[str, Any], table: str, wanted: list[str]
) -> None:
    assert sorted(read_by(derive(parse(spec(**features))), table)) == sorted(wanted)


def keys_of(frame: pd.DataFrame, by: list[Any]) -> list[tuple[str, ...]]:
    """The keys of a table of rows with no other features than histories of it."""
    history = [{"table": "orders", "by": [keys], "windows": ["2d"], "columns": {"late": ["mean"]}} for keys in by]
    plan = derive(parse(spec(columns=["note" if not by else "size"], history=history)))
    (side,) = timed_tables({"orders": frame}, plan, frame, pd.DataFrame(index=frame.index))
    return side.keys


def test_keys_are_those_of_the_plan_then_levels_then_whole_numbers_that_come_again() -> None:
    n = 40
    frame = orders(8).loc[np.arange(n) % 8].reset_index(drop=True)
    frame["id"] = np.arange(float(n))
    frame["at"] = moments(*np.arange(float(n)))
    frame["size"] = np.arange(n) % 10.0
    assert keys_of(frame, ["shop"]) == [("shop",), ("who",), ("size",)]
    assert keys_of(frame, [["shop", "who"]]) == [("shop",), ("who",), ("size",), ("shop", "who")]
    frame["size"] = np.arange(n) % 9.0
    assert keys_of(frame, ["shop"]) == [("shop",), ("who",)], "nine numbers are no keys of anybody"
    assert keys_of(frame, ["size"]) == [("size",), ("who",), ("shop",)], "unless the plan says so"
    frame["size"] = np.arange(n) % 10.0 + 0.5
    assert keys_of(frame, ["shop"]) == [("shop",), ("who",)], "broken numbers are none"
    frame["who"] = pd.Series([f"w{i // 2}" for i in range(n)], dtype=TEXT)
    assert keys_of(frame, ["shop"]) == [("shop",), ("who",)], "half as many keys as rows"
    frame["who"] = pd.Series([f"w{i // 2}" for i in range(n - 1)] + ["alone"], dtype=TEXT)
    assert keys_of(frame, ["shop"]) == [("shop",)]
    frame["shop"] = "x"
    assert keys_of(frame, ["shop"]) == [], "one key is the table"


def test_four_keys_and_two_of_several_columns_at_most() -> None:
    n = 40
    tree = spec(columns=["note"])
    own = tree["data"]["tables"]["orders"]["columns"]
    names = [f"c{i}" for i in range(6)]
    own |= dict.fromkeys(names, "categorical")
    pairs = [["c4", "c5"], ["c3", "c4"], ["c2", "c3"]]
    tree["features"]["history"] = [{"table": "orders", "by": [p], "windows": ["2d"], "columns": {"late": ["mean"]}} for p in pairs]  # fmt: skip
    frame = orders(8).loc[np.arange(n) % 8].reset_index(drop=True)
    frame["id"], frame["at"] = np.arange(float(n)), moments(*np.arange(float(n)))
    for name in names:
        frame[name] = pd.Series([f"l{i % 4}" for i in range(n)], dtype=TEXT)
    plan = derive(parse(tree))
    (side,) = timed_tables({"orders": frame}, plan, frame, pd.DataFrame(index=frame.index))
    assert side.keys == [("c4",), ("c5",), ("c3",), ("c2",), ("c4", "c5"), ("c3", "c4")]
    assert len([key for key in side.keys if len(key) == 1]) == MOST
    assert _different(frame.assign(mood=np.arange(n) % 3), ("c4", "mood")) == 12
    assert _different(frame.assign(c4=frame["c4"].where(frame["c4"] != "l0")), ("c4",)) == 4, (
        "a missing part is one as well"
    )
    assert _different(frame[:0], ("c4",)) == 0


def test_values_of_rows_are_numbers_and_texts_and_none_of_them_is_infinite() -> None:
    prices, own = seen(lookups=LOOKUPS)["prices"], seen(lookups=LOOKUPS)["orders"]
    numbers, texts = prices.kept(np.array([3, 1]), ["price", "shop"])
    assert np.array_equal(numbers, [[4.0, np.nan], [np.nan, np.nan]], equal_nan=True)
    assert [list(t) for t in texts] == [["y", "x"]]
    numbers, texts = own.kept(np.array([0, 2]), ["at", "late", "seen"])
    assert np.isnan(numbers[0, 0])
    assert numbers[1].tolist() == [START + 2 * DAY, 0.0, START + 2 * DAY]
    assert texts == []
    assert [own.kind(c) for c in ("size", "late", "at", "who", "note")] == [
        "number",
        "number",
        "moment",
        "level",
        "level",
    ]


def test_columns_on_disk_are_read_once_for_the_rows_that_are_held(tmp_path: Path) -> None:
    frame = orders(8)
    frame.to_parquet(tmp_path / "orders.parquet")
    plan = derive(parse(spec()))
    stored = Stored(tmp_path / "orders.parquet")
    side = TimedTable(
        plan.tables["orders"], stored, np.zeros(8, np.int64), np.zeros(8, np.int64), [], [], frozenset(), True
    )
    side.hold(np.array([6, 2, 2, 4]), ["size", "size", "mood"])
    read: list[str] = []
    column = side.column

    def counted(name: str) -> pd.Series:
        read.append(name)
        return column(name)

    side.column = counted  # type: ignore[method-assign]
    assert side.at("size", np.array([2, 6, 4, 2])).tolist() == [2.0, 6.0, 4.0, 2.0]
    assert side.at("mood", np.array([2])).tolist() == [0.5]
    assert read == [], "they are held"
    assert side.at("size", np.array([2, 3])).tolist() == [2.0, 3.0]
    assert side.at("size", np.array([7])).tolist() == [7.0]
    assert side.at("id", np.array([4])).tolist() == [4.0]
    assert read == ["size", "size", "id"], "other rows and other columns are read"
    side.hold(np.array([], dtype=np.int64), ["size"])
    assert side.at("size", np.array([1])).tolist() == [1.0]
    whole = TimedTable(
        plan.tables["orders"], frame, np.zeros(8, np.int64), np.zeros(8, np.int64), [], [], frozenset(), True
    )
    whole.hold(np.array([1]), ["size"])
    assert whole._held == {}, "a frame in memory is not kept twice"
