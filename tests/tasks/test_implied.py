"""Targets from another table's events, snapshots, and moments by column, as ``params.yaml`` declares them."""

from __future__ import annotations

import re

import pytest

from tasks.engine.derive import derive
from tasks.engine.facts import Time
from tasks.errors import RefitError
from tasks.identity import Rule
from tasks.params import Column, Moment, Params, loads

SHOP = """\
problem:
  name: comes-back
  kind: binary
  table: {snapshots: customers, every: 7d}
  target: {from: orders, by: customer, within: 30d, any: amount > 100}
data:
  tables:
    customers:
      source: customers.csv
      key: [customer]
      columns: {customer: categorical, age: numeric}
    orders:
      source: orders.csv
      key: [order]
      event_time: ordered_at
      known_at: {refunded: ordered_at + 30d}
      columns:
        order: numeric
        customer: categorical
        ordered_at: datetime
        paid_at: datetime
        amount: numeric
        status: categorical
        refunded: boolean
features: {lookups: auto, history: auto}
models:
  logistic:
"""
DAY = 86_400_000_000
TARGET = "{from: orders, by: customer, within: 30d, any: amount > 100}"
ANY = "any: amount > 100}"
LATE = "known_at: {refunded: ordered_at + 30d}"


def read(old: str = "", new: str = "") -> Params:
    assert not old or SHOP.count(old) == 1, old
    return loads(SHOP.replace(old, new) if old else SHOP, "params.yaml")


def test_snapshots_are_a_table_and_the_label_is_a_column_known_when_its_window_is_over() -> None:
    shop = read()
    rows = shop.data.tables["customers_snapshots"]
    assert shop.problem.table == "customers_snapshots"
    assert rows.key == ("customer", "snapshot_at")
    assert rows.columns["orders_any_within_30d"] == Column(kind="boolean")
    assert "orders_any_within_30d" not in rows.given
    assert rows.outcome_known("orders_any_within_30d") == Moment(column="snapshot_at", offset_micros=30 * DAY - 1)
    assert shop.problem.prediction_time == rows.event_time == Moment(column="snapshot_at")
    assert shop.split.kind == "time"
    assert shop.promotion.cluster == ("customer",)  # rows of one customer share events
    assert Rule.of(shop).columns == ("customer", "snapshot_at")


def test_snapshots_are_called_what_one_likes() -> None:
    named = read("every: 7d}", "every: 7d, name: weekly}")
    assert named.problem.table == "weekly"
    assert named.data.tables["weekly"].snapshots
    assert "customers_snapshots" not in named.data.tables


def test_a_label_waits_until_its_events_and_what_it_reads_of_them_are_known() -> None:
    for new, days in (
        ("any: refunded}", 60),
        ("any: true, late: 2d}", 32),
        ("any: true}", 30),
        ("count: not refunded, above: 2}", 60),
        ("sum: amount * refunded, above: 9}", 60),
        ("max: amount, where: status == 'back', above: 9}", 30),
    ):
        shop = read(ANY, new)
        rows = shop.data.tables["customers_snapshots"]
        assert rows.outcome_known(shop.problem.target.name) == Moment(
            column="snapshot_at", offset_micros=days * DAY - 1
        )


def test_folds_in_time_leave_the_same_gap_as_the_split() -> None:
    assert read("models:", "tuning: {split: time_series}\nmodels:").tuning.gap == "2592000s"
    assert read("models:", "tuning: {split: time_series, gap: 1d}\nmodels:").tuning.gap == "1d"


def test_auto_takes_earlier_labels_and_counts_no_snapshots() -> None:
    from tasks.engine.auto import any_windows

    plan = derive(read(), any_windows(read()))
    assert "customer.mean(orders_any_within_30d, 92d)" in plan.names
    assert "customers.age" in plan.names
    assert "orders[customer].mean(refunded, 92d)" in plan.names
    assert not [n for n in plan.names if n.startswith("customer.count(") and "orders" not in n]
    assert plan.tables["orders"].later == {"refunded": Time("ordered_at", 30 * DAY)}
    assert not [n for n in plan.names if n in ("orders_any_within_30d", "customer")]


def test_a_moment_that_makes_a_column_known_is_known_only_then() -> None:
    orders = read(LATE, "known_at: {refunded: paid_at}").data.tables["orders"]
    assert orders.later == {"refunded": Moment(column="paid_at"), "paid_at": Moment(column="paid_at")}
    assert orders.outcome == ("refunded", "paid_at")
    both = read(LATE, 'known_at: {"refunded, status": paid_at + 1d, paid_at: ordered_at}').data.tables["orders"]
    assert both.later["status"] == both.later["refunded"] == Moment(column="paid_at", offset_micros=DAY)
    assert both.later["paid_at"] == Moment(column="ordered_at")
    row = read(LATE, 'known_at: {"*": ordered_at + 1h, refunded: ordered_at + 30d}').data.tables["orders"]
    assert row.known_at == row.row_known == Moment(column="ordered_at", offset_micros=DAY // 24)
    assert read().data.tables["orders"].known_at is None
    assert read().data.tables["orders"].row_known == Moment(column="ordered_at")


def test_what_is_written_out_is_read_again_as_it_was() -> None:
    table = read().data.tables["orders"]
    again = type(table).model_validate(table.model_dump(mode="json", exclude_unset=True))
    assert again == table
    assert again.later == table.later


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("snapshots: customers", "snapshots: custmers", "params.yaml:4: problem.table.snapshots: 'custmers' is not one of 'customers', 'orders'. Did you mean 'customers'?"),
        ("every: 7d", "evry: 7d", "params.yaml:4: problem.table.evry: unknown key. Did you mean 'every'?"),
        ("every: 7d", "every: weekly", "problem.table.every: a duration is a number and one of"),
        ("every: 7d}", "every: 7d, from: 2024-01-01}", 'problem.table.from: a moment is a date or an ISO time in quotes, as in "2013-10-31"'),
        ("every: 7d}", "every: 7d, name: orders}", "problem.table.name: 'orders' is a table already; name another one."),
        ("every: 7d}", "every: 7d}\n  prediction_time: ordered_at", "problem.prediction_time: that of a snapshot is its own moment, 'snapshot_at'; leave it out"),
        (TARGET, "age", "problem.table: snapshots have no column to predict; the target is made `from` another table"),
        (TARGET, "{column: age, within: 3d}", "params.yaml:5: problem.target.within: belongs to a target `from` another table's events"),
        (TARGET, "{above: 3}", "problem.target.column: missing; name the column that is predicted, or `from` another table"),
        ("from: orders", "from: order", "problem.target.from: 'order' is not one of 'customers', 'orders'. Did you mean 'orders'?"),
        ("by: customer,", "by: customr,", "problem.target.by: 'customr' is not one of 'customer', 'age'. Did you mean 'customer'?"),
        ("by: customer, ", "", "problem.target.by: missing; with `from` it says whose events count, as in by: customer."),
        ("within: 30d, ", "", "problem.target.within: missing; with `from` it says for how long, as in within: 30d."),
        (ANY, "anny: true}", "problem.target.from: name one measure of 'any', 'none', 'count', 'sum', 'mean', 'median', 'min', 'max', 'std', 'first', 'last', 'n_unique', as in any: true or sum: amount. Did you mean 'any'?"),
        (ANY, "any: true, sum: amount}", "problem.target.from: name one measure"),
        (ANY, "any: false}", "problem.target.any: expected true or a condition, as in amount > 100; found False."),
        (ANY, "any: amont > 100}", "problem.target.any: 'amont > 100': 'amont' is not one of"),
        (ANY, "any: true, where: amount > 2}", "problem.target.where: write the condition as any: 'amount > 2'"),
        (ANY, "any: true, above: 2}", "problem.target.above: `any` is yes or no already; leave one out"),
        (ANY, "any: true, column: amount}", "problem.target.column: with `from` the label is made from events; leave one out"),
        (ANY, "sum: true}", "problem.target.sum: expected a column, as in sum: amount; found True."),
        (ANY, "sum: status, above: 2}", "problem.target.sum: column 'status' must be of kind numeric or boolean, and is declared 'categorical'."),
        (ANY, "sum: amont * 2, above: 2}", "problem.target.sum: 'amont' is not one of"),
        (ANY, "count: true}", "params.yaml:3: problem.kind: `count` makes a target of kind regression; `above: 3` would make it binary."),
        (ANY, "last: status, above: 2}", "problem.target.above: 'status' is a category, and not compared with a number; leave it out."),
        (ANY, "last: paid_at}", "problem.target.last: column 'paid_at' is a moment, which cannot be a target."),
        (LATE, "known_at: paid_at", "problem.target.late: missing; events of 'orders' are known at a moment of their own, so say how long"),
        (LATE, "known_at: {refundet: ordered_at + 30d}", "params.yaml:16: data.tables.orders.known_at: 'refundet' is not one of"),
        (LATE, "known_at: {refunded: orderd_at}", "params.yaml:16: data.tables.orders.known_at.refunded: 'orderd_at' is not one of"),
        (LATE, "known_at: {refunded: soon + x}", "data.tables.orders.known_at.refunded: a moment is a column, or a column plus or minus a duration"),
        (LATE, "known_at: {order: ordered_at + 30d}", "data.tables.orders.key: 'order' is an outcome, and a key must be known from the start."),
        ("      event_time: ordered_at\n", "", "data.tables.orders.known_at: needs event_time"),
        ("models:", "tuning: {split: kfold}\nmodels:", "tuning.split: 'kfold' parts rows whose labels share events; use holdout or time_series."),
        ("models:", "split: {kind: random}\nmodels:", "split.kind: 'random' parts rows whose labels share events; use kind: time, or keep together by: [customer]."),
    ],
)  # fmt: skip
def test_each_mistake_is_refused(old: str, new: str, expected: str) -> None:
    with pytest.raises(RefitError, match=re.escape(expected)):
        read(old, new)


def test_a_key_that_is_known_after_its_row_is_refused() -> None:
    text = SHOP.replace(LATE, "known_at: {customer: ordered_at + 2d}").replace(
        "history: auto}", "history: [{table: orders, by: [customer], windows: [90d]}]}"
    )
    with pytest.raises(
        RefitError, match=r"features\.history\[0\]\.by: 'customer' is known only after its row of 'orders'"
    ):
        loads(text, "params.yaml")
