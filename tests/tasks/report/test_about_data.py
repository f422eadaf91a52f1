"""What the page says of the rules: the difference from what was accepted with the champion."""

from __future__ import annotations

from typing import Any

from tasks.artifacts import Validation
from tasks.report.about_data import data
from tasks.report.blocks import Prose, Section, Table

TABLES = {"orders": {"input": 10, "accepted": 10, "quarantined": 0, "not_yet_known": 0, "reasons": {}}}


def data_of(summary: dict[str, Any]) -> Section:
    return data(Validation.of_json({"as_of": None} | summary), None, None)


def finding(**more: Any) -> dict[str, Any]:
    return {
        "table": "orders", "scope": "7 days to 2024-04-28 16:32", "check": "rows", "expectation": "expect_table_row_count_to_be_between",
        "about": "table", "level": "set", "expected": "104 to 1,351 rows", "was": "300 to 469", "found": "476", "success": True,
    } | more  # fmt: skip


def test_each_rule_stands_once_with_what_it_was_and_what_came() -> None:
    told = [
        finding(),
        finding(scope="7 days to 2024-04-21 16:32", found="433"),
        finding(check="order of columns", expectation="expect_table_columns_to_match_ordered_list", was="", success=False),
        {"table": "orders", "expectation": "expect_column_values_to_be_unique", "about": "id", "level": "row", "expected": {}, "found": 0, "success": True},
    ]  # fmt: skip
    found = data_of({"tables": TABLES, "expectations": told, "baseline": {"orders": {"version": "3"}}})
    rules = found.blocks[-1]
    assert isinstance(rules, Table)
    assert [[cell.text for cell in row][3:] for row in rules.rows] == [
        ["order of columns", "–", "104 to 1,351 rows", "476", "told only"],
        ["rows", "300 to 469", "104 to 1,351 rows", "476", "kept"],
    ]
    assert "3 rules of Great Expectations held these tables against what was accepted with version 3." in rules.caption


def test_what_a_person_accepted_is_said_with_the_reason() -> None:
    of = {"version": "3", "by": "ann", "reason": "miles"}
    found = data_of({"tables": TABLES, "expectations": [finding()], "baseline": {"orders": of, "shops": None}})
    assert "accepted by ann: miles" in found.blocks[-1].caption


def test_a_first_run_says_that_there_was_nothing_to_hold_against() -> None:
    found = data_of({"tables": TABLES, "expectations": [], "baseline": {"orders": None}})
    assert isinstance(found.blocks[-1], Prose)
    assert "There was no champion to hold these tables against" in str(found.blocks[-1].text)
