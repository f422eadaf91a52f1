"""Chances of sums of coins, of means and of differences: against enumeration, the binomial, and scipy's tests."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from tasks.evaluate.chance import GROUPS, _grouped, _saddle, _upper, coin_tails, difference_tails, mean_tails


@pytest.mark.parametrize(("n", "p"), [(100, 0.5), (200, 0.02), (200, 0.98), (60, 0.3)])
def test_equal_coins_are_binomial_in_the_middle_too(n: int, p: float) -> None:
    for total in {round(n * p), round(n * p) - 1, round(n * p) + 1, 0, 1, n - 1, n}:
        low, high = coin_tails(np.full(n, p), total)
        near = 0.01 if abs(total - n * p) < 2 and n * p * (1 - p) > 5 else 0.1  # next to either end it is less exact
        assert low == pytest.approx(stats.binom.cdf(total, n, p), rel=near, abs=1e-12)
        assert high == pytest.approx(stats.binom.sf(total - 1, n, p), rel=near, abs=1e-12)


def test_weighted_coins_agree_with_all_their_falls() -> None:
    rng = np.random.default_rng(0)
    p = np.append(rng.uniform(0.1, 0.8, 12), 1.0)  # the last one is sure
    centre = float(p.mean())
    falls = np.array(list(product([0, 1], repeat=12)))
    chance = np.prod(np.where(falls == 1, p[:12], 1 - p[:12]), axis=1)
    value = falls @ (p[:12] - centre) + (1 - centre)
    assert chance.sum() == pytest.approx(1)
    for total in np.quantile(value, [0.02, 0.2, 0.5, 0.8, 0.98]):
        low, high = coin_tails(p, float(total), centre)
        assert low == pytest.approx(chance[value <= total].sum(), abs=0.03)
        assert high == pytest.approx(chance[value >= total].sum(), abs=0.03)
    least, most = value.min(), value.max()
    assert coin_tails(p, float(most), centre)[1] == pytest.approx(chance[np.argmax(value)])
    assert coin_tails(p, float(least), centre)[0] == pytest.approx(chance[np.argmin(value)])
    assert coin_tails(p, float(most) + 0.01, centre) == (1.0, 0.0)
    assert coin_tails(p, float(least) - 0.01, centre) == (0.0, 1.0)


@pytest.mark.parametrize("w", [1.0, -1.0, 0.25, -3.0])
@pytest.mark.parametrize(("n", "p"), [(400, 0.1), (900, 0.7), (50, 0.5)])
def test_in_the_middle_a_half_is_mended_by_the_skewness_and_by_half_a_step(n: int, p: float, w: float) -> None:
    """Edgeworth's first term, and on both sides of the middle what the saddlepoint gives."""
    chances, many, weights = np.full(n, p), np.ones(n), np.full(n, w)
    spread = np.sqrt(n * p * (1 - p))
    skew = np.sign(w) * (1 - 2 * p) / spread
    middle = 0.5 - skew / (6 * np.sqrt(2 * np.pi))
    assert _upper(chances, many, weights, w * n * p, False) == pytest.approx(middle, abs=1e-7)
    half = 0.5 / np.sqrt(2 * np.pi) / spread
    assert _upper(chances, many, weights, w * n * p, True) == pytest.approx(middle + half, abs=1e-7)
    for counts, at in ((False, middle), (True, middle + half)):
        for k in (-3e-3, -9e-4, 9e-4, 3e-3):
            near = _upper(chances, many, weights, w * n * p + k * abs(w) * spread, counts)
            assert near == pytest.approx(at - k / np.sqrt(2 * np.pi), abs=5e-4), k


def test_a_coin_may_stand_for_many() -> None:
    p, w, many = np.array([0.1, 0.4, 0.7]), np.array([0.5, -0.25, 1.0]), np.array([3.0, 2.0, 4.0])
    apart = [np.repeat(x, many.astype(int)) for x in (p, w)]
    for total in (-0.5, 0.1, float(many @ (w * p)), 2.0, 5.4, 5.5, 5.6):
        one = _upper(p, many, w, total, False)
        assert one == pytest.approx(_upper(apart[0], np.ones(9), apart[1], total, False), rel=1e-9)
    assert _upper(p, many, w, 5.5, False) == pytest.approx(0.1**3 * 0.6**2 * 0.7**4), "all that can be added"
    assert (_upper(p, many, w, -0.5, False), _upper(p, many, w, 5.6, False)) == (1.0, 0.0)


@pytest.mark.parametrize(("n", "grouped"), [(4 * GROUPS, False), (4 * GROUPS + 1, True), (9 * GROUPS + 5, True)])
def test_neighbours_among_very_many_coins_count_as_alike(n: int, grouped: bool) -> None:
    p = np.random.default_rng(n).permutation(np.linspace(0.1, 0.9, n))
    kept, many = _grouped(p)
    assert len(kept) == (GROUPS if grouped else n)
    assert many.sum() == n
    assert many.max() - many.min() <= 1
    assert kept @ many == pytest.approx(p.sum())
    if grouped:
        assert (np.diff(kept) > 0).all()
        first = int(many[0])
        assert kept[0] == pytest.approx(np.sort(p)[:first].mean())
    else:
        assert (kept == p).all()


@pytest.mark.parametrize("total", [1e-6, 0.3, 7.0, 12.0, 19.0, 19.999999])
def test_the_saddle_is_where_the_mean_is_the_total(total: float) -> None:
    p = np.linspace(0.01, 0.99, 20)

    def cumulant(t: float) -> tuple[float, float, float]:
        share = p * np.exp(t) / (1 - p + p * np.exp(t))
        return float(np.log(1 - p + p * np.exp(t)).sum()), float(share.sum()), float((share * (1 - share)).sum())

    asked: list[float] = []
    found = _saddle(lambda t: (asked.append(t), cumulant(t))[1], total)
    assert cumulant(found)[1] == pytest.approx(total, rel=1e-7)
    assert len(asked) < 30
    flat = _saddle(lambda t: (0.0, float(t > 5), 0.0), 0.5)  # no slope to go by: between bounds that close in
    assert flat == pytest.approx(5.0, abs=1e-6)


def test_coins_that_add_nothing_have_no_tails() -> None:
    assert coin_tails(np.full(9, 0.4), 0.0, 0.4) == (1.0, 1.0)
    assert coin_tails(np.full(9, 0.4), 0.5, 0.4) == (1.0, 0.0)
    assert coin_tails(np.zeros(0), 0) == (1.0, 1.0)
    assert coin_tails(np.zeros(5), 1) == (1.0, 0.0)


@pytest.mark.parametrize("lost", [1, 2])
def test_symmetric_means_are_students_and_skewed_ones_halls(lost: int) -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(0.2, 1, 25), rng.exponential(size=30) - 0.8, -rng.exponential(size=30) + 0.9):
        n, skew = len(values), stats.skew(values)
        s = values.mean() / values.std(ddof=1)
        hall = np.sqrt(n) * (s + skew * s**2 / 3 + skew**2 * s**3 / 27 + skew / (6 * n))
        plain = np.sqrt(n) * s
        low, high = mean_tails(values, lost)
        assert low == pytest.approx(max(stats.t.cdf(plain, n - lost), stats.t.cdf(hall, n - lost)))
        assert high == pytest.approx(max(stats.t.sf(plain, n - lost), stats.t.sf(hall, n - lost)))
    mirrored = np.array([-3.0, -1, 0, 1, 3]) + 0.5
    assert mean_tails(mirrored)[1] == pytest.approx(stats.ttest_1samp(mirrored, 0, alternative="greater").pvalue)
    assert mean_tails(np.array([1.0]), 1) == mean_tails(np.array([1.0, 2.0]), 2) == (1.0, 1.0)
    assert mean_tails(np.full(9, 7.0)) == (1.0, 1.0)
    assert mean_tails(np.array([1.0, 2.0]))[1] < 1


def test_differences_are_welchs() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.4, 1, 30), rng.normal(0, 3, 12)
    each = [(float(x.mean()), float(x.var(ddof=1) / len(x)), len(x) - 1) for x in (one, other)]
    less, greater = (stats.ttest_ind(one, other, equal_var=False, alternative=a).pvalue for a in ("less", "greater"))
    assert difference_tails(each[0], each[1]) == pytest.approx((less, greater))
    assert difference_tails(each[1], each[0]) == pytest.approx((greater, less))
    assert difference_tails((1.0, 0.0, 5), (0.0, 0.0, 5)) == (1.0, 1.0)
    assert difference_tails((1.0, np.inf, 5), (0.0, 1.0, 5)) == (1.0, 1.0)
