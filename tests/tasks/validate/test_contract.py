"""The contract: our rows and Great Expectations' counts agree, and every row is accepted or rejected with a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.artifacts.folders import EXPECTATIONS
from tasks.errors import RefitError
from tasks.params import Moment, load, parse
from tasks.validate import contract, gx, rows, suite
from tests.tasks.validate.conftest import Tree, order_frame, order_tree, weather_frame

PARAMS = parse(order_tree())
TABLES = PARAMS.data.tables
NO_PROBLEMS = pd.DataFrame({"row": np.zeros(0, "int64"), "column": [], "value": [], "why": []})
FRAMES = {"orders": order_frame(), "weather": weather_frame()}
SUITES = {name: suite.derive(name, TABLES[name], PARAMS.problem, FRAMES[name]) for name in TABLES}


def check(name: str, frame: pd.DataFrame, problems: pd.DataFrame = NO_PROBLEMS) -> contract.Checked:
    return contract.check(frame, TABLES[name], SUITES[name], problems)


def changed(name: str, **columns: dict[int, Any]) -> pd.DataFrame:
    """The clean table with some values replaced: ``column={row: value}``."""
    frame = FRAMES[name].copy()
    for column, values in columns.items():
        for row, value in values.items():
            frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize("name", TABLES)
def test_a_clean_table_is_accepted(name: str) -> None:
    checked = check(name, FRAMES[name])
    assert not checked.rejected.any()
    assert checked.reasons == {}
    assert checked.failures == []
    assert len(checked.findings) == len(SUITES[name]["expectations"])
    assert all(finding.success for finding in checked.findings)
    json.dumps([finding.to_dict() for finding in checked.findings], allow_nan=False)


@pytest.mark.parametrize(
    ("name", "columns", "reason"),
    [
        ("orders", {"size": {3: np.nan}}, "size: is missing"),
        ("orders", {"due_at": {3: pd.NaT}}, "due_at: is missing"),
        ("orders", {"id": {3: None}}, "id: is missing"),
        ("orders", {"size": {3: 0.0}}, "size: is not between 1 and 9"),
        ("orders", {"size": {3: 10.0}}, "size: is not between 1 and 9"),
        ("orders", {"hours": {3: -0.5}}, "hours: is not at least 0"),
        ("orders", {"shop": {3: "c"}}, "shop: is not one of 'a', 'b'"),
        ("orders", {"id": {3: "same", 4: "same"}}, "id: is the key of more than one row"),
        ("weather", {"day": {3: pd.Timestamp("2024-01-01T00:00Z")}}, "shop, day: is the key of more than one row"),
        ("weather", {"told_at": {3: pd.Timestamp("2024-01-03T23:00Z")}}, "told_at: is before day, so known before it happened"),
    ],
)  # fmt: skip
def test_a_bad_row_goes_with_its_reason(name: str, columns: dict[str, dict[int, Any]], reason: str) -> None:
    checked = check(name, changed(name, **columns))
    assert 3 in np.flatnonzero(checked.rejected)
    assert checked.reasons == {reason: int(checked.rejected.sum())}
    assert set(checked.why) == {reason}
    assert checked.failures == []


def test_missing_values_break_no_range_set_or_order() -> None:
    frame = changed("orders", shop={1: None}, hours={2: np.nan}, ended_at={2: pd.NaT})
    assert not check("orders", frame).rejected.any()


def test_all_reasons_of_a_row_are_told() -> None:
    checked = check("orders", changed("orders", size={3: 99.0, 5: 0.0}, shop={3: "z"}))
    assert checked.why.tolist() == [
        "size: is not between 1 and 9; shop: is not one of 'a', 'b'",
        "size: is not between 1 and 9",
    ]


def test_an_unreadable_value_is_told_as_that_and_not_as_missing() -> None:
    problems = pd.DataFrame({"row": [3, 7], "column": "size", "value": ["x", "inf"], "why": ["is not a number", "is infinite"]})  # fmt: skip
    checked = check("orders", changed("orders", size={3: np.nan, 7: np.nan, 9: np.nan}), problems)
    assert checked.why.tolist() == ["size: is not a number", "size: is infinite", "size: is missing"]


@pytest.mark.parametrize(
    ("frame", "failure"),
    [
        (FRAMES["orders"].drop(columns="shop").assign(extra=1.0), None),
        (changed("orders", hours=dict.fromkeys(range(20), np.nan)), "column_proportion_of_non_null_values_to_be_between (hours): expected min_value 0.9; found 0.66"),
        (changed("orders", shop=dict.fromkeys(range(20), None)), "(shop): expected min_value 0.9; found 0.66"),
    ],
)  # fmt: skip
def test_set_level_failures_name_expectation_expected_and_found(frame: pd.DataFrame, failure: str | None) -> None:
    if failure is None:
        with pytest.raises(RefitError, match=r"\(shop\) could not be evaluated"):
            check("orders", frame)
        return
    (found,) = check("orders", frame).failures
    assert found.startswith("orders: expect_")
    assert failure in found


def test_too_few_rows_fail_where_as_of_cannot_explain_it(tree: Tree) -> None:
    plain = {"source": "a.csv", "columns": {"x": "numeric"}}
    table = parse(tree | {"data": {"tables": tree["data"]["tables"] | {"plain": plain}}}).data.tables["plain"]
    rules = suite.derive("plain", table, PARAMS.problem, pd.DataFrame({"x": np.arange(100.0)}))
    checked = contract.check(pd.DataFrame({"x": np.arange(49.0)}), table, rules, NO_PROBLEMS)
    assert checked.failures == ["plain: expect_table_row_count_to_be_between (table): expected min_value 50; found 49"]


def test_ten_times_the_categories_fail() -> None:
    frame = FRAMES["weather"].copy()
    frame["shop"] = [f"s{x % 11}" for x in range(len(frame))]
    (failure,) = check("weather", frame).failures
    assert "expect_column_unique_value_count_to_be_between (shop): expected max_value 10; found 11" in failure


def test_too_many_rejected_rows() -> None:
    checked = check("orders", changed("orders", size=dict.fromkeys(range(20), 0.0), shop={1: "z"}))
    assert contract.too_many("orders", checked, 0.5) is None
    sentence = contract.too_many("orders", checked, 0.2)
    assert sentence is not None
    assert re.match(
        r"orders: 20 of 60 rows \(33\.3%\) broke the contract; data\.max_quarantined allows 20\.0%", sentence
    )
    assert "size: is not between 1 and 9 (20 rows); shop: is not one of 'a', 'b' (1 rows)" in sentence


bad_orders = st.fixed_dictionaries(
    {},
    optional={
        "id": st.none() | st.sampled_from(["o1", "o2", "new"]),
        "due_at": st.just(pd.NaT),
        "size": st.sampled_from([np.nan, 0.0, 1.0, 9.0, 9.5, -1e300]),
        "shop": st.none() | st.sampled_from(["a", "B", ""]),
        "hours": st.sampled_from([np.nan, -1.0, 0.0, 1e9]),
        "ended_at": st.just(pd.NaT),
    },
)


# The conditions once more, in pandas: what Great Expectations decides is held against them.
CONDITIONS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "id: is missing": lambda f: f["id"].isna(),
    "due_at: is missing": lambda f: f["due_at"].isna(),
    "size: is missing": lambda f: f["size"].isna(),
    "size: is not between 1 and 9": lambda f: (f["size"] < 1) | (f["size"] > 9),
    "shop: is not one of 'a', 'b'": lambda f: f["shop"].notna() & ~f["shop"].isin(["a", "b"]),
    "hours: is not at least 0": lambda f: f["hours"] < 0,
    "id: is the key of more than one row": lambda f: f["id"].duplicated(keep=False) & f["id"].notna(),
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(bad_orders, min_size=1, max_size=12))
def test_the_suite_alone_decides_which_rows_go(bad: list[dict[str, Any]]) -> None:
    """Great Expectations' counts are those of the quarantine, and both are what the same conditions give in pandas."""
    frame = FRAMES["orders"].head(max(20, len(bad))).copy()
    for row, values in enumerate(bad):
        for column, value in values.items():
            frame.loc[row, column] = value
    checked = check("orders", frame)
    broken = np.zeros(len(frame), bool)
    for rule, finding in zip(SUITES["orders"]["expectations"], checked.findings, strict=True):
        if rule["meta"]["level"] == "row":
            mask = CONDITIONS[rows.reason(rule)](frame).to_numpy()
            assert int(mask.sum()) == finding.found == checked.reasons.get(rows.reason(rule), 0), rule
            assert finding.success == (not mask.any())
            broken |= mask
    assert (checked.rejected == broken).all()
    assert len(checked.why) == broken.sum()
    assert (checked.why != "").all()
    assert set("; ".join(checked.why).split("; ")) - {""} == set(checked.reasons)


def test_great_expectations_names_every_bad_row_of_many() -> None:
    """It shows 200 values at most, and names all rows."""
    frame = pd.DataFrame({"size": [5.0] * 10 + [0.0] * 300 + [np.nan]}, index=range(50, 361))
    rule = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "size", "min_value": 1}}
    (result,) = gx.validate({"name": "t", "expectations": [rule | {"meta": {"level": "row"}}]}, frame)
    assert result.rows is not None
    assert result.rows.tolist() == list(range(10, 310))
    assert result.found == 300
    assert result.share == 300 / 310


def test_any_expectation_about_rows_may_be_at_row_level() -> None:
    rule = {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "id", "regex": "^o1"}, "meta": {"level": "row"}}  # fmt: skip
    suite = {"name": "orders", "expectations": [rule]}
    checked = contract.check(FRAMES["orders"].head(4), TABLES["orders"], suite, NO_PROBLEMS)
    assert checked.rejected.tolist() == [True, False, True, True]
    assert set(checked.why) == {"id: breaks expect_column_values_to_match_regex"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"type": "expect_column_values_to_not_be_nul", "kwargs": {}}, "t.json: expect_column_values_to_not_be_nul: Great Expectations has no such expectation. Did you mean 'expect_column_values_to_not_be_null'?"),
        ({"type": "expect_column_values_to_not_be_null", "kwargs": {"colum": "size"}}, "column: field required; colum: extra fields not permitted; found {'colum': 'size'}."),
        ({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "siz"}}, 'expect_column_values_to_not_be_null (siz) could not be evaluated: Error: The column "siz" in BatchData does not exist.'),
    ],
)  # fmt: skip
def test_a_suite_edited_wrongly(rule: dict[str, Any], expected: str) -> None:
    with pytest.raises(RefitError, match=re.escape(expected)):
        gx.validate({"name": "t", "expectations": [rule | {"meta": {"level": "set"}}]}, FRAMES["orders"])


def test_an_expectation_that_knows_no_rows_cannot_be_at_row_level() -> None:
    rule = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "size", "min_value": 1}, "meta": {"level": "row"}}  # fmt: skip
    with pytest.raises(RefitError, match=r"expect_column_mean_to_be_between \(size\) cannot be at level 'row'"):
        gx.validate({"name": "orders", "expectations": [rule]}, FRAMES["orders"])


def test_any_set_level_expectation_of_gx_may_be_added() -> None:
    rule = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "size", "max_value": 1}, "meta": {"level": "set"}}  # fmt: skip
    checked = contract.check(
        FRAMES["orders"], TABLES["orders"], {"name": "orders", "expectations": [rule]}, NO_PROBLEMS
    )
    assert checked.failures[0].startswith(
        "orders: expect_column_mean_to_be_between (size): expected max_value 1; found 4."
    )


def read(tmp_path: Path, text: str) -> suite.Suite:
    (tmp_path / "orders.json").write_text(text)
    return suite.read("orders", TABLES["orders"], PARAMS.problem, FRAMES["orders"], tmp_path)


def test_a_suite_survives_git(tmp_path: Path) -> None:
    text = suite.to_json(SUITES["orders"])
    assert len(text.split("\n")) == len(SUITES["orders"]["expectations"]) + 7
    assert read(tmp_path, text) == SUITES["orders"]
    (tmp_path / "orders.json").unlink()
    assert suite.read("orders", TABLES["orders"], PARAMS.problem, FRAMES["orders"], tmp_path) == SUITES["orders"]


def test_a_suite_older_than_the_schema_is_refused(tmp_path: Path, tree: Tree) -> None:
    (tmp_path / "orders.json").write_text(suite.to_json(SUITES["orders"]))
    columns = tree["data"]["tables"]["orders"]["columns"]
    columns["size"]["max"] = 8
    columns["shop"] = "categorical"
    table = parse(tree).data.tables["orders"]
    with pytest.raises(
        RefitError,
        match=r"another schema of 'orders' than params\.yaml declares now \(differs: 'shop', 'size'\)\. Run `python -m tasks\.validate --write-suite`",
    ):
        suite.read("orders", table, PARAMS.problem, FRAMES["orders"], tmp_path)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", r"not a suite \(a mapping with `expectations`"),
        ('{"expectations": [{"type": "x"}]}', "not a suite"),
        ("{", "not valid JSON"),
        ('{"expectations": [{"type": "x", "kwargs": {}, "meta": {"level": "table"}}]}', "meta.level is 'row' or 'set', found 'table'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_suite(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        read(tmp_path, text)


def test_an_outcome_is_never_required(tree: Tree) -> None:
    tree["data"]["tables"]["orders"]["columns"]["hours"]["nullable"] = False
    rules = suite.derive("orders", parse(tree).data.tables["orders"], PARAMS.problem, FRAMES["orders"])
    required = [suite.subject(r) for r in rules["expectations"] if r["type"].endswith("not_be_null")]
    assert required == ["id", "due_at", "size"]


def test_moments_with_an_offset_are_compared(tree: Tree) -> None:
    assert suite.moment_name(Moment(column="at", offset_micros=-90_000_000)) == "at-90s"
    tree["data"]["tables"]["weather"] |= {"event_time": "day + 5h", "known_at": "told_at - 2h"}
    table = parse(tree).data.tables["weather"]
    frame = changed("weather", told_at={3: pd.Timestamp("2024-01-04T08:00Z")})  # the others at 06:00
    checked = contract.check(frame, table, suite.derive("weather", table, PARAMS.problem, frame), NO_PROBLEMS)
    assert checked.failures == []
    assert np.flatnonzero(~checked.rejected).tolist() == [3]
    assert set(checked.why) == {"told_at-7200s: is before day+18000s, so known before it happened"}


def test_known_after_its_event_by_definition_needs_no_rule() -> None:
    assert not any("pair" in rule["type"] for rule in SUITES["orders"]["expectations"])


def test_the_suites_in_git_fit_the_bundled_params() -> None:
    root = Path(__file__).parents[3]
    bundled = load(root / "params.yaml")
    for name, table in bundled.data.tables.items():
        assert (root / EXPECTATIONS / f"{name}.json").exists()
        profile = pd.DataFrame({column: [None] for column in table.columns})
        rules = suite.read(name, table, bundled.problem, profile, root / EXPECTATIONS)
        assert rules["name"] == name


def one_of_each() -> dict[str, list[dict[str, Any]]]:
    """By table the rules that no earlier one has alike: their type, and the kind of their column."""
    rules: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for name in TABLES:
        frame = contract._with_moments(FRAMES[name], TABLES[name])
        for rule in SUITES[name]["expectations"]:
            dtypes = str(frame[rule["kwargs"]["column"]].dtype if "column" in rule["kwargs"] else "")
            rules.setdefault((rule["type"], dtypes), (name, rule))
    return {name: [rule for of, rule in rules.values() if of == name] for name in TABLES}


ONE_OF_EACH = one_of_each()


@pytest.mark.parametrize("name", TABLES)
def test_a_large_table_is_asked_column_by_column_with_the_same_findings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Great Expectations takes a fingerprint of all that it is given, so it is given what a rule is about.

    One rule of each type, on one column of each kind, in one of the tables: each takes a tenth of a second, twice.
    """
    spoiled = {"size": {3: np.nan, 4: 10.0}} if name == "orders" else {}
    frame = contract._with_moments(changed(name, **spoiled), TABLES[name])
    some = SUITES[name] | {"expectations": ONE_OF_EACH[name]}
    whole = gx.validate(some, frame)
    monkeypatch.setattr(gx, "LARGE", 1)
    apart = list(gx.by_parts(some, frame))
    assert [(r.rule, r.success, r.found) for r in apart] == [(r.rule, r.success, r.found) for r in whole]
    assert len({gx._about(rule, frame) for rule in some["expectations"]}) > 1
