"""What ``history: auto`` and ``lookups: auto`` derive from the declarations, and that it computes what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from tasks.engine import Plan
from tasks.engine.auto import MOST, Windows, _bounded, any_windows, history_keys, history_of, lookups_of
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.online import start
from tasks.engine.recipes import Aggregate, OwnColumn
from tasks.errors import RefitError
from tasks.params import Params, load, parse
from tests.tasks.engine import oracle
from tests.tasks.engine.test_properties import as_events, check_against_definition
from tests.tasks.engine.worlds import assert_same, moments, tree, world

ROOT = Path(__file__).parents[3]
SPANS = ("1d", "7d", "28d")


def windows(params: Params) -> Windows:
    """The same for each key; which ones the data ask for is another matter (test_rhythm)."""
    return dict.fromkeys(any_windows(params), SPANS)


def flights() -> Params:
    params = load(ROOT / "params.yaml")
    auto = {"history": "auto", "lookups": "auto", "transforms": {}, "polynomial": None}
    return params.model_copy(update={"features": params.features.model_copy(update=auto)})


def small(**features: Any) -> dict[str, Any]:
    """The orders' world with few declared places, so that there is a pair of keys."""
    base = tree(**{"history": "auto", "lookups": "auto", **features})
    tables = base["data"]["tables"]
    tables["orders"]["columns"]["where"] = "categorical"
    tables["orders"]["columns"]["desk"] = {"kind": "categorical", "allowed": ["a", "b"]}
    tables["orders"]["columns"]["shop"] = {"kind": "categorical", "allowed": ["a", "b"]}
    return base


def small_world(seed: int, n: int = 40) -> dict[str, Any]:
    tables = world(seed, n)
    rng = np.random.default_rng(seed)
    orders = tables["orders"]
    orders["where"] = orders["where"].map({0.0: "in", 1.0: "out"}).astype("str")
    orders["desk"] = rng.choice(["a", "b"], n)
    orders["desk"] = orders["desk"].astype("str")
    return tables


def test_the_flights_get_what_one_would_list() -> None:
    params = flights()
    own, weather = history_of(params, windows(params))
    assert own.table == "flights"
    assert own.windows == SPANS
    # keys of other tables, then categories; pairs with the airport, whose three values are declared
    assert own.by == (("tailnum",), ("origin",), ("carrier",), ("dest",), ("origin", "carrier"), ("origin", "dest"))
    assert list(own.columns)[:2] == ["late", "arr_delay"]
    assert own.columns["late"] == ("mean",)
    assert own.columns["arr_delay"] == ("mean", "std")
    assert (weather.table, weather.by) == ("weather", (("origin",),))
    assert not {"origin", "time_hour"} & set(weather.columns)
    looks = {look.table: look for look in lookups_of(params)}
    assert {name: look.on for name, look in looks.items()} == {
        "planes": {"tailnum": "tailnum"}, "weather": {"origin": "origin"},
    }  # fmt: skip
    assert set(looks["planes"].columns) == set(params.data.tables["planes"].columns) - {"tailnum"}
    assert not {"origin", "time_hour"} & set(looks["weather"].columns)


def test_the_plan_is_bounded_stable_and_that_of_the_same_list() -> None:
    params = flights()
    plan = derive(params, windows(params))
    aggregates = [f for f in plan.features if isinstance(f.recipe, Aggregate)]
    assert 100 < len(aggregates) <= MOST
    assert {"carrier.mean(late, 7d)", "origin+dest.std(arr_delay, 28d)", "tailnum.count(1d)"} <= set(plan.names)
    assert derive(flights(), windows(params)).hash == plan.hash
    assert Plan.from_dict(plan.to_dict()) == plan
    listed = {"history": history_of(params, windows(params)), "lookups": lookups_of(params)}
    by_hand = params.model_copy(update={"features": params.features.model_copy(update=listed)})
    assert derive(by_hand).hash == plan.hash
    own = params.data.tables["flights"]
    assert not {f.recipe.column for f in plan.features if isinstance(f.recipe, OwnColumn)} & {*own.outcome, "late"}


def test_many_columns_stay_below_the_cap_with_the_target_kept() -> None:
    base = small()
    orders = base["data"]["tables"]["orders"]
    more = {f"n{i}": "numeric" for i in range(80)}
    orders["columns"] |= more
    orders["outcome"] = [*more, *orders["outcome"]]
    for i in range(5):
        base["data"]["tables"][f"visits{i}"] = {
            "source": "x", "key": ["vid"], "event_time": "at",
            "columns": {"vid": "numeric", "at": "datetime", "who": "categorical", **more},
        }  # fmt: skip
    params = parse(base)
    plan = derive(params, windows(params))
    made = [f for f in plan.features if isinstance(f.recipe, Aggregate)]
    assert len(made) <= MOST
    found = history_of(params, windows(params))
    assert [past.table for past in found] == ["orders", "prices", *(f"visits{i}" for i in range(5))]
    assert next(iter(found[0].columns)) == "y"
    assert all(past.columns for past in found)


def test_neither_outcomes_nor_the_events_own_key_are_keys() -> None:
    base = small()
    tables = base["data"]["tables"]
    tables["orders"]["columns"]["vid"] = "numeric"  # a visit's number means nothing by itself
    tables["visits"] = {
        "source": "x", "key": ["vid"], "event_time": "at",
        "columns": {"vid": "numeric", "at": "datetime", "id": "numeric", "shop": "categorical", "spent": "numeric"},
    }  # fmt: skip
    params = parse(base)
    by = {past.table: past.by for past in history_of(params, windows(params))}
    assert by["visits"] == (("id",),)  # a row's own key finds its events; the outcome `shop` does not
    assert by["orders"] == (("who",), ("vid",), ("where",), ("desk",), ("where", "desk"))
    base["features"]["history"] = []
    assert {look.table: look.on for look in lookups_of(parse(base))} == {
        "people": {"who": "who"}, "visits": {"vid": "vid"},
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_agrees_with_the_definition(seed: int) -> None:
    lookups = tree()["features"]["lookups"]
    params = parse(small(lookups=lookups))
    plan = derive(params, windows(params))
    prices = {f.name for f in plan.features if isinstance(f.recipe, Aggregate) and f.recipe.table == "prices"}
    assert "prices[who].mean(price, 7d)" in prices
    own = Plan(
        plan.table, plan.tables, tuple(f for f in plan.features if f.name not in prices), plan.time, plan.cap,
        plan.target, plan.children,
    )  # fmt: skip
    assert {"who.share(shop, a, 7d)", "who.n_unique(shop, 28d)", "where+desk.mean(y, 1d)"} <= set(own.names)
    check_against_definition(own, small_world(seed, 30))
    tables = small_world(seed, 30)
    found = compute(plan, tables, tables["orders"])
    events = as_events(tables["prices"], "since", "told")
    for i, row in enumerate(tables["orders"].to_dict("records")):
        t = oracle.micros(row["asked"])
        for name in ("count", "mean"):
            seen = oracle.visible(events, (row["who"],), ["who"], t, "7d", None)
            want = float(len(seen)) if name == "count" else oracle.value(name, None, "price", seen, t)
            feature = "prices[who].count(7d)" if name == "count" else "prices[who].mean(price, 7d)"
            assert oracle.same_bits(found[feature].iloc[i], want), (feature, i)


def test_later_events_never_change_earlier_rows_and_online_gives_the_same_bits() -> None:
    params = parse(small())
    plan = derive(params, windows(params))
    tables = small_world(7, 60)
    rows = tables["orders"]
    whole = compute(plan, tables, rows)
    assert whole.notna().any().all()
    cut = moments([25.0]).iloc[0]
    early = rows[rows["asked"] <= cut]
    known = {"orders": "known", "prices": "told"}
    before = {name: t[~(t[known[name]] >= cut)] if name in known else t for name, t in tables.items()}
    assert_same(compute(plan, before, early), whole.loc[early.index])
    state = start(plan, tables)
    for i, row in enumerate(rows.head(10).to_dict("records")):
        one = state.compute_row(row)
        assert all(oracle.same_bits(one[name], whole[name].iloc[i]) for name in plan.names)


def refused(base: dict[str, Any], folder: Path) -> str:
    """What loading says to it."""
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(base, file)
    with pytest.raises(RefitError) as caught:
        load(folder / "params.yaml")
    return str(caught.value).removeprefix(str(folder))


def line(key: str, folder: Path) -> int:
    return next(i for i, text in enumerate((folder / "params.yaml").read_text().split("\n"), 1) if text == key)


def test_auto_that_cannot_be_is_refused_with_its_line_before_anything_runs(tmp_path: Path) -> None:
    base = small()
    del base["problem"]["prediction_time"]
    assert "features.history: 'auto' needs problem.prediction_time" in refused(base, tmp_path)
    base = small(history=[], lookups="auto")
    base["data"]["tables"]["people"]["key"] = []
    said = refused(base, tmp_path)
    at = line("  lookups: auto", tmp_path)
    assert said.startswith(f"/params.yaml:{at}: features.lookups: 'auto' finds no other table whose key consists")
    base = small(lookups=[])
    for table in base["data"]["tables"].values():
        for field in ("event_time", "known_at", "outcome"):
            table.pop(field, None)
    said = refused(base, tmp_path)
    at = line("  history: auto", tmp_path)
    assert said.startswith(f"/params.yaml:{at}: features.history: 'auto' finds no table with event_time")
    base = small(lookups=[])
    base["data"]["tables"]["orders"]["key"] = []
    assert "data.tables.orders.key: history over the problem's own table needs a key" in refused(base, tmp_path)
    assert "features.history: must be one of 'auto'; found 'atuo'. Did you mean 'auto'" in refused(
        small(history="atuo"), tmp_path
    )
    assert "features.lookups: expected a list, as in [a, b]" in refused(small(lookups={"table": "people"}), tmp_path)


def test_what_the_windows_of_auto_may_come_to_be_can_be_named_and_nothing_else() -> None:
    named = {
        "history": "auto",
        "lookups": [],
        "transforms": {"rise": "`who.mean(amount, 7d)` - `who.mean(amount, 92d)`"},
    }
    params = parse(small(**named))
    derive(params, dict.fromkeys(any_windows(params), ("7d", "31d", "92d")))
    with pytest.raises(RefitError, match=r"'who\.mean\(amount, 92d\)' is neither .* list the history to fix them"):
        derive(params, windows(params))
    named["transforms"] = {"rise": "`who.mean(amount, 8d)` * 2"}
    with pytest.raises(RefitError, match=r"features\.transforms\.rise: 'who\.mean\(amount, 8d\)' is neither"):
        parse(small(**named))


def test_columns_are_left_out_from_the_last_one_on_where_there_is_no_room() -> None:
    columns = {"a": ("mean", "std"), "b": ("mean",), "c": ("n_unique", "share(x)", "share(y)")}
    assert _bounded(columns, 6) == columns
    assert _bounded(columns, 4) == {"a": ("mean", "std"), "b": ("mean",), "c": ("n_unique",)}
    assert _bounded(columns, 3) == {"a": ("mean", "std"), "b": ("mean",)}
    assert _bounded(columns, 1) == {"a": ("mean",)}
    assert _bounded(columns, 0) == {}


def test_six_keys_three_pairs_and_three_shares_at_most() -> None:
    columns: dict[str, Any] = {"id": "numeric", "at": "datetime", "y": "boolean"}
    columns |= {f"c{i}": {"kind": "categorical", "allowed": list("abcd")} for i in range(8)}
    spec = {
        "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y", "prediction_time": "at"},
        "data": {"tables": {"t": {"source": "x", "key": ["id"], "event_time": "at", "known_at": "at", "outcome": ["y"], "columns": columns}}},
        "features": {"history": "auto"},
        "models": {"logistic": {}},
    }  # fmt: skip
    params = parse(spec)
    keys = history_keys(params)["t"]
    assert keys == (("c0",), ("c1",), ("c2",), ("c3",), ("c4",), ("c5",), ("c0", "c1"), ("c0", "c2"), ("c0", "c3"))
    spec["data"]["tables"]["t"]["outcome"] = ["y", "c7"]  # type: ignore[index]
    later = parse(spec)
    assert ("c7",) not in history_keys(later)["t"]
    (history,) = history_of(later, {("t", key): ("1d",) for key in history_keys(later)["t"]})
    assert history.columns == {"y": ("mean",), "c7": ("n_unique", "share(a)", "share(b)", "share(c)")}
    spec["data"]["tables"]["t"]["key"] = ["c0"]  # alone the key of a table: no key of events, and in no pair
    assert history_keys(parse(spec))["t"] == (
        ("c1",), ("c2",), ("c3",), ("c4",), ("c5",), ("c6",), ("c1", "c2"), ("c1", "c3"), ("c1", "c4"),
    )  # fmt: skip
