"""What each row adds to a metric, against scikit-learn, DeLong, and leaving rows out one by one."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sk

from tasks.metrics import measure
from tasks.paired import auc_covariance, f1_above_chance
from tasks.paired.influence import average_precision, f1, losses, roc_auc


def sample(seed, n=80, digits=2):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    return y, np.round(rng.random(n) * 0.7 + 0.3 * y, digits)


def without(value, *arrays):
    """The value with each row left out in turn."""
    return np.array([value(*(np.delete(a, i) for a in arrays)) for i in range(len(arrays[0]))])


@pytest.mark.parametrize("digits", [1, 8])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(roc_auc, sk.roc_auc_score), (average_precision, sk.average_precision_score)]
)
def test_values_are_scikit_learns(ours, theirs, digits):
    for seed in range(5):
        y, s = sample(seed, digits=digits)  # one digit: many ties
        value, influence = ours(y, s)
        assert value == pytest.approx(theirs(y, s), abs=1e-12)
        assert influence.mean() == pytest.approx(0, abs=1e-12)
        assert influence.shape == y.shape


@pytest.mark.parametrize("digits", [1, 8])
def test_the_areas_influence_is_delongs(digits):
    y, s = sample(3, digits=digits)
    _, influence = roc_auc(y, s)
    assert (influence**2).sum() / len(y) ** 2 == pytest.approx(auc_covariance(y, s[None])[1][0, 0], rel=1e-10)
    _, other = roc_auc(y, 1 - s**2)
    covariance = auc_covariance(y, np.stack([s, 1 - s**2]))[1]
    assert (influence * other).sum() / len(y) ** 2 == pytest.approx(covariance[0, 1], rel=1e-10)


def test_the_areas_influence_by_hand():
    """Positives at 0.8 (above both negatives) and 0.35 (above one): 1 and 0.5; negatives below both, and below one."""
    value, influence = roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    assert value == 0.75
    assert influence == pytest.approx(4 * np.sqrt(2) / 2 * np.array([0.25, -0.25, -0.25, 0.25]))


@pytest.mark.parametrize("digits", [1, 8])
def test_average_precision_is_the_exact_jackknife(digits):
    y, s = sample(4, digits=digits)
    _, influence = average_precision(y, s)
    left = without(sk.average_precision_score, y, s)
    assert influence == pytest.approx((len(y) - 1) * (left.mean() - left), abs=1e-9)


SCORES = [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [1, 1, 2, 2, 3], [2, 1, 1, 1, 3], [1, 2, 2, 3, 3], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("scores", SCORES)
def test_every_truth_of_five_rows_has_its_area_and_its_precision(scores):
    """Wherever positives stand, at either end and among equals: the area by pairs, the precision by leaving rows out."""
    s = np.array(scores, dtype=float)
    for y in (np.array(truth, dtype=float) for truth in itertools.product((0, 1), repeat=5)):
        if y.sum() >= 2:
            value, influence = average_precision(y, s)
            left = without(sk.average_precision_score, y, s)
            assert value == pytest.approx(sk.average_precision_score(y, s)), y
            assert influence == pytest.approx(4 * (left.mean() - left)), y
        if 2 <= y.sum() <= 3:
            value, influence = roc_auc(y, s)
            above = (s[:, None] > s) + (s[:, None] == s) / 2
            m, n = y.sum(), (1 - y).sum()
            share = np.where(y == 1, above @ (1 - y) / n, y @ above / m)
            assert value == pytest.approx(share[y == 1].mean()), y
            weight = np.where(y == 1, np.sqrt(m / (m - 1)) / m, np.sqrt(n / (n - 1)) / n)
            assert influence == pytest.approx(5 * weight * (share - value)), y


def test_f1_is_scikit_learns_and_moves_as_a_copied_row_moves_it():
    y, s = sample(5)
    said = (s > 0.5).astype(float)
    value, influence = f1(y, said)
    assert value == pytest.approx(sk.f1_score(y, said))
    small = 1e-6
    for i in (0, 7, 30, 60):
        w = np.ones(len(y))
        w[i] += small * len(y)
        assert (sk.f1_score(y, said, sample_weight=w) - value) / small == pytest.approx(influence[i], abs=1e-4)
    assert f1(np.zeros(4), np.zeros(4))[0] == 0.0


def test_f1_above_chance_is_the_gain_over_random_alarms():
    y, s = sample(6, n=400)
    said = (s > 0.4).astype(float)
    value, influence = f1_above_chance(y, said)
    p, a = y.mean(), said.mean()
    assert value == pytest.approx(sk.f1_score(y, said) - 2 * p * a / (p + a))
    assert influence.mean() == pytest.approx(0, abs=1e-12)

    def gain(w):
        p, a, hits = (np.average(v, weights=w) for v in (y, said, y * said))
        return 2 * (hits - p * a) / (p + a)

    small = 1e-6
    for i in (0, 9, 200, 399):
        w = np.ones(400)
        w[i] += small * 400
        assert (gain(w) - value) / small == pytest.approx(influence[i], abs=1e-3)
    rng = np.random.default_rng(0)
    random = [f1_above_chance(y, rng.permutation(said))[0] for _ in range(500)]
    assert abs(np.mean(random)) < 0.01
    assert f1_above_chance(np.zeros(4), np.zeros(4))[0] == 0.0


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
@pytest.mark.parametrize("classes", [2, 3])
def test_mean_losses_of_probabilities_are_the_metric(metric, classes):
    rng = np.random.default_rng(7)
    y = rng.integers(0, classes, 60).astype(float)
    scores = rng.dirichlet(np.ones(classes), 60)
    found = losses(metric, y, scores[:, 1] if classes == 2 else scores)
    kind = "binary" if classes == 2 else "multiclass"
    assert found.mean() == pytest.approx(measure(metric, y, scores, kind))
    if metric == "log_loss" and classes == 3:
        assert losses(metric, y, 2 * scores) == pytest.approx(found)  # scores of an older model need not sum to 1
    assert losses(metric, y[3:4], (scores[:, 1] if classes == 2 else scores)[3:4]) == pytest.approx(found[3:4])


def test_a_probability_of_nought_costs_36_nats():
    assert losses("log_loss", np.array([1.0, 0.0]), np.array([0.0, 0.0])) == pytest.approx([36.0437, 0.0], abs=1e-4)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("mae", [1, 2, 0.5]), ("rmse", [1, 4, 0.25]), ("r2", [1, 4, 0.25]), ("mape", [0.5, 0.5, 0.125])],
)
def test_losses_of_numbers(metric, expected):
    assert losses(metric, np.array([2.0, -4.0, 4.0]), np.array([3.0, -6.0, 3.5])) == pytest.approx(expected)


@pytest.mark.parametrize("one", [roc_auc, average_precision, f1, f1_above_chance])
def test_many_at_once_are_each_by_itself(one):
    pairs = [sample(seed, digits=1 if seed == 1 else 8) for seed in range(3)]
    y = np.stack([p[0] for p in pairs])
    s = np.stack([p[1] for p in pairs])
    s = (s > 0.5).astype(float) if one in (f1, f1_above_chance) else s
    value, influence = one(y, s)
    for k in range(3):
        alone, mine = one(y[k], s[k])
        assert value[k] == pytest.approx(alone)
        assert influence[k] == pytest.approx(mine)
