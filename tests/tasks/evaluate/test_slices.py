"""Weak slices: a planted one is found and confirmed, and none is claimed where there is none; diagnosis in words."""

import numpy as np
import pandas as pd

from tasks.evaluate.curves import calibration
from tasks.evaluate.diagnosis import diagnose, validation_curves
from tasks.evaluate.slices import Rows, bands, declared, weak


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
    assert set(found[0]["where"]) == {"region", "size"}
    assert found[0]["where"]["region"] == "= north"
    assert found[0]["p_holm"] < 1e-10
    assert found[0]["loss"] > 3 * found[0]["loss_elsewhere"]
    assert abs(found[0]["rows"] - bad.sum()) < 0.2 * bad.sum()
    assert found[0]["observed"] > found[0]["predicted"] + 0.3


def test_nothing_is_claimed_where_nothing_is_wrong():
    claimed = 0
    for seed in range(12):
        (valid, _), (test, _) = rows(2 * seed + 10, False), rows(2 * seed + 11, False)
        found = weak(valid, test, list(test.X), "roc_auc", "binary", 0.5)
        claimed += any(s["p_holm"] <= 0.05 for s in found)
    assert claimed <= 2


def test_bands_of_numbers_categories_and_gaps():
    valid = pd.DataFrame({"n": [1.0, 2, 3, 4, 5, 6, 7, np.nan], "few": [0, 1, 0, 1, 0, 1, 0, 1.0], "none": np.nan})
    test = pd.DataFrame({"n": [0.0, 9, np.nan], "few": [1, 2, 0.0], "none": [np.nan, 1, np.nan]})
    a, b, names = bands(valid, test, "n")
    assert names[-1] == "missing"
    assert a[-1] == len(names) - 1
    assert (b[0], b[2]) == (0, len(names) - 1)
    assert bands(valid, test, "few")[1].tolist() == [1, -1, 0]  # 2 was not seen in validation rows
    assert bands(valid, test, "none")[1].tolist() == [0, -1, 0]


def test_declared_slices_in_regression():
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"g": pd.Series(rng.choice(["a", "b"], 1000), dtype="str")})
    y = rng.normal(size=1000)
    said = y + rng.normal(0, np.where(X["g"] == "a", 2.0, 0.5))
    part = Rows(X, y, said)
    found = {s["where"]["g"]: s for s in declared(part, part, ["g"], "rmse", "regression", 0.5)}
    assert found["= a"]["metric"] > 1.5 > 1.0 > found["= b"]["metric"]
    assert found["= a"]["p_holm"] < 1e-10


def test_calibration_intervals_hold_the_truth():
    rng = np.random.default_rng(4)
    p = rng.random(20_000)
    found = calibration((rng.random(20_000) < p).astype(float), p)
    inside = sum(
        low <= said <= high for low, said, high in zip(found["low"], found["predicted"], found["high"], strict=True)
    )
    assert inside >= 8
    assert found["rows"] == [2000] * 10


def test_diagnosis_in_words():
    curve = [{"rows": 1000, "valid": 0.70}, {"rows": 4000, "valid": 0.75}]
    over = diagnose("roc_auc", 0.99, 0.70, 0.70, 0.5, (0.68, 0.72), curve)
    assert over["kind"] == "variance"
    assert any("overfits" in line for line in over["said"])
    assert any("more rows are worth having" in line for line in over["said"])
    assert diagnose("roc_auc", 0.71, 0.70, 0.70, 0.5, (0.68, 0.72), [])["kind"] == "bias"
    assert diagnose("rmse", 3.0, 3.1, 3.1, 2.9, (3.0, 3.2), [])["kind"] == "underfit"
    drifted = diagnose(
        "rmse", 1.0, 1.1, 1.9, 2.9, (1.8, 2.0), [{"rows": 100, "valid": 1.1}, {"rows": 400, "valid": 1.1}]
    )
    assert any("Test rows come out worse" in line for line in drifted["said"])
    assert any("would change little" in line for line in drifted["said"])


def test_failed_trials_are_left_out_of_validation_curves():
    trials = [
        {"params": {"c": 1.0, "how": "x"}, "value": 0.5, "state": "complete"},
        {"params": {"c": 0.1, "how": "y"}, "value": None, "state": "pruned"},
        {"params": {"c": 0.5, "how": "a"}, "value": 0.6, "state": "complete"},
    ]
    found = validation_curves(trials)
    assert [p["value"] for p in found["c"]] == [0.5, 1.0]
    assert [p["value"] for p in found["how"]] == ["a", "x"]
