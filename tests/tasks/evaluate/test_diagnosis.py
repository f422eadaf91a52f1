"""What the report says about bias, variance, time and more rows agrees with the figures and with their uncertainty."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import CurvePoint, Figure
from tasks.evaluate import learning
from tasks.evaluate.diagnosis import diagnose, histories, validation_curves
from tasks.evaluate.learning import Gauge, _with_gains, errors, figure, learning_curve, order_of
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.models.mixture import Mixture
from tests.samples import candidate, trial


def told(metric, train, valid, test, baseline, error=0.001, curve=(), by_time=True, rows=1000):
    figures = (Figure(value=v, error=error, rows=2000) for v in (train, valid, test))
    found = diagnose(metric, *figures, baseline, list(curve), rows, by_time)
    return found.kind, " ".join(found.said)


def step(gain, error, rows=(250, 1000)):
    first = CurvePoint(rows=rows[0], train=None, valid=0.7)
    return [first, CurvePoint(rows=rows[1], train=None, valid=0.7 + gain, gain=gain, gain_error=error)]


@pytest.mark.parametrize(
    ("figures", "kind", "words"),
    [
        (
            ("roc_auc", 0.99, 0.70, 0.70, 0.5),
            "variance",
            "59% of the gain on training rows is lost, so the model overfits",
        ),
        (("roc_auc", 0.8085, 0.7505, 0.7505, 0.5), "some variance", "19% of the gain on training rows is lost"),
        (("log_loss", 0.0072, 0.0630, 0.0630, 0.66), "some variance", "the error is 8.8 times as large"),
        (("accuracy", 1.0, 0.97, 0.97, 0.5), "some variance", "6% of the gain on training rows is lost"),
        (("roc_auc", 0.71, 0.709, 0.709, 0.5), "bias", "about the same: what is missing is bias or noise"),
        (("roc_auc", 0.70, 0.71, 0.71, 0.5), "bias", "no worse"),
        (("rmse", 3.0, 3.1, 3.1, 2.9), "underfit", "no better than without features"),
        (("rmse", 1.0, 3.0, 3.0, 2.9), "variance", "all of the gain"),
    ],
)
def test_the_words_agree_with_the_figures(figures, kind, words):
    found, said = told(*figures)
    assert found == kind
    assert words in said
    assert ("about the same" in said) == (words.startswith("about the same"))


@pytest.mark.parametrize(
    ("figures", "error", "kind", "words"),
    [  # metric, on training, validation and test rows, baseline; each figure's error
        (("roc_auc", 1.0, 0.75, 0.75, 0.5), 0.0, "some variance", "50% of the gain on training rows is lost. That"),
        (("roc_auc", 1.0, 0.7499, 0.75, 0.5), 0.0, "variance", "50% of the gain"),
        (("roc_auc", 0.875, 0.75, 0.75, 0.5), 0.0, "some variance", "is lost, and the error is 2 times as large"),
        (("roc_auc", 0.875, 0.751, 0.75, 0.5), 0.0, "some variance", "of the gain on training rows is lost. That"),
        (("log_loss", 0.25, 0.5, 0.5, 1.25), 0.0, "some variance", "is lost, and the error is 2 times as large"),
        (("roc_auc", 0.5, 0.5, 0.5, 0.5), 0.0, "underfit", "no better than without features"),
        (("roc_auc", 0.7, 0.6905, 0.69, 0.5), 0.0, "bias", "about the same"),  # less than a twentieth is lost
        (("roc_auc", 0.7, 0.6895, 0.69, 0.5), 0.0, "some variance", "5% of the gain"),
        (("roc_auc", 0.95, 0.944, 0.94, 0.5), 0.0, "some variance", "1% of the gain"),  # the error grows by an eighth
        (("roc_auc", 0.95, 0.9455, 0.94, 0.5), 0.0, "bias", "about the same"),  # and here by less than a tenth
        (("roc_auc", 0.75, 0.74, 0.74, 0.5), 0.0125, "bias", "about the same"),  # at most a fifth can be lost
        (("roc_auc", 0.75, 0.74, 0.74, 0.5), 0.015, "unclear", "2,000 validation rows cannot tell"),
        (("roc_auc", 0.75, 0.75, 0.75, 0.5), 0.5, "bias", "no worse"),
        (("roc_auc", 1.0, 0.5, 0.5, 0.5), 0.0, "variance", "all of the gain"),
    ],
)
def test_each_bound_of_the_words_has_two_sides(figures, error, kind, words):
    found, said = told(*figures, error=error)
    assert found == kind
    assert words in said


def test_few_rows_cannot_tell_and_that_is_said():
    kind, said = told("roc_auc", 0.8085, 0.7505, 0.7505, 0.5, error=0.05)
    assert kind == "unclear"
    assert "2,000 validation rows cannot tell" in said
    assert "-0.081 to 0.2" in said


def test_a_change_needs_two_uncertain_figures_to_differ_and_time_needs_a_split_by_time():
    assert "Test rows" not in told("rmse", 1.0, 1.1, 1.15, 2.9, error=0.02)[1]  # 1.8 standard errors of the difference
    assert "the problem changes over time" in told("rmse", 1.0, 1.1, 1.2, 2.9, error=0.02)[1]
    assert "come out worse" in told("rmse", 1.0, 1.1, 1.2, 2.9, error=0.02)[1]
    assert "come out better" in told("roc_auc", 0.8, 0.7, 0.8, 0.5, error=0.02)[1]
    for metric, train, valid, test in (("roc_auc", 0.8, 0.7, 0.78), ("log_loss", 0.3, 0.5, 0.42)):
        said = [told(metric, train, valid, test, 0.6, error=e)[1] for e in (0.0219, 0.022)]  # 2.58 and 2.57 errors
        assert ["come out better" in words for words in said] == [True, False]
    for later in (0.6, 0.8):
        said = told("roc_auc", 0.8, 0.7, later, 0.5, error=0.02, by_time=False)[1]
        assert "split at random" in said
        assert "over time" not in said


def test_more_rows_are_advised_only_where_the_last_step_proves_it():
    def said(*curve, rows=1000):
        return told("roc_auc", 0.8, 0.75, 0.75, 0.5, curve=step(*curve), rows=rows)[1]

    assert "more rows are worth having" in said(0.05, 0.01)
    assert "does not tell whether more rows are worth having" in said(0.05, 0.04)
    assert "more of the same rows would change little" in said(0.001, 0.002)
    assert "the model itself has 300,000" in said(0.05, 0.01, (5000, 20_000), rows=300_000)
    assert "worth having" not in said(0.05, 0.01, (5000, 20_000), rows=300_000)
    assert "more of the same rows would change little" in said(-0.02, 0.002)


def test_a_gain_just_worth_the_effort_is_not_yet_advised_and_a_lost_gain_is_counted():
    def said(gain, error, rows=1000, metric="roc_auc", valid=0.75, baseline=0.5):
        return told(metric, valid, valid, valid, baseline, curve=step(gain, error), rows=rows)[1]

    assert "would change little" in said(0.0125, 0.001)  # a twentieth of what is kept
    assert "more rows are worth having" in said(0.0126, 0.001)
    assert "does not tell" in said(0.0126, 0.0126 / 1.9)
    assert "the model itself has 1,001" in said(0.05, 0.01, rows=1001)
    lower = said(-0.05, 0.01, metric="log_loss", valid=0.4, baseline=0.66)
    assert "still improved log_loss by 0.05" in lower
    assert "from 250 to 1,000 training rows" in lower
    assert "improved log_loss by -0.05 (-0.07 to -0.03)" in said(
        0.05, 0.01, metric="log_loss", valid=0.4, baseline=0.66
    )


def test_loss_curves_are_thinned_to_a_hundred_points_with_both_ends():
    long = [1 / k for k in range(1, 1001)]
    found = histories(candidate("mlp", history={"train": long, "valid": [3.0, 2.0], "none": []}))
    assert found["valid"].to_dict() == {"step": [1, 2], "value": [3.0, 2.0]}
    assert found["none"].to_dict() == {"step": [], "value": []}
    steps = found["train"].step
    assert (len(steps), steps[0], steps[-1]) == (100, 1, 1000)
    assert found["train"].value == [1 / k for k in steps]
    assert max(b - a for a, b in pairwise(steps)) <= 11
    assert histories(candidate("mlp")) == {}


def stationary(rng, n, shift=0.0, metric="log_loss"):
    """Validation and test rows of one problem (or a shifted one), and the best of eight alike models on the former."""
    parts = []
    for moved in (0.0, shift):
        x = rng.normal(size=n)
        y = (rng.random(n) < 1 / (1 + np.exp(-1.5 * x - moved))).astype(float)
        each = [1 / (1 + np.exp(-1.5 * x - rng.normal(0, 0.3, n))) for _ in range(8)]
        parts.append((y, [np.column_stack([1 - p, p]) for p in each]))
    losses = [figure(Gauge(metric, "binary", 0.5, 0), parts[0][0], s) for s in parts[0][1]]
    best = int(np.argmin([f.value for f in losses]))
    return losses[best], figure(Gauge(metric, "binary", 0.5, 0), parts[1][0], parts[1][1][best])


def test_nothing_changes_over_time_on_stationary_rows_and_a_change_is_found():
    """Though the model is the best of eight on the validation rows."""
    rng = np.random.default_rng(0)

    def changes(shift, n=150):
        valid, test = stationary(rng, n, shift)
        found = diagnose("log_loss", valid, valid, test, 0.69, [], 1000, True)
        return any("changes over time" in line for line in found.said)

    assert sum(changes(0.0) for _ in range(6)) <= 1
    assert all(changes(2.0, 600) for _ in range(2))


def test_standard_errors_are_those_of_repeated_samples_and_grow_where_a_day_moves_as_a_whole():
    rng = np.random.default_rng(1)

    def sample():
        p = rng.beta(2, 2, 400)
        return (rng.random(400) < p).astype(float), np.column_stack([1 - p, p])

    drawn = [figure(Gauge("brier", "binary", 0.5, 0), *sample()) for _ in range(40)]
    assert np.mean([f.error for f in drawn]) == pytest.approx(np.std([f.value for f in drawn]), rel=0.3)
    time = pd.Series(pd.date_range("2024-01-01", periods=4000, freq="h", tz="UTC"))
    days = np.repeat(rng.normal(size=40), 100)
    y = days + rng.normal(size=4000)
    alone, together = (errors(Gauge("mae", "regression", 0.5, 0), y, [np.zeros(4000)], t)[0, 0] for t in (None, time))
    assert together > 5 * alone


def test_rows_of_a_random_split_are_drawn_at_random_and_of_a_time_split_the_newest():
    y = np.array([0.0] * 900 + [1.0] * 100)
    first = order_of(y, "binary", None, 0)
    assert sorted(first) == list(range(1000))
    assert y[first[:50]].sum() == 5  # each class has its share
    assert first[:50].max() > 800
    assert (first != order_of(y, "binary", None, 1)).any()
    assert (first == order_of(y, "binary", None, 0)).all()
    time = pd.Series(pd.date_range("2024-01-01", periods=1000, freq="h"))[np.random.default_rng(0).permutation(1000)]
    newest = order_of(y, "binary", time, 0)[:10]
    assert time.iloc[newest].min() == pd.Timestamp("2024-01-01") + pd.Timedelta(hours=990)


def test_a_learning_curve_says_what_each_step_gained():
    """The rows lie sorted by a feature that turns the target around: the newest alone would teach nothing true."""
    rng = np.random.default_rng(2)
    X = pd.DataFrame({"a": np.sort(rng.normal(size=1500)), "b": rng.normal(size=1500)})
    y = (rng.random(1500) < 1 / (1 + np.exp(-3 * X["b"] * np.sign(X["a"])))).astype(float)
    at = rng.random(1500) < 0.3
    setup = Setup("binary", 2, {"a": "numeric", "b": "numeric"}, calibration="auto")
    parts = [(X[~at].reset_index(drop=True), y[~at].to_numpy()), (X[at].reset_index(drop=True), y[at].to_numpy())]
    points = learning_curve(
        "tree", {"max_depth": 4}, Fold(*parts[0], *parts[1]), setup, Gauge("roc_auc", "binary", 0.5, 0), None
    )
    count = int((~at).sum())
    assert [p.rows for p in points] == [round(count / 16), round(count / 4), count]
    assert points[0].gain is None
    assert all(p.gain == pytest.approx(p.valid - q.valid) for q, p in pairwise(points))
    assert all(0 < p.gain_error < 0.2 for p in points[1:])
    assert points[1].valid > 0.6


def test_a_gain_is_uncertain_by_the_shared_validation_rows_and_by_the_rows_drawn():
    draws = [[0.6, 0.7, 0.8], [0.9, 0.86], [0.95]]
    points = [CurvePoint(rows=10 * 4**k, train=None, valid=float(np.mean(v))) for k, v in enumerate(draws)]
    root = np.random.default_rng(0).normal(0, 0.02, (6, 6))
    covariance = root @ root.T
    found = _with_gains(points, draws, covariance)
    assert [p.gain for p in found] == [None, pytest.approx(0.88 - 0.7), pytest.approx(0.95 - 0.88)]
    first, second = np.array([-1 / 3] * 3 + [1 / 2] * 2 + [0]), np.array([0, 0, 0, -1 / 2, -1 / 2, 1])
    assert found[0].gain_error is None
    assert found[1].gain_error == pytest.approx(np.sqrt(first @ covariance @ first + 0.01 / 3 + 0.0008 / 2))
    assert found[2].gain_error == pytest.approx(np.sqrt(second @ covariance @ second + 0.0008 / 2))
    unknown = _with_gains(points, draws, np.full((6, 6), np.inf))
    assert [(p.gain is None, p.gain_error) for p in unknown] == [(True, None), (False, None), (False, None)]


def test_failed_trials_are_left_out_of_validation_curves():
    trials = [
        trial(0, 0.5, params={"c": 1.0, "how": "x"}),
        trial(1, None, params={"c": 0.1, "how": "y"}, state="pruned"),
        trial(2, 0.6, params={"c": 0.5, "how": "a"}),
    ]
    found = validation_curves(trials)
    assert [p.value for p in found["c"]] == [0.5, 1.0]
    assert [p.value for p in found["how"]] == ["a", "x"]


def test_of_many_training_rows_a_sample_is_measured(monkeypatch):
    """Two models of weights 1 and 3, whose answers are the column and its double."""

    class Times:
        def __init__(self, factor):
            self.factor = factor

        def predict(self, X):
            seen.append(len(X))
            return X["x"].to_numpy() * self.factor

    seen = []
    X = pd.DataFrame({"x": np.arange(1.0, 101.0)})
    y = 1.75 * X["x"].to_numpy()
    weights, two = np.array([0.25, 0.75]), [Times(1.0), Times(2.0)]
    found = learning.on_training_rows(Mixture(two, weights), X, y, Gauge("rmse", "regression", 0.5, 7))
    assert (found.value, found.rows, seen) == (pytest.approx(0, abs=1e-9), 100, [100, 100])
    monkeypatch.setattr(learning, "SAMPLE", 40)
    y = y + np.arange(100.0)
    at = np.sort(np.random.default_rng(7).choice(100, 40, replace=False))
    found = learning.on_training_rows(Mixture(two, weights), X, y, Gauge("rmse", "regression", 0.5, 7))
    assert found.value == pytest.approx(np.sqrt((at.astype(float) ** 2).mean()))
    assert (found.rows, seen[2:]) == (40, [40, 40])
    monkeypatch.setattr(learning, "SAMPLE", 100)
    assert learning.on_training_rows(Mixture(two, weights), X, y, Gauge("rmse", "regression", 0.5, 7)).rows == 100
