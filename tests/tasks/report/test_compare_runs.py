"""Runs side by side."""

import re

import pytest

from tasks.artifacts import Receipt
from tasks.errors import RefitError
from tasks.report.compare_runs import ComparedRun, compare_runs, rows_of
from tests.tasks.report.test_page import Outline


def run(name: str, value: float, **more):
    return ComparedRun(name, {"rmse": value, "r2": 1 - value / 10}, "rmse", family="ridge", **more)


def measured(name: str, value: float, spread: float, **more):
    return run(name, value, intervals={"rmse": [value - spread, value + spread]}, rows=40, **more)


def test_a_best_run_is_named_where_rows_are_the_same_and_intervals_lie_apart():
    runs = [
        measured("one", 3.0, 0.2, params={"alpha": 1}, rows_of="a", champion=True),
        measured("two", 2.0, 0.5, params={"alpha": 2}, rows_of="a"),
    ]
    page = Outline(compare_runs(runs))
    assert "one is the champion." in page.text
    assert "two has the best RMSE, 2.000, on the same 40 test rows, and its interval lies apart" in page.text
    assert "1.50 to 2.50; the best" in page.text
    assert "alpha" in page.text


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ({"rows_of": "a"}, {"rows_of": "b"}, "They were measured on different test rows"),
        ({}, {}, "They were measured on different test rows"),  # nobody knows which
        ({"rows_of": "a", "spread": 0.9}, {"rows_of": "a"}, "On the same 40 test rows their intervals of RMSE overlap"),
        ({"rows_of": "a", "value": 2.4}, {"rows_of": "a"}, "On the same 40 test rows their intervals of RMSE overlap"),
    ],
)
def test_no_run_is_crowned_over_other_rows_or_overlapping_intervals(one, two, said):
    shape = {"value": 3.0, "spread": 0.2}
    page = Outline(compare_runs([measured("one", **(shape | one)), measured("two", **(shape | {"value": 2.0} | two))]))
    assert said in page.text
    assert "best RMSE" not in page.text
    assert "the best" not in page.text
    assert "None of these is the champion." in page.text


def test_the_champion_is_marked():
    html = compare_runs([measured("one", 3.0, 0.1), measured("two", 2.0, 0.1, champion=True)])
    (marked,) = re.findall(r'<tr class="marked">.*?</tr>', html, re.DOTALL)
    assert "two" in marked
    assert '<span class="note">champion</span>' in marked


def test_what_errors_cost_is_said_in_the_unit_where_they_have_a_price():
    page = Outline(compare_runs([measured("one", 3.0, 0.1, cost=0.25), measured("two", 2.0, 0.1)], unit="EUR"))
    assert "Errors cost" in page.text
    assert "0.250 EUR a row" in page.text
    assert "Errors cost" not in Outline(compare_runs([measured("one", 3.0, 0.1)])).text


def test_test_rows_are_the_same_by_what_makes_them():
    params = {
        "problem": {"table": "t", "target": "y", "metric": "rmse"},
        "split": {"kind": "time"},
        "models": {"ridge": {}},
    }
    receipt = Receipt(
        as_of="2024-01-01", seed=1, data={"validated/t.parquet": "a", "features/plan.json": "b"}, params=params
    )
    other_model = params | {"models": {"mlp": {}}, "problem": params["problem"] | {"metric": "mae"}}
    assert rows_of(receipt.model_copy(update={"params": other_model})) == rows_of(receipt) != ""
    for changed in (
        {"as_of": "2024-01-08"},
        {"seed": 2},
        {"data": {"validated/t.parquet": "c"}},
        {"params": params | {"split": {"kind": "random"}}},
        {"params": params | {"problem": {"table": "t", "target": "z"}}},
    ):
        assert rows_of(receipt.model_copy(update=changed)) != rows_of(receipt)
    assert rows_of(Receipt()) == ""


def test_many_runs_become_lines():
    html = compare_runs([run(f"r{i}", 1 + i / 10) for i in range(30)])
    assert 'class="line s1"' in html


def test_one_run_and_missing_values():
    page = Outline(compare_runs([run("one", 3.0), ComparedRun("two", {"rmse": None})]))
    assert "Only one of them was measured." in page.text


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([], "no run to compare"),
        ([run("a", 1.0), run("a", 2.0)], "two runs are called 'a'"),
        ([ComparedRun("a", {})], "none of the runs has a metric"),
    ],
)
def test_what_cannot_be_compared(runs, said):
    with pytest.raises(RefitError, match=said):
        compare_runs(runs)
