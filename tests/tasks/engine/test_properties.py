"""The engine against the definition, and what must never change a row's features."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.engine import Plan
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.online import start
from tasks.engine.recipes import Aggregate, LookedUp
from tasks.params import parse
from tests.tasks.engine import oracle
from tests.tasks.engine.worlds import (
    assert_same,
    moments,
    params,
    plan,
    plan_by_column,
    tree,
    world,
    world_by_column,
)

APPROXIMATE = ("entropy", "trend", "decayed_mean")  # the definition itself rounds on the way
BOTH = (False, True)


def examples(full: bool, *options: tuple) -> Iterator[tuple]:
    """A seed beside each combination of the options, four at least; forty times as many in the full size."""
    every = list(product(*options))
    for seed in range(max(4, len(every)) * (40 if full else 1)):
        yield seed, *every[seed % len(every)]


def case(by_column: bool, seed: int, n: int, late: bool = True) -> tuple[Plan, dict[str, pd.DataFrame]]:
    return (plan_by_column(), world_by_column(seed, n, late)) if by_column else (plan(), world(seed, n, late))


def as_events(frame: pd.DataFrame, event: str, *known: str, hours: int | None = None) -> list[dict]:
    """Events, known when all of the moments ``known`` have come, and ``hours`` have passed."""
    records = frame.to_dict("records")
    for r in records:
        r["__s__"] = oracle.micros(r[event])
        moments = [oracle.micros(r[k]) for k in known]
        if hours is not None:
            moments.append(None if r["__s__"] is None else r["__s__"] + hours * oracle.HOUR)
        r["__k__"] = None if None in moments else max(moments)
        r["id"] = r.get("id", r.get("pid"))
    return records


def check_against_definition(plan: Plan, tables: dict[str, pd.DataFrame], by_column: bool = False) -> None:
    rows = tables["orders"]
    found = compute(plan, tables, rows)
    events = as_events(rows, "happened", "known")
    prices = as_events(tables["prices"], "since", "since" if by_column else "told")
    of_column: dict[str | None, list[dict]] = {}
    if by_column:
        of_column = dict.fromkeys(("amount", "paid"), as_events(rows, "happened", "known", "checked"))
        of_column["shop"] = as_events(rows, "happened", "known", hours=24)
        of_column["label"] = as_events(tables["prices"], "since", "since", hours=3)
    people = tables["people"].set_index("who")["age"]
    for i, row in enumerate(events):
        t = oracle.micros(row["asked"])
        for f in plan.features:
            recipe, got = f.recipe, found[f.name].iloc[i]
            if isinstance(recipe, Aggregate):
                key = tuple(row[c] for c in recipe.by)
                of = of_column.get(recipe.column, events)
                seen = oracle.visible(of, key, recipe.by, t, str(recipe.window), row["id"])
                name, argument = recipe.primitive.name, recipe.primitive.argument or ""
                if recipe.column is None:
                    want = float(len(seen))
                else:
                    want = oracle.value(name, argument, recipe.column, seen, t)
                close = name in APPROXIMATE and not oracle.missing(want) and not oracle.missing(got)
                same = close and np.isclose(got, want, rtol=1e-6, atol=1e-7)
                assert same or oracle.same_bits(got, want), (f.name, i, got, want)
            elif isinstance(recipe, LookedUp) and recipe.table == "prices":
                of = of_column.get(recipe.column, prices)
                seen = oracle.visible(of, (row["who"],), ["who"], t, str(recipe.within), None)
                want = seen[-1][recipe.column] if seen else np.nan
                assert oracle.same_bits(got, want), (f.name, i, got, want)
            elif isinstance(recipe, LookedUp):
                assert oracle.same_bits(got, people.get(row["who"], np.nan)), (f.name, i)


@pytest.mark.sweep
def test_agrees_with_the_definition(full: bool) -> None:
    for seed, late, decimals in examples(full, BOTH, BOTH):
        check_against_definition(plan(), world(seed, 25, late, decimals))


@pytest.mark.sweep
def test_columns_that_become_known_after_their_row_agree_with_the_definition(full: bool) -> None:
    for seed, late in examples(full, BOTH):
        check_against_definition(plan_by_column(), world_by_column(seed, 25, late), by_column=True)


@pytest.mark.sweep
def test_decayed_means_agree_with_the_definition(full: bool) -> None:
    for seed, late in examples(full, BOTH):
        decayed = tree(["3h", "all"], {"amount": ["decayed_mean(1h)", "decayed_mean(10m)"]})
        check_against_definition(derive(parse(decayed)), world(seed, 30, late))


@pytest.mark.sweep
def test_later_events_never_change_earlier_rows(full: bool) -> None:
    for seed, late in examples(full, BOTH):
        tables = world(seed, 60, late)
        cut = moments([25.0]).iloc[0]
        rows = tables["orders"][tables["orders"]["asked"] <= cut]
        known = {"orders": "known", "prices": "told"}
        earlier = {name: t[~(t[known[name]] >= cut)] if name in known else t for name, t in tables.items()}
        assert_same(compute(plan(), earlier, rows), compute(plan(), tables, rows))


@pytest.mark.sweep
def test_the_order_of_the_input_changes_nothing(full: bool) -> None:
    for seed, by_column in examples(full, BOTH):
        plan, tables = case(by_column, seed, 40)
        shuffled = {n: t.sample(frac=1, random_state=seed % 1000).reset_index(drop=True) for n, t in tables.items()}
        rows = tables["orders"]
        found = compute(plan, tables, rows)
        assert_same(found, compute(plan, shuffled, rows))
        order = np.random.default_rng(seed).permutation(len(rows))
        moved = compute(plan, tables, rows.iloc[order])
        assert moved.index.tolist() == order.tolist()
        assert_same(found, moved.sort_index())


@pytest.mark.sweep
def test_splitting_the_rows_changes_nothing(full: bool) -> None:
    for seed, parts in examples(full, (2, 3, 5, 7)):
        tables = world(seed, 60)
        rows = tables["orders"]
        pieces = [compute(plan(), tables, rows.iloc[i]) for i in np.array_split(np.arange(len(rows)), parts)]
        assert_same(compute(plan(), tables, rows), pd.concat(pieces))


@pytest.mark.sweep
def test_one_row_online_gives_the_bits_of_the_batch(full: bool) -> None:
    for seed, late, by_column in examples(full, BOTH, BOTH):
        plan, tables = case(by_column, seed, 40, late)
        rows = tables["orders"]
        state = start(plan, tables)
        online = pd.DataFrame([state.compute_row(r) for r in rows.to_dict("records")])
        found = compute(plan, tables, rows)
        assert_same(found, online.astype(found.dtypes))


@pytest.mark.sweep
def test_events_taken_in_one_by_one_give_the_bits_of_the_batch(full: bool) -> None:
    for seed, late, by_column in examples(full, BOTH, BOTH):
        plan, tables = case(by_column, seed, 40, late)
        rng = np.random.default_rng(seed)
        state = start(plan, {name: t.iloc[:0] for name, t in tables.items()})
        for name, table in tables.items():
            for i in np.array_split(rng.permutation(len(table)), 5):
                state.update(name, table.iloc[i] if rng.random() < 0.5 else table.iloc[i].to_dict("records"))
        rows = tables["orders"]
        online = pd.DataFrame([state.compute_row(r) for r in rows.to_dict("records")])
        found = compute(plan, tables, rows)
        assert_same(found, online.astype(found.dtypes))


def test_a_plan_survives_json_with_its_hash() -> None:
    import json

    first = plan()
    again = Plan.from_dict(json.loads(json.dumps(first.to_dict())))
    assert again == first
    assert again.hash == first.hash == derive(params()).hash
    assert derive(parse(tree(["2h"]))).hash != first.hash
    by_column = plan_by_column()
    assert Plan.from_dict(json.loads(json.dumps(by_column.to_dict()))) == by_column
    assert "later" not in first.to_dict()["tables"]["orders"]  # plans of earlier versions keep their hash


def test_names_read_well() -> None:
    names = plan().names
    for name in ("who.mean(amount, 2h)", "who+where.count(last 3)", "who.share(shop, b, 1d)", "prices.price"):
        assert name in names
    assert all(f.description for f in plan().features)


@pytest.mark.parametrize(("memory_mb", "by_column"), [(1, False), (1000, False), (1, True)])
def test_pieces_from_files_give_the_bits_of_the_whole(
    memory_mb: int, by_column: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.engine import from_disk

    monkeypatch.setattr(from_disk, "CHUNK", 37)
    monkeypatch.setattr(from_disk, "BATCH", 20)
    monkeypatch.setattr(from_disk, "COPIES", 12_000)  # as if each part took more memory, so that there are many
    plan, tables = case(by_column, 5, 120)
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet", row_group_size=50)
    sources = {name: tmp_path / f"{name}.parquet" for name in tables}
    made = pd.concat(from_disk.compute_from_disk(plan, sources, memory_mb))
    assert len(made) == 120
    assert_same(compute(plan, tables, tables["orders"]), made)


@pytest.mark.parametrize("late", [True, False])
def test_the_columns_used_are_all_that_a_plan_needs(late: bool) -> None:
    made, tables = case(late, 9, 60, late)
    for of in (made, derive(parse(tree(["1d", "last 2"], DEEP)))):
        used = of.columns_used()
        fewer = {name: table[[c for c in table if c in used[name]]] for name, table in tables.items() if name in used}
        assert_same(compute(of, tables, tables["orders"]), compute(of, fewer, fewer["orders"]))


DEEP = {
    "people.age": ["mean", "count"],
    "prices.price": ["max"],
    "who.mean(amount, 1d)": ["max", "last"],
    "where.count(2h)": ["mean"],
    "amount": ["mean"],
}


@pytest.mark.sweep
def test_depth_two(full: bool) -> None:
    """Aggregates of the events' own features: by hand as further columns, and online with events in any order."""
    for seed, late in examples(full, BOTH):
        deep = derive(parse(tree(["1d", "last 2"], DEEP)))
        assert "who.max(who.mean(amount, 1d), 1d)" in deep.names
        tables = world(seed, 40, late)
        rows = tables["orders"]
        found = compute(deep, tables, rows)
        child = deep.children["orders"]
        inner = compute(child, tables, rows)
        by_hand = {**tables, "orders": pd.concat([rows, inner], axis=1)}
        events = as_events(by_hand["orders"], "happened", "known")
        for i, row in enumerate(events):
            for f in deep.features:
                recipe = f.recipe
                if isinstance(recipe, Aggregate) and recipe.column is not None:
                    key = tuple(row[c] for c in recipe.by)
                    t = oracle.micros(row["asked"])
                    seen = oracle.visible(events, key, recipe.by, t, str(recipe.window), row["id"])
                    want = oracle.value(recipe.primitive.name, None, recipe.column, seen, t)
                    assert oracle.same_bits(found[f.name].iloc[i], want), (f.name, i)
        state = start(deep, {name: t.iloc[: len(t) // 2] for name, t in tables.items()})
        rng = np.random.default_rng(seed)
        for name, table in tables.items():
            for part in np.array_split(rng.permutation(np.arange(len(table) // 2, len(table))), 3):
                state.update(name, table.iloc[part])
        online = pd.DataFrame([state.compute_row(r) for r in rows.to_dict("records")])
        assert_same(found, online.astype(found.dtypes))


@pytest.mark.parametrize("seed", [1, 2])
def test_depth_two_with_events_one_by_one_in_any_order(seed: int) -> None:
    """The newest come first, and then, among older ones, such as change what the events' own features were."""
    deep = derive(parse(tree(["1d", "last 2"], {"who.mean(amount, 1d)": ["max"], "amount": ["mean"]})))
    tables = world(seed, 16)
    orders = tables["orders"].sort_values("happened", ignore_index=True)
    tables["orders"] = orders
    state = start(deep, {**tables, "orders": orders.iloc[:4]})
    order = [15, 6, 14, 5, 7, 4, *np.random.default_rng(seed).permutation(np.arange(8, 14)).tolist()]
    for at in order:
        state.update("orders", orders.iloc[[at]])
    found = compute(deep, tables, orders)
    online = pd.DataFrame([state.compute_row(r) for r in orders.to_dict("records")])
    assert_same(found, online.astype(found.dtypes))


def test_an_event_is_not_given_features_from_after_it_was_known() -> None:
    deep = derive(parse(tree(["all"], {"who.count(all)": ["max"]})))
    child = deep.children["orders"]
    assert child.cap is not None
    tables = world(1, 60)
    orders = tables["orders"]
    late_asked = orders.assign(asked=orders["known"] + pd.Timedelta("9h"))
    at_known = orders.assign(asked=orders["known"])
    assert_same(compute(child, tables, late_asked), compute(child, tables, at_known))
