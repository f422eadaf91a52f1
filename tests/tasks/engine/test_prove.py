"""The prover finds planted leaks of many kinds, and raises no alarm where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tasks.engine import Feature, Plan
from tasks.engine.compute import compute as by_batch
from tasks.engine.derive import derive
from tasks.engine.facts import Time
from tasks.engine.prove import Findings, Future, _changed, _randomised, change_the_future, keys_of, prove
from tasks.engine.recipes import OwnColumn
from tasks.params import parse
from tests.tasks.engine.worlds import moments, tree

Tables = dict[str, pd.DataFrame]
N = 1500


@cache
def base() -> tuple[Tables, Plan]:
    """Orders asked for before they happen, with a plan that is honest about them."""
    rng = np.random.default_rng(0)
    asked = np.sort(rng.integers(0, 4000, N) / 4)
    orders = pd.DataFrame(
        {
            "id": rng.permutation(N).astype(float),
            "asked": moments(asked),
            "happened": moments(asked + rng.choice([0.5, 1, 2], N)),
            "who": pd.Series(rng.choice([f"p{i}" for i in range(40)], N), dtype="str"),
            "where": rng.integers(0, 5, N).astype(float),
            "note": pd.Series(rng.choice(["x", "y", "z"], N), dtype="str"),
            "extra": rng.normal(size=N),
            "amount": rng.normal(size=N),
            "paid": rng.integers(0, 2, N).astype(float),
            "shop": pd.Series(rng.choice(["a", "b"], N), dtype="str"),
        }
    )
    orders["known"] = orders["happened"] + pd.to_timedelta(rng.choice([0, 1, 5], N), unit="h")
    orders["y"] = (rng.random(N) < 0.3 + 0.1 * (orders["where"] > 2)).astype(float)
    last = orders["asked"] > moments([960.0]).iloc[0]
    for column in ("amount", "paid", "y"):
        orders.loc[last, column] = np.nan
    orders.loc[last, ["happened", "known"]] = pd.NaT
    prices = pd.DataFrame(
        {
            "pid": np.arange(200.0),
            "who": pd.Series(rng.choice([f"p{i}" for i in range(40)], 200), dtype="str"),
            "since": moments(rng.integers(0, 4000, 200) / 4),
            "price": rng.normal(size=200),
            "label": pd.Series(rng.choice(["lo", "hi"], 200), dtype="str"),
        }
    )
    prices["told"] = prices["since"] + pd.Timedelta("3h")
    people = pd.DataFrame({"who": pd.Series([f"p{i}" for i in range(40)], dtype="str"), "age": rng.normal(40, 9, 40)})
    spec = tree(["2h", "1d"], {"amount": ["mean", "max"], "shop": ["n_unique"]})
    spec["features"]["columns"] = ["where", "note", "extra"]
    columns = spec["data"]["tables"]["orders"]["columns"]
    columns |= {"note": "categorical", "extra": "numeric"}
    return {"orders": orders, "prices": prices, "people": people}, derive(parse(spec))


def splits(orders: pd.DataFrame) -> np.ndarray:
    first = orders["asked"].quantile(0.7)
    late = (orders["asked"] < first) & (orders["known"] >= first)
    part = np.where(orders["asked"] < first, "train", "test")
    return np.where(late | orders["y"].isna(), "pending", part)


def look(tables: Tables, plan: Plan, compute: Callable = by_batch, split: np.ndarray | None = None) -> Findings:
    orders = tables["orders"]
    part = splits(orders) if split is None else split
    return prove(tables, plan, orders, orders["y"].to_numpy(), part, compute=compute, moments=3, sample=600)


def test_no_alarm_on_honest_orders() -> None:
    tables, plan = base()
    findings = look(tables, plan)
    assert findings.ok, str(findings)
    said = str(findings)
    assert said.startswith("no leak found\nchecked: the future made random after 3 moments, up to 600 rows each\n")
    for what in (
        "moments inside rows",
        "aggregate over times to come",
        "each feature alone",
        "training and test share",
    ):
        assert said.count(what) == 1, what


def test_a_column_that_is_known_after_its_row_is_held_to_its_own_moment() -> None:
    """Rows count when they happen, their amounts when they are known: an honest plan, and one that takes them with the row."""
    tables, plan = base()
    own = replace(plan.tables["orders"], known_at=None, later=dict.fromkeys(("amount", "y", "known"), Time("known")))
    by_column = replace(plan, tables={**plan.tables, "orders": own})
    assert look(tables, by_column).ok, str(look(tables, by_column))

    def with_the_row(plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
        early = replace(plan, tables={**plan.tables, "orders": replace(own, later={})})
        return by_batch(early, tables, rows)

    found = [f for f in look(tables, by_column, with_the_row).findings if f.kind == "future"]
    assert found
    assert all("amount" in f.where for f in found)
    assert any("it reads orders.amount" in f.why for f in found)  # a column changed alone may leave a maximum as it is


# --- leaks in the data: a column that should not have been there -----------------------------------------------------
Plant = Callable[[pd.DataFrame, np.random.Generator], pd.Series]
COLUMNS: dict[str, Plant] = {
    "the target itself": lambda o, r: o["y"],
    "the target upside down": lambda o, r: 1 - o["y"],
    "the target with a little noise": lambda o, r: o["y"] + r.normal(0, 0.1, len(o)),
    "the target scaled and shifted": lambda o, r: 1e6 * o["y"] - 7,
    "the target in a bend": lambda o, r: np.abs(o["y"] - 0.5) + o["y"].fillna(0) * np.sign(r.normal(size=len(o))),
    "missing where the target is 0": lambda o, r: pd.Series(np.where(o["y"] == 1, r.normal(size=len(o)), np.nan)),
    "a row number after sorting by target": lambda o, r: o["y"].rank(method="first"),
    "two far ranges": lambda o, r: np.where(o["y"] == 1, r.uniform(5, 9, len(o)), r.uniform(-3, 3, len(o))),
    "filled in with the label": lambda o, r: pd.Series(np.where(o["y"].isna(), np.nan, r.normal(size=len(o)))),
    "zero until the label is there": lambda o, r: pd.Series(np.where(o["y"].isna(), 0.0, r.integers(1, 9, len(o)))),
}


@pytest.mark.parametrize("leak", COLUMNS)
def test_columns_that_know(leak: str) -> None:
    tables, plan = base()
    orders = tables["orders"].copy()
    orders["extra"] = np.asarray(COLUMNS[leak](orders, np.random.default_rng(1)), dtype=float)
    findings = look({**tables, "orders": orders}, plan)
    assert {f.where for f in findings.findings} == {"extra"}, str(findings)


def test_a_category_that_knows() -> None:
    tables, plan = base()
    orders = tables["orders"].copy()
    orders["note"] = pd.Series(np.where(orders["y"] == 1, "refunded", "kept"), dtype="str").where(orders["y"].notna())
    assert "note" in {f.where for f in look({**tables, "orders": orders}, plan).findings}


def test_a_static_table_that_learned_from_all_rows() -> None:
    tables, plan = base()
    mean = tables["orders"].groupby("who")["y"].mean()
    people = tables["people"].assign(age=tables["people"]["who"].map(mean).to_numpy())
    findings = look({**tables, "people": people}, plan)
    assert [(f.kind, f.where) for f in findings.findings] == [
        ("future aggregate", "people.age"),
        ("encoded target", "people.age"),
    ]


# --- leaks in the declarations ---------------------------------------------------------------------------------------
def test_known_declared_too_early() -> None:
    tables, plan = base()
    orders = plan.tables["orders"]
    early = replace(orders, event_time=Time("asked"), known_at=Time("asked"))
    plan = replace(plan, tables={**plan.tables, "orders": early})
    found = {f.where for f in look(tables, plan).findings}
    assert {"orders.happened", "orders.known"} <= found


def test_asked_after_the_outcome_was_known() -> None:
    tables, plan = base()
    findings = look(tables, replace(plan, time=Time("asked", 24 * 3_600_000_000)))
    assert "prediction time" in {f.kind for f in findings.findings}


def test_own_outcome_as_a_feature() -> None:
    tables, plan = base()
    leak = Feature("amount", "numeric", "", OwnColumn("amount"))
    findings = look(tables, replace(plan, features=(*plan.features, leak)))
    finding = next(f for f in findings.findings if f.kind == "future")
    assert finding.where == "amount"
    assert "orders.amount" in finding.why


# --- leaks in the split ----------------------------------------------------------------------------------------------
def test_test_rows_that_are_training_rows() -> None:
    tables, plan = base()
    orders = tables["orders"]
    part = splits(orders)
    twins = orders[part == "train"].head(60).assign(id=lambda o: o["id"] + 10_000)
    both = pd.concat([orders, twins], ignore_index=True)
    findings = look({**tables, "orders": both}, plan, split=np.append(part, ["test"] * len(twins)))
    assert ("overlap", "orders") in {(f.kind, f.where) for f in findings.findings}


def test_keys_in_training_and_test() -> None:
    from tasks.engine.leak_scans import overlaps

    tables, plan = base()
    orders = tables["orders"]
    both = pd.concat([orders.head(50), orders.head(50)], ignore_index=True)
    found = overlaps(plan, both, np.repeat(["train", "test"], 50), both["y"].to_numpy())
    assert "orders.id" in {f.where for f in found}


def test_training_rows_later_than_test_rows() -> None:
    tables, plan = base()
    part = np.random.default_rng(0).choice(["train", "test"], N)
    assert ("overlap", "orders.asked") in {(f.kind, f.where) for f in look(tables, plan, split=part).findings}


def test_training_labels_known_only_after_the_test_begins() -> None:
    tables, plan = base()
    orders = tables["orders"]
    part = np.where(orders["asked"] < orders["asked"].quantile(0.7), "train", "test")
    assert ("overlap", "orders.asked") in {(f.kind, f.where) for f in look(tables, plan, split=part).findings}


# --- leaks in the computation ----------------------------------------------------------------------------------------
Changed = Callable[[Plan, Mapping[str, pd.DataFrame], pd.DataFrame], pd.Series]


def _with(plan: Plan, tables: Mapping, rows: pd.DataFrame, **orders: object) -> pd.DataFrame:
    changed = {**plan.tables, "orders": replace(plan.tables["orders"], **orders)}
    return by_batch(replace(plan, tables=changed), tables, rows)


def _until(tables: Mapping, rows: pd.DataFrame, after: str) -> pd.Series:
    """Each row's sum over its key's events up to a time after the row asks."""
    events = tables["orders"][["who", "happened", "amount"]]
    pairs = rows[["who", "asked"]].rename_axis("row").reset_index().merge(events, on="who")
    there = pairs[pairs["happened"] < pairs["asked"] + pd.Timedelta(after)]
    return there.groupby("row")["amount"].sum().reindex(rows.index, fill_value=0.0)


ENGINES: dict[str, Changed] = {
    "known-at times ignored": lambda p, t, r: _with(p, t, r, known_at=Time("happened"))["who.mean(amount, 1d)"],
    "an hour into the future": lambda p, t, r: by_batch(replace(p, time=Time("asked", 3_600_000_000)), t, r)[
        "who.mean(amount, 1d)"
    ],
    "a window around the row": lambda p, t, r: _until(t, r, "2h"),
    "mean over the whole table": lambda p, t, r: pd.Series(t["orders"]["amount"].mean(), r.index),
    "mean of the key over all time": lambda p, t, r: r["who"].map(t["orders"].groupby("who")["amount"].mean()),
    "scaled by the whole table": lambda p, t, r: r["extra"] / t["orders"]["amount"].std(),
    "missing filled with the whole table's median": lambda p, t, r: r["extra"].where(
        r["extra"] > 0, t["orders"]["amount"].median()
    ),
    "rank among all events": lambda p, t, r: pd.Series(
        np.searchsorted(np.sort(t["orders"]["amount"].dropna()), r["extra"]).astype(float), r.index
    ),
    "number of all events": lambda p, t, r: pd.Series(float(t["prices"]["price"].notna().sum()), r.index),
    "newest price of all": lambda p, t, r: r["who"].map(
        t["prices"].sort_values("since").groupby("who")["price"].last()
    ),
    "the row's own outcome": lambda p, t, r: r["amount"],
    "whether the row has an outcome": lambda p, t, r: (r["happened"] < pd.Timestamp("2024-05-01", tz="UTC")) * 1.0,
}


@pytest.mark.parametrize("leak", ENGINES)
def test_computations_that_look_ahead(leak: str) -> None:
    tables, plan = base()

    def compute(plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
        return by_batch(plan, tables, rows).assign(planted=ENGINES[leak](plan, tables, rows).astype(float))

    # The part of the proof that asks for features; the others look at the same honest tables each time.
    findings = change_the_future(tables, plan, tables["orders"], compute, 3, 200, np.random.default_rng(0))
    assert [(f.kind, f.where) for f in findings] == [("future", "planted")], findings


# --- what is changed, and what is not --------------------------------------------------------------------------------
def test_only_facts_from_the_cut_on_are_changed_and_all_of_them_are() -> None:
    tables, plan = base()
    orders, prices = tables["orders"], tables["prices"]
    cut = orders["asked"][700]
    future = Future(plan, tables, orders, cut.value // 1000, 0)
    made = future.tables()
    assert made["people"].equals(tables["people"])  # without moments: no future
    for name in ("orders", "prices"):
        assert tables[name].equals(base()[0][name]), "the tables given stay as they are"

    # Another table: rows from the cut on have other values, later moments, or are gone; the others and all keys stay.
    late = ((prices["since"] >= cut) | (prices["told"] >= cut)).to_numpy()
    assert 0 < late.sum() < 200
    there = made["prices"].index
    assert set(there) >= set(prices.index[~late])
    assert 0.5 < late[there].sum() / late.sum() < 0.9
    then, now = prices.loc[there], made["prices"]
    assert now[~late[there]].equals(then[~late[there]])
    assert (now["pid"] == then["pid"]).all()
    then, now = then[late[there]], now[late[there]]
    assert (now["price"] != then["price"]).all()
    assert (now["since"] > then["since"].clip(lower=cut)).all()
    assert ((now["told"] - now["since"]) >= pd.Timedelta(0)).all()
    pushed = now["since"] - then["since"].clip(lower=cut)
    assert pd.Timedelta("9D") < pushed.max() < pd.Timedelta("11.6D")
    assert pd.Timedelta("4D") < pushed.mean() < pd.Timedelta("8D")
    assert 0.2 < (now["label"] != then["label"]).mean() < 0.8
    assert set(now["label"]) == {"lo", "hi"}

    # The problem's table: outcomes of late rows, and inputs of those that ask after the cut.
    late = ((orders["happened"] >= cut) | (orders["known"] >= cut) | orders["known"].isna()).to_numpy()
    asks = (orders["asked"] > cut).to_numpy()
    now = made["orders"]
    assert now[~late].equals(orders[~late])
    assert now["id"].equals(orders["id"])
    assert (now["asked"] == orders["asked"])[~(late & asks)].all()
    assert (now["asked"] >= cut)[late & asks].all()
    for column in ("amount", "paid"):
        assert (now[column] != orders[column])[late & orders[column].notna()].all()
    for column in ("extra", "note", "where", "who"):
        assert (now[column] == orders[column])[~(late & asks)].all()
        assert (now[column] != orders[column])[late & asks].mean() > 0.3
    assert (now["known"] >= now["happened"])[late].all()

    # The rows asked for keep what they say themselves.
    chosen = np.flatnonzero(~asks)[-50:]
    rows, given = future.rows(chosen), orders.iloc[chosen]
    inputs = ["id", "asked", "who", "where", "note", "extra"]
    assert rows[inputs].equals(given[inputs])
    assert (rows["amount"] != given["amount"])[late[chosen]].all()
    assert rows[~late[chosen]].equals(given[~late[chosen]])


@pytest.mark.parametrize(("sample", "cuts"), [(200, 3), (201, 1), (700, 3), (5000, 2)])
def test_rows_are_looked_at_up_to_moments_over_the_whole_time_half_of_them_just_before(sample: int, cuts: int) -> None:
    tables, plan = base()
    rows = tables["orders"].copy()
    rows.loc[5, "asked"] = pd.NaT  # asked at no time: not looked at
    asked: list[np.ndarray] = []

    def compute(plan: Plan, tables: Mapping[str, pd.DataFrame], part: pd.DataFrame) -> pd.DataFrame:
        asked.append(part.index.to_numpy())
        return pd.DataFrame({"f": np.zeros(len(part))})

    given = {**tables, "orders": rows}
    assert change_the_future(given, plan, rows, compute, cuts, sample, np.random.default_rng(0)) == []
    order = rows["asked"].dropna().sort_values(kind="stable").index.to_numpy()
    assert len(asked) == 2 * cuts
    for share, chosen, again in zip(np.linspace(0.3, 0.95, cuts), asked[::2], asked[1::2], strict=True):
        cut = rows["asked"][order[int(share * len(order))]]
        before = order[(rows["asked"][order] <= cut).to_numpy()]
        assert (np.diff(chosen) > 0).all()
        assert (chosen == again).all()
        assert len(chosen) == min(sample, len(before))
        assert set(before[-(sample // 2) :]) <= set(chosen) <= set(before)
    nobody = rows.assign(asked=pd.Series(pd.NaT, rows.index, dtype=rows["asked"].dtype))
    assert change_the_future({**given, "orders": nobody}, plan, nobody, compute, 3, 9, np.random.default_rng(0)) == []
    assert len(asked) == 2 * cuts


def test_a_change_is_told_once_with_its_moment_its_row_and_the_columns_that_it_reads() -> None:
    """Row 40 alone knows the largest price; the three moments all lie after it."""
    tables, plan = base()
    rows = tables["orders"]

    def compute(plan: Plan, tables: Mapping[str, pd.DataFrame], part: pd.DataFrame) -> pd.DataFrame:
        knows = np.where(part.index == first, float(tables["prices"]["price"].sum()), 0.0)
        return pd.DataFrame({"f": knows, "g": 1.0}, index=part.index)

    order = rows["asked"].sort_values(kind="stable").index.to_numpy()
    first, cut = int(order[100]), rows["asked"][order[int(0.3 * len(order))]]
    (found,) = change_the_future(tables, plan, rows, compute, 3, 5000, np.random.default_rng(0))
    assert (found.kind, found.where) == ("future", "f")
    assert found.why == (
        f"changes when only facts from {cut.isoformat()} on are changed, for instance in row {first}, whose prediction time "
        "is not later; it reads prices.price"
    )


def test_one_column_is_changed_alone_and_event_and_known_at_move_together() -> None:
    tables, plan = base()
    future = Future(plan, tables, tables["orders"], tables["orders"]["asked"][700].value // 1000, 0)
    alone = future.tables(("prices", "price"))
    assert alone["orders"].equals(tables["orders"])
    assert alone["prices"].drop(columns="price").equals(tables["prices"].drop(columns="price"))
    assert (alone["prices"]["price"] != tables["prices"]["price"]).sum() > 50
    both = future.tables(("prices", "told"))["prices"]
    moved = both["since"] != tables["prices"]["since"]
    assert moved.sum() > 50
    assert (moved == (both["told"] != tables["prices"]["told"])).all()
    assert both[["price", "label"]].equals(tables["prices"][["price", "label"]])
    named = future.columns()
    assert {c for t, c in named if t == "prices"} == {"who", "since", "told", "price", "label"}
    assert {c for t, c in named if t == "orders"} == {*tables["orders"].columns} - {"id"}
    assert not [c for t, c in named if t == "people"]
    nothing = Future(plan, tables, tables["orders"], pd.Timestamp("2100-01-01").value // 1000, 0)
    assert {t for t, _ in nothing.columns()} == {"orders"}  # its rows without an outcome may still get one


def test_values_made_random_are_of_their_kind() -> None:
    rng, where = np.random.default_rng(0), np.arange(6) % 2 == 0
    flags = _randomised(pd.Series([0.0, 1, 1, 0, np.nan, 1]), where, rng)
    assert flags.tolist()[:4] == [1.0, 1.0, 0.0, 0.0]
    assert flags[4] in (0.0, 1.0)
    wide = pd.Series([1.0, 2, 3, 4, np.nan, 6])
    made = _randomised(wide, where, rng)
    assert made[~where].equals(wide[~where])
    assert made[where].notna().all()
    assert (made[where] != wide[where]).all()
    far = _randomised(pd.Series(1e6 + np.arange(2000.0)), np.ones(2000, bool), rng)
    assert abs(far.mean() - 1e6 - 999.5) < 200
    assert far.std() == pytest.approx(3 * 577 + 1, rel=0.1)
    words = pd.Series(["a", "b", None, "a", "b", "c"], dtype="str")
    assert set(_randomised(words, where, rng)[where]) <= {"a", "b", "c"}
    assert _randomised(words.where(words.isna()), where, rng).isna().all()
    times = moments([1.0, 2, 3, 4, 5, 6])
    later = _randomised(times, where, rng)
    assert (later[where] > times[where]).all()
    many = moments([1.0] * 500)
    moved = (_randomised(many, np.ones(500, bool), rng) - many) / pd.Timedelta("1D")
    assert 11 < moved.max() < 11.6
    assert 5 < moved.mean() < 6.6
    assert later[~where].equals(times[~where])


def test_features_differ_bit_by_bit_and_a_gap_is_like_a_gap() -> None:
    one = pd.DataFrame({"same": [1.0, np.nan], "gap": [1.0, np.nan], "bit": [1.0, 2.0], "gone": 1.0})
    one["word"], one["none"] = pd.Series(["a", "b"], dtype="str"), pd.Series(["a", None], dtype="str")
    other = one.drop(columns="gone").assign(gap=[1.0, 2.0], bit=[1.0, np.nextafter(2, 3)])
    other["word"] = pd.Series(["a", None], dtype="str")
    assert _changed(one, other) == {"gap": 1, "bit": 1, "gone": 0, "word": 1}


def test_rows_belong_together_by_what_the_plan_groups_by_and_by_categories() -> None:
    tables, plan = base()
    orders = tables["orders"].assign(mostly=1.0)
    assert keys_of(plan, orders) == ["who", "where", "note"]  # another number is no category, and an outcome no key
    assert keys_of(plan, orders, 1) == ["who"]
    assert keys_of(plan, orders.assign(note="x")) == ["who", "where"]  # nobody else belongs to one group of all
    assert keys_of(plan, orders.iloc[:45]) == ["where", "note"]  # people who have fewer than three rows each
