"""What recipes say of themselves: names, JSON, what they read; and what a plan makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine import Plan
from tasks.engine.codes import composite
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import TableSchema, Time
from tasks.engine.from_disk import compute_from_disk
from tasks.engine.online import start
from tasks.engine.primitives import parse_primitive
from tasks.engine.recipes import Aggregate, DatePart, LookedUp, Need, OwnColumn, Power, from_dict
from tasks.engine.timed_tables import read_by
from tasks.errors import RefitError
from tasks.files import write_table
from tasks.leaks.columns import columns_of
from tasks.params import parse
from tasks.values.durations import Span
from tests.tasks.engine.worlds import assert_same, plan, plan_by_column, tree, world

TABLES = {
    "orders": TableSchema("orders", {"id": "numeric", "who": "categorical", "at": "datetime", "amount": "numeric"}, ("id",),
                    Time("at"), Time("at", 5), later={"amount": Time("paid")}),
    "people": TableSchema("people", {"who": "categorical", "born": "datetime", "note": "ignore"}),
}  # fmt: skip
COUNT = Aggregate("orders", ("who", "at"), Span("last 5"), parse_primitive("count"), None)
SHARE = Aggregate("orders", ("who",), Span("7d"), parse_primitive("q90"), "amount")
BORN = LookedUp("people", (("name", "who"),), "born", Span("5h"))


@pytest.mark.parametrize(
    ("recipe", "name", "made"),
    [
        (OwnColumn("amount"), "amount", {"op": "column", "column": "amount"}),
        (DatePart("at", "day_of_year"), "at.day_of_year", {"op": "date", "column": "at", "part": "day_of_year"}),
        (Power((("a", 2), ("b c", 1))), "a^2 b c", {"op": "power", "powers": {"a": 2, "b c": 1}}),
        (BORN, "people.born", {"op": "lookup", "table": "people", "on": {"name": "who"}, "column": "born", "within": "5h"}),
        (COUNT, "who+at.count(last 5)", {"op": "aggregate", "table": "orders", "by": ["who", "at"], "window": "last 5",
                                         "primitive": "count", "column": None}),
        (SHARE, "who.quantile(amount, 0.90, 7d)", {"op": "aggregate", "table": "orders", "by": ["who"], "window": "7d",
                                                   "primitive": "quantile(0.90)", "column": "amount"}),
    ],
)  # fmt: skip
def test_a_recipe_has_one_name_and_one_form_in_json(recipe, name: str, made: dict) -> None:
    assert recipe.name("orders") == name
    assert recipe.to_dict() == made
    assert from_dict(made) == recipe
    assert list(recipe.to_dict()) == list(made), "a plan's bytes stay as they were"


def test_an_aggregate_over_another_table_names_it() -> None:
    assert COUNT.name("people") == "orders[who+at].count(last 5)"


def test_an_operation_that_is_not_known_is_refused() -> None:
    with pytest.raises(RefitError, match="operation 'guess' is not known"):
        from_dict({"op": "guess"})


def test_names_of_aggregates_are_read_as_they_are_written() -> None:
    for feature in plan().features:
        if isinstance(feature.recipe, Aggregate):
            by, primitive, column, window = Aggregate.parse(feature.name) or ((), "", None, "")
            assert Aggregate("orders", by, Span(window), parse_primitive(primitive), column) == feature.recipe
    assert Aggregate.parse("people.age") is None


def test_a_recipe_says_what_it_reads_of_a_table_and_how_far_back() -> None:
    assert SHARE.reads(TABLES["orders"]) == Need(frozenset({"id", "who", "at", "amount", "paid"}), 7 * 86_400_000_000)
    assert COUNT.reads(TABLES["orders"]) == Need(frozenset({"id", "who", "at"}), None)
    assert BORN.reads(TABLES["people"]) == Need(frozenset({"who", "born"}), 5 * 3_600_000_000)
    assert BORN.row == ("name",)


def test_plans_keep_their_hash_from_version_to_version() -> None:
    assert plan().hash == "08390810ae15f35677858cf5ae46a4ac538964241718a2ae5afca5a02bb611a3"
    assert Plan.from_dict(plan_by_column(True).to_dict()) == plan_by_column(True)


def test_a_transform_named_like_the_column_that_it_reads_reads_it(tmp_path) -> None:
    """Every engine, the package's schema and the look for leaks take the column, and the next transform the feature."""
    spec = tree(["1d"], {"amount": ["mean"]}, transforms={"where": "where + 1", "more": "`where` * 2"})
    spec["features"]["columns"] = ["who"]
    asked, tables = derive(parse(spec)), world(3, 40)
    assert asked.read_by["where"] == ("where",)
    assert asked.read_by["more"] == ()
    assert "where" in asked.row_columns()
    assert set(read_by(asked, "orders")) == {"who", "where", "amount"}
    assert columns_of("more", asked) == ["where"]
    rows = tables["orders"]
    found = compute(asked, tables, rows)
    assert_same(found[["more"]], (2 * (rows[["where"]] + 1)).rename(columns={"where": "more"}))
    used = {name: frame[[c for c in frame if c in asked.columns_used()[name]]] for name, frame in tables.items()}
    for name, frame in used.items():
        write_table(tmp_path / f"{name}.parquet", frame)
    assert_same(found, pd.concat(compute_from_disk(asked, {name: tmp_path / f"{name}.parquet" for name in used})))
    state = start(asked, tables)
    brought = rows[[c for c in rows if c in {*asked.row_columns(), *asked.identity}]]
    online = pd.DataFrame([state.compute_row(row) for row in brought.to_dict("records")], index=rows.index)
    assert_same(found, online.astype(found.dtypes))


def test_transforms_that_read_each_others_columns_are_traced() -> None:
    spec = tree(["1d"], {"amount": ["mean"]}, transforms={"id": "where + 1", "where": "id * 2"})
    spec["features"]["columns"] = ["who"]
    asked = derive(parse(spec))
    assert columns_of("where", asked) == ["where"], "id is the transform made before"


def test_composite_keys_are_equal_where_all_parts_are() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(-1, 40, (3, 500)), rng.integers(-1, 40, (3, 300))
    a, b = composite((([one, other], 40) for one, other in zip(left, right, strict=True)), [500, 300])
    assert max(a.max(), b.max()) < 4 * 800 + 1000
    assert ((a < 0) == (left < 0).any(axis=0)).all()
    by_key: dict[int, set] = {}
    for code, key in zip([*a, *b], [*zip(*left, strict=True), *zip(*right, strict=True)], strict=True):
        by_key.setdefault(int(code), set()).add(key)
    by_key.pop(-1)
    assert {len(keys) for keys in by_key.values()} == {1}
    assert len(set().union(*by_key.values())) == len(by_key)
    assert [part.tolist() for part in composite([], [2])] == [[0, 0]]
