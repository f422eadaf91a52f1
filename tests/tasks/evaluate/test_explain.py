"""SHAP values against the shap library, and partial dependence against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.inspection import partial_dependence as sklearn_dependence

from tasks.evaluate import shapley
from tasks.evaluate.explain import asked_shap, partial_dependence, shap_values, surface
from tasks.fitting.base import Fold
from tasks.fitting.calibration import Calibration
from tasks.fitting.setup import Setup
from tasks.models import fit_family
from tasks.models.mixture import Mixture


def table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    X["e"] = pd.Series(rng.choice(["x", "y", "z"], n), dtype="str")
    y = X["a"] * 2 + X["b"] * X["c"] + (X["e"] == "y") * 3 + rng.normal(0, 0.1, n)
    return X, y.to_numpy()


def fitted(family, kind="regression"):
    X, y = table()
    if kind == "binary":
        y = (y > np.median(y)).astype(float)
    return fit_family(
        family, {}, Fold(X[:200], y[:200], X[200:], y[200:]), Setup(kind, classes=2 if kind == "binary" else 0)
    ), X


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_trees_agree_with_the_library(kind):
    model, X = fitted("xgboost", kind)
    found = shap_values(Mixture([model], np.ones(1)), X[:50], X[:200], 0)
    assert found.method == "tree"
    import xgboost

    # The library refuses categories as codes with splits by set, so the booster's own matrix goes in.
    matrix = xgboost.DMatrix(
        model.encoder.transform(X[:50]), feature_types=model.fitted.booster.feature_types, enable_categorical=True
    )
    expected = shap.TreeExplainer(model.fitted.booster).shap_values(matrix)
    np.testing.assert_allclose(found.values[:, :, 0], expected, atol=1e-4)


def test_linear_agrees_with_the_library():
    model, X = fitted("ridge")
    found = shap_values(Mixture([model], np.ones(1)), X[:20], X[:200], 0)
    Z, background = model.encoder.transform(X[:20]), model.encoder.transform(X[:200])
    masker = shap.maskers.Independent(background, max_samples=len(background))
    expected = shap.LinearExplainer((model.fitted.coef[:, 0], float(model.fitted.intercept[0])), masker).shap_values(Z)
    np.testing.assert_allclose(found.values[:, :4, 0], expected[:, :4], atol=1e-8)
    np.testing.assert_allclose(
        found.values[:, 4, 0], expected[:, 4:].sum(axis=1), atol=1e-8
    )  # one feature, three columns


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_few_features_have_the_exact_values(kind):
    model, X = fitted("xgboost", kind)
    back, rows = X[:8], X[250:254]
    found = asked_shap(Mixture([model], np.ones(1)), rows, back, 0)
    answers = model.predict(rows) if kind == "regression" else model.predict(rows)[:, 1]
    np.testing.assert_allclose(found.values.sum(axis=1)[:, 0] + found.base[0], answers, atol=1e-6)
    np.testing.assert_allclose(found.values[:, :, 0], exact(model, rows, back, kind), atol=1e-6)
    assert found.method == "exact"


def test_a_network_of_many_features_is_drawn_with_errors_that_hold(monkeypatch):
    """Eleven features, one of them a category of three columns: its columns walk together."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(300, 10)), columns=list("abcdfghijk"))
    X["e"] = pd.Series(rng.choice(["x", "y", "z"], 300), dtype="str")
    y = (X["a"] * X["b"] * 2 + X["c"] * X["d"] * (X["e"] == "y") * 3 + X["f"] > 0).to_numpy(float)
    model = fit_family("mlp", {"epochs": 3}, Fold(X[:200], y[:200], X[200:], y[200:]), Setup("binary", seed=1))
    back, rows = X[:32], X[250:253]
    found = asked_shap(Mixture([model], np.ones(1)), rows, back, 0)
    assert (found.method, found.unit) == ("permutation", "probability")
    assert found.asked.errors.max() <= 0.02 * found.asked.spread or found.asked.walks.max() == 2 * 16 * 32
    np.testing.assert_allclose(found.values.sum(axis=1)[:, 0] + found.base[0], model.predict(rows)[:, 1], atol=1e-6)
    monkeypatch.setattr(shapley, "EXACT", 11)
    whole = asked_shap(Mixture([model], np.ones(1)), rows, back, 0)
    assert whole.method == "exact"
    off = (found.values - whole.values)[:, :, 0]
    np.testing.assert_allclose(found.base, whole.base)
    assert np.mean(np.abs(off) <= 2 * found.asked.errors[:, :, 0] + 1e-6) > 0.85
    assert np.abs(off).max() < 5 * found.asked.errors.max()


def exact(model, rows, back, kind):
    """Shapley's formula over all coalitions of the features, averaged over the background rows."""
    from itertools import combinations
    from math import factorial

    names, p = list(rows), rows.shape[1]

    def worth(coalition):
        mixed = pd.concat([back.assign(**{c: row[c] for c in coalition}) for _, row in rows.iterrows()])
        scores = model.predict(mixed)
        return (scores if kind == "regression" else scores[:, 1]).reshape(len(rows), len(back)).mean(axis=1)

    worths = {s: worth(s) for size in range(p + 1) for s in combinations(names, size)}
    out = np.zeros((len(rows), p))
    for j, name in enumerate(names):
        for s, value in worths.items():
            if name not in s:
                joined = tuple(c for c in names if c in s or c == name)
                out[:, j] += factorial(len(s)) * factorial(p - len(s) - 1) / factorial(p) * (worths[joined] - value)
    return out


def test_an_ensemble_is_explained_in_its_own_unit():
    one, X = fitted("xgboost")
    two, _ = fitted("ridge")
    found = shap_values(Mixture([one, two], np.array([0.25, 0.75])), X[:60], X[:200], 0)
    assert found.method == "exact"  # five features
    answers = 0.25 * one.predict(X[:60]) + 0.75 * two.predict(X[:60])
    np.testing.assert_allclose(found.values.sum(axis=1)[:, 0] + found.base[0], answers, atol=1e-6)


@pytest.mark.parametrize("family", ["xgboost", "lightgbm", "logistic", "random_forest"])
def test_each_row_of_a_calibrated_model_adds_up_to_its_own_answer(family):
    """Log-odds are scaled with the model's own; where a model answers otherwise, the model is asked."""
    model, X = fitted(family, "binary")
    plain = shap_values(Mixture([model], np.ones(1)), X[:4], X[:200], 0)
    model.calibration = Calibration.by_scale({"slope": 1.4, "shift": 0.3})
    found = shap_values(Mixture([model], np.ones(1)), X[:4], X[:200], 0)
    answers = model.predict(X[:4])[:, 1]
    total = found.values.sum(axis=1)[:, 0] + found.base[0]
    if found.unit == "log-odds":
        np.testing.assert_allclose(1 / (1 + np.exp(-total)), answers, atol=1e-4)
        np.testing.assert_allclose(found.values, 1.4 * plain.values, atol=1e-9)
    else:
        np.testing.assert_allclose(total, answers, atol=1e-6)
    assert (found.unit == "log-odds") == (family in ("xgboost", "lightgbm", "logistic"))
    model.calibration = Calibration.by_scale({"slope": 1.4, "shift": 0.3, "limit": 2.0})
    drawn = shap_values(Mixture([model], np.ones(1)), X[:4], X[:200], 0)
    assert drawn.method == "exact"
    np.testing.assert_allclose(drawn.values.sum(axis=1)[:, 0] + drawn.base[0], model.predict(X[:4])[:, 1], atol=1e-6)


def test_each_row_of_a_calibrated_mix_adds_up_to_the_mixs_answer():
    one, X = fitted("xgboost", "binary")
    two, _ = fitted("logistic", "binary")
    fixed, weights = Calibration.by_scale({"slope": 1.2, "shift": -0.1}), np.array([0.25, 0.75])
    found = shap_values(Mixture([one, two], weights, fixed), X[:8], X[:200], 0)
    answers = fixed.apply(0.25 * one.predict(X[:8]) + 0.75 * two.predict(X[:8]))[:, 1]
    np.testing.assert_allclose(found.values.sum(axis=1)[:, 0] + found.base[0], answers, atol=1e-6)


def test_partial_dependence_agrees_with_scikit_learn():
    from sklearn.ensemble import RandomForestRegressor

    X, y = table()
    X = X[list("abcd")]
    forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    found = partial_dependence(forest.predict, X, "a", "regression")
    expected = sklearn_dependence(forest, X, ["a"], method="brute", custom_values={"a": found.values})
    np.testing.assert_allclose(found.mean[0], expected["average"][0], atol=1e-12)


def test_partial_dependence_of_categories_and_of_a_column_without_values():
    model, X = fitted("xgboost")
    found = partial_dependence(model.predict, X, "e", "regression")
    effect = dict(zip(found.values, found.mean[0], strict=True))
    assert effect["y"] > max(effect["x"], effect["z"]) + 1.5
    empty = X.assign(a=np.nan)
    assert partial_dependence(model.predict, empty, "a", "regression").values == []


def test_surface_changes_along_the_feature_that_counts():
    model, X = fitted("xgboost")
    found = surface(model.predict, X, ("a", "d"), "regression", points=8)
    score = np.array(found.score)  # rows follow the second feature, columns the first
    assert np.ptp(score.mean(axis=0)) > 4 * np.ptp(score.mean(axis=1))


def test_surface_holds_the_other_features_at_their_most_ordinary_row():
    X = pd.DataFrame({"a": np.arange(9.0), "b": np.arange(9.0), "c": [90.0, 80, 10, 20, 50, 60, 70, 30, 40]})
    found = surface(lambda many: many["c"].to_numpy(), X, ("a", "b"), "regression", points=3)
    assert np.unique(found.score).tolist() == [50.0], "the middle one of all three"


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("family", ["gradient_boosting", "random_forest", "tree"])
def test_trees_of_scikit_learn_add_up_in_the_unit_that_is_named(family, kind):
    """Histogram boosting splits on categories, which the library reads as numbers: then the model is asked."""
    model, X = fitted(family, kind)
    found = shap_values(Mixture([model], np.ones(1)), X[:30], X[:200], 0)
    total = found.values.sum(axis=1)[:, 0] + found.base[0]
    answers = model.predict(X[:30]) if kind == "regression" else model.predict(X[:30])[:, 1]
    if found.method == "tree":
        np.testing.assert_allclose(
            total, answers if found.unit != "log-odds" else np.log(answers / (1 - answers)), atol=1e-4
        )
    else:
        assert family == "gradient_boosting"
        assert total.mean() == pytest.approx(answers.mean(), abs=1e-6)
    assert (found.unit == "the target's unit") == (kind == "regression")
