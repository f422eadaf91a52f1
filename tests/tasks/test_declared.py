"""What a table, a column and a database's query may say of themselves, and what follows from it; both sides of each rule."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.params import (
    Column,
    Duration,
    Moment,
    Promotion,
    Query,
    Split,
    Table,
    Target,
    Tuning,
    at_start,
    by_column,
    parse_moment,
)
from tasks.params.models import Cost, Goals, MetricGoal

DAY = 86_400_000_000


def refused(model: Any, said: str, **given: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        model(**given)
    assert said in str(caught.value)


def table(**more: Any) -> Table:
    columns = {"id": "numeric", "at": "datetime", "told": "datetime", "x": "numeric"}
    return Table.model_validate({"source": "t.csv", "columns": columns, **more})


def test_a_row_has_a_moment_where_there_is_no_choice() -> None:
    at = Moment(column="at")
    assert table(event_time="at").moment == at
    assert table(event_time="at", known_at="told", outcome=["told", "at"]).moment is None
    assert table(event_time="told", known_at="told", outcome=["told"]).moment == at, "the only time that is no outcome"
    assert table().moment is None, "there are two"
    assert table().moments == ["at", "told"]
    assert Table.model_validate({"source": "t.csv", "columns": {"at": "datetime", "x": "numeric"}}).moment == at
    assert Table.model_validate({"source": "t.csv", "columns": {"x": "numeric"}}).moment is None


def test_columns_become_known_with_their_row_or_at_a_moment_of_their_own() -> None:
    plain = table(event_time="at", known_at="told + 1d", outcome=["x"])
    assert plain.known_at == plain.row_known == Moment(column="told", offset_micros=DAY)
    assert plain.later == {}
    assert plain.outcome_known("x") == plain.known_at
    assert plain.outcome_known("id") is None
    by = table(event_time="at", known_at={"x, id": "told", "*": "at + 1d"})
    assert by.later == {"x": Moment(column="told"), "id": Moment(column="told")}
    assert (by.known_at, by.outcome) == (Moment(column="at", offset_micros=DAY), ("x", "id"))
    assert by.outcome_known("x") == Moment(column="told")
    only = table(event_time="at", known_at={"x": "told"})
    assert (only.known_at, only.row_known) == (None, Moment(column="at"))
    assert table(event_time="at").row_known is None
    assert (by_column({"column": "a"}), by_column({"column": "a", "offset_micros": 1}), by_column("a")) == ("row",) * 3
    assert (by_column({"column": "a", "x": "b"}), by_column({"x": "b"})) == ("columns",) * 2


def test_a_label_that_is_made_is_one_more_outcome_and_no_column_of_the_source() -> None:
    made = table(event_time="at", known_at="told", outcome=["x"]).with_made(
        "y", "boolean", Moment(column="at", offset_micros=5)
    )
    assert list(made.given) == ["id", "at", "told", "x"]
    assert list(made.columns)[-1] == "y"
    assert made.outcome == ("x", "y")
    assert made.later == {"y": Moment(column="at", offset_micros=5)}
    assert made.known_at == Moment(column="told")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("a.csv", "a.csv"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        (["a", "b", "c", "d"], "a, b, c and 1 more"),
        ({"sql": "sqlite:///x.db", "table": "t"}, "sqlite:///x.db (t)"), ({"sql": "${URL}", "query": "select 1"}, "${URL} (query)"),
    ],
)  # fmt: skip
def test_a_source_is_shown_in_a_few_words(source: Any, shown: str) -> None:
    assert table(source=source).shown == shown


def test_a_query_is_of_a_database_and_holds_no_password() -> None:
    for url in (
        "postgresql://me@host/x",
        "postgresql://me:${PW}@host/x",
        "${SHOP}",
        "sqlite:///a.db",
        "mysql+x://h/x?password=${P}",
    ):
        assert Query(sql=url, table="t").sql == url
    both = "a source in a database has a query or a table, and not both"
    refused(Query, both, sql="sqlite:///a.db")
    refused(Query, both, sql="sqlite:///a.db", table="t", query="select 1")
    refused(Query, "a database's URL, as in", sql="shop.db", table="t")
    for url in ("postgresql://me:secret@host/x", "mysql://h/x?Password=secret", "x://h/?a=1&my_password=s"):
        refused(Query, "a password does not stand in this file", sql=url, table="t")


def test_bounds_lists_forms_and_cases_belong_to_kinds_of_columns() -> None:
    assert Column(kind="numeric", min=3, max=3).min == 3
    assert Column(kind="numeric", min=4).max is None
    refused(Column, "min: 4 is above max 3", kind="numeric", min=4, max=3)
    for key in ("min", "max"):
        refused(Column, f"{key}: only a numeric column has bounds", kind="text", **{key: 1})
    for kind in ("categorical", "text"):
        assert Column(kind=kind, allowed=("a",)).allowed == ("a",)  # type: ignore[arg-type]
    refused(Column, "allowed: only a categorical or text column", kind="boolean", allowed=("a",))
    refused(Column, "case: only a categorical column", kind="text", case="lower")
    refused(Column, "format: only a datetime or numeric column", kind="text", format="epoch_s")
    assert Column(kind="datetime", format="epoch_s").format == "epoch_s"
    assert Column(kind="numeric", format="1.234,50").format == "1.234,50"
    refused(Column, "format: ", kind="numeric", format="much")
    refused(Column, "format: ", kind="datetime", format="much")
    assert Column(kind="categorical", allowed=["Yes", 5.0], case="lower").allowed == ("yes", "5")  # type: ignore[arg-type]
    assert Column(kind="categorical", allowed=["Yes"]).allowed == ("Yes",)  # type: ignore[arg-type]


def test_moments_and_lengths_of_time() -> None:
    assert (Duration("1.5h").micros, Duration("1.5h").delta.total_seconds()) == (5_400_000_000, 5400.0)
    assert Moment.model_validate("a b - 2h") == Moment(column="a b", offset_micros=-7_200_000_000)
    assert Moment.model_validate("a+1m") == Moment(column="a", offset_micros=60_000_000)
    assert parse_moment("2024-01-01").isoformat() == "2024-01-01T23:59:59.999999+00:00"
    assert parse_moment("2024-01-01T00:00").isoformat() == "2024-01-01T00:00:00+00:00"
    assert parse_moment("2024-01-01T02:00+02:00").isoformat() == "2024-01-01T00:00:00+00:00"


def test_parts_of_a_split_are_shares_or_lengths_of_time() -> None:
    for share in (0.001, 0.499):
        assert Split(kind="random", valid=share).valid == Split(kind="time", valid=share).valid == share
    for share in (0, 0.5, -0.1, 1):
        for kind in ("random", "time"):
            for part in ("valid", "test"):
                refused(Split, f"{part}: a {kind} split needs", kind=kind, **{part: share})
    assert Split(kind="time", test="30d").test == "30d"  # type: ignore[arg-type]
    refused(Split, "test: a random split needs a share", kind="random", test="30d")


def test_goals_need_a_cost_and_one_way_to_weigh_it() -> None:
    refused(Goals, "name latency_ms or size_kb")
    free = Goals(latency_ms=Cost(), size_kb=Cost(at_most=3))
    assert list(free.costs) == ["latency_ms", "size_kb"]
    weighed = Goals(latency_ms=Cost(weight=0.1), size_kb=Cost(at_most=3))
    assert weighed.rule.to_dict() == {
        "within": None, "costs": {"latency_ms": {"at_most": None, "weight": 0.1}, "size_kb": {"at_most": 3.0, "weight": None}},
    }  # fmt: skip
    refused(Goals, "size_kb: needs weight or at_most", latency_ms=Cost(weight=0.1), size_kb=Cost())
    refused(Goals, "metric.within: a weight says already", latency_ms=Cost(weight=0.1), metric=MetricGoal(within=0.1))
    assert Goals(latency_ms=Cost(), metric=MetricGoal(within=0.0)).metric.within == 0.0
    assert Goals.model_validate({"latency_ms": None}).costs == {"latency_ms": Cost()}


def test_tuning_agrees_with_itself() -> None:
    assert Tuning(split="group", group="shop").group == "shop"
    for given in ({"split": "group"}, {"group": "shop"}):
        refused(Tuning, "split: group and group: FEATURE need each other", **given)
    assert Tuning(split="time_series", gap="3d").gap == "3d"  # type: ignore[arg-type]
    refused(Tuning, "gap: only split: time_series leaves one", gap="3d")
    goals = Goals(size_kb=Cost())
    assert Tuning(goals=goals).sampler == "nsga2"
    assert Tuning(goals=goals, sampler="tpe").sampler == "tpe"
    refused(Tuning, "goals: sampler 'gp' goes by the metric alone", goals=goals, sampler="gp")
    refused(Tuning, "pruner: with several goals", goals=goals, pruner="median")
    assert Tuning(pruner="median").pruner == "median"
    assert list(Tuning(sampler="nsga2").goals.costs) == ["latency_ms", "size_kb"]  # type: ignore[union-attr]
    assert Tuning().goals is None


def test_a_promotion_rule_has_what_it_needs_and_nothing_else() -> None:
    assert Promotion(rule="non_inferiority", margin=0.01).margin == 0.01
    refused(Promotion, "rule non_inferiority needs a margin above 0", rule="non_inferiority")
    refused(Promotion, "margin counts only with rule: non_inferiority", margin=0.01)
    assert Promotion(error="fdr").fdr == "lord"
    for more in ({"control": "each_run"}, {"evidence": "line"}):
        refused(Promotion, "error: fdr judges each challenger over many looks", error="fdr", **more)
        assert Promotion(**more).error == "familywise"
    refused(Promotion, "guardrails.slice_drop needs guardrails.slices", guardrails={"slice_drop": 0.1})
    assert Promotion(guardrails={"slice_drop": 0.1, "slices": ["a"]}).guardrails.slices == ("a",)  # type: ignore[arg-type]


def test_a_target_is_a_column_or_made_of_events() -> None:
    assert Target.model_validate("y") == Target(column="y", name="y")
    assert Target(column="y", above=3).name == "y_above"
    assert Target(column="y", above=3).compared == 3
    events = {"from": "orders", "by": "who", "within": "30d"}
    made = Target.model_validate({**events, "sum": "amount", "above": 9})
    assert (made.made, made.of, made.name, made.column, made.compared) == (
        "sum", "amount", "orders_sum_within_30d", "orders_sum_within_30d", None,
    )  # fmt: skip
    assert made.by == {"who": "who"}
    assert Target.model_validate({**events, "any": True}).of is True
    assert Target.model_validate({**events, "count": "amount > 3", "by": ["a", "b"]}).by == {"a": "a", "b": "b"}
    assert Target.model_validate({**events, "sum": "amount", "where": "amount > 2", "name": "z"}).column == "z"


def test_files_are_read_where_the_run_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFIT_START", raising=False)
    assert str(at_start("dvc.yaml")) == "dvc.yaml"
    monkeypatch.setenv("REFIT_START", "/kept")
    assert (str(at_start("dvc.yaml")), str(at_start("params.yaml"))) == ("/kept/dag.yaml", "/kept/params.yaml")
