"""The default calibration: planted miscalibration found, few rows, classes that part, forests' zeros, means of folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

from tasks.artifacts import Member
from tasks.files import hash_tree, read_json, write_json
from tasks.fitting.base import Fold
from tasks.fitting.calibration import Calibration, calibrate, calibrate_mean
from tasks.fitting.rows import read_rows
from tasks.fitting.scale import scale_of, scale_of_mean
from tasks.fitting.setup import Setup
from tasks.metrics import measure
from tasks.metrics.recalibration import recalibration
from tasks.models import Model, fit_family, load_model, save_model
from tasks.models.bag import Bag, BagPart, Joined
from tasks.train.tuned import calibrate_bag
from tests.samples import features_folder


def two(p: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - p, p])


def planted(n: int, centre: float, slope: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds said, and what happened where the truth is ``slope`` times them (about their centre) and a shift."""
    rng = np.random.default_rng(seed)
    x = centre + 1.2 * rng.normal(size=n)
    return x, (rng.random(n) < expit(centre + slope * (x - centre) + shift)).astype(float)


def test_planted_slope_and_shift_are_found():
    x, y = planted(40_000, -2.0, 1.4, 0.3)
    found = scale_of(two(expit(x)), y)
    assert found is not None
    assert found["slope"] == pytest.approx(1.4, abs=0.05)
    assert found["shift"] == pytest.approx(0.3 - 2.0 + 2.0 * 1.4, abs=0.1)  # about 0, not about the centre
    assert "limit" not in found


@pytest.mark.parametrize(("slope", "better"), [(1.4, 0.9), (0.7, 0.9), (1.0, 0.0)])
def test_rare_positives_gain_on_new_rows_and_lose_nothing_where_all_was_well(slope: float, better: float):
    gains = []
    new, happened = planted(100_000, -3.5, slope, 0.0, seed=999)
    for seed in range(12):
        x, y = planted(4_000, -3.5, slope, 0.0, seed)  # about 200 positives
        found = calibrate("auto", two(expit(x)), y, "binary")
        plain = two(expit(new))
        loss = [measure("log_loss", happened, s, "binary") for s in (plain, found.apply(plain) if found else plain)]
        gains.append(loss[0] - loss[1])
    assert np.mean(np.array(gains) > 0) >= better
    assert np.mean(gains) > -1.5 * 2 / (2 * 4_000)  # two numbers cost a nat in all rows, where there is nothing to find


def test_twelve_positives_move_it_a_little_and_never_far():
    """Shrunk: the spread of slopes is far below that of an unpenalised fit, and about the truth on average."""
    slopes, free = [], []
    for seed in range(60):
        x, y = planted(400, -4.0, 1.0, 0.0, seed)
        y[:] = 0
        y[np.random.default_rng(seed).choice(400, 12, replace=False, p=expit(x) / expit(x).sum())] = 1
        found = scale_of(two(expit(x)), y) or {"slope": 1.0}
        slopes.append(found["slope"])
        free.append((recalibration(y, expit(x))["slope"] or [np.nan])[0])
    assert np.std(slopes) < 0.8 * np.nanstd(free)
    assert 0.5 < min(slopes) < max(slopes) < 1.8
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("positives", [0, 1, 2])
def test_hardly_any_positive_is_no_error(positives: int):
    x, y = planted(200, -3.0, 1.0, 0.0)
    y[:] = 0
    y[np.argsort(-x)[:positives]] = 1
    found = calibrate("auto", two(expit(x)), y, "binary")
    assert positives > 0 or found is None
    if found:
        assert np.isfinite(found.apply(two(expit(x)))).all()


def test_classes_that_part_give_a_finite_slope_above_one():
    x, _ = planted(300, 0.0, 1.0, 0.0)
    found = scale_of(two(expit(x)), (x > 0).astype(float))
    assert found is not None
    assert 1.5 < found["slope"] < 20


@pytest.mark.parametrize("slope", [0.7, 0.85, 1.0, 1.2, 2.2])
def test_slopes_too_near_one_to_be_seen_are_mended_in_the_middle_too(slope: float):
    """What is left of a slope, in the median of many fits on a hundred and forty positives; it was 1.1 of 1.2."""
    left = []
    for seed in range(60):
        x, y = planted(2_500, -3.2, slope, 0.0, seed)
        left.append(slope / (scale_of(two(expit(x)), y) or {"slope": 1.0})["slope"])
    assert np.median(left) == pytest.approx(1.0, abs=0.05)


def test_scores_that_say_nothing_or_the_opposite_become_nearly_equal_and_are_not_turned_round():
    x, y = planted(2_000, -1.0, -1.0, 0.0)
    found = calibrate("auto", two(expit(x)), y, "binary")
    assert found is not None
    fixed = found.apply(two(expit(x)))[:, 1]
    assert np.array_equal(np.argsort(fixed, kind="stable"), np.argsort(expit(x), kind="stable"))
    assert np.ptp(fixed) < 0.1
    assert fixed.mean() == pytest.approx(y.mean(), abs=0.01)


def test_probabilities_of_zero_that_were_wrong_are_not_believed():
    """As of a forest in which no tree voted for the class: one in a hundred such rows turns out positive."""
    rng = np.random.default_rng(0)
    p = np.where(rng.random(4_000) < 0.6, 0.0, rng.beta(1, 4, 4_000))
    y = (rng.random(4_000) < np.where(p == 0, 0.01, p)).astype(float)
    found = calibrate("auto", two(p), y, "binary")
    assert found is not None
    assert "limit" in found.curves[0]
    fixed = found.apply(two(p))[:, 1]
    assert 0.001 < fixed[p == 0].mean() < 0.02
    assert np.array_equal(np.argsort(fixed, kind="stable"), np.argsort(p, kind="stable"))
    assert measure("log_loss", y, two(fixed), "binary") < measure("log_loss", y, two(np.clip(p, 1e-6, 1)), "binary")
    tiny = np.array([0.0, 1e-200, 1e-30, 1e-29, 0.5, 1 - 1e-12, 1.0])
    said = found.apply(two(tiny))
    assert (np.diff(said[:, 1]) > 0).all()
    assert np.abs(said.sum(axis=1) - 1).max() < 1e-12


def test_ranks_stay_as_they_are():
    x, y = planted(5_000, -6.0, 1.4, 0.3)
    scores = two(expit(4 * x))
    found = calibrate("auto", scores, y, "binary")
    assert found is not None
    assert measure("roc_auc", y, found.apply(scores), "binary") == pytest.approx(
        measure("roc_auc", y, scores, "binary"), abs=1e-12
    )


@pytest.mark.parametrize("t", [0.5, 2.5])
def test_temperature_of_several_classes(t: float):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6_000, 4))
    truth = softmax(logits / t, axis=1)
    y = (truth.cumsum(axis=1) > rng.random((6_000, 1))).argmax(axis=1).astype(float)
    said = softmax(logits, axis=1)
    found = calibrate("auto", said, y, "multiclass")
    assert found is not None
    assert found.curves[0]["slope"][0] == pytest.approx(1 / t, rel=0.06)
    fixed = found.apply(said)
    assert np.array_equal(fixed.argmax(axis=1), said.argmax(axis=1))
    assert np.abs(fixed - truth).max() < 0.05
    assert calibrate("auto", said, y, "multiclass") == found  # the same numbers again
    said[y == 2, 2] = 0.0  # a whole class that was said to be impossible
    found = calibrate("auto", said / said.sum(axis=1, keepdims=True), y, "multiclass")
    assert found is not None
    assert np.isfinite(measure("log_loss", y, found.apply(said), "multiclass"))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("how", ["sigmoid", "isotonic", "temperature"])
def test_each_method_finds_the_truth_behind_scores_that_are_too_extreme(how: str, classes: int):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(8_000, classes))
    truth, said = softmax(logits, axis=1), softmax(2.5 * logits, axis=1)
    y = (truth.cumsum(axis=1) > rng.random((8_000, 1))).argmax(axis=1).astype(float)
    fixed = calibrate(how, said, y, "binary" if classes == 2 else "multiclass")
    assert fixed is not None
    assert fixed.method == how
    assert np.abs(said - truth).mean() > 0.12
    assert np.abs(fixed.apply(said) - truth).mean() < (0.02 if classes == 2 or how == "temperature" else 0.03)
    assert np.allclose(fixed.apply(said).sum(axis=1), 1, atol=1e-12)
    assert Calibration.of(fixed.state()) == fixed
    if how == "temperature":
        assert fixed.curves[0]["t"][0] == pytest.approx(2.5, rel=0.06)
    if how == "sigmoid" and classes == 2:
        assert fixed.curves[0]["slope"][0] == pytest.approx(1 / 2.5, rel=0.06)


def test_classes_that_the_curves_all_deny_share_a_row_and_one_never_seen_keeps_its_scores():
    none = {"x": [0.0, 0.5, 1.0], "y": [0.0, 0.0, 1.0]}
    denied = Calibration("isotonic", (none, none, none)).apply(np.array([[0.3, 0.3, 0.4], [0.8, 0.1, 0.1]]))
    assert denied == pytest.approx(np.array([[1 / 3] * 3, [1.0, 0.0, 0.0]]))
    said = softmax(np.random.default_rng(0).normal(size=(200, 3)), axis=1)
    found = Calibration.fit("sigmoid", said, np.arange(200.0) % 2)
    assert found.curves[2] == {"slope": [1.0], "shift": [0.0]}


def test_numbers_are_left_alone_and_none_is_none():
    assert calibrate("auto", np.arange(3.0), np.arange(3.0), "regression") is None
    assert calibrate("none", two(np.full(4, 0.5)), np.array([0, 1, 0, 1.0]), "binary") is None


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_the_mean_of_folds_is_told_from_one_of_them(kind: str):
    """Models with noise of their own: one is as extreme as it should be after its slope, their mean then is not."""
    rng = np.random.default_rng(1)
    k, n, models = (2 if kind == "binary" else 3), 20_000, 8
    logits = 1.5 * rng.normal(size=(n, k))
    y = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1).astype(float)
    each = [softmax(logits + 0.9 * rng.normal(size=(n, k)), axis=1) for _ in range(models)]
    mean = np.mean(each, axis=0)
    one = calibrate("auto", each[0], y, kind)
    assert one is not None
    assert one.curves[0]["slope"][0] < 0.9
    served = calibrate_mean(one, np.vstack(each), np.vstack([mean] * models))
    best = scale_of(mean, y)
    assert best is not None
    before = abs(one.curves[0]["slope"][0] - best["slope"])
    assert abs(served.curves[0]["slope"][0] - best["slope"]) < 0.35 * before
    assert served.apply(mean)[:, 1].mean() == pytest.approx((y == 1).mean(), abs=0.01)
    assert measure("log_loss", y, served.apply(mean), kind) < measure("log_loss", y, one.apply(mean), kind)


def test_models_that_agree_need_no_correction():
    p = two(np.random.default_rng(0).random(500))
    assert scale_of_mean(None, p, p)["slope"] == pytest.approx(1.0, abs=1e-3)


def bag(X: pd.DataFrame, y: np.ndarray, folds: np.ndarray, seen: dict[int, Model]) -> tuple[Model, np.ndarray]:
    """A bag of a linear member (all cuts) and a tree (the first cut only), and its scores of rows left out."""
    parts: list[BagPart] = []
    encoders: list = []
    unseen = np.zeros((len(y), 2))
    for member, (family, cuts, weight) in enumerate((("logistic", 2, 0.7), ("tree", 1, 0.3))):
        for place in range(3 * cuts):
            cut, fold = divmod(place, 3)
            out = folds[:, cut] == fold
            model = fit_family(family, {}, Fold(X[~out], y[~out], X[out], y[out]), Setup("binary"))
            start = sum(len(e.names) for e in encoders)
            encoders.append(model.encoder)
            stop = start + len(model.encoder.names)
            parts.append(BagPart(member, model.fitted, start, stop, model.encoder.dtype, weight / (3 * cuts)))
            unseen[out] += weight / cuts * model.predict(X[out])
            seen[len(parts) - 1] = model
    members = [Member(family=f, params={}, weight=w, value=0.0) for f, w in (("logistic", 0.7), ("tree", 0.3))]
    whole = Model(
        "auto", "binary", 2, Joined(encoders), Bag(parts, members, len(encoders)), params={"family": "logistic"}
    )
    return whole, unseen


def test_bag_compares_one_folds_models_with_the_mean_of_those_that_had_the_row(tmp_path: Path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(150, 3)), columns=list("abc"))
    y = (rng.random(150) < expit(2 * X["a"])).to_numpy(float)
    folds = np.column_stack([rng.permutation(np.arange(150) % 3) for _ in range(2)])
    each: dict[int, Model] = {}
    whole, unseen = bag(X, y, folds, each)
    one, mean = whole.fitted.one_and_mean(whole.encoder.transform(X), folds)  # type: ignore[attr-defined]
    answers = {i: m.predict(X) for i, m in each.items()}  # 0-2 and 3-5: logistic by cut and fold; 6-8: tree
    at = 0
    for fold in range(3):
        for row in np.flatnonzero((folds != fold).all(axis=1)):
            linear = (answers[fold][row] + answers[3 + fold][row]) / 2
            assert np.allclose(one[at], 0.7 * linear + 0.3 * answers[6 + fold][row])
            had = [answers[i][row] for i in range(6) if folds[row, i // 3] != i % 3]
            trees = [answers[6 + f][row] for f in range(3) if folds[row, 0] != f]
            assert np.allclose(mean[at], 0.7 * np.mean(had, axis=0) + 0.3 * np.mean(trees, axis=0))
            at += 1
    assert at == len(one) == len(mean)
    held = pd.DataFrame({"__row__": np.arange(150), "__target__": y})
    held = held.assign(__fold_0__=folds[:, 0], __fold_1__=folds[:, 1], score_0=unseen[:, 0], score_1=unseen[:, 1])
    before = whole.predict(X)
    told = calibrate_bag(whole, X, held, "auto", 0)
    assert isinstance(whole.calibration, Calibration)
    own = calibrate("auto", unseen, y, "binary")
    assert np.array_equal(told, unseen if own is None else own.apply(unseen))
    assert whole.calibration.curves[0]["slope"][0] > (own.curves[0]["slope"][0] if own else 1.0)
    after = whole.predict(X)
    assert np.array_equal(np.argsort(after[:, 1], kind="stable"), np.argsort(before[:, 1], kind="stable"))
    assert calibrate_bag(whole, X, held, "none", 0) is not None
    assert whole.calibration is None
    save_model(whole, tmp_path)


@pytest.mark.parametrize("imbalance", ["class_weight", "smote", "under_sample"])
def test_balanced_classes_are_mended(imbalance: str):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(6_000, 4)), columns=list("abcd"))
    y = (rng.random(6_000) < expit(-4 + 1.2 * X["a"] + X["b"])).to_numpy(float)
    parts = [(X[a:b].reset_index(drop=True), y[a:b]) for a, b in ((0, 2_000), (2_000, 3_000), (3_000, 6_000))]
    (new, happened), made = parts[2], {}
    for way in ("none", "auto"):
        made[way] = fit_family(
            "logistic", {}, Fold(*parts[0], *parts[1]), Setup("binary", imbalance=imbalance, calibration=way)
        )
    plain, fixed = (made[way].predict(new) for way in ("none", "auto"))
    assert plain[:, 1].mean() > 3 * happened.mean()
    assert fixed[:, 1].mean() == pytest.approx(happened.mean(), rel=0.25)
    assert measure("log_loss", happened, fixed, "binary") < 0.5 * measure("log_loss", happened, plain, "binary")
    assert measure("roc_auc", happened, fixed, "binary") == measure("roc_auc", happened, plain, "binary")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_default_through_the_disk_with_the_same_bytes_for_the_same_rows(kind: str, tmp_path: Path):
    rows = read_rows(features_folder(tmp_path, kind))
    classes = len(rows.classes)
    for name in "ab":
        model = fit_family("tree", {}, rows.fold, Setup(kind, classes=classes, columns=rows.kinds, calibration="auto"))
        save_model(model, tmp_path / name)
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")
    X, _ = rows.of("test")
    assert np.array_equal(load_model(tmp_path / "a").predict(X), model.predict(X))
    assert (model.calibration is None) == (kind == "regression")
    if kind == "regression":
        plain = fit_family("tree", {}, rows.fold, Setup(kind, classes=classes, columns=rows.kinds))
        save_model(plain, tmp_path / "c")
        assert hash_tree(tmp_path / "c") == hash_tree(tmp_path / "a")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"method": "sigmoid", "curves": [{"slope": [2.0], "shift": [-1.0]}]}, expit(2 * np.log(0.3 / 0.7) - 1)),
        ({"method": "isotonic", "curves": [{"x": [0.0, 1.0], "y": [0.1, 0.5]}]}, 0.22),
        ({"method": "temperature", "curves": [{"t": [2.0]}]}, expit(np.log(0.3 / 0.7) / 2)),
        (None, 0.3),
    ],
)
def test_models_of_earlier_packages_answer_as_before(state: dict | None, expected: float, tmp_path: Path):
    X = pd.DataFrame({"a": np.arange(20.0)})
    y = (np.arange(20) % 3 == 0).astype(float)
    model = fit_family("logistic", {}, Fold(X, y, X, y), Setup("binary"))
    save_model(model, tmp_path)
    write_json(tmp_path / "model.json", read_json(tmp_path / "model.json") | {"calibration": state})
    loaded = load_model(tmp_path)
    said = two(np.array([0.3]))
    fixed = said if loaded.calibration is None else loaded.calibration.apply(said)
    assert fixed[0, 1] == pytest.approx(expected, abs=1e-12)
