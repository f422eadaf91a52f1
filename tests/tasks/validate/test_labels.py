"""Labels from the future against counting by hand: each row's window, when it is over, and what is known by then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import RefitError
from tasks.features.__main__ import main as features
from tasks.files import read_json, read_table
from tasks.params import Params, parse
from tasks.validate.__main__ import main as validate
from tasks.validate.labels import label
from tasks.validate.snapshots import make as snapshots

START = pd.Timestamp("2024-01-01", tz="UTC")
DAY = timedelta(days=1)


def shop(seed: int, orders: int = 400, customers: int = 40, days: int = 200) -> dict[str, pd.DataFrame]:
    """Customers and their orders; whether an order came back is known thirty days after it was placed."""
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, days * 24, orders)) * 1.0
    names = [f"c{i}" for i in range(customers)]
    ordered = (START + pd.to_timedelta(pd.Series(hours), unit="h")).astype("datetime64[us, UTC]")
    return {
        "customers": pd.DataFrame({"customer": pd.Series(names, dtype="str"), "age": rng.integers(18, 90, customers) * 1.0}),
        "orders": pd.DataFrame(
            {
                "order": np.arange(orders) * 1.0,
                "customer": pd.Series(rng.choice(names[1:], orders), dtype="str"),  # the first one never orders
                "ordered_at": ordered,
                "paid_at": ordered + pd.to_timedelta(pd.Series(rng.integers(0, 96, orders)), unit="h"),
                "amount": np.where(rng.random(orders) < 0.1, np.nan, np.round(rng.gamma(2, 40, orders), 2)),
                "status": pd.Series(rng.choice(["sent", "back", None], orders, p=[0.7, 0.2, 0.1]), dtype="str"),
                "refunded": (rng.random(orders) < 0.3) * 1.0,
            }
        ),
    }  # fmt: skip


def tree(**target: Any) -> dict[str, Any]:
    chosen = {"any": "amount > 100"} if not target.keys() - {"within", "late", "name"} else {}
    return {
        "problem": {
            "name": "comes-back",
            "kind": "binary",
            "table": {"snapshots": "customers", "every": "7d"},
            "target": {"from": "orders", "by": "customer", "within": "30d", **chosen, **target},
        },
        "data": {
            "as_of": "2024-06-30",
            "tables": {
                "customers": {
                    "source": "customers.csv",
                    "key": ["customer"],
                    "columns": {"customer": "categorical", "age": "numeric"},
                },
                "orders": {
                    "source": "orders.csv",
                    "key": ["order"],
                    "event_time": "ordered_at",
                    "known_at": {"refunded": "ordered_at + 30d"},
                    "columns": {
                        "order": "numeric", "customer": "categorical", "ordered_at": "datetime", "paid_at": "datetime",
                        "amount": "numeric", "status": "categorical", "refunded": "boolean",
                    },
                },
            },
        },
        "features": {
            "lookups": "auto",
            "history": [
                {"table": "orders", "by": ["customer"], "windows": ["7d", "60d", "all", "last 3"],
                 "columns": {"amount": ["mean"], "refunded": ["mean", "count"]}},
                {"table": "customers_snapshots", "by": ["customer"], "windows": ["60d", "all"],
                 "columns": {"orders_any_within_30d": ["mean", "count"]}},
            ],
        },
        "models": {"logistic": {}},
    }  # fmt: skip


def declared(**target: Any) -> Params:
    written = tree(**target)
    written["features"] = {}
    if target.keys() & {"count", "sum", "mean", "max", "last", "n_unique"} and "above" not in target:
        written["problem"]["kind"] = "multiclass" if target.get("last") == "status" else "regression"
    return parse(written)


def window(orders: pd.DataFrame, who: str, t: pd.Timestamp, days: float, back: bool) -> pd.DataFrame:
    """A customer's orders in the days before a moment, or from it on."""
    start, end = (t - days * DAY, t) if back else (t, t + days * DAY)
    return orders[(orders["customer"] == who) & (orders["ordered_at"] >= start) & (orders["ordered_at"] < end)]


def same(found: float, wanted: float) -> bool:
    return bool(found == pytest.approx(wanted, rel=1e-12)) or bool(np.isnan(found) and np.isnan(wanted))


def test_features_labels_and_prevalence_are_those_of_counting_by_hand(
    make: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand rows and more: snapshots of customers, with orders whose refunds are known late."""
    world = shop(1, orders=1500, customers=80)
    make(tree(), **world)
    monkeypatch.setattr("sys.argv", ["validate"])
    validate()
    features()
    rows = read_table("data/validated/customers_snapshots.parquet")
    made = read_table("data/features/features.parquet")
    assert len(rows) == len(made) >= 2000
    orders, as_of = world["orders"], pd.Timestamp("2024-07-01", tz="UTC")
    truth: list[float] = []
    for who, t in zip(rows["customer"], rows["snapshot_at"], strict=True):
        ahead = window(orders, who, t, 30, back=False)
        truth.append(float((ahead["amount"] > 100).any()) if t + 30 * DAY <= as_of else np.nan)
    labels = np.array(truth)
    np.testing.assert_array_equal(rows["orders_any_within_30d"].to_numpy(), labels)
    # Prevalence: of mature rows alone. Who counts the others as negative finds a smaller one.
    summary = read_json("data/features/summary.json")
    inside = made["__split__"] != "pending"
    assert made["__target__"][inside].notna().all()
    np.testing.assert_array_equal(made["__target__"][inside], labels[inside])
    assert np.isnan(labels).sum() > 300
    assert summary["rows"]["pending"] > np.isnan(labels).sum()  # and those in the gaps between the parts
    assert np.nanmean(labels) > np.nan_to_num(labels).mean() + 0.03

    # The gap: a row's label was known before the first row of the next part.
    bounds = {part: made.loc[made["__split__"] == part, "__time__"] for part in ("train", "valid", "test")}
    assert bounds["train"].max() + 30 * DAY <= bounds["valid"].min()
    assert bounds["valid"].max() + 30 * DAY <= bounds["test"].min()
    assert min(len(times) for times in bounds.values()) > 100

    for i in range(0, len(rows), 8):
        who, t, row = rows["customer"][i], rows["snapshot_at"][i], made.iloc[i]
        seven = window(orders, who, t, 7, back=True)
        assert row["orders[customer].count(7d)"] == len(seven)
        assert same(row["orders[customer].mean(amount, 7d)"], seven["amount"].mean())
        sixty = window(orders, who, t, 60, back=True)
        known = sixty[sixty["ordered_at"] + 30 * DAY < t]
        assert row["orders[customer].count(60d)"] == len(sixty)
        assert row["orders[customer].count(refunded, 60d)"] == len(known)
        assert same(row["orders[customer].mean(refunded, 60d)"], known["refunded"].mean())
        ever = window(orders, who, t, 9999, back=True)
        ever = ever[ever["ordered_at"] + 30 * DAY < t]
        assert same(row["orders[customer].mean(refunded, all)"], ever["refunded"].mean())
        assert same(row["orders[customer].mean(refunded, last 3)"], ever["refunded"].tail(3).mean())
        # The label of earlier rows is a feature once their windows are over.
        mine = (rows["customer"] == who) & (rows["snapshot_at"] + 30 * DAY <= t)
        assert row["customer.count(orders_any_within_30d, all)"] == mine.sum()
        assert same(row["customer.mean(orders_any_within_30d, all)"], labels[mine].mean() if mine.any() else np.nan)
        near = mine & (rows["snapshot_at"] >= t - 60 * DAY)
        assert row["customer.count(orders_any_within_30d, 60d)"] == near.sum()
        assert row["customer.count(60d)"] == ((rows["customer"] == who) & (rows["snapshot_at"] < t) & (rows["snapshot_at"] >= t - 60 * DAY)).sum()  # fmt: skip


def test_auto_makes_features_of_the_events_and_of_earlier_labels(
    make: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tree()
    written["features"] = {"lookups": "auto", "history": "auto"}
    make(written, **shop(9, orders=600, customers=30))
    monkeypatch.setattr("sys.argv", ["validate"])
    validate()
    features()
    names = [feature["name"] for feature in read_json("data/features/summary.json")["features"]]
    for name in ("customers.age", "orders[customer].count(31d)", "orders[customer].mean(refunded, 31d)"):
        assert name in names
    assert any(name.startswith("customer.mean(orders_any_within_30d") for name in names)


MEASURES: dict[str, tuple[dict[str, Any], Callable[[pd.DataFrame], Any]]] = {
    "any": ({"any": True}, lambda e: float(len(e) > 0)),
    "a condition": ({"any": "status == 'back' and not amount > 100"}, lambda e: float(((e.status == "back") & (e.amount <= 100)).any())),
    "none": ({"none": True}, lambda e: float(len(e) == 0)),
    "count": ({"count": True}, lambda e: float(len(e))),
    "more than": ({"count": "amount >= 50", "above": 1}, lambda e: float((e.amount >= 50).sum() > 1)),
    "sum": ({"sum": "amount"}, lambda e: e.amount.sum()),
    "sum of a part": ({"sum": "amount", "where": "status in ['sent']"}, lambda e: e.amount[e.status == "sent"].sum()),
    "an expression": ({"sum": "amount * refunded"}, lambda e: (e.amount * e.refunded).sum()),
    "mean": ({"mean": "amount"}, lambda e: e.amount.mean()),
    "max": ({"max": "amount"}, lambda e: e.amount.max()),
    "n_unique": ({"n_unique": "status"}, lambda e: float(e.status.nunique())),
    "last": ({"last": "status"}, lambda e: e.status.dropna().iloc[-1] if e.status.notna().any() else np.nan),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURES)
def test_measures(name: str) -> None:
    target, by_hand = MEASURES[name]
    params, world = declared(**target), shop(2, orders=300, customers=12)
    world["orders"] = world["orders"].drop_duplicates(["customer", "ordered_at"], ignore_index=True)
    as_of = params.data.as_of
    rows = snapshots(world["customers"], world["orders"], params, as_of)
    found = label(rows, world["orders"], params, as_of).values
    wait = 60 if "refunded" in str(target) else 30  # the label waits for refunds, too
    assert as_of
    for who, t, value in zip(rows["customer"], rows["snapshot_at"], found, strict=True):
        wanted = by_hand(window(world["orders"], who, t, 30, back=False))
        if t + wait * DAY > as_of + timedelta(microseconds=1):
            wanted = np.nan
        assert value == wanted if isinstance(wanted, str) else same(value, wanted), (who, t)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), more=st.integers(1, 60))
def test_a_label_never_changes_once_it_is_known(seed: int, more: int) -> None:
    params, world = declared(any="refunded"), shop(seed, orders=120, customers=8)
    earlier = datetime.fromisoformat("2024-04-20T12:00:00+00:00")
    later = earlier + more * DAY

    def at(as_of: datetime) -> pd.Series:
        seen = world["orders"][world["orders"]["ordered_at"] <= as_of].copy()
        seen["refunded"] = seen["refunded"].where(seen["ordered_at"] + 30 * DAY <= as_of)  # as the stage masks it
        rows = snapshots(world["customers"], seen, params, as_of)
        values = label(rows, seen, params, as_of).values
        return pd.Series(values.array, index=pd.MultiIndex.from_frame(rows))

    before, after = at(earlier), at(later)
    known = before.dropna()
    assert len(known) > 20
    pd.testing.assert_series_equal(after.loc[known.index], known)
    assert after.notna().sum() >= len(known)


def test_without_as_of_the_events_say_how_far_the_data_reach() -> None:
    params, world = declared(), shop(3)
    rows = snapshots(world["customers"], world["orders"], params, None)
    found = label(rows, world["orders"], params, None)
    newest = world["orders"]["ordered_at"].max()
    over = rows["snapshot_at"] + 30 * DAY <= newest + timedelta(microseconds=1)
    assert found.values.notna().tolist() == over.tolist()
    assert rows["snapshot_at"].max() <= newest
    assert "wait until the 30d after them are over" in found.said[0]


def test_events_that_become_known_late_are_waited_for_and_later_ones_never_count() -> None:
    written = tree(any=True)
    written["features"] = {}
    written["data"]["tables"]["orders"]["known_at"] = "paid_at"
    with pytest.raises(RefitError, match=r"problem\.target\.late: missing; events of 'orders' .*as in late: 2d"):
        parse(written)
    written["problem"]["target"]["late"] = "2d"
    params, world = parse(written), shop(4)
    orders = world["orders"]
    rows = snapshots(world["customers"], orders, params, params.data.as_of)
    found = label(rows, orders, params, params.data.as_of)
    end = pd.Timestamp("2024-07-01", tz="UTC")
    for who, t, value in zip(rows["customer"], rows["snapshot_at"], found.values, strict=True):
        ahead = window(orders, who, t, 30, back=False)
        known = float((ahead["paid_at"] < t + 32 * DAY).any()) if t + 32 * DAY <= end else np.nan
        assert same(value, known)
    assert "became known more than 2d after they happened, and count in no label" in found.said[1]


def test_an_existing_table_asks_about_the_time_after_its_own_rows() -> None:
    """Rows are the orders themselves: does the customer order again? A row's own order is no answer."""
    written = tree(any=True)
    written["problem"] |= {"table": "orders", "prediction_time": "ordered_at"}
    written["features"] = {"columns": ["amount"], "history": [
        {"table": "orders", "by": ["customer"], "windows": ["90d"], "columns": {"orders_any_within_30d": ["mean"]}}]}  # fmt: skip
    params, orders = parse(written), shop(5)["orders"]
    orders.loc[3, "customer"] = np.nan
    orders["ordered_at"] = orders["ordered_at"].dt.floor("1D")  # several orders of a customer at one moment
    found = label(orders, orders, params, params.data.as_of)
    written["problem"] |= {"kind": "regression", "target": {"from": "orders", "by": "customer", "within": "30d", "sum": "amount"}}  # fmt: skip
    del written["features"]["history"]
    spent = label(orders, orders, parse(written), params.data.as_of)
    for i, (who, t) in enumerate(zip(orders["customer"], orders["ordered_at"], strict=True)):
        others = window(orders, who, t, 30, back=False).drop(index=i, errors="ignore")
        known = t + 30 * DAY <= pd.Timestamp("2024-07-01", tz="UTC") and i != 3
        assert same(found.values[i], float(len(others) > 0) if known else np.nan)
        assert same(spent.values[i], others["amount"].sum() if known else np.nan)
    assert "1 lack 'customer' or their moment" in found.said[0]


def test_snapshots_begin_with_the_entity_and_end_with_its_activity() -> None:
    written = tree(any=True)
    written["features"] = {}
    written["problem"]["table"] = {"snapshots": "orders", "every": "7d", "active": "20d", "name": "weeks",
                                   "from": "2024-01-10", "until": "2024-05-01"}  # fmt: skip
    params, orders = parse(written), shop(6)["orders"]
    rows = snapshots(orders, orders, params, params.data.as_of)
    found = set(zip(rows["customer"], rows["snapshot_at"], strict=True))
    moments = [pd.Timestamp("2024-01-10", tz="UTC") + 7 * i * DAY for i in range(17)]
    assert moments[-1] == pd.Timestamp("2024-05-01", tz="UTC")
    by_hand = {
        (who, t) for who in orders["customer"].unique() for t in moments if len(window(orders, who, t, 20, True))
    }
    assert found == by_hand
    assert params.data.tables["weeks"].key == ("customer", "snapshot_at")


def test_the_grid_of_snapshots_does_not_move_with_the_data() -> None:
    params, world = declared(), shop(7)
    whole = snapshots(world["customers"], world["orders"], params, params.data.as_of)
    part = snapshots(world["customers"], world["orders"].iloc[50:], params, params.data.as_of)
    assert (whole["snapshot_at"].dt.dayofweek == 0).all()
    assert set(map(tuple, part.to_numpy())) < set(map(tuple, whole.to_numpy()))
    with pytest.raises(
        RefitError, match=r"problem\.table: no snapshot of 'customers'.*Check from, until and data\.as_of"
    ):
        snapshots(world["customers"], world["orders"], params, datetime.fromisoformat("2023-01-01T00:00:00+00:00"))


def test_a_table_that_ends_before_as_of_is_remarked() -> None:
    params, world = declared(), shop(8, days=60)
    rows = snapshots(world["customers"], world["orders"], params, params.data.as_of)
    said = label(rows, world["orders"], params, params.data.as_of).said
    assert "the newest event of orders is of 2024-02-2" in said[1]
    assert "set data.as_of to its end" in said[1]
