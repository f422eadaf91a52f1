"""Diebold–Mariano, Wilcoxon and the paired bootstrap."""

import numpy as np
import pytest
from scipy import stats

from tasks.errors import RefitError
from tasks.metrics import measurer
from tasks.paired import diebold_mariano, paired_bootstrap, rows_needed_for_mean, wilcoxon
from tasks.paired.losses import Test


@pytest.fixture
def two():
    rng = np.random.default_rng(0)
    return rng.exponential(1.0, 200), rng.exponential(1.2, 200)


def test_one_step_ahead_is_the_paired_t_test(two):
    one, other = two
    found = diebold_mariano(one, other)
    expected = stats.ttest_rel(other, one)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-10)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-10)
    assert found.p_better == pytest.approx(stats.ttest_rel(other, one, alternative="greater").pvalue, abs=1e-10)


def test_overlapping_forecasts_follow_the_published_formula(two):
    """Harvey, Leybourne and Newbold (1997), equations 8 and 9, written out term by term."""
    one, other = two
    d, n, h = other - one, 200, 4
    gamma = [np.sum((d - d.mean())[k:] * (d - d.mean())[: n - k]) / n for k in range(h)]
    dm = d.mean() / np.sqrt((gamma[0] + 2 * sum(gamma[1:])) / n)
    expected = dm * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    assert diebold_mariano(one, other, steps=4).statistic == pytest.approx(expected, abs=1e-12)


def test_moving_average_differences_need_the_steps():
    """Losses that share a shock over five rows: the plain test errs often, the one with steps=5 does not."""
    rng = np.random.default_rng(1)
    plain = steps = 0
    for _ in range(400):
        d = np.convolve(rng.normal(size=304), np.ones(5), "valid")
        plain += diebold_mariano(np.zeros(300), d).p <= 0.05
        steps += diebold_mariano(np.zeros(300), d, steps=5).p <= 0.05
    assert plain / 400 > 0.2
    assert steps / 400 < 0.1


def test_wilcoxon_agrees_with_scipy_and_knows_the_direction(two):
    one, other = two
    found = wilcoxon(one, other)
    assert found.p == pytest.approx(stats.wilcoxon(other - one).pvalue, abs=1e-12)
    assert wilcoxon(one, one + 0.1).p_better < 1e-9 < 0.5 < wilcoxon(one + 0.1, one).p_better
    assert wilcoxon(one, one).p == 1.0


def test_the_same_gain_in_every_row_leaves_no_doubt():
    better, worse = (diebold_mariano(np.zeros(5), np.full(5, gain)) for gain in (0.5, -0.5))
    assert (better.p, better.p_better, better.statistic) == (0.0, 0.0, 40.0)
    assert (worse.p, worse.p_better, worse.statistic) == (0.0, 1.0, -40.0)


def test_losses_that_are_all_alike_tell_nothing_and_an_estimate_below_zero_is_not_taken():
    zero, one = np.zeros(20), np.ones(20)
    assert diebold_mariano(one, one) == wilcoxon(one, one) == Test(0.0, 1.0, 1.0)
    wave = np.array([1.0, -1.0] * 10)  # the estimate for two steps falls below zero: that for one is taken
    assert diebold_mariano(zero, wave + 0.5, steps=2).statistic == pytest.approx(
        0.5 / np.sqrt(1 / 20) * np.sqrt((20 + 1 - 4 + 2 / 20) / 20)
    )


def test_bootstrap_of_a_difference_of_aucs():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 400).astype(float)
    good, poor = (1 / (1 + np.exp(-(y + rng.normal(0, s, 400)))) for s in (0.6, 3.0))
    measurers = [measurer("roc_auc", "binary", y, np.column_stack([1 - p, p])) for p in (good, poor)]
    found = paired_bootstrap(*measurers, 400, times=300)
    assert found.interval[0] > 0
    assert found.p_higher <= 1 / 300 + 1e-9
    assert found.p == pytest.approx(2 * found.p_higher)
    assert found.difference == measurers[0](None) - measurers[1](None)
    assert paired_bootstrap(*measurers, 400, times=300) == found  # seeded
    even = paired_bootstrap(measurers[0], measurers[0], 400, times=300)
    assert (even.difference, even.p) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("drawn", "interval", "p", "higher"),
    [  # differences in four resamples, and one without weights that is 3; the sample itself is on both sides
        ([1.0, 2.0, 3.0, 5.0], (1.3, 4.4), 0.4, 0.2),
        ([-1.0, 2.0, 3.0, 5.0], (-0.1, 4.4), 0.8, 0.4),
        ([0.0, 2.0, 3.0, 5.0], (0.6, 4.4), 0.8, 0.4),
        ([-1.0, -2.0, -3.0, 0.0], (-2.7, -0.3), 0.8, 1.0),
        ([-1.0, 2.0, -3.0, 0.0], (-2.4, 1.4), 1.0, 0.8),
        ([1.0, np.nan, np.inf, 3.0], (1.2, 2.8), 2 / 3, 1 / 3),  # half of them are defined
    ],
)
def test_the_share_of_resamples_on_the_wrong_side_is_the_chance(drawn, interval, p, higher):
    weights = []

    def challenger(w):
        weights.append(w)
        return 3.5 if w is None else drawn[len(weights) - 1] + 0.5

    found = paired_bootstrap(challenger, lambda w: 0.5, 20, times=4, level=0.8)
    assert (found.difference, found.interval) == (3.0, pytest.approx(interval))
    assert (found.p, found.p_higher) == (pytest.approx(p), pytest.approx(higher))
    assert [w is None for w in weights] == [False] * 4 + [True]
    assert all(w.sum() == 20 for w in weights[:4])


def test_a_metric_that_most_resamples_do_not_have_is_refused():
    drawn = iter([1.0, np.nan, np.nan, np.nan, 2.0])
    with pytest.raises(RefitError, match="the metric is undefined in most resamples: the rows hold too few of a class"):
        paired_bootstrap(lambda w: next(drawn), lambda w: 0.0, 20, times=5)


def test_bootstrap_with_groups_is_wider():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=40).repeat(10)
    y = np.zeros(400)
    one, two = shared + rng.normal(0, 0.3, 400), np.zeros(400)
    bias = [measurer("bias", "regression", y, p) for p in (one, two)]
    rows = paired_bootstrap(*bias, 400, times=300)
    groups = paired_bootstrap(*bias, 400, times=300, groups=np.arange(40).repeat(10))
    assert np.ptp(groups.interval) > 2 * np.ptp(rows.interval)


def test_bad_input_is_named(two):
    one, other = two
    with pytest.raises(RefitError, match="same rows"):
        diebold_mariano(one, other[:-1])
    with pytest.raises(RefitError, match="missing or infinite"):
        wilcoxon(one, np.where(other > 1, np.nan, other))
    with pytest.raises(RefitError, match="missing or infinite"):
        wilcoxon(np.where(one > 1, np.inf, one), other)
    with pytest.raises(RefitError, match="steps must be from 1 to 199"):
        diebold_mariano(one, other, steps=200)


@pytest.mark.parametrize(("effect", "alpha"), [(0.1, 0.05), (0.25, 0.05), (0.6, 0.05), (0.25, 0.0005)])
def test_rows_needed_for_a_mean_agree_with_the_exact_power_of_the_t_test(effect, alpha):
    """The power of the paired t-test by the non-central t, which the formula approximates."""
    n = rows_needed_for_mean(3 * effect, 3.0, alpha)

    def power(rows):
        cut = stats.t.isf(alpha / 2, rows - 1)
        shift = effect * np.sqrt(rows)
        return stats.nct.sf(cut, rows - 1, shift) + stats.nct.cdf(-cut, rows - 1, shift)

    assert power(n) >= 0.8 - 1e-3
    assert power(n - 2) < 0.8


def test_rows_needed_for_a_mean_give_the_promised_power_on_skewed_losses():
    rng = np.random.default_rng(7)
    champion = rng.exponential(1.0, (2000, 600)) ** 2  # squared errors: a few huge ones
    challenger = champion * 0.97 + rng.normal(0, 0.5, champion.shape)
    spread, gain = float((champion - challenger).std()), 0.03 * 2.0
    n = rows_needed_for_mean(gain, spread)
    assert 500 < n < 600
    seen = np.mean([diebold_mariano(a[:n], b[:n]).p <= 0.05 for a, b in zip(challenger, champion, strict=True)])
    assert 0.76 < seen < 0.84
    assert rows_needed_for_mean(gain, spread, inflation=3.0) == pytest.approx(3 * n, abs=3)
    with pytest.raises(RefitError, match="a difference other than 0"):
        rows_needed_for_mean(0.0, 1.0)
