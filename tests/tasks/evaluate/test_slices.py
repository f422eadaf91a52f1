"""Weak slices: a planted one is found and confirmed, and none is claimed where there is none."""

import json

import numpy as np
import pandas as pd
import pytest

from tasks.evaluate.chance import coin_tails, difference_tails, mean_tails
from tasks.evaluate.slices import Rows, _both_ways, _tested, _value, declared, weak
from tasks.metrics.curves import calibration
from tests.bench import slices as bench


def rows(seed, planted, n=4000):
    """Calibrated probabilities, except (if planted) where region is north and size is in its upper quarter."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=["size", "b", "c", "d", "e"])
    X["region"] = pd.Series(rng.choice(["north", "south", "east"], n), dtype="str")
    X.loc[X.index[::11], "b"] = np.nan
    p = rng.beta(2, 8, n)
    y = (rng.random(n) < p).astype(float)
    bad = ((X["region"] == "north") & (X["size"] > 0.7)).to_numpy()
    if planted:
        y[bad] = 1 - y[bad]
    return Rows(X, y, np.column_stack([1 - p, p])), bad


def test_a_planted_weak_slice_is_found():
    (valid, _), (test, bad) = rows(0, True), rows(1, True)
    found = weak(valid, test, list(test.X), "roc_auc", "binary", 0.5)
    assert set(found[0].where) == {"region", "size"}
    assert found[0].where["region"] == "= north"
    assert found[0].p_holm < 1e-10
    assert (found[0].fault, found[0].direction) == ("level", "worse")
    assert found[0].loss > 3 * found[0].promised
    assert found[0].loss_elsewhere == pytest.approx(found[0].promised_elsewhere, rel=0.1)
    assert abs(found[0].rows - bad.sum()) < 0.2 * bad.sum()
    assert found[0].observed > found[0].predicted + 0.3


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_nothing_is_claimed_of_a_model_that_says_the_truth(kind):
    """Uncertain rows have larger errors; 16 reports on the true probabilities (or means, under uneven noise)."""
    rng = np.random.default_rng(5)
    claimed = sum(bool(bench.named(rng, n, kind, rare)) for n in (60, 120, 300, 1000) for rare in (False, True) * 2)
    assert claimed <= 3  # more happens by chance in fewer than one of a hundred


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_slice_off_by_one_logit_is_found(kind):
    rng = np.random.default_rng(6)
    found = [bench.named(rng, 2000, kind, planted=True) for _ in range(3)]
    assert all(any(share >= 0.5 and one.fault == "level" for one, share in each) for each in found)


def test_a_slice_without_skill_is_found_and_told_from_noise():
    """Within shop b the predictions have nothing to do with the truth, though they are right on the average."""
    rng = np.random.default_rng(7)

    def make(kind):
        shop = rng.choice(["a", "b", "c"], 3000)
        x = rng.normal(size=3000)
        said = np.where(shop == "b", rng.permutation(x), x)
        X = pd.DataFrame({"shop": pd.Series(shop, dtype="str"), "u": rng.normal(size=3000)})
        if kind == "regression":
            return Rows(X, x + rng.normal(size=3000) * np.where(shop == "c", 3, 0.5), said)
        p, y = 1 / (1 + np.exp(-said)), (rng.random(3000) < 1 / (1 + np.exp(-x))).astype(float)
        return Rows(X, y, np.column_stack([1 - p, p]))

    for kind, metric in (("regression", "rmse"), ("binary", "roc_auc")):
        found = weak(make(kind), make(kind), ["shop", "u"], metric, kind, 0.5)
        named = [one for one in found if one.p_holm < 0.05]
        assert named, kind
        assert all(one.where["shop"] == "= b" and one.fault == "skill" for one in named)
        assert abs(named[0].skill) < 0.25 < 0.7 < named[0].skill_elsewhere
        if kind == "regression":
            assert named[0].r2 < 0  # the slice's own mean is a better prediction


def test_a_fault_that_all_rows_share_names_no_slice_and_its_absence_is_better():
    """Everywhere the model says 10 points too much, but where the flag is 1."""
    rng = np.random.default_rng(8)

    def make(shared=False):
        X = pd.DataFrame({"flag": rng.choice([0.0, 1.0], 4000), "u": rng.normal(size=4000)})
        p = rng.uniform(0.3, 0.7, 4000)
        y = (rng.random(4000) < p - 0.1 * (shared | (X["flag"] == 0))).astype(float)
        return Rows(X, y, np.column_stack([1 - p, p]))

    found = weak(make(True), make(True), ["flag", "u"], "roc_auc", "binary", 0.5)
    assert all(one.p_holm > 0.05 for one in found)
    about = {one.where["flag"]: one for one in declared(make(), make(), ["flag"], "roc_auc", "binary", 0.5)}
    assert {name: one.direction for name, one in about.items()} == {"= 0": "worse", "= 1": "better"}
    assert all(one.fault == "level" and one.p_holm < 1e-4 for one in about.values())


def test_a_slice_of_thirty_rows_is_looked_at_and_one_of_fewer_is_not():
    def make(rng, size):
        X = pd.DataFrame({"flag": pd.Series(np.where(np.arange(1000) < size, "few", "many"), dtype="str")})
        p = rng.uniform(0.05, 0.2, 1000)
        y = np.where(np.arange(1000) < size, 1.0, (rng.random(1000) < p).astype(float))
        return Rows(X, y, np.column_stack([1 - p, p]))

    rng = np.random.default_rng(3)
    named = {size: weak(make(rng, size), make(rng, size), ["flag"], "roc_auc", "binary", 0.5) for size in (30, 29)}
    assert [one.where["flag"] for one in named[30]] == ["= few"]
    assert named[29] == []


def test_a_slice_that_is_better_than_the_others_is_told_with_both_sides_chance():
    """Rows without a flag are said 10 points too high; those with one are right."""
    rng = np.random.default_rng(9)
    flag = np.arange(4000) % 2 == 0
    p = rng.uniform(0.4, 0.6, 4000)
    rows = Rows(
        pd.DataFrame({"flag": flag.astype(float)}),
        (rng.random(4000) < p - 0.1 * ~flag).astype(float),
        np.column_stack([1 - p, p]),
    )
    low, high, differs, sign = _tested(rows, flag, 0, "level")
    sides = difference_tails(*(_value(rows.said[0], inside, "level") for inside in (flag, ~flag)))
    assert (low, high, sign) == (1.0, 1.0, -1)
    assert differs == pytest.approx(2 * min(sides))
    assert _tested(rows, ~flag, 0, "level")[2:] == (pytest.approx(2 * min(sides)), 1)


def test_faults_of_a_slice_have_chances_of_both_sides():
    """A slice that is said ten points too low, and in which differences are the wrong way round."""
    rng = np.random.default_rng(10)
    inside = np.arange(2000) < 300
    p = rng.uniform(0.2, 0.5, 2000)
    y = (rng.random(2000) < np.where(inside, 0.45 - 0.5 * (p - 0.35), p)).astype(float)
    rows = Rows(pd.DataFrame({"x": p}), y, np.column_stack([1 - p, p]))
    told = {(kind, way): chance for chance, kind, way, _ in _both_ways(rows, inside)}
    above, below = _tested(rows, inside, 0, "level")[:2]
    assert told["level", "worse"] == pytest.approx(2 * min(above, below))
    assert told["skill", "worse"] == pytest.approx(2 * _tested(rows, inside, 0, "skill")[1])
    assert max(told.values()) < 0.05


def test_declared_slices_in_regression_are_not_blamed_for_noise():
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"g": pd.Series(rng.choice(["a", "b"], 1000), dtype="str")})
    said = rng.normal(size=1000)
    y = said + rng.normal(0, np.where(X["g"] == "a", 2.0, 0.5))
    part = Rows(X, y, said)
    found = {s.where["g"]: s for s in declared(part, part, ["g"], "rmse", "regression", 0.5)}
    assert found["= a"].metric > 1.5 > 1.0 > found["= b"].metric
    assert found["= a"].p_holm > 0.05
    off = Rows(X, y + 0.5 * (X["g"] == "b").to_numpy(), said)
    found = {s.where["g"]: s for s in declared(off, off, ["g"], "rmse", "regression", 0.5)}
    assert found["= b"].p_holm < 1e-4
    assert (found["= b"].direction, found["= b"].fault) == ("worse", "level")


def test_odd_slices_neither_fail_nor_are_accused():
    """Constant, empty, one class, levels that validation rows lack, a band of three rows, probabilities of 0 and 1."""
    rng = np.random.default_rng(9)
    n = 80

    def make(levels):
        X = pd.DataFrame({"same": np.ones(n), "none": np.full(n, np.nan), "u": rng.normal(size=n)})
        X["level"] = pd.Series(rng.choice(levels, n), dtype="str")
        X["few"] = np.where(np.arange(n) < 3, 1.0, 0.0)
        p = np.where(X["u"] > 0.5, 1.0, rng.choice([0.0, 0.25], n))
        y = (rng.random(n) < p).astype(float)
        return Rows(X, y, np.column_stack([1 - p, p]))

    valid, test = make(["a", "b"]), make(["b", "new"])
    found = weak(valid, test, list(test.X), "roc_auc", "binary", 0.5)
    assert all(one.p_holm > 0.05 for one in found)
    told = declared(valid, test, list(test.X), "roc_auc", "binary", 0.5)
    by_name = {f"{k} {v}": one for one in told for k, v in one.where.items()}
    assert by_name["few = 1"].p is None  # three rows
    assert by_name["same = 1"].p is None  # all rows: there are no others
    assert by_name["none missing"].rows == n
    assert "level = new" not in by_name
    assert all(one.p_holm is None or one.p_holm > 0.05 for one in told)
    json.dumps([one.to_dict() for one in told + found], allow_nan=False)


def test_sums_of_coins_have_the_right_tails():
    """Against the exact distribution, by convolution, to the far tail."""
    rng = np.random.default_rng(10)
    for n, most in ((5, 0.5), (30, 0.05), (60, 0.9), (300, 0.02)):
        p = rng.random(n) * most
        exact = np.ones(1)
        for one in p:
            exact = np.convolve(exact, [1 - one, one])
        upper, lower = np.cumsum(exact[::-1])[::-1], np.cumsum(exact)
        for count in range(n + 1):
            if upper[count] > 1e-12:
                low, high = coin_tails(p, count)
                assert (low, high) == (pytest.approx(lower[count], rel=0.1), pytest.approx(upper[count], rel=0.1))
    many = np.sort(rng.beta(1, 50, 40_000))  # neighbours count as alike
    few = coin_tails(np.append(many[:15_000], many[15_000:]), 900)[1]
    assert few == pytest.approx(1 - coin_tails(many, 899)[0], rel=1e-3)
    assert coin_tails(np.array([0.0, 1.0, 1.0]), 2) == (1.0, 1.0)
    assert coin_tails(np.array([0.0, 1.0]), 2)[1] == 0.0


def test_means_of_skewed_values_have_honest_tails():
    rng = np.random.default_rng(11)
    found = np.array([mean_tails(rng.exponential(size=30) - 1) for _ in range(2000)])
    assert (found < 0.01).mean(axis=0).max() < 0.02  # Student's t alone: 0.03
    assert mean_tails(np.zeros(40)) == (1.0, 1.0)


def test_calibration_intervals_hold_the_truth():
    rng = np.random.default_rng(4)
    p = rng.random(20_000)
    found = calibration((rng.random(20_000) < p).astype(float), p)
    inside = sum(low <= said <= high for low, said, high in zip(found.low, found.predicted, found.high, strict=True))
    assert inside >= 8
    assert found.rows == [2000] * 10
