"""Evidence on pairs with planted answers, in both directions, for every metric."""

import numpy as np
import pytest
from scipy import stats

from tasks.compare.evidence import check_defined, gather
from tasks.compare.policy import NOTHING
from tasks.compare.usual import deciding
from tasks.errors import RefitError
from tasks.kinds import find_kind, kind_names
from tasks.metrics import higher_is_better, measure
from tasks.paired import (
    ContingencyTable,
    contrast,
    delong,
    difference_interval,
    margin_z,
    mcnemar,
    rows_needed,
    rows_needed_for_mean,
)
from tasks.params import Promotion
from tests.tasks.compare.pairs import decisions, graded, make, swapped, two

CASES = [(kind, metric) for kind in kind_names() for metric in find_kind(kind).decisive]


def seen(pair, problems, new=None, **promotion):
    """The evidence where the problem's metric is ``problems``."""
    new = np.ones(pair.n, dtype=bool) if new is None else new
    return gather(pair, Promotion(**promotion), problems, new, 0)


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_every_metric_decides_in_both_directions(kind, metric):
    pair = graded(kind)
    found, back = seen(pair, metric), seen(swapped(pair), metric)
    one, two = (measure(metric, pair.y, s, kind) for s in (pair.challenger, pair.champion))
    numbers = found.evidence
    assert numbers.metric == metric
    assert (numbers.challenger, numbers.champion) == pytest.approx((one, two))
    assert numbers.difference == pytest.approx(one - two)
    assert (numbers.difference > 0) == higher_is_better(metric)
    low, high = numbers.interval
    assert low < numbers.difference < high
    assert low * high > 0
    assert found.look.p_better < 0.001
    assert found.look.p_worse > 0.99
    assert found.look.gain > 0
    assert (back.look.p_better, back.look.p_worse) == pytest.approx((found.look.p_worse, found.look.p_better))
    assert back.evidence.difference == pytest.approx(-numbers.difference)
    assert back.evidence.interval == pytest.approx([-high, -low])
    assert back.look.gain == pytest.approx(-found.look.gain)
    assert found.look.all == found.look.new
    assert found.look.claim == f"{metric}, margin 0, rows"
    assert numbers.decided_by == ("mcnemar" if metric == "accuracy" else "contributions")
    deciding = found.tests[numbers.decided_by]
    assert deciding["p_better"] == found.look.p_better
    assert deciding["p"] == pytest.approx(2 * found.look.p_better)
    assert f"bootstrap_{metric}" in found.tests
    assert found.warnings == []


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_models_that_are_alike_are_not_told_apart(kind, metric):
    found = seen(graded(kind, gap=0.0, seed=3), metric)
    assert 0.02 < found.look.p_better < 0.98
    low, high = found.evidence.interval
    assert low < 0 < high


def test_promotion_metric_decides_and_not_the_problems():
    pair = graded("binary")
    assert seen(pair, "roc_auc", metric="log_loss").evidence.metric == "log_loss"
    assert seen(pair, "roc_auc", metric="log_loss").look == seen(pair, "log_loss").look
    assert seen(pair, "roc_auc").evidence.metric == "roc_auc"
    assert "bootstrap_log_loss" in seen(pair, "roc_auc", metric="log_loss").tests


def test_the_area_decides_where_decisions_tell_nothing():
    """Both are right on the same rows at 0.5; the challenger ranks far better within them."""
    rng = np.random.default_rng(0)
    y = (rng.random(1000) < 0.5).astype(float)
    sure = rng.random(1000)
    right = rng.random(1000) < 0.7
    side = np.where(right, y, 1 - y)
    good = 0.5 + (2 * side - 1) * (0.05 + 0.4 * np.where(right, sure, sure * 0.2))
    bad = 0.5 + (2 * side - 1) * 0.2
    found = seen(make("binary", y, good, bad), "roc_auc")
    assert found.tests["mcnemar"]["p"] == 1.0
    assert found.look.p_better < 1e-4
    assert found.look.all.counts is None


def test_accuracy_is_exact_mcnemar():
    found = seen(decisions(500, 40, 20, 100), "accuracy")
    table = ContingencyTable(500, 40, 20, 100)
    assert found.look.p_better == mcnemar(table).p_better == pytest.approx(stats.binom.sf(39, 60, 0.5))
    assert found.look.p_worse == pytest.approx(stats.binom.sf(19, 60, 0.5))
    assert found.look.all.counts == (40, 20, 600)
    assert found.look.all.rows == 660
    assert found.look.gain == pytest.approx(20 / 660)
    assert found.evidence.interval == pytest.approx(list(difference_interval(table)))
    assert found.evidence.table.to_dict() == {
        "both_right": 500, "challenger_alone": 40, "champion_alone": 20, "both_wrong": 100,
    }  # fmt: skip
    assert found.evidence.accuracy.challenger == pytest.approx(540 / 660)
    assert found.evidence.accuracy.champion == pytest.approx(520 / 660)
    assert found.evidence.rows_needed == {
        "0.005": rows_needed(0.005, 60 / 660), "0.01": rows_needed(0.01, 60 / 660), "0.02": rows_needed(0.02, 60 / 660),
    }  # fmt: skip
    assert {"mcnemar_mid_p", "mcnemar_asymptotic", "delong"} <= set(found.tests)


@pytest.mark.parametrize(("b", "c"), [(40, 40), (20, 40), (60, 20)])
def test_a_margin_of_accuracy_is_tangos(b, c):
    found = seen(decisions(1500, b, c, 300), "accuracy", rule="non_inferiority", margin=0.02)
    z = margin_z(ContingencyTable(1500, b, c, 300), 0.02)
    assert found.evidence.decided_by == "margin"
    assert found.look.p_better == pytest.approx(stats.norm.sf(z))
    assert found.tests["margin"]["statistic"] == pytest.approx(z)
    assert found.look.p_worse == pytest.approx(mcnemar(ContingencyTable(1500, c, b, 300)).p_better)
    assert found.look.gain == pytest.approx((b - c) / (1800 + b + c) + 0.02)
    assert found.look.claim == "accuracy, margin 0.02, rows"
    assert found.look.all.counts == (b, c, 1800)


@pytest.mark.parametrize(("kind", "metric"), [c for c in CASES if c[1] != "accuracy"])
@pytest.mark.parametrize("clustered", [False, True])
def test_a_margin_forgives_what_is_lost_and_no_more(kind, metric, clustered):
    n = 800
    pair = swapped(graded(kind, n=n, gap=0.15, day=np.arange(n) // 10))
    cluster = {"cluster": ("day",)} if clustered else {}
    plain = seen(pair, metric, **cluster).evidence
    lost = abs(plain.difference) / (1.0 if higher_is_better(metric) else plain.champion)
    wide = min(4 * lost, 0.95)
    over, under = (seen(pair, metric, rule="non_inferiority", margin=m, **cluster) for m in (wide, 0.2 * lost))
    assert over.look.p_better < 0.05
    assert over.look.gain > 0
    assert under.look.p_better > 0.5
    assert under.look.gain < 0
    assert over.evidence.decided_by == "margin"
    assert over.tests["margin"]["p"] == over.look.p_better
    assert over.look.p_worse == under.look.p_worse == pytest.approx(seen(pair, metric, **cluster).look.p_worse)
    assert over.look.claim == f"{metric}, margin {wide:g}, {'clusters' if clustered else 'rows'}"


def test_f1_at_equal_alarms_is_mcnemars():
    pair = graded("binary", n=600, gap=0.5)
    pair = make("binary", pair.y, pair.challenger[:, 1], pair.champion[:, 1], (0.3, 0.4))
    found, accuracy = seen(pair, "f1"), seen(pair, "accuracy")
    assert found.evidence.decided_by == "mcnemar"
    assert found.look.all == accuracy.look.all
    assert "alarms on these rows" in found.evidence.judged
    said = np.zeros(600)
    said[np.argsort(-pair.challenger[:, 1], kind="stable")[: int((pair.champion[:, 1] >= 0.4).sum())]] = 1
    assert found.evidence.challenger == pytest.approx(measure("f1", pair.y, two(said), "binary"))
    assert found.evidence.champion == pytest.approx(measure("f1", pair.y, pair.champion, "binary", 0.4))
    with_margin = seen(pair, "f1", rule="non_inferiority", margin=0.05)
    assert with_margin.evidence.decided_by == "margin"
    assert with_margin.look.all.counts is None
    assert with_margin.look.p_better < found.look.p_better


CLUSTERED = {
    # 40 days of 10 rows; on each day one model alone is right on five of them: 24 days for the challenger, 16 against
    "day": np.repeat(np.arange(40), 10),
}


def moods(wins=24):
    mine = np.concatenate([[1] * 5 + [1] * 5 if k < wins else [0] * 5 + [1] * 5 for k in range(40)])
    theirs = np.concatenate([[0] * 5 + [1] * 5 if k < wins else [1] * 5 + [1] * 5 for k in range(40)])
    y = np.arange(400) % 2
    return make("binary", y, np.where(mine == 1, y, 1 - y) * 0.8 + 0.1, np.where(theirs == 1, y, 1 - y) * 0.8 + 0.1,
                **CLUSTERED)  # fmt: skip


@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "brier", "log_loss"])
def test_declared_clusters_are_counted_as_one(metric):
    pair = moods()
    plain, together = seen(pair, metric), seen(pair, metric, cluster=("day",))
    assert plain.look.p_better < 0.01
    assert 0.05 < together.look.p_better < 0.4
    assert together.look.p_worse > 0.5
    assert together.look.claim == f"{metric}, margin 0, clusters"
    assert together.look.all.counts is None
    assert together.evidence.decided_by == "contributions"
    assert np.ptp(together.evidence.interval) > 1.5 * np.ptp(plain.evidence.interval)
    need = [e.evidence.rows_needed for e in (plain, together)]
    assert all(need[1][d] > 2 * need[0][d] for d in need[0])
    assert "The verdict counts that." in together.warnings[0]
    assert "set promotion.cluster: [day]" in plain.warnings[0]
    assert len(plain.warnings) == len(together.warnings) == 1
    assert together.tests["mcnemar_clustered"]["clusters"] == 40
    assert "mcnemar_clustered" not in plain.tests


def test_clusters_that_nobody_declared_do_not_decide():
    pair = moods()
    other = make(
        "binary", pair.y, pair.challenger[:, 1], pair.champion[:, 1], day=CLUSTERED["day"], shop=np.arange(400)
    )
    plain = seen(make("binary", pair.y, pair.challenger[:, 1], pair.champion[:, 1]), "accuracy")
    assert seen(other, "accuracy").look == plain.look
    assert seen(other, "accuracy", cluster=("shop",)).look.p_better == pytest.approx(0.006, abs=0.004)
    assert seen(other, "accuracy", cluster=("shop", "day")).look == seen(pair, "accuracy", cluster=("day",)).look


def test_the_clustered_test_by_hand():
    pair = moods()
    found = seen(pair, "accuracy", cluster=("day",))
    gains = np.where(np.arange(40) < 24, 5.0, -5.0)
    t = (gains.sum() - 5) / np.sqrt(40 * gains.var(ddof=1) + 25)
    skewness = stats.skew(gains)
    a = min(skewness, 0) / (6 * np.sqrt(40))
    t = min(t, t + a * (2 * t * t + 1) + 4 / 3 * a * a * t**3)
    assert found.look.p_better == pytest.approx(stats.t.sf(t, 39))
    spread = gains - gains.mean()
    half = stats.t.ppf(0.975, 39) * np.sqrt((spread**2).sum() * 40 / 39) / 400
    assert found.evidence.interval == pytest.approx([0.1 - half, 0.1 + half])


def test_rows_counted_before_are_not_new():
    pair = graded("binary", n=600)
    new = np.arange(600) >= 400
    found = seen(pair, "roc_auc", new)
    assert found.look.new == seen(pair.take(new), "roc_auc").look.all
    assert found.look.all == seen(pair, "roc_auc").look.all
    assert found.look.new.rows == 200
    right = seen(decisions(500, 40, 20, 100), "accuracy", np.arange(660) >= 520)
    assert right.look.new.counts == (20, 20, 100)
    assert right.look.all.counts == (40, 20, 600)


@pytest.mark.parametrize(("rows", "judged"), [(0, False), (9, False), (10, True)])
def test_too_few_new_rows_are_not_judged(rows, judged):
    pair = graded("regression", n=300)
    found = seen(pair, "rmse", np.arange(300) < rows).look.new
    assert (found != NOTHING) is judged
    assert found.rows == (rows if judged else 0)


@pytest.mark.parametrize(("positives", "judged"), [(4, False), (5, True)])
def test_new_rows_need_five_of_each_class_where_ranks_decide(positives, judged):
    y = np.array([1.0] * positives + [0.0] * 40 + [1.0] * 30)
    rng = np.random.default_rng(0)
    pair = make("binary", y, rng.random(len(y)), rng.random(len(y)))
    new = np.arange(len(y)) < positives + 40
    for metric in ("roc_auc", "average_precision", "f1"):
        assert (seen(pair, metric, new).look.new != NOTHING) is judged
    for metric in ("accuracy", "log_loss", "brier"):
        assert seen(pair, metric, new).look.new != NOTHING


@pytest.mark.parametrize(("days", "judged"), [(4, False), (5, True)])
def test_new_rows_need_five_clusters(days, judged):
    pair = moods()
    found = seen(pair, "accuracy", CLUSTERED["day"] < days, cluster=("day",)).look.new
    assert (found != NOTHING) is judged


def test_rows_needed_by_the_spread_of_the_contributions():
    pair = graded("regression")
    spread = np.std((pair.champion - pair.y).__abs__() - (pair.challenger - pair.y).__abs__())
    base = np.abs(pair.champion - pair.y).mean()
    found = seen(pair, "mae").evidence.rows_needed
    assert found == {
        k: rows_needed_for_mean(float(k) * base, float(spread)) for k in ("0.01", "0.02", "0.05")
    }  # fmt: skip
    binary = graded("binary")
    influence = contrast("roc_auc", "binary", binary.y, binary.challenger[:, 1], binary.champion[:, 1]).spread
    assert seen(binary, "roc_auc").evidence.rows_needed == {
        k: rows_needed_for_mean(float(k), float(np.sqrt((influence**2).mean()))) for k in ("0.005", "0.01", "0.02")
    }
    exact = make("regression", pair.y, pair.challenger, pair.y)
    assert seen(exact, "mae").evidence.rows_needed == {}


def test_relative_errors_decide_for_mape():
    """The challenger is better where the truth is small, worse where it is large: MAE and MAPE disagree."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(400) < 200, 1.0, 100.0)
    noise = rng.normal(0, 1, (2, 400))
    one = y + noise[0] * np.where(y == 1, 0.1, 20.0)
    other = y + noise[1] * np.where(y == 1, 0.5, 10.0)
    pair = make("regression", y, one, other)
    assert seen(pair, "mape").look.p_better < 0.001
    assert seen(pair, "mae").look.p_worse < 0.001
    assert seen(pair, "mape").evidence.better_rows == pytest.approx(float((np.abs(one - y) < np.abs(other - y)).mean()))


def test_as_served_each_model_has_its_own_threshold():
    y = np.array([0.0, 1] * 20)
    mine = np.where(np.arange(40) < 30, y, 1 - y) * 0.2 + 0.3
    found = seen(make("binary", y, mine, 1 - mine, (0.5, 0.7)), "accuracy").evidence.as_served
    assert found.challenger.to_dict() == {"accuracy": 0.75, "positive_share": 0.5}
    assert found.champion.to_dict() == {
        "accuracy": 0.25,
        "positive_share": 0.5,
    }  # a score that is the threshold is an alarm
    three = seen(graded("multiclass"), "log_loss").evidence.as_served
    assert set(three.challenger.to_dict()) == {"accuracy"}
    pair = graded("multiclass")
    for name, scores in (("challenger", pair.challenger), ("champion", pair.champion)):
        assert getattr(three, name).accuracy == np.mean(scores.argmax(axis=1) == pair.y)


def test_a_class_of_one_row_is_left_out_and_said_so():
    pair = graded("multiclass", n=300)
    y = np.append(pair.y, 3.0)
    scores = [
        np.column_stack([np.vstack([s, [0.3, 0.3, 0.4]]), np.zeros(301)]) for s in (pair.challenger, pair.champion)
    ]
    found = seen(make("multiclass", y, *scores), "roc_auc_ovr")
    assert "class number 3" in found.warnings[0]
    assert found.look.p_better < 0.001


@pytest.mark.parametrize(
    ("kind", "metric", "y", "match"),
    [
        ("regression", "mape", [0.0, 0, 2, 3] * 5, "mape divides by the truth, which is 0 in 10 of the 20"),
        ("regression", "r2", [2.0] * 20, "r2 has no meaning where all compared rows have the same truth"),
        (
            "binary",
            "roc_auc",
            [1.0] + [0] * 19,
            "roc_auc needs at least two rows of each class, found 1 positive and 19",
        ),
        ("binary", "average_precision", [1.0] * 19 + [0], "found 19 positive and 1 negative"),
    ],
)
def test_a_metric_without_meaning_on_these_rows_is_refused(kind, metric, y, match):
    s = np.linspace(0.1, 0.9, 20)
    with pytest.raises(RefitError, match=match):
        seen(make(kind, y, s, s[::-1]), metric)


def test_a_metric_of_one_class_against_the_rest_needs_a_class():
    y = [0.0, 1, 2]
    with pytest.raises(RefitError, match="roc_auc_ovr needs a class with two rows"):
        seen(make("multiclass", y, np.eye(3) * 0.4 + 0.2, np.full((3, 3), 1 / 3)), "roc_auc_ovr")


@pytest.mark.parametrize(
    ("metric", "y", "meaning"),
    [
        ("roc_auc", [1, 1] + [0] * 9, True), ("roc_auc", [1] + [0] * 9, False),
        ("average_precision", [1] * 9 + [0, 0], True), ("average_precision", [1] * 9 + [0], False),
        ("log_loss", [1] * 9, True), ("mape", [1.0, -2.0], True), ("mape", [1.0, 0.0], False),
        ("mae", [0.0, 0.0], True), ("r2", [1.0, 1.5], True), ("r2", [1.5, 1.5], False),
        ("roc_auc_ovr", [0, 0, 1, 2], True), ("roc_auc_ovr", [0, 1, 2], False),
        ("log_loss", [0, 1, 2], True),
    ],
)  # fmt: skip
def test_a_metric_has_a_meaning_from_the_smallest_rows_on(metric, y, meaning):
    y = np.array(y, dtype=float)
    if meaning:
        check_defined(y, metric)
    else:
        with pytest.raises(RefitError, match=r"^promotion\.metric: "):
            check_defined(y, metric)


@pytest.mark.parametrize(
    ("kind", "metric", "thresholds", "margin", "coin", "equal"),
    [
        ("binary", "accuracy", (0.5, 0.5), 0.0, True, False), ("binary", "accuracy", (0.5, 0.4), 0.1, True, True),
        ("binary", "f1", (0.4, 0.5), 0.0, True, True), ("binary", "f1", (0.4, 0.5), 0.01, False, True),
        ("binary", "f1", (0.5, 0.5), 0.0, False, False), ("multiclass", "f1_macro", (0.5, 0.5), 0.0, False, False),
        ("multiclass", "accuracy", (0.5, 0.5), 0.0, True, False), ("binary", "brier", (0.4, 0.5), 0.0, False, False),
    ],
)  # fmt: skip
def test_decisions_are_coins_where_right_and_wrong_is_all_that_counts(kind, metric, thresholds, margin, coin, equal):
    pair = graded("multiclass", n=60) if kind == "multiclass" else make("binary", [0.0, 1] * 30, np.linspace(0.1, 0.9, 60), np.linspace(0.2, 0.8, 60), thresholds)  # fmt: skip
    promotion = Promotion(rule="non_inferiority", margin=margin) if margin else Promotion()
    side = deciding(pair, promotion, metric)
    assert (side.metric, side.coin, side.equal) == (metric, coin, equal)
    assert (side.said is None) == (metric == "brier")
    assert deciding(pair, Promotion(metric="log_loss"), metric).metric == "log_loss"


def test_what_stands_beside_is_each_test_by_itself():
    pair = make("binary", [0.0, 1] * 50, np.linspace(0.05, 0.95, 100) ** 2, np.linspace(0.1, 0.9, 100))
    found = seen(pair, "log_loss")
    table = ContingencyTable.of(*pair.right)
    for name, variant in (("mcnemar", "exact"), ("mcnemar_mid_p", "mid_p"), ("mcnemar_asymptotic", "asymptotic")):
        other = mcnemar(table) if variant == "exact" else mcnemar(table, variant)
        assert (found.tests[name]["statistic"], found.tests[name]["p"]) == (other.statistic, other.p)
    assert found.tests["delong"]["p"] == delong(pair.y, pair.challenger[:, 1], pair.champion[:, 1]).p
    drawn = found.tests["bootstrap_log_loss"]
    assert drawn["challenger"] == measure("log_loss", pair.y, pair.challenger, "binary")
    assert drawn["champion"] == measure("log_loss", pair.y, pair.champion, "binary")
    assert set(found.tests) == {
        "contributions", "mcnemar", "mcnemar_mid_p", "mcnemar_asymptotic", "delong", "bootstrap_log_loss",
    }  # fmt: skip
    plain = contrast("log_loss", "binary", pair.y, pair.challenger[:, 1], pair.champion[:, 1])
    half = stats.t.ppf(0.975, plain.test().df) * plain.se()
    assert plain.se() == pytest.approx(plain.spread.std(ddof=1) / 10, rel=0.02)
    low, high = found.evidence.interval
    gain = float(plain.gain)
    assert (found.evidence.difference, low, high) == pytest.approx((-gain, -gain - half, -gain + half))
    assert found.evidence.judged == "log loss of all compared rows"
    few = make("binary", [1.0] + [0] * 19, np.linspace(0.1, 0.9, 20), np.linspace(0.2, 0.8, 20))
    assert "delong" not in seen(few, "log_loss").tests
    two_of_them = make("binary", [1.0, 1.0] + [0] * 18, np.linspace(0.1, 0.9, 20), np.linspace(0.2, 0.8, 20))
    assert "delong" in seen(two_of_them, "log_loss").tests
    alone = gather(pair, Promotion(), "log_loss", np.ones(100, bool), 0, beside=False)
    assert set(alone.tests) == {"contributions"}
