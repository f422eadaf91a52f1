"""Runs side by side."""

import pytest

from tasks.errors import RefitError
from tasks.report.compare_runs import ComparedRun, compare_runs
from tests.tasks.report.test_page import Outline


def run(name: str, value: float, **more):
    return ComparedRun(name, {"rmse": value, "r2": 1 - value / 10}, "rmse", family="ridge", **more)


def test_the_best_run_is_named():
    runs = [run("one", 3.0, params={"alpha": 1}), run("two", 2.0, params={"alpha": 2}, intervals={"rmse": [1.5, 2.5]})]
    page = Outline(compare_runs(runs))
    assert "two has the best RMSE of 2 runs: 2.000." in page.text
    assert "1.50 to 2.50" in page.text
    assert "alpha" in page.text


def test_many_runs_become_lines():
    html = compare_runs([run(f"r{i}", 1 + i / 10) for i in range(30)])
    assert "r0 has the best" in html
    assert 'class="line s1"' in html


def test_one_run_and_missing_values():
    page = Outline(compare_runs([run("one", 3.0), ComparedRun("two", {"rmse": None})]))
    assert "one has the best RMSE" in page.text


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
