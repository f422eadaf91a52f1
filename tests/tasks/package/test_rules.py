"""What goes into a package, by hand-made tables: golden rows, the reference, the manifest's fields, the online history."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import params
from tasks.artifacts import Choice, Failed
from tasks.bundle.horizon import Horizon, newest_known, parse
from tasks.engine.derive import derive
from tasks.engine.recipes import Need
from tasks.files import sha256, write_json
from tasks.identity import Rule
from tasks.package import contents
from tasks.package.contents import Parts, about_of, other_rows, parts, reference, seen_rows
from tasks.package.golden import AGES, FIRST, LATER, LATEST, ROWS, YEAR, _plain, after, choose, start_of_test
from tasks.package.history import Kept, horizon, keep, known, needs
from tasks.package.receipt import data_hashes, failures, lock_hash
from tasks.package.schema import events
from tests.samples import summary
from tests.tasks.package.projects import timed

DAY = 86_400_000_000
START = pd.Timestamp("2024-01-01", tz="UTC")


def features(splits: list[str], days: list[float | None]) -> pd.DataFrame:
    times = [pd.NaT if d is None else START + pd.Timedelta(days=d) for d in days]
    return pd.DataFrame({"__split__": splits, "__time__": pd.Series(times, dtype="datetime64[us, UTC]")})


def micros(day: float) -> int:
    return (START + pd.Timedelta(days=day)).value // 1000


# What an event looks like -----------------------------------------------------------------------------------------------


def test_an_event_of_each_table_has_its_columns_and_may_come_before_its_outcome() -> None:
    tree, _ = timed()
    orders = tree["data"]["tables"]["orders"]
    orders["columns"] |= {
        "note": "ignore",
        "price": {"kind": "numeric", "format": "1.234,50", "missing": ["-"], "min": 0},
    }
    orders["columns"]["delay"] = {"kind": "numeric", "nullable": False}
    orders["known_at"] = {"delay, arrived_at": "arrived_at + 1h"}
    found = events(params.parse(tree)).tables
    assert list(found) == ["orders", "shops"]
    row, fields = found["orders"].row, {field.name: field for field in found["orders"].row.fields}
    assert (row.table, row.disregarded, list(fields)) == (
        "orders",
        ["note"],
        [c for c in orders["columns"] if c != "note"],
    )
    assert [name for name, field in fields.items() if not field.required] == ["delay", "arrived_at"]
    assert fields["delay"].nullable, "its outcome may come later"
    assert (fields["price"].format, fields["price"].missing, fields["price"].min) == ("1.234,50", ["-"], 0)
    about = {name: value for name, value in found["orders"].to_dict().items() if name != "row"}
    an_hour, at_once = {"column": "arrived_at", "offset": 3_600_000_000}, {"column": "placed_at", "offset": 0}
    assert about == {
        "key": ["order"], "event_time": at_once, "known_at": None, "outcome": ["delay", "arrived_at"],
        "later": {"delay": an_hour, "arrived_at": an_hour},
    }  # fmt: skip
    assert (found["shops"].key, found["shops"].event_time) == (["shop"], None)


def test_a_row_that_no_source_has_and_a_label_that_is_made_are_no_part_of_an_event() -> None:
    tree, _ = timed()
    del tree["problem"]["prediction_time"]
    tree["problem"] |= {
        "table": {"snapshots": "shops", "every": "1d"},
        "target": {"from": "orders", "by": "shop", "within": "2d", "late": "2d", "any": True, "name": "ordered"},
    }
    tree["features"] = {}
    assert list(events(params.parse(tree)).tables) == ["orders", "shops"]


# Golden rows ----------------------------------------------------------------------------------------------------------


def test_golden_rows_are_test_rows_where_there_are_enough_else_of_all() -> None:
    table = features(["train"] * 30 + ["test"] * 15 + ["pending"] * 5, [None] * 50)
    assert set(choose(table, 0, None, ROWS)) == set(range(30, 50))
    table = features(["train"] * 31 + ["test"] * 19, [None] * 50)
    chosen = choose(table, 0, None, ROWS)
    assert len(set(chosen)) == ROWS
    assert min(chosen) < 31
    assert list(chosen) == sorted(chosen)
    assert list(chosen) == list(choose(table, 0, None, ROWS))
    assert list(chosen) != list(choose(table, 1, None, ROWS))
    assert list(choose(features(["test"] * 3, [None] * 3), 0, None, ROWS)) == [0, 1, 2]


def test_with_time_the_earliest_that_can_be_answered_are_among_them_and_the_others_are_new() -> None:
    days = list(np.random.default_rng(0).permutation(3000).astype(float))
    table = features(["test"] * 3000, days)
    chosen = choose(table, 0, micros(100), 16)
    moments = sorted(days[i] for i in chosen)
    assert moments[:FIRST] == [100.0, 101.0, 102.0, 103.0]
    assert len(moments) == 16
    assert min(moments[FIRST:]) >= 1000, "of the two thousand newest"
    everyone = choose(table, 0, None, 3000)
    assert sorted(days[i] for i in everyone)[: FIRST + 1] == [0.0, 1.0, 2.0, 3.0, 1000.0]


def test_a_package_answers_from_its_first_test_row_or_its_first_of_all() -> None:
    assert start_of_test(features(["train", "test", "test", "test"], [0, 9, 5, None])) == micros(5)
    assert start_of_test(features(["train", "train"], [3, 2])) == micros(2)
    assert start_of_test(features(["train", "test"], [None, None])) is None


def test_rows_after_the_end_lie_parts_and_multiples_of_a_window_behind_it() -> None:
    tree, _ = timed()
    plan = derive(params.parse(tree))  # asked an hour before placed_at
    rows = pd.DataFrame(
        {
            "order": np.arange(6.0),
            "placed_at": pd.Series([START + pd.Timedelta(days=d) for d in range(6)]).dt.as_unit("us"),
            "weight": 1.0,
        }
    )
    rows.loc[2, "placed_at"] = pd.NaT
    moved = after(
        rows,
        plan,
        Horizon(None, {"orders": micros(30), "other": micros(40)}, {"orders": 2 * DAY, "other": 4 * DAY, "x": None}),
    )
    assert moved["order"].tolist() == [1.0, 3.0, 4.0, 5.0], "the last ones that have a moment"
    asked = [t.value // 1000 - 3_600_000_000 for t in moved["placed_at"]]
    assert asked == [micros(40) + int(age * 4 * DAY) for age in AGES]
    assert len(moved) == LATER == len(AGES)
    assert AGES == (0.25, 1.5, 4.0, 30.0)
    patient = after(rows, plan, Horizon(None, {"orders": micros(30)}, {"orders": 50 * YEAR}))
    assert patient["placed_at"].iloc[0].value // 1000 - 3_600_000_000 == micros(30) + YEAR // 4, "a year at most"
    endless = after(rows, plan, Horizon(None, {"orders": micros(30)}, {"orders": None}))
    assert endless["placed_at"].iloc[0].value // 1000 - 3_600_000_000 == micros(30) + DAY // 4
    far = after(rows, plan, Horizon(None, {"orders": LATEST - 2 * DAY}, {"orders": DAY}))
    assert far["order"].tolist() == [1.0, 3.0], "later times are not served"
    assert after(rows, plan, Horizon()).empty
    assert list(after(rows.assign(placed_at=pd.NaT), plan, Horizon(None, {"orders": 0}, {}))) == list(rows)


def test_values_are_compared_by_their_bits() -> None:
    assert (_plain(np.nan), _plain(None), _plain("a"), _plain(np.float32(0.5))) == (None, None, "a", 0.5)
    assert repr(_plain(-0.0)) == "-0.0"


# The reference --------------------------------------------------------------------------------------------------------


def test_the_reference_is_of_known_rows_and_answers_are_of_held_out_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "FEW", 2)
    week = pd.Timedelta(days=7)
    table = features(["train", "valid", "test", "test", "test", "test", "pending"], [0, 10, 9, 10, 12, 20, 1])
    found = parts(table, week)
    assert found.known.tolist() == [0, 1, 2, 3], "what was seen, and test rows that are no newer"
    assert found.held_out.tolist() == [2, 3, 4], "the newest week is what the first run looks at"
    monkeypatch.setattr(contents, "FEW", 4)
    assert parts(table, week).held_out.tolist() == [2, 3, 4, 5], "unless few are left"
    timeless = parts(features(["train", "test", "test", "pending"], [None] * 4), week)
    assert (timeless.known.tolist(), timeless.held_out.tolist()) == ([0, 1, 2], [1, 2])


def test_the_references_rows_are_drawn_and_only_held_out_ones_have_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "REFERENCE_ROWS", 5)
    monkeypatch.setattr(contents, "HELD_OUT_ROWS", 3)
    table = pd.DataFrame({"__split__": ["train"] * 10 + ["test"] * 4, "x": np.arange(14.0)})

    def bundle(*columns: int) -> Any:
        plan = SimpleNamespace(features=[SimpleNamespace(name="x")])
        return SimpleNamespace(
            plan=plan, predict=lambda rows: np.multiply.outer(rows["x"].to_numpy(), np.ones(columns))
        )

    rows = Parts(np.arange(12), np.arange(10, 14))
    made = reference(bundle(2), table, rows, 0)
    assert list(made) == ["__split__", "x", "score_0", "score_1"]
    assert made["__split__"].tolist() == ["train"] * 5 + ["test"] * 3
    assert made["score_1"].isna().tolist() == [True] * 5 + [False] * 3
    assert made["score_1"].iloc[5:].tolist() == made["x"].iloc[5:].tolist() == sorted(made["x"].iloc[5:])
    assert len(set(made["x"])) == 8
    assert made.equals(reference(bundle(2), table, rows, 0))
    assert not made.equals(reference(bundle(2), table, rows, 1))
    assert list(reference(bundle(), table, rows, 0))[-1] == "score"


def test_seen_rows_and_where_rows_have_no_moment_the_others_are_remembered() -> None:
    rows = pd.DataFrame({"id": [1.0, 2.0, 3.0, 4.0], "x": 0.0})
    tree, _ = timed()
    keyed = Rule.of(params.parse(tree))
    rows = rows.rename(columns={"id": keyed.columns[0]})
    timeless = features(["train", "valid", "test", "pending"], [None] * 4)
    dated = features(["train", "valid", "test", "pending"], [1, 3, 4, 5])
    seen, others = seen_rows(rows, timeless, keyed), other_rows(rows, timeless, keyed)
    assert others is not None
    assert (len(seen.row), len(others.row), seen.until) == (2, 2, None)
    assert not set(seen.row) & set(others.row)
    assert other_rows(rows, dated, keyed) is None
    assert seen_rows(rows, dated, keyed).until == START + pd.Timedelta(days=3)


def test_the_manifest_says_what_was_chosen() -> None:
    given: Any = SimpleNamespace(problem=SimpleNamespace(name="p", kind="binary"))
    choice = Choice(
        family="voting", members=["a", "b"], weights=[2, 1], threshold=0.4, metric="f1", valid=0.9, test=0.8, baseline=None,
        reason="it is best",
    )  # fmt: skip
    about = about_of(given, choice, summary(), Horizon())
    assert about.to_dict() == {
        "name": "p", "kind": "binary", "target": "y", "classes": ["0", "1"], "threshold": 0.4, "family": "voting",
        "members": ["a", "b"], "weights": [2.0, 1.0], "answers_from": None, "known_until": {},
        "metrics": {"metric": "f1", "valid": 0.9, "test": 0.8, "baseline": None},
    }  # fmt: skip
    fixed = about_of(given, choice.model_copy(update={"calibration": {"slope": 2}}), summary(), Horizon())
    assert fixed.to_dict()["calibration"] == {"slope": 2}


# The history ----------------------------------------------------------------------------------------------------------


def test_only_the_columns_and_events_that_features_ask_for_are_kept() -> None:
    tree, tables = timed(200)
    tree["features"]["lookups"] += [{"table": "orders", "on": "shop", "columns": ["weight"], "within": "2d"}]
    plan = derive(params.parse(tree))
    found = needs(plan)
    assert found["orders"].columns == {"order", "placed_at", "arrived_at", "shop", "delay", "late", "weight"}
    assert found["orders"].reach == 7 * DAY
    assert (found["shops"].columns, found["shops"].reach) == ({"shop", "size"}, None)
    assert plan.row_columns() == ["placed_at", "shop", "weight", "gift"]
    need = Need(frozenset({"a"}), 5)
    assert need | Need(frozenset({"b"}), 3) == Need(frozenset({"a", "b"}), 5)
    assert (need | Need(reach=8)).reach == 8
    assert (need | Need(reach=None) | Need(reach=9)).reach is None

    orders = tables["orders"].assign(other=1.0)
    as_of = int(orders["arrived_at"].dropna().astype("int64").sort_values().iloc[100])
    facts = known(orders, plan, "orders", as_of)
    assert len(facts) == 101
    assert (facts["arrived_at"] <= pd.Timestamp(as_of, unit="us", tz="UTC")).all()
    assert len(known(orders, plan, "orders", None)) == orders["arrived_at"].notna().sum()
    event = facts["arrived_at" if plan.tables["orders"].event_time.column == "arrived_at" else "placed_at"]  # type: ignore[union-attr]
    since = int(event.astype("int64").sort_values().iloc[60]) + 7 * DAY
    kept = keep(facts, plan, "orders", found["orders"], since)
    assert len(kept.frame) == 41, "the event at the very beginning of the window is in it"
    assert kept.cut
    assert kept.known_until == as_of
    assert "other" not in kept.frame
    whole = keep(facts, plan, "orders", found["orders"], None)
    assert (len(whole.frame), whole.cut) == (101, False)
    early = keep(facts, plan, "orders", found["orders"], int(event.astype("int64").min()))
    assert (len(early.frame), early.cut) == (101, False)
    shops = keep(tables["shops"], plan, "shops", found["shops"], since)
    assert (len(shops.frame), shops.known_until, shops.cut) == (8, None, False)

    empty = pd.DataFrame()
    told = horizon(plan, {"orders": kept, "shops": shops}, since)
    assert (told.answers_from, dict(told.known_until)) == (since, {"orders": as_of})
    assert horizon(plan, {"orders": Kept(empty, 5, False)}, since).answers_from is None


def test_what_is_known_until_when_is_told_by_the_events_that_are_known() -> None:
    tree, tables = timed(200)
    plan = derive(params.parse(tree))
    orders = tables["orders"]
    assert orders["arrived_at"].isna().any()
    assert newest_known(plan, "orders", orders) == orders["arrived_at"].max().value // 1000
    assert newest_known(plan, "orders", orders[orders["arrived_at"].isna()]) is None


def test_a_receipt_names_every_input_and_no_seconds(tmp_path: Path) -> None:
    for name in ("raw/manifest.json", "raw/t.parquet", "validated/t.parquet", "features/plan.json", "tuning/mlp/best.json",
                 "tuning/mlp/timing.json", "models/mlp/model/a.bin", "models/gone/a.bin", "evaluation/deep/choice.json"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = data_hashes(tmp_path, ["mlp", "absent"])
    assert list(found) == [
        "raw/manifest.json", "validated/t.parquet", "features/plan.json", "evaluation/deep/choice.json", "tuning/mlp/best.json",
        "models/mlp/model/a.bin",
    ]  # fmt: skip
    assert all(digest == sha256(tmp_path / name) for name, digest in found.items())
    record = {"family": "mlp", "stage": "tune", "why": "no rows"}
    write_json(tmp_path / "models" / "mlp" / "failed.json", record)
    assert failures(tmp_path, ["ridge", "mlp"]) == {"mlp": Failed.of_json(record)}
    assert lock_hash() == sha256(Path(contents.__file__).parents[2] / "requirements.lock")


def test_moments_are_read_with_their_zone_to_the_microsecond() -> None:
    assert parse("1970-01-02T00:00:00.000001+01:00") == 23 * 3_600_000_000 + 1
    assert parse("1969-12-31T23:59:59.5Z") == -500_000
    with pytest.raises(ValueError, match="names no zone"):
        parse("2024-01-01T00:00:00")
