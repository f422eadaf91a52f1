"""Bets and spending: the error is what is promised, however often one looks."""

import numpy as np
import pytest
from scipy.stats import binom

from tasks.paired import (
    familywise,
    log_capital,
    log_capital_of_scores,
    lord,
    normal_score,
    over_champions,
    saffron,
    split_capital,
)
from tasks.paired.betting import SCORE_STAKES, STAKES


def test_expected_capital_is_one_under_a_fair_coin():
    for n in (1, 7, 40):
        b = np.arange(n + 1)
        assert binom.pmf(b, n, 0.5) @ np.exp(log_capital(b, n - b)) == pytest.approx(1.0, abs=1e-12)


def test_expected_capital_is_at_most_one_where_the_challenger_is_worse():
    for margin in (0.0, 0.02):
        p = np.array([0.05, 0.05 + margin + 0.01])  # wins, losses: worse by the margin and a point more
        total = 0.0
        for b in range(13):
            for c in range(13 - b):
                chance = binom.pmf(b, 12, p[0]) * binom.pmf(c, 12 - b, p[1] / (1 - p[0]))
                total += chance * np.exp(log_capital(b, c, 12 - b - c, margin))
        assert total <= 1 + 1e-12


def test_a_bet_is_fair_where_the_challenger_is_worse_by_just_the_margin():
    p, total = (0.2, 0.25), 0.0  # wins, losses
    for b in range(7):
        for c in range(7 - b):
            chance = binom.pmf(b, 6, p[0]) * binom.pmf(c, 6 - b, p[1] / (1 - p[0]))
            total += chance * np.exp(log_capital(b, c, 6 - b - c, 0.05))
    assert total == pytest.approx(1, abs=1e-12)


def test_capital_is_the_mean_over_stakes_of_what_each_row_multiplies_it_by():
    factors = [1 + STAKES * (x + 0.1) / 1.1 for x in (1, -1, 0)]
    by_hand = np.log(np.mean(factors[0] ** 7 * factors[1] ** 4 * factors[2] ** 9))
    assert log_capital(7, 4, 9, 0.1) == pytest.approx(by_hand, rel=1e-12)
    assert log_capital_of_scores(3.0, 2.0) == pytest.approx(
        np.log(np.mean(np.exp(3.0 * SCORE_STAKES - 2.0 * SCORE_STAKES**2 / 2))), rel=1e-12
    )


def test_nine_tenths_are_staked_on_the_first_test():
    assert np.exp(split_capital(np.log(3.0), 0.004, 0.01)) == pytest.approx(0.1 * 3 + 1 / 0.01)
    assert np.exp(split_capital(np.log(3.0), 0.0091, 0.01)) == pytest.approx(0.1 * 3)
    assert split_capital(0.0, 0.45, 0.5) > 0  # a p of nine tenths of the level wins


def test_normal_scores_stay_finite():
    assert normal_score(np.array([0.0, 0.025, 1.0])) == pytest.approx([37.0471, 1.95996, -7.94145], abs=1e-4)


def test_capital_seldom_reaches_twenty_at_any_time():
    rng = np.random.default_rng(0)
    steps = rng.choice([-1, 1], size=(2000, 1500))
    b = np.cumsum(steps > 0, axis=1)
    c = np.cumsum(steps < 0, axis=1)
    looks = np.arange(9, 1500, 10)
    ever = (log_capital(b[:, looks], c[:, looks]) >= np.log(20)).any(axis=1).mean()
    z = rng.normal(size=(5000, 100))  # one normal score a look
    ever_sums = (log_capital_of_scores(np.cumsum(z, axis=1), np.arange(1.0, 101)) >= np.log(20)).any(axis=1).mean()
    naive = (np.abs(b - c)[:, looks] / np.sqrt((b + c)[:, looks]) > 1.96).any(axis=1).mean()
    assert ever <= 0.05
    assert ever_sums <= 0.05
    assert naive > 0.3


def test_capital_grows_with_a_true_gain():
    assert log_capital(550, 450) > np.log(20)
    assert log_capital_of_scores(3.5, 1.0) > np.log(20) > log_capital_of_scores(2.0, 1.0)
    assert log_capital(450, 550) < 0
    # With a margin, equal models win the bet that the challenger is not worse by the margin.
    assert log_capital(200, 200, 9600, margin=0.02) > np.log(20)


def test_familywise_levels_sum_to_alpha():
    levels = familywise(0.05, np.arange(1, 3_000_000))
    assert levels.sum() < 0.05
    assert levels.sum() + 0.05 * 3_000_000**-0.2 / 0.2 / 5.591582441 == pytest.approx(0.05, rel=1e-4)


def test_levels_over_champions_sum_to_alpha():
    assert over_champions(0.05, np.array([1, 2, 3])) == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12])
    assert over_champions(0.05, np.arange(1, 100_000)).sum() == pytest.approx(0.05, rel=1e-4)


def test_levels_after_promotions_by_the_published_formulas():
    """Ramdas and others (2017), LORD++ with w0 = alpha/2; (2018), SAFFRON with lambda = 1/2 and w0 = alpha/4."""

    def gamma(j):
        return 0.07720838 * np.log(max(j, 2)) / (j * np.exp(np.sqrt(np.log(j))))

    for look, past in ((1, []), (2, [1]), (6, [2, 4]), (9, [8])):
        earned = sum((0.025 if k == 0 else 0.05) * gamma(look - at) for k, at in enumerate(past))
        assert lord(0.05, look, past) == pytest.approx(0.025 * gamma(look) + earned, rel=1e-12)
    # the looks 1, 2, 4 and 5 were candidates: look 6 is the second that counts, and the second after the promotion at 2
    level = (0.0125 + 0.0125) * 2**-1.6 + 0.025 * 1**-1.6
    assert saffron(0.05, 6, [2, 4], [1, 2, 4, 5]) == pytest.approx(level / 2.2857656, rel=1e-6)
    assert saffron(1.0, 2, [1], [1]) <= 0.5
    # the looks 2 and 3 were candidates: look 5 is the third that counts, and the second after the promotion at 2
    level = 0.0125 * 3**-1.6 + (0.025 - 0.0125) * 2**-1.6
    assert saffron(0.05, 5, [2], [2, 3]) == pytest.approx(level / 2.2857656, rel=1e-6)


def test_a_level_is_fixed_before_its_own_look_and_a_promotion_that_was_a_candidate_is_counted_once():
    assert saffron(0.05, 3, [], [1, 3, 4]) == saffron(0.05, 3, [], [1]), "what comes of a look cannot raise its level"
    level = 0.0125 * 2**-1.6 + 0.0125 * 1**-1.6  # look 1 was a candidate, look 2 a promotion without being one
    assert saffron(0.05, 3, [2], [1]) == pytest.approx(level / 2.2857656, rel=1e-6)
    level = 0.0125 * 1**-1.6 + 0.0125 * 1**-1.6  # and where it was one: it lies at the promotion, and not after it
    assert saffron(0.05, 3, [2], [1, 2]) == pytest.approx(level / 2.2857656, rel=1e-6)


def test_lord_levels_before_any_promotion_stay_below_half_of_alpha():
    levels = [lord(0.05, k, []) for k in range(1, 2000)]
    assert sum(levels) < 0.025
    assert levels[0] > levels[10] > levels[100]


def test_a_promotion_earns_error_to_spend():
    for rule in (lambda k, r: lord(0.05, k, r), lambda k, r: saffron(0.05, k, r, r)):
        assert rule(6, [5]) > 2 * rule(6, [])
        assert rule(40, [5, 20, 39]) > rule(40, [5, 20]) > rule(40, [5])


def test_saffron_candidates_cost_nothing():
    assert saffron(0.05, 10, [], list(range(1, 10))) == pytest.approx(saffron(0.05, 1, [], []))
    assert saffron(0.05, 10, [], []) < saffron(0.05, 1, [], [])


@pytest.mark.parametrize("method", ["lord", "saffron"])
def test_false_discovery_rate_is_kept(method):
    """60 challengers, a third of them truly better: of the promotions at most 5% are wrong, on average."""
    rng = np.random.default_rng(1)
    shares, power = [], []
    from scipy.stats import norm

    for _ in range(300):
        true = rng.random(60) < 0.33
        p = norm.sf(rng.normal(3.0 * true, 1))
        promoted, candidates = [], []
        for k in range(1, 61):
            level = lord(0.05, k, promoted) if method == "lord" else saffron(0.05, k, promoted, candidates)
            if p[k - 1] <= level:
                promoted.append(k)
            if p[k - 1] <= 0.5:
                candidates.append(k)
        wrong = sum(not true[k - 1] for k in promoted)
        shares.append(wrong / max(1, len(promoted)))
        power.append(len(promoted))
    assert np.mean(shares) <= 0.05
    assert np.mean(power) > 2
