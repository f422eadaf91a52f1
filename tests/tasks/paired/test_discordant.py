"""McNemar's variants against two libraries, published tables, and their own definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.evaluate import mcnemar as mlxtend_mcnemar
from scipy import stats
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from tasks.errors import RefitError
from tasks.paired import (
    Clustered,
    ContingencyTable,
    clustered_mcnemar,
    difference_interval,
    margin_z,
    mcnemar,
    rows_needed,
)

counts = st.integers(0, 400)


def square(table):
    return np.array([[table.both, table.b], [table.c, table.neither]])


@settings(max_examples=200, deadline=None)
@given(b=counts, c=counts)
def test_agrees_with_statsmodels(b, c):
    table = ContingencyTable(50, b, c, 30)
    if b + c == 0:
        assert mcnemar(table, "exact").p == 1.0
        return
    exact = statsmodels_mcnemar(square(table), exact=True)
    assert mcnemar(table, "exact").p == pytest.approx(exact.pvalue, abs=1e-12)
    assert mcnemar(table, "exact").statistic == exact.statistic
    plain = statsmodels_mcnemar(square(table), exact=False, correction=False)
    assert mcnemar(table, "asymptotic").p == pytest.approx(plain.pvalue, abs=1e-12)
    assert mcnemar(table, "asymptotic").statistic == pytest.approx(plain.statistic, abs=1e-12)
    if b != c:  # at b = c the textbook correction makes a difference of 1 out of none; ours does not
        corrected = statsmodels_mcnemar(square(table), exact=False, correction=True)
        assert mcnemar(table, "corrected").p == pytest.approx(corrected.pvalue, abs=1e-12)
        assert mcnemar(table, "corrected").statistic == pytest.approx(corrected.statistic, abs=1e-12)


@pytest.mark.parametrize(("b", "c"), [(25, 15), (11, 1), (3, 3), (120, 90), (0, 7), (300, 351)])
def test_agrees_with_mlxtend(b, c):
    table = ContingencyTable(9945, b, c, 15)
    assert mcnemar(table, "exact").p == pytest.approx(mlxtend_mcnemar(square(table), exact=True)[1], abs=1e-12)
    plain = mlxtend_mcnemar(square(table), exact=False, corrected=False)
    assert mcnemar(table, "asymptotic").statistic == pytest.approx(plain[0], abs=1e-12)
    assert mcnemar(table, "asymptotic").p == pytest.approx(plain[1], abs=1e-12)
    if b != c:
        corrected = mlxtend_mcnemar(square(table), exact=False, corrected=True)
        assert mcnemar(table, "corrected").statistic == pytest.approx(corrected[0], abs=1e-12)
        assert mcnemar(table, "corrected").p == pytest.approx(corrected[1], abs=1e-12)


def test_prime_ministers_rating():
    """Agresti, Categorical Data Analysis (2002), table 10.1: 794, 150, 86, 570; z² = 17.36 (z = -4.17)."""
    found = mcnemar(ContingencyTable(794, 150, 86, 570), "asymptotic")
    assert found.statistic == pytest.approx(64**2 / 236, abs=1e-12)
    assert round(found.statistic, 2) == 17.36
    low, high = difference_interval(ContingencyTable(794, 86, 150, 570))  # second survey minus first
    assert (round(low, 3), round(high, 3)) == (-0.059, -0.021)
    assert difference_interval(ContingencyTable(0, 10, 0, 0))[1] == 1.0
    assert difference_interval(ContingencyTable(0, 0, 10, 0))[0] == -1.0


def test_airway_responsiveness():
    """Fagerland, Lydersen and Laake (2013), table 1 (Bentur et al.): 1, 1, 7, 12.

    Published: asymptotic 0.034, corrected 0.077, exact conditional 0.070, mid-p 0.039.
    """
    table = ContingencyTable(1, 1, 7, 12)
    published = {"asymptotic": 0.034, "corrected": 0.077, "exact": 0.070, "mid_p": 0.039}
    assert {name: round(mcnemar(table, name).p, 3) for name in published} == published
    assert mcnemar(table, "mid_p").p == pytest.approx(10 / 256, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(b=st.integers(0, 60), c=st.integers(0, 60))
def test_mid_p_counts_the_observed_outcome_half(b, c):
    found = mcnemar(ContingencyTable(5, b, c, 5), "mid_p")
    n, low = b + c, min(b, c)
    below = sum(binom.pmf(k, n, 0.5) for k in range(low))
    expected = 1.0 if b == c else 2 * (below + binom.pmf(low, n, 0.5) / 2)
    assert found.p == pytest.approx(min(1.0, expected), abs=1e-12)
    assert found.p <= mcnemar(ContingencyTable(5, b, c, 5), "exact").p + 1e-12


def test_chooses_by_the_discordant_count_and_says_why():
    few, many = mcnemar(ContingencyTable(10, 600, 400, 10)), mcnemar(ContingencyTable(10, 601, 400, 10))
    assert few.variant == "exact"
    assert "1,000 discordant rows are few" in few.why
    assert many.variant == "corrected"
    assert "1,001 discordant rows are many" in many.why


def test_one_sided_points_to_the_better_model():
    for variant in ("exact", "mid_p", "asymptotic", "corrected"):
        assert mcnemar(ContingencyTable(50, 30, 10, 5), variant).p_better < 0.01
        assert mcnemar(ContingencyTable(50, 10, 30, 5), variant).p_better > 0.99


def test_mid_p_counts_half_of_what_was_seen():
    found = mcnemar(ContingencyTable(3, 12, 5, 4), "mid_p")
    half = binom.pmf(12, 17, 0.5) / 2
    assert found.p_better == pytest.approx(binom.sf(12, 17, 0.5) + half)
    assert found.p == pytest.approx(2 * found.p_better)


def test_no_discordant_rows_is_no_difference():
    found = mcnemar(ContingencyTable(90, 0, 0, 10))
    assert (found.p, found.p_better) == (1.0, 1.0)
    assert "no row tells the models apart" in found.why
    assert found.statistic == 0.0


def test_table_of_right_and_wrong():
    table = ContingencyTable.of(np.array([1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 0]))
    assert table == ContingencyTable(both=1, b=2, c=1, neither=1)
    with pytest.raises(RefitError, match="same rows"):
        ContingencyTable.of(np.ones(3), np.ones(4))
    with pytest.raises(RefitError, match="Did you mean 'exact'"):
        mcnemar(table, "exakt")


def test_interval_covers_the_true_difference():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        both, b, c, neither = rng.multinomial(300, [0.6, 0.12, 0.08, 0.2])
        low, high = difference_interval(ContingencyTable(both, b, c, neither))
        inside += low <= 0.04 <= high
    assert 0.935 <= inside / 2000 <= 0.97


def test_clusters_of_one_row_change_nothing():
    rng = np.random.default_rng(1)
    one, two = rng.random(500) < 0.8, rng.random(500) < 0.75
    found = clustered_mcnemar(one, two, np.arange(500))
    plain = mcnemar(ContingencyTable.of(one, two), "asymptotic")
    assert found.statistic == pytest.approx(plain.statistic, abs=1e-12)
    assert found.p == pytest.approx(plain.p, abs=1e-12)
    assert found.inflation == pytest.approx(1.0)


@pytest.mark.parametrize(("b", "c"), [(30, 30), (31, 30), (30, 31)])
def test_the_correction_makes_no_difference_where_there_is_none(b, c):
    found = mcnemar(ContingencyTable(9, b, c, 9), "corrected")
    assert (found.statistic, found.p, found.p_better) == (0.0, 1.0, 0.5)


def test_a_difference_is_never_beyond_one():
    low, high = difference_interval(ContingencyTable(0, 3, 0, 0))
    assert (0 < low < 0.5, high) == (True, 1.0)
    assert difference_interval(ContingencyTable(0, 0, 3, 0)) == (-1.0, -low)


def test_clusters_in_which_nothing_differs_tell_nothing():
    right = np.array([1.0, 0, 1, 1])
    assert clustered_mcnemar(right, right, np.array([1, 1, 2, 2])) == Clustered(0.0, 1.0, 1.0, 2, 1.0)
    found = clustered_mcnemar(np.array([1, 1, 0, 1]), np.array([0, 0, 1, 1]), np.array(["b", "b", "a", "a"]))
    assert found.statistic == pytest.approx(1 / 5)  # 2 rows for and 1 against, in two clusters
    assert (found.p, found.p_better) == pytest.approx((2 * stats.norm.sf(0.2**0.5), stats.norm.sf(0.2**0.5)))
    assert (found.clusters, found.inflation) == (2, pytest.approx(5 / 3))


def test_clusters_that_move_together_are_counted_once():
    """Rows copied ten times: the clustered test gives the p-value of the single rows, plain McNemar a far smaller one."""
    rng = np.random.default_rng(2)
    one, two = rng.random(200) < 0.8, rng.random(200) < 0.75
    ten = np.repeat(np.arange(200), 10)
    found = clustered_mcnemar(one[ten], two[ten], ten)
    single = mcnemar(ContingencyTable.of(one, two), "asymptotic")
    assert found.p == pytest.approx(single.p, abs=1e-12)
    assert found.inflation == pytest.approx(10.0)
    assert mcnemar(ContingencyTable.of(one[ten], two[ten]), "asymptotic").p < single.p


def test_clustered_test_keeps_its_level():
    rng = np.random.default_rng(3)
    wrong, plain = 0, 0
    for _ in range(600):
        mood = rng.normal(0, 1, 60).repeat(20)  # a cluster favours one model or the other
        x = np.where(rng.random(1200) < 0.3, np.sign(mood + rng.normal(0, 1, 1200)), 0)
        one, two = (x > 0).astype(float), (x < 0).astype(float)
        wrong += clustered_mcnemar(one, two, np.arange(60).repeat(20)).p <= 0.05
        plain += mcnemar(ContingencyTable.of(one, two), "asymptotic").p <= 0.05
    assert wrong / 600 < 0.08
    assert plain / 600 > 0.15


def test_margin_zero_is_mcnemar():
    for b, c in ((30, 12), (12, 30), (200, 180)):
        table = ContingencyTable(500, b, c, 100)
        assert margin_z(table, 0.0) ** 2 == pytest.approx(mcnemar(table, "asymptotic").statistic, abs=1e-12)


def test_margin_statistic_at_its_edge_is_standard_normal():
    rng = np.random.default_rng(4)
    draws = rng.multinomial(2000, [0.6, 0.09, 0.11, 0.2], size=4000)  # the challenger is exactly 2 points worse
    z = np.array([margin_z(ContingencyTable(*map(int, row)), 0.02) for row in draws])
    assert abs(z.mean()) < 0.06
    assert abs(z.std() - 1) < 0.05
    assert 0.035 < (z > 1.6449).mean() < 0.065


def test_rows_needed_give_the_promised_power():
    n = rows_needed(0.02, 0.1)
    rng = np.random.default_rng(5)
    draws = rng.multinomial(n, [0.7, 0.06, 0.04, 0.2], size=3000)
    seen = np.mean([mcnemar(ContingencyTable(*map(int, row)), "asymptotic").p <= 0.05 for row in draws])
    assert 0.77 < seen < 0.84
    with pytest.raises(RefitError, match="difference <= discordant"):
        rows_needed(0.2, 0.1)


@pytest.mark.parametrize(("b", "c", "margin"), [(6, 4, 0.05), (10, 25, 0.1), (30, 12, 0.02)])
def test_tangos_score_uses_the_likeliest_shares_at_the_margins_edge(b, c, margin):
    from scipy.optimize import minimize_scalar

    n = 200
    rest = n - b - c
    likeliest = minimize_scalar(
        lambda q: -(b * np.log(q - margin) + c * np.log(q) + rest * np.log(1 - 2 * q + margin)),
        bounds=(margin + 1e-9, (1 + margin) / 2 - 1e-9),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    z = ((b - c) / n + margin) / np.sqrt((2 * likeliest - margin - margin**2) / n)
    assert margin_z(ContingencyTable(rest, b, c, 0), margin) == pytest.approx(z, rel=1e-5)
