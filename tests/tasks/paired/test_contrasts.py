"""Two models by every metric: values, sign, margin, spread."""

import numpy as np
import pytest

from tasks.errors import RefitError
from tasks.metrics import higher_is_better, measure
from tasks.paired import contrast, judged_classes, mean_test, sums

RNG = np.random.default_rng(0)
N = 300
Y = (RNG.random(N) < 0.4).astype(float)
GOOD = np.clip(0.25 + 0.5 * Y + RNG.normal(0, 0.2, N), 0.02, 0.98)
BAD = np.clip(0.4 + 0.2 * Y + RNG.normal(0, 0.25, N), 0.02, 0.98)
THREE = RNG.integers(0, 3, N).astype(float)


def soft(strength):
    x = np.exp(strength * np.eye(3)[THREE.astype(int)] + RNG.normal(0, 0.7, (N, 3)))
    return x / x.sum(axis=1, keepdims=True)


SHARP, BLUNT = soft(2.0), soft(0.7)
NUMBER = RNG.normal(20, 3, N)
NEAR, FAR = NUMBER + RNG.normal(0, 1, N), NUMBER + RNG.normal(0, 1.5, N)

CASES = [("binary", m) for m in ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1")]
CASES += [("multiclass", m) for m in ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr")]
CASES += [("regression", m) for m in ("rmse", "mae", "r2", "mape")]


def models(kind):
    """Truth, a better and a worse model's scores, their decisions, and the scores as metrics take them."""
    if kind == "binary":
        full = [np.column_stack([1 - p, p]) for p in (GOOD, BAD)]
        return Y, GOOD, BAD, tuple((p >= 0.5).astype(float) for p in (GOOD, BAD)), full
    if kind == "multiclass":
        return THREE, SHARP, BLUNT, tuple(s.argmax(axis=1).astype(float) for s in (SHARP, BLUNT)), [SHARP, BLUNT]
    return NUMBER, NEAR, FAR, None, [NEAR, FAR]


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_values_are_the_metrics_and_the_better_model_is_ahead(kind, metric):
    y, good, bad, said, full = models(kind)
    found = contrast(metric, kind, y, good, bad, decisions=said)
    one, two = (measure(metric, y, s, kind) for s in full)
    assert (found.challenger, found.champion) == pytest.approx((one, two))
    sign = 1 if higher_is_better(metric) else -1
    assert found.gain == pytest.approx(sign * (one - two))
    assert found.gain > 0
    assert found.tested.mean() == pytest.approx(found.gain)
    assert found.spread.mean() == pytest.approx(0, abs=1e-12)
    assert found.test().p_above < 0.01
    assert found.test().p_below > 0.99
    back = contrast(metric, kind, y, bad, good, decisions=said and said[::-1])
    assert back.gain == pytest.approx(-found.gain)
    assert back.tested == pytest.approx(-found.tested)
    assert back.test().p_above == pytest.approx(found.test().p_below)


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_a_margin_is_in_the_metrics_unit_or_a_share_of_the_loss(kind, metric):
    y, good, bad, said, _ = models(kind)
    said = said and said[::-1]
    plain = contrast(metric, kind, y, bad, good, decisions=said)
    behind = float(-plain.gain if higher_is_better(metric) else -plain.gain / plain.champion)
    for margin in (behind * 0.5, behind, behind * 1.5):
        found = contrast(metric, kind, y, bad, good, margin, decisions=said)
        scale = 1.0 if higher_is_better(metric) else float(found.champion)
        assert found.tested.mean() == pytest.approx((margin - behind) * scale, abs=1e-9)
        assert found.gain == pytest.approx(float(plain.gain))
        assert found.spread == pytest.approx(plain.spread)
    assert contrast(metric, kind, y, bad, good, behind * 3, decisions=said).test().p_above < 0.05


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_the_standard_error_is_the_bootstraps(kind, metric):
    y, good, bad, said, full = models(kind)
    found = contrast(metric, kind, y, good, bad, decisions=said)
    rng = np.random.default_rng(1)
    gaps = []
    for _ in range(300):
        w = np.bincount(rng.integers(0, N, N), minlength=N).astype(float)
        one, two = (measure(metric, y, s, kind, weight=w) for s in full)
        gaps.append(one - two)
    assert found.se() == pytest.approx(np.std(gaps), rel=0.15)


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_the_spread_is_what_each_row_moves_the_gain_by(kind, metric):
    """Against the derivative of the metrics by a row's weight: models whose errors are alike differ by little."""
    y, good, bad, said, full = models(kind)
    found = contrast(metric, kind, y, good, bad, decisions=said)
    sign = 1 if higher_is_better(metric) else -1

    def gain(weight):
        one, two = (measure(metric, y, s, kind, weight=weight) for s in full)
        return sign * (one - two)

    step, rows = 1e-4, np.arange(0, N, 12)
    moved = [(gain(1 - step + step * N * (np.arange(N) == i)) - gain(np.ones(N))) / step for i in rows]
    assert found.spread[rows] == pytest.approx(np.array(moved), rel=0.02, abs=0.02 * float(found.spread.std()))


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "mape"])
def test_numbers_in_another_unit_give_the_same_verdict(metric):
    found, small = (contrast(metric, "regression", k * NUMBER, k * NEAR, k * FAR, 0.1) for k in (1.0, 1e-3))
    unit = 1e-3 if metric in ("rmse", "mae") else 1.0
    assert small.spread == pytest.approx(unit * found.spread)
    assert small.tested == pytest.approx(unit * found.tested)
    assert small.test().p_above == pytest.approx(float(found.test().p_above))


def test_rows_copied_ten_times_in_clusters_weigh_once():
    ten = np.repeat(np.arange(N), 10)
    once = contrast("roc_auc", "binary", Y, GOOD, BAD)
    copied = contrast("roc_auc", "binary", Y[ten], GOOD[ten], BAD[ten])
    assert copied.se(ten) == pytest.approx(float(once.se()), rel=0.01)
    assert copied.se() == pytest.approx(float(once.se()) / np.sqrt(10), rel=0.01)
    assert copied.test(ten).p_above == pytest.approx(float(once.test().p_above), rel=0.2)


def test_clusters_are_added_up():
    labels = np.arange(N) % 30
    found = contrast("mae", "regression", NUMBER, NEAR, FAR)
    assert found.test(labels).p_above == mean_test(sums(found.tested, labels)).p_above
    assert found.se(labels) == pytest.approx(np.sqrt((sums(found.spread, labels) ** 2).sum() * 30 / 29) / N)


def test_rmse_and_r2_are_tested_by_squared_errors():
    d = (FAR - NUMBER) ** 2 - (NEAR - NUMBER) ** 2
    rmse, r2 = (contrast(m, "regression", NUMBER, NEAR, FAR) for m in ("rmse", "r2"))
    assert rmse.tested == pytest.approx(d / float(rmse.challenger + rmse.champion))
    assert r2.tested == pytest.approx(d / NUMBER.var())
    assert rmse.test().p_above == pytest.approx(float(r2.test().p_above))


def test_the_probabilities_tell_what_a_row_could_have_cost():
    y, p, q = np.array([0.0, 0, 1]), np.array([0.01, 0.5, 0.9]), np.array([0.1, 0.5, 0.8])
    found = contrast("log_loss", "binary", y, p, q)
    assert found.low == pytest.approx(np.log(0.01 / 0.1))  # had the first row been positive
    assert found.high == pytest.approx(np.log(0.9 / 0.8))
    assert contrast("brier", "binary", y, p, q).low == pytest.approx(0.9**2 - 0.99**2)
    assert contrast("log_loss", "binary", y, p, q, margin=0.1).low == pytest.approx(-1.1 * np.log(0.1) + np.log(0.01))
    assert contrast("roc_auc", "binary", Y, GOOD, BAD).low is None
    assert contrast("mae", "regression", NUMBER, NEAR, FAR).low is None
    three = contrast("log_loss", "multiclass", np.array([0.0, 1]), np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]),
                     np.array([[0.6, 0.2, 0.2], [0.3, 0.4, 0.3]]))  # fmt: skip
    assert three.low == pytest.approx(np.log(0.5))
    assert three.high == pytest.approx(np.log(2.0))


def test_an_overconfident_challenger_is_not_better_for_want_of_a_surprise():
    """Right so far on all 300 rows, but it said 1 in 100,000 where the champion said 1 in 200."""
    y = np.zeros(N)
    y[:2] = 1
    p = np.full(N, 1e-5)
    q = np.full(N, 5e-3)
    p[:2] = q[:2] = 0.5
    found = contrast("log_loss", "binary", y, p, q)
    assert found.gain > 0
    assert mean_test(found.tested).p_above < 1e-6
    assert found.test().p_above > 0.2


def test_f1_without_positives_and_alarms_tells_nothing():
    nothing = np.zeros(20)
    found = contrast("f1", "binary", nothing, nothing, nothing, decisions=(nothing, nothing), equal_alarms=True)
    assert found.tested.tolist() == [0.0] * 20


def test_f1_at_equal_alarms_goes_by_the_right_decisions():
    said = tuple((np.argsort(np.argsort(-s)) < 90).astype(float) for s in (GOOD, BAD))
    found = contrast("f1", "binary", Y, GOOD, BAD, decisions=said, equal_alarms=True)
    gains = (said[0] == Y).astype(float) - (said[1] == Y)
    assert found.gain == pytest.approx(gains.sum() / (Y.sum() + 90))
    assert found.tested == pytest.approx(gains * N / (Y.sum() + 90))
    assert found.spread == pytest.approx(found.tested - found.tested.mean())
    more = contrast("f1", "binary", Y, GOOD, BAD, 0.02, decisions=said, equal_alarms=True)
    assert more.tested == pytest.approx(found.tested + 0.02)


def test_classes_of_a_row_or_two():
    assert judged_classes(np.array([0.0, 0, 1, 1, 2]), 4) == [0, 1]
    assert judged_classes(np.array([0.0, 0, 1]), 2) == []
    assert judged_classes(np.array([0.0, 0, 1, 1]), 2) == [0, 1]
    y = np.append(THREE, 3.0)
    four = [np.column_stack([np.vstack([s, [0.3, 0.3, 0.4]]), np.zeros(N + 1)]) for s in (SHARP, BLUNT)]
    found = contrast("roc_auc_ovr", "multiclass", y, *four)
    each = [
        measure("roc_auc", (y == k).astype(float), np.column_stack([1 - four[0][:, k], four[0][:, k]]), "binary")
        for k in range(3)
    ]
    assert found.challenger == pytest.approx(np.mean(each))


def test_many_looks_at_once():
    y, p, q = (np.stack([v[:150], v[150:]]) for v in (Y, GOOD, BAD))
    for metric in ("roc_auc", "average_precision", "log_loss", "brier"):
        found = contrast(metric, "binary", y, p, q)
        for k in range(2):
            one = contrast(metric, "binary", y[k], p[k], q[k])
            assert found.test().p_above[k] == pytest.approx(float(one.test().p_above))
            assert found.se()[k] == pytest.approx(float(one.se()))


@pytest.mark.parametrize("equal_alarms", [False, True])
@pytest.mark.parametrize(("kind", "metric"), [c for c in CASES if c[1] not in ("f1_macro", "roc_auc_ovr")])
def test_each_of_many_looks_is_what_it_is_by_itself(kind, metric, equal_alarms):
    y, one, two, decisions, _ = models(kind)

    def halves(values):
        return np.stack([values[:150], values[150:]])

    parts = halves(y), halves(one), halves(two)
    said = None if decisions is None else tuple(map(halves, decisions))
    both = contrast(metric, kind, *parts, 0.02, decisions=said, equal_alarms=equal_alarms)
    for k in range(2):
        mine = None if said is None else (said[0][k], said[1][k])
        alone = contrast(metric, kind, *(part[k] for part in parts), 0.02, decisions=mine, equal_alarms=equal_alarms)
        for name in ("challenger", "champion", "gain", "spread", "tested"):
            assert getattr(both, name)[k] == pytest.approx(getattr(alone, name)), name


def test_what_cannot_be_compared_is_said():
    with pytest.raises(RefitError, match="'ece' has no test"):
        contrast("ece", "binary", Y, GOOD, BAD)
    with pytest.raises(RefitError, match="accuracy compares decisions; none were given"):
        contrast("accuracy", "binary", Y, GOOD, BAD)


@pytest.mark.parametrize("groups", [2, 3, 7])
def test_the_standard_error_counts_clusters_by_hand(groups):
    rng = np.random.default_rng(0)
    y, one, two = (rng.normal(size=60) for _ in range(3))
    labels = np.arange(60) % groups
    found = contrast("rmse", "regression", y, one, two, 0.0, None, False)
    totals = np.array([found.spread[labels == g].sum() for g in range(groups)])
    assert float(found.se(labels)) == pytest.approx(np.sqrt((totals**2).sum() * groups / (groups - 1)) / 60)
    assert float(found.se()) == pytest.approx(np.sqrt((found.spread**2).sum() * 60 / 59) / 60)


def test_a_model_without_any_error_has_no_spread_by_rmse():
    found = contrast("rmse", "regression", NUMBER, NUMBER, FAR)
    assert found.challenger == 0
    assert np.isfinite(found.spread).all()
    error = (FAR - NUMBER) ** 2
    root = np.sqrt(error.mean())
    assert found.spread == pytest.approx((error - error.mean()) / (2 * root))
    both = contrast("rmse", "regression", NUMBER, NUMBER, NUMBER)
    assert (both.gain, np.abs(both.spread).max(), np.abs(both.tested).max()) == (0, 0, 0)
