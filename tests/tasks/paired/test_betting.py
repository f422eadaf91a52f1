"""Bets and spending: the error is what is promised, however often one looks."""

import numpy as np
import pytest
from scipy.stats import binom

from tasks.paired import anytime_p, familywise, log_capital, log_capital_of_scores, lord, saffron


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


def test_anytime_p():
    assert anytime_p(np.log(20)) == pytest.approx(0.05)
    assert anytime_p(-3.0) == 1.0


def test_familywise_levels_sum_to_alpha():
    levels = familywise(0.05, np.arange(1, 3_000_000))
    assert levels.sum() < 0.05
    assert levels.sum() + 0.05 * 3_000_000**-0.2 / 0.2 / 5.591582441 == pytest.approx(0.05, rel=1e-4)


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
