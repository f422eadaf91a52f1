"""Every metric against scikit-learn, with and without weights, and the bootstrap's intervals."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from tasks.errors import RefitError
from tasks.kinds import find_kind
from tasks.metrics import better, measure, measurer, report
from tasks.metrics.intervals import Measurer, _corrected, _left_out, bootstrap_intervals, days, resamples
from tasks.metrics.ranking import Ranking


def binary(seed, n=300, digits=2):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    p = np.round(np.clip(rng.random(n) * 0.7 + 0.25 * y, 0.01, 0.99), digits)  # two digits: many ties
    return y, np.column_stack([1 - p, p]), rng.integers(0, 4, n).astype(float)


def multiclass(seed, n=300):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n).astype(float)
    raw = rng.random((n, 3)) + 0.6 * np.eye(3)[y.astype(int)]
    return y, raw / raw.sum(axis=1, keepdims=True), rng.integers(0, 4, n).astype(float)


BINARY = {
    "roc_auc": lambda y, s, d, w: sk.roc_auc_score(y, s[:, 1], sample_weight=w),
    "average_precision": lambda y, s, d, w: sk.average_precision_score(y, s[:, 1], sample_weight=w),
    "log_loss": lambda y, s, d, w: sk.log_loss(y, s, sample_weight=w),
    "brier": lambda y, s, d, w: sk.brier_score_loss(y, s[:, 1], sample_weight=w),
    "accuracy": lambda y, s, d, w: sk.accuracy_score(y, d, sample_weight=w),
    "balanced_accuracy": lambda y, s, d, w: sk.balanced_accuracy_score(y, d, sample_weight=w),
    "precision": lambda y, s, d, w: sk.precision_score(y, d, sample_weight=w),
    "recall": lambda y, s, d, w: sk.recall_score(y, d, sample_weight=w),
    "specificity": lambda y, s, d, w: sk.recall_score(y, d, pos_label=0, sample_weight=w),
    "f1": lambda y, s, d, w: sk.f1_score(y, d, sample_weight=w),
    "mcc": lambda y, s, d, w: sk.matthews_corrcoef(y, d, sample_weight=w),
}
MULTICLASS = {
    "accuracy": lambda y, s, d, w: sk.accuracy_score(y, d, sample_weight=w),
    "balanced_accuracy": lambda y, s, d, w: sk.balanced_accuracy_score(y, d, sample_weight=w),
    "log_loss": lambda y, s, d, w: sk.log_loss(y, s, sample_weight=w),
    "brier": lambda y, s, d, w: np.average(((s - np.eye(3)[y.astype(int)]) ** 2).sum(axis=1), weights=w),
    "roc_auc_ovr": lambda y, s, d, w: sk.roc_auc_score(y, s, multi_class="ovr", sample_weight=w),
    "precision_macro": lambda y, s, d, w: sk.precision_score(y, d, average="macro", sample_weight=w),
    "recall_macro": lambda y, s, d, w: sk.recall_score(y, d, average="macro", sample_weight=w),
    "f1_macro": lambda y, s, d, w: sk.f1_score(y, d, average="macro", sample_weight=w),
    "f1_micro": lambda y, s, d, w: sk.f1_score(y, d, average="micro", sample_weight=w),
    "f1_weighted": lambda y, s, d, w: sk.f1_score(y, d, average="weighted", sample_weight=w),
    "mcc": lambda y, s, d, w: sk.matthews_corrcoef(y, d, sample_weight=w),
}
REGRESSION = {
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "r2": sk.r2_score,
    "mape": sk.mean_absolute_percentage_error,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, weighted):
    for seed in range(5):
        y, s, w = binary(seed)
        weight = w if weighted else None
        expected = BINARY[name](y, s, (s[:, 1] >= 0.4).astype(float), weight)
        assert measure(name, y, s, "binary", 0.4, weight) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MULTICLASS)
def test_multiclass(name, weighted):
    for seed in range(5):
        y, s, w = multiclass(seed)
        weight = w if weighted else None
        expected = MULTICLASS[name](y, s, s.argmax(axis=1).astype(float), weight)
        assert measure(name, y, s, "multiclass", weight=weight) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", REGRESSION)
def test_regression(name):
    rng = np.random.default_rng(0)
    y = rng.normal(5, 1, 200)
    p, w = y + rng.normal(0, 0.5, 200), rng.integers(0, 3, 200).astype(float)
    assert measure(name, y, p, "regression") == pytest.approx(REGRESSION[name](y, p), abs=1e-12)
    assert measure(name, y, p, "regression", weight=w) == pytest.approx(
        REGRESSION[name](y, p, sample_weight=w), abs=1e-12
    )


def test_every_metric_with_counts_equals_the_repeated_rows():
    """What the bootstrap relies on: a weight of 3 is the row three times, also for medians and maxima."""
    for kind, (y, s, w) in (("binary", binary(1)), ("multiclass", multiclass(1))):
        rows = np.repeat(np.arange(len(y)), w.astype(int))
        for name in find_kind(kind).metrics:
            assert measure(name, y, s, kind, weight=w) == pytest.approx(
                measure(name, y[rows], s[rows], kind), abs=1e-12
            )
    rng = np.random.default_rng(2)
    y, w = rng.normal(5, 1, 101), rng.integers(0, 4, 101).astype(float)
    p, rows = y + rng.normal(size=101), np.repeat(np.arange(101), w.astype(int))
    for name in find_kind("regression").metrics:
        expected = measure(name, y[rows], p[rows], "regression")
        assert measure(name, y, p, "regression", weight=w) == pytest.approx(expected, abs=1e-12)


def test_undefined_metrics_are_none_in_a_report():
    y = np.zeros(5)
    found = report(y, np.column_stack([np.full(5, 0.8), np.full(5, 0.2)]), "binary")
    assert found["roc_auc"] is None
    assert found["accuracy"] == 1.0
    assert report(np.zeros(4), np.ones(4), "regression")["mape"] is None


def test_calibration_error():
    y = np.array([0, 0, 0, 1.0] * 50)
    right, off = np.full(200, 0.25), np.full(200, 0.45)
    assert measure("ece", y, np.column_stack([1 - right, right]), "binary") == pytest.approx(0.0)
    assert measure("ece", y, np.column_stack([1 - off, off]), "binary") == pytest.approx(0.2)


def test_calibration_error_counts_the_highest_probabilities_by_themselves():
    y, p = np.array([0.0, 1.0, 1.0]), np.array([0.95, 0.85, 1.0])
    found = measure("ece", y, np.column_stack([1 - p, p]), "binary", 0.5)
    assert found == pytest.approx((abs(0.95 + 0.0) + abs(0.85 - 1)) / 3), "1.0 belongs to the last tenth"


def test_better_knows_the_direction():
    assert better("roc_auc", 0.8, 0.7)
    assert better("log_loss", 0.1, 0.2)
    assert not better("rmse", None, 3.0)
    assert better("rmse", 3.0, None)


def test_intervals_cover():
    """Of 200 samples about 95% have intervals that hold the true AUC, 0.7602 for two normals one apart."""
    rng = np.random.default_rng(3)
    inside = 0
    for seed in range(200):
        y = np.repeat([0.0, 1.0], 100)
        score = rng.normal(y, 1)
        found = bootstrap_intervals({"auc": Ranking(y, score).roc_auc}, 200, times=150, seed=seed)["auc"]
        inside += found[0] <= 0.76025 <= found[1]
    assert 0.88 <= inside / 200 <= 0.99


def test_intervals_of_a_skewed_loss_are_missed_on_either_side_alike():
    """Log loss of 150 rows, whose few large losses make all the difference; plain percentiles lie below in one of ten."""
    rng = np.random.default_rng(5)
    z = rng.normal(4.2, 2.2, 400_000)
    p = 1 / (1 + np.exp(-z))
    every = np.where(rng.random(len(z)) < p, -np.log(p), -np.log1p(-p))
    above, below, plain = 0, 0, 0
    for seed in range(150):
        loss = rng.choice(every, 150)
        mean: Measurer = lambda w, e=loss: float(e.mean() if w is None else w @ e / w.sum())  # noqa: E731
        low, high = bootstrap_intervals({"log_loss": mean}, 150, times=400, seed=seed)["log_loss"]
        above, below = above + (low > every.mean()), below + (high < every.mean())
        plain += np.quantile([mean(w) for w in resamples(150, 400, seed)], 0.975) < every.mean()
    assert above <= 9
    assert below <= 11
    assert below < plain


def test_days_are_left_out_as_wholes_and_no_spread_gives_no_width():
    groups = np.repeat(np.arange(300), 2)
    seen = []
    mean: Measurer = lambda w: seen.append(w) or 1.0  # noqa: E731
    assert bootstrap_intervals({"bias": mean}, 600, times=20, groups=groups) == {"bias": (1.0, 1.0)}
    left = [w for w in seen if set(w) == {0.0, 1.0}]
    assert len(left) >= 200
    assert all(np.array_equal(w[::2], w[1::2]) for w in left)


def test_resamples_of_groups_keep_groups_whole():
    groups = np.array([0, 0, 1, 1, 2])
    for weight in resamples(5, 20, 0, groups):
        assert weight[0] == weight[1]
        assert weight[2] == weight[3]
    first, again = (list(resamples(5, 3, 7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_intervals_of_rows_that_go_well_or_badly_by_the_day_cover_when_days_are_drawn():
    """The mean error of 40 days of 10 rows that share most of their luck; rows drawn one by one miss it in half the samples."""
    rng = np.random.default_rng(4)
    time = pd.Series(pd.date_range("2013-01-01", periods=400, freq="144min", tz="UTC"))
    inside = {"days": 0, "rows": 0}
    for seed in range(40):
        error = np.repeat(rng.normal(0, 1, 40), 10) + rng.normal(0, 0.5, 400)
        for how, groups in (("days", days(time)), ("rows", None)):
            mean = {"bias": lambda w, e=error: float(np.average(e, weights=w))}
            low, high = bootstrap_intervals(mean, 400, times=80, seed=seed, groups=groups)["bias"]
            inside[how] += low <= 0 <= high
    assert inside["days"] >= 34
    assert inside["rows"] <= 26


def test_rows_are_drawn_one_by_one_where_days_say_nothing():
    hourly = pd.Series(pd.date_range("2013-01-01", periods=24 * 9, freq="h", tz="UTC"))
    assert days(hourly) is None  # nine days
    assert days(pd.Series(pd.date_range("2013-01-01", periods=50, freq="D", tz="UTC"))) is None
    assert days(pd.Series(pd.NaT, index=range(50), dtype="datetime64[us, UTC]")) is None
    assert days(hourly.iloc[:0]) is None


def test_no_interval_is_claimed_for_a_maximum_or_a_calibration_error():
    """Of a calibrated model the true calibration error is 0, and no resample comes near it."""
    rng = np.random.default_rng(0)
    p = rng.random(500)
    y = (rng.random(500) < p).astype(float)
    scores = np.column_stack([1 - p, p])
    measurers = {m: measurer(m, "binary", y, scores) for m in ("ece", "brier")}
    found = bootstrap_intervals(measurers, 500, times=50)
    assert found["ece"] is None
    assert found["brier"] is not None
    worst = {"max_error": measurer("max_error", "regression", y, p)}
    assert bootstrap_intervals(worst, 500, times=50) == {"max_error": None}


def test_an_interval_that_cannot_be_had():
    y = np.zeros(20)
    assert bootstrap_intervals({"auc": Ranking(y, np.arange(20.0)).roc_auc}, 20)["auc"] is None


@pytest.mark.parametrize(("n", "times"), [(10, 1000), (4000, 1000), (5000, 800), (20_000, 200), (40_000, 200)])
def test_few_rows_are_drawn_a_thousand_times_and_many_two_hundred(n, times):
    drawn = []
    bootstrap_intervals({"x": lambda w: float(drawn.append(w.sum()) or len(drawn))}, n)
    assert drawn.count(n) - 1 == times, "and once as they are"
    assert all(total <= n for total in drawn)


def test_unknown_metric_is_named():
    with pytest.raises(RefitError, match=r"'roc_auk' is not one of .* Did you mean 'roc_auc'"):
        measurer("roc_auk", "binary", np.zeros(2), np.zeros((2, 2)))


def test_the_interval_is_corrected_by_half_the_ties_and_a_sixth_of_the_skewness():
    from scipy import stats

    z = stats.norm.ppf(0.025)
    even = np.repeat([0.4, 0.5, 0.6], [5, 10, 5])
    plain = _corrected(even, np.full(9, 0.5), 0.5, 0.025, 10**9)
    assert plain == pytest.approx([0.025, 0.975], abs=1e-6)
    few = _corrected(even, np.full(9, 0.5), 0.5, 0.025, 12)
    assert few == pytest.approx(stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf([0.025, 0.975], 11)))
    bias = stats.norm.ppf(0.9)  # seventeen of twenty below, and two as large
    low = np.repeat([0.4, 0.5, 0.6], [17, 2, 1])
    assert _corrected(low, np.full(9, 0.5), 0.5, 0.025, 10**9) == pytest.approx(
        stats.norm.cdf(2 * bias + np.array([z, -z])), abs=1e-6
    )
    parts = np.array([0.50, 0.51, 0.52, 0.60])
    pull = parts.mean() - parts
    a = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    assert _corrected(even, parts, 0.5, 0.025, 10**9) == pytest.approx(
        stats.norm.cdf(np.array([z, -z]) / (1 - a * np.array([z, -z]))), abs=1e-6
    )
    beyond = _corrected(np.full(20, 0.4), np.zeros(0), 0.5, 0.025, 10**9)  # all below: as far as the tail goes
    assert beyond == pytest.approx(stats.norm.cdf(2 * stats.norm.ppf(0.975) + np.array([z, -z])), abs=1e-6)


def test_parts_that_are_left_out_are_whole_groups_and_two_hundred_at_most():
    assert [w.tolist() for w in _left_out(3, None)] == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert [w.tolist() for w in _left_out(3, np.array([7, 5, 7]))] == [[1, 0, 1], [0, 1, 0]]
    each = np.array(list(_left_out(450, None)))
    assert each.shape == (200, 450)
    assert set((each == 0).sum(axis=1)) == {2, 3}
    assert ((each == 0).sum(axis=0) == 1).all()


@pytest.mark.parametrize(
    ("true", "said"),
    [
        ([0, 0, 1, 1], [0, 2, 1, 1]),  # a class that is said once and never true
        ([0, 2, 1, 1], [0, 0, 1, 1]),  # one that is true once and never said
        ([0, 0, 1, 1], [0, 0, 1, 0]),  # one that is not there at all
        ([2, 2, 2, 2], [2, 2, 2, 2]),
        ([2, 2, 2, 2], [0, 0, 1, 1]),
    ],
)
def test_a_class_counts_in_a_macro_mean_where_it_is_true_or_said(true, said):
    y, scores = np.array(true, dtype=float), np.eye(3)[said] * 0.9 + 0.1 / 3
    for name in ("precision", "recall", "f1"):
        wanted = getattr(sk, f"{name}_score")(true, said, average="macro", zero_division=0)
        assert measure(f"{name}_macro", y, scores, "multiclass") == pytest.approx(wanted), name
    assert measure("f1_weighted", y, scores, "multiclass") == pytest.approx(
        sk.f1_score(true, said, average="weighted", zero_division=0)
    )
    recalls = [np.mean([s == k for t, s in zip(true, said, strict=True) if t == k]) for k in sorted(set(true))]
    assert measure("balanced_accuracy", y, scores, "multiclass") == pytest.approx(np.mean(recalls))
    assert measure("mcc", y, scores, "multiclass") == pytest.approx(sk.matthews_corrcoef(true, said))
