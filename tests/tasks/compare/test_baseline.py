"""The first model against no model, by each metric, in both directions."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from tasks.compare.baseline import against_baseline
from tasks.errors import RefitError
from tasks.kinds import find_kind, kind_names
from tasks.metrics import measure
from tasks.paired import ContingencyTable, delong, mcnemar, ordinary_test
from tasks.params import Promotion
from tests.tasks.compare.pairs import graded, make, two

CASES = [(kind, metric) for kind in kind_names() for metric in find_kind(kind).decisive]


def found_for(pair, problems, y_train=None, **promotion):
    return against_baseline(pair, pair.y if y_train is None else y_train, Promotion(**promotion), problems)


def useless(kind, seed=1, n=400):
    """Scores that know nothing of the truth."""
    rng = np.random.default_rng(seed)
    pair = graded(kind, n=n, seed=seed)
    order = rng.permutation(n)
    s = pair.challenger[order]
    return make(kind, pair.y, *((s[:, 1] if kind == "binary" else s,) * 2))


def against_the_truth(kind):
    """Scores that know the truth and say the opposite."""
    pair = graded(kind)
    if kind == "binary":
        return make(kind, pair.y, pair.challenger[:, 0], pair.champion[:, 1])
    if kind == "multiclass":
        turned = pair.challenger[:, [1, 2, 0]]
        return make(kind, pair.y, turned, pair.champion)
    return make(kind, pair.y, 2 * pair.y.mean() - pair.challenger, pair.champion)


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_a_good_model_beats_no_model_and_a_wrong_one_does_not(kind, metric):
    pair = graded(kind)
    good, bad = found_for(pair, metric), found_for(against_the_truth(kind), metric)
    assert good.p < 1e-4
    assert bad.p > 0.9
    assert good.p == good.tests[good.decided_by]["p_better"]
    for sided in (good.tests["contributions"], bad.tests["contributions"]):
        assert sided["p"] == pytest.approx(2 * min(sided["p_better"], 1 - sided["p_better"]), abs=1e-9)
    assert good.metric == metric
    assert good.challenger == pytest.approx(measure(metric, pair.y, pair.challenger, kind))
    assert good.decided_by == {"accuracy": "mcnemar", "f1": "fisher"}.get(metric, "contributions")
    assert good.what == bad.what
    assert good.warnings == []


@pytest.mark.parametrize(
    ("metric", "what", "value"),
    [
        ("roc_auc", "chance", 0.5),
        ("average_precision", "chance", 0.3),
        ("accuracy", "the majority class", 0.7),
        ("f1", "as many alarms raised at random", 2 * 0.5 * 0.3 / 0.8),
        ("log_loss", "the training rows' class shares", -(0.3 * np.log(0.4) + 0.7 * np.log(0.6))),
        ("brier", "the training rows' class shares", 0.3 * 0.6**2 + 0.7 * 0.4**2),
    ],
)
def test_what_is_to_be_beaten_with_two_classes(metric, what, value):
    """30 of 100 test rows are positive, 40% of the training rows; half of the rows get an alarm."""
    y = np.repeat([1.0, 0.0], [30, 70])
    p = np.where(np.arange(100) % 2 == 0, 0.6, 0.4)
    found = found_for(make("binary", y, p, p), metric, np.repeat([1.0, 0.0], [40, 60]))
    assert found.what == what
    assert found.baseline == pytest.approx(value)
    assert found.challenger == pytest.approx(measure(metric, y, two(p), "binary"))


@pytest.mark.parametrize(
    ("metric", "what", "constant"),
    [
        ("rmse", "the mean of the training rows", 4.0),
        ("r2", "the mean of the training rows", 4.0),
        ("mae", "the median of the training rows", 2.0),
        ("mape", "the best constant of the training rows", 1.0),
    ],
)
def test_what_is_to_be_beaten_with_numbers(metric, what, constant):
    y = np.linspace(1, 9, 50)
    found = found_for(make("regression", y, y + 0.1, y), metric, np.array([1.0, 1.0, 2.0, 3.0, 13.0]))
    assert found.what == what
    assert found.baseline == pytest.approx(measure(metric, y, np.full(50, constant), "regression"))
    assert found.p < 1e-3


def test_the_constant_for_relative_errors_needs_truths_other_than_nought():
    y = np.linspace(1, 9, 50)
    assert found_for(make("regression", y, y, y), "mape", np.zeros(5)).baseline == pytest.approx(1.0)
    best = measure("mape", y, np.full(50, 2.0), "regression")  # 1/1 + 1/2 is past half of 1/1 + … + 1/5
    assert found_for(make("regression", y, y, y), "mape", np.arange(1.0, 6.0)).baseline == pytest.approx(best)


def test_what_is_to_be_beaten_with_three_classes():
    y = np.repeat([0.0, 1, 2], [50, 30, 20])
    scores = np.eye(3)[np.arange(100) % 3] * 0.4 + 0.2
    train = np.repeat([0.0, 1, 2], [20, 60, 20])
    pair = make("multiclass", y, scores, scores)
    assert found_for(pair, "accuracy", train).baseline == pytest.approx(0.3)
    assert found_for(pair, "roc_auc_ovr", train).baseline == pytest.approx(0.5)
    loss = -(0.5 * np.log(0.2) + 0.3 * np.log(0.6) + 0.2 * np.log(0.2))
    assert found_for(pair, "log_loss", train).baseline == pytest.approx(loss)
    q, p = np.bincount(np.arange(100) % 3) / 100, np.array([0.5, 0.3, 0.2])
    assert found_for(pair, "f1_macro", train).baseline == pytest.approx((2 * p * q / (p + q)).mean())
    assert found_for(pair, "f1_macro", train).what == "as many decisions of each class made at random"


def test_accuracy_is_mcnemar_against_the_majority_class():
    y = np.repeat([1.0, 0.0], [40, 160])
    said = np.concatenate([[1] * 30 + [0] * 10, [1] * 5 + [0] * 155])
    found = found_for(make("binary", y, said * 0.8 + 0.1, said * 0.8 + 0.1), "accuracy")
    assert found.tests["mcnemar"]["difference"] == pytest.approx((30 - 5) / 200)
    assert found.p == mcnemar(ContingencyTable(155, 30, 5, 10)).p_better
    turned = found_for(make("binary", y, 0.9 - said * 0.8, said), "accuracy")
    assert turned.p == 1.0


def test_f1_is_fishers_test_of_the_hits():
    y = np.repeat([1.0, 0.0], [40, 160])
    said = np.concatenate([[1] * 25 + [0] * 15, [1] * 30 + [0] * 130])
    found = found_for(make("binary", y, said * 0.8 + 0.1, said), "f1")
    assert found.p == pytest.approx(hypergeom.sf(24, 200, 40, 55))
    assert found.tests["fisher"]["expected"] == pytest.approx(11.0)
    assert found.tests["fisher"]["statistic"] == 25
    assert found.tests["fisher"]["p"] == pytest.approx(2 * hypergeom.sf(24, 200, 40, 55))
    few = found_for(make("binary", y, said[::-1] * 0.8 + 0.1, said), "f1").tests["fisher"]
    assert (few["statistic"], few["p"]) == (0, pytest.approx(2 * hypergeom.cdf(0, 200, 40, 55)))
    assert found.challenger == pytest.approx(50 / 95)


def test_the_challengers_own_threshold_counts():
    y = np.repeat([1.0, 0.0], [50, 150])
    p = np.concatenate([np.full(50, 0.4), np.full(150, 0.2)])
    assert found_for(make("binary", y, p, p, (0.3, 0.3)), "f1").challenger == 1.0
    assert found_for(make("binary", y, p, p, (0.5, 0.5)), "f1").challenger == 0.0


def test_roc_auc_agrees_with_delong():
    pair = graded("binary", n=2000)
    found = found_for(pair, "roc_auc")
    plain = delong(pair.y, pair.challenger[:, 1], np.zeros(2000))
    assert found.tests["delong"]["difference"] == pytest.approx(plain.difference)
    assert found.tests["delong"]["auc"] == pytest.approx([found.challenger, 0.5])
    assert 20 < found.tests["contributions"]["statistic"] <= plain.z  # so far out a likelihood is less sure than a t


@pytest.mark.parametrize(("positives", "ranked"), [(1, False), (2, True), (38, True), (39, False)])
def test_the_area_is_tested_where_each_class_has_two_rows(positives, ranked):
    y = np.repeat([1.0, 0.0], [positives, 40 - positives])
    p = np.linspace(0.9, 0.1, 40)
    found = found_for(make("binary", y, p, p), "accuracy")
    assert ("delong" in found.tests) == ranked
    assert {"contributions", "mcnemar", "fisher"} <= set(found.tests)


@pytest.mark.parametrize("kind", kind_names())
def test_useless_scores_seldom_pass(kind):
    """Fifteen models that know nothing, by every metric."""
    for metric in find_kind(kind).decisive:
        passed = [found_for(useless(kind, seed, 200), metric).p <= 0.05 for seed in range(15)]
        assert sum(passed) <= 3


def test_declared_clusters_count():
    """Ten days of 40 rows: on eight of them all is right, on two nothing."""
    day = np.repeat(np.arange(10), 40)
    y = np.arange(400) % 2
    said = np.where(day < 8, y, 1 - y)
    pair = make("binary", y, said * 0.8 + 0.1, said, day=day)
    for metric in ("accuracy", "f1", "roc_auc", "brier"):
        plain, together = found_for(pair, metric), found_for(pair, metric, cluster=("day",))
        assert plain.p < 1e-4
        assert together.p > 0.005
        assert together.decided_by == "contributions"
        assert "rows of equal day together" in together.tests["contributions"]["name"]
        assert "The verdict counts that." in together.warnings[0]
        assert "set promotion.cluster: [day]" in plain.warnings[0]


def test_promotion_metric_decides():
    pair = graded("binary")
    assert found_for(pair, "roc_auc", metric="brier").metric == "brier"
    assert found_for(pair, "roc_auc", metric="brier").p == found_for(pair, "brier").p


def test_a_metric_without_meaning_is_refused():
    y = np.array([0.0, 1, 2] * 10)
    with pytest.raises(RefitError, match="mape divides by the truth"):
        found_for(make("regression", y, y, y), "mape")


def test_log_loss_by_hand():
    y, p = np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 0, 0]), np.linspace(0.3, 0.02, 10)
    found = found_for(make("binary", y, p, p), "log_loss", np.repeat([1.0, 0.0], [2, 8]))
    own = -np.where(y == 1, np.log(p), np.log(1 - p))
    base = -np.where(y == 1, np.log(0.2), np.log(0.8))
    assert found.p == pytest.approx(float(ordinary_test(base - own).p_above))


def test_a_few_surprises_do_not_hide_a_gain_of_two_thirds():
    """Iris: 28 of 31 rows right and sure, three wrong."""
    y = np.array([1.0] * 15 + [0.0] * 16)
    p = np.where(y == 1, 0.97, 0.03)
    p[[0, 20, 30]] = [0.1, 0.9, 0.8]
    assert 0.001 < found_for(make("binary", y, p, p), "log_loss", np.repeat([1.0, 0.0], [50, 50])).p < 0.05


def test_thirty_rows_suffice_for_a_sure_model_that_is_right():
    """A model that says 1 in 10 million, as a linear one does of irises, is not held to have one surprise in thirty rows."""
    y = np.repeat([0.0, 1, 2], 10)
    scores = np.where(np.eye(3)[y.astype(int)] == 1, 0.9, 1e-7)
    scores[:, 1] += 1 - scores.sum(axis=1)
    scores[10:20] = [0.05, 0.9, 0.05]
    assert found_for(make("multiclass", y, scores, scores), "log_loss").p < 1e-4
