"""Guardrails in both directions: what must fail fails, what must hold holds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.compare.guardrails import check, judge_latency, latency
from tasks.params import Guardrails
from tests.tasks.compare.pairs import make, swapped

N = 400
HALVES = pd.DataFrame({"side": ["left"] * 200 + ["right"] * 200})


def by_side(left, right):
    """Binary models: on each side of 200 rows so many where the challenger alone, the champion alone is right."""
    mine, theirs = [], []
    for b, c in (left, right):
        mine += [1] * b + [0] * c + [1] * (200 - b - c)
        theirs += [0] * b + [1] * c + [1] * (200 - b - c)
    y = np.arange(N) % 2
    say = [np.where(np.array(v) == 1, y, 1 - y) * 0.8 + 0.1 for v in (mine, theirs)]
    return make("binary", y, *say)


def slices(pair, rows=HALVES, limit=0.05, columns=("side",)):
    (found,) = check(pair, rows, Guardrails(slice_drop=limit, slices=columns), None)
    return found


@pytest.mark.parametrize(
    ("left", "right", "passed", "drop", "where"),
    [
        ((80, 10), (5, 45), False, 0.2, "side = right"),
        ((5, 45), (80, 10), False, 0.2, "side = left"),
        ((10, 80), (45, 5), False, 0.35, "side = left"),
        ((45, 5), (45, 5), True, -0.2, "side = left"),  # better in both
        ((20, 26), (20, 20), True, 0.03, "side = left"),  # worse, but within the limit
        ((3, 15), (40, 5), False, 0.06, "side = left"),
        ((22, 34), (20, 20), True, 0.06, "side = left"),  # over the limit, but by chance
        ((0, 0), (0, 0), True, 0.0, "side = left"),
    ],
)
def test_a_slice_that_loses_fails_and_one_that_gains_does_not(left, right, passed, drop, where):
    found = slices(by_side(left, right))
    assert found.passed is passed
    assert found.found == pytest.approx(drop)
    assert found.limit == 0.05
    assert where in found.said
    assert ("worse by" if drop > 0 else "better by") in found.said


def test_the_limit_is_what_is_asked_for():
    pair = by_side((5, 45), (80, 10))
    assert not slices(pair, limit=0.19).passed
    assert slices(pair, limit=0.21).passed
    assert slices(swapped(pair), limit=0.3).found == pytest.approx(0.35)


def test_many_slices_are_judged_together():
    """Twenty slices of 50 rows: one lost by 9 to 1 is chance among twenty, by 16 to 0 it is not."""
    for b, c, passed in ((1, 9, True), (0, 16, False)):
        mine = np.ones(1000)
        theirs = np.ones(1000)
        mine[:c], theirs[c : c + b] = 0, 0
        y = np.arange(1000) % 2
        pair = make("binary", y, *(np.where(v == 1, y, 1 - y) * 0.8 + 0.1 for v in (mine, theirs)))
        found = slices(pair, pd.DataFrame({"side": np.arange(1000) // 50}).astype(str))
        assert found.passed is passed
        assert found.found == pytest.approx((c - b) / 50)


def test_small_slices_are_not_judged():
    rows = pd.DataFrame({"side": [f"s{i // 49}" for i in range(N)]})
    found = slices(by_side((0, 100), (0, 100)), rows)
    assert found.passed is True
    assert found.said == "no slice has 50 rows"
    at_50 = slices(by_side((0, 100), (0, 100)), pd.DataFrame({"side": [f"s{i // 50}" for i in range(N)]}))
    assert at_50.passed is False


@pytest.mark.parametrize(("scale", "passed"), [(1.5, False), (0.7, True), (1.02, True)])
def test_regression_loses_by_a_share_of_the_error(scale, passed):
    rng = np.random.default_rng(0)
    y, error = rng.normal(10, 2, N), rng.normal(0, 1, N)
    mine = y + error * np.where(np.arange(N) < 200, scale, 0.8)
    found = slices(make("regression", y, mine, y + error))
    assert found.passed is passed
    assert found.found == pytest.approx(max(scale, 0.8) - 1)
    assert ("side = left" if scale > 0.8 else "side = right") in found.said


def test_numbers_are_cut_into_quarters_and_missing_values_are_a_slice():
    values = np.arange(N, dtype=float)
    values[300:] = np.nan
    mine = np.where(np.arange(N) >= 300, 0, 1)
    y = np.arange(N) % 2
    pair = make("binary", y, np.where(mine == 1, y, 1 - y) * 0.8 + 0.1, y * 0.8 + 0.1)
    found = slices(pair, pd.DataFrame({"age": values}), columns=("age",))
    assert (found.passed, found.found) == (False, pytest.approx(1.0))
    assert "age missing" in found.said
    low = make("binary", y, np.where(np.arange(N) >= 100, y, 1 - y) * 0.8 + 0.1, y * 0.8 + 0.1)
    found = slices(low, pd.DataFrame({"age": np.arange(N, dtype=float)}), columns=("age",))
    assert "age ≤ 100" in found.said
    assert found.found == pytest.approx(100 / 101)


@pytest.mark.parametrize(
    ("mine", "theirs", "rise"), [(0.9, 0.7, 0.2), (0.7, 0.9, -0.2), (0.5, 0.6, 0.1), (0.8, 0.6, 0.0)]
)
def test_calibration_rises_and_falls(mine, theirs, rise):
    """70 of 100 rows are positive; both models say one probability for all."""
    y = np.repeat([1.0, 0.0], [70, 30])
    pair = make("binary", y, np.full(100, mine), np.full(100, theirs))
    for limit in (0.05, 0.15, 0.25):
        (found,) = check(pair, HALVES, Guardrails(calibration=limit), None)
        assert found.found == pytest.approx(rise, abs=1e-9)
        assert found.passed is (rise <= limit)
    assert f"calibration error {abs(mine - 0.7):.4f}, the champion's {abs(theirs - 0.7):.4f}" in found.said


@pytest.mark.parametrize(("mine", "theirs", "rise"), [(1.0, 0.2, 0.4), (-1.0, 0.2, 0.4), (0.2, -1.0, -0.4)])
def test_calibration_of_numbers_is_their_bias(mine, theirs, rise):
    y = np.array([-2.0, 2.0] * 50)  # of spread 2
    pair = make("regression", y, y + mine, y + theirs)
    (found,) = check(pair, HALVES, Guardrails(calibration=0.1), None)
    assert found.found == pytest.approx(rise)
    assert found.passed is (rise <= 0.1)
    constant = replace(pair, y=np.zeros(100), challenger=np.full(100, 0.3), champion=np.full(100, 0.1))
    assert check(constant, HALVES, Guardrails(calibration=0.1), None)[0].found == pytest.approx(0.2)


def test_the_size_of_the_package(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"x" * 1_500_000)
    (tmp_path / "about").write_bytes(b"x" * 500_000)
    pair = by_side((0, 0), (0, 0))
    for limit, passed in ((1.9, False), (2.0, True), (2.1, True)):
        (found,) = check(pair, HALVES, Guardrails(size_mb=limit), tmp_path)
        assert (found.passed, found.found) == (passed, pytest.approx(2.0))
    assert found.said == "the package has 2.0 MB"


class Asked:
    """Notes which rows it is asked about."""

    def __init__(self):
        self.rows = []

    def start(self):
        assert not self.rows

    def predict_row(self, row):
        self.rows.append(row)


def test_latency_is_of_the_newest_fifty_rows_after_ten_to_warm_up():
    bundle = Asked()
    spent = latency(bundle, pd.DataFrame({"x": range(100)}))
    assert [row["x"] for row in bundle.rows] == list(range(40, 100))
    assert len(spent) == 50
    assert spent == sorted(spent)
    assert len(latency(Asked(), pd.DataFrame({"x": range(3)}))) == 1


def test_latency_is_in_milliseconds(monkeypatch):
    """A clock that goes on by half a second each time it is asked."""
    clock = iter(np.arange(1000) / 2)
    monkeypatch.setattr("tasks.fitting.measured.time.perf_counter", lambda: float(next(clock)))
    assert latency(Asked(), pd.DataFrame({"x": range(12)})) == [500.0] * 2


def test_latency_by_the_median():
    for limit, passed in ((1.9, False), (2.0, True)):
        found = judge_latency([1.0, 2.0, 90.0], limit)
        assert found.passed is passed
        assert ("within" if passed else "over") in found.said


def test_what_is_not_limited_is_not_checked():
    assert check(by_side((0, 100), (0, 100)), HALVES, Guardrails(), None) == []
    three = Guardrails(slice_drop=0.05, slices=("side",), calibration=0.1)
    assert [g.name for g in check(by_side((0, 0), (0, 0)), HALVES, three, None)] == ["slice_drop", "calibration"]
