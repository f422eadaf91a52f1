"""The test of a mean: its values, its symmetry, and that it is not too bold where the plain t-test is."""

import numpy as np
import pytest
from scipy import stats

from tasks.paired import mean_test, ordinary_test, sums

X = np.array([0.5, 1.5, -0.25, 2.0, 1.0, 0.75, 3.0, -1.0, 1.25, 0.25])


def by_hand(x, reach):
    """The statistic and the degrees of freedom, written out."""
    n, centred = len(x), x - x.mean()
    skewness = (centred**3).mean() / (centred**2).mean() ** 1.5
    kurtosis = (centred**4).mean() / (centred**2).mean() ** 2
    t = (x.sum() - reach) / np.sqrt(n * x.var(ddof=1) + reach**2)
    a = min(skewness, 0) / (6 * np.sqrt(n))
    return min(t, t + a * (2 * t * t + 1) + 4 / 3 * a * a * t**3), min(n - 1, 2 * n / (kurtosis - 1))


@pytest.mark.parametrize("x", [X, X**2 - 1, 2 - np.exp(X), np.repeat([-0.1, 3.0], [4, 5])])
def test_values(x):
    found, (t, df) = mean_test(x), by_hand(x, np.abs(x).max())
    assert found.mean == pytest.approx(x.mean())
    assert found.se == pytest.approx(x.std(ddof=1) / np.sqrt(len(x)))
    assert found.df == pytest.approx(df)
    assert found.p_above == pytest.approx(stats.t.sf(t, df))
    down, _ = by_hand(-x, np.abs(x).max())
    assert found.p_below == pytest.approx(stats.t.sf(down, df))
    assert found.statistic == pytest.approx(t if x.mean() >= 0 else -down)


def test_the_planted_answers():
    found = mean_test(X)
    assert found.p_above == pytest.approx(0.116138, abs=1e-6)
    assert found.p_below == pytest.approx(0.987592, abs=1e-6)
    assert found.df == pytest.approx(9.0)
    assert mean_test(np.repeat(X, 20)).p_above < 1e-9


def test_turning_the_sign_round_swaps_the_sides():
    one, other = mean_test(X), mean_test(-X)
    assert (one.p_above, one.p_below) == (other.p_below, other.p_above)
    assert one.statistic == -other.statistic
    assert one.p_above < one.p_below


def test_what_a_unit_could_have_been_counts_on_its_own_side_only():
    plain, low, high = mean_test(X), mean_test(X, low=-9.0), mean_test(X, high=9.0)
    t, df = by_hand(X, 9.0)
    assert low.p_above == pytest.approx(stats.t.sf(t, df))
    assert low.p_above > 2 * plain.p_above
    assert low.p_below == plain.p_below
    assert high.p_above == plain.p_above
    down, _ = by_hand(-X, 9.0)
    assert high.p_below == pytest.approx(stats.t.sf(down, df))
    assert mean_test(X, low=-0.5, high=0.5).p_above == plain.p_above  # nearer than what was seen


def test_many_at_once_are_each_by_itself():
    rows = np.stack([X, -X, X**2])
    found = mean_test(rows, low=np.array([-9.0, -1.0, -4.0]))
    for k, (x, low) in enumerate(zip(rows, (-9.0, -1.0, -4.0), strict=True)):
        one = mean_test(x, low=low)
        assert found.p_above[k] == pytest.approx(one.p_above)
        assert found.df[k] == pytest.approx(one.df)


def test_no_difference_at_all_says_nothing():
    found = mean_test(np.zeros(50))
    assert (found.p_above, found.p_below, found.se) == (0.5, 0.5, 0.0)


def test_the_same_difference_everywhere_is_evidence_but_not_certainty():
    assert 0 < mean_test(np.full(12, 0.3)).p_above < 1e-4
    assert mean_test(np.full(2, 0.3)).p_above > 0.2


def test_twenty_informative_units_count_as_twenty():
    x = np.zeros(5000)
    x[:20] = np.linspace(-1, 2, 20)
    assert 10 < mean_test(x).df < 25


@pytest.mark.parametrize("name", ["normal", "t", "lognormal", "sparse"])
def test_the_far_tail_is_not_too_bold(name):
    """10,000 times 200 units: at 0.001 the plain t-test rejects up to eleven times too often, this one never twice."""
    rng = np.random.default_rng(0)
    reject, plain, level = 0, 0, 1e-3
    for _ in range(5):
        size = (2000, 200)
        x = {
            "normal": lambda s: rng.standard_normal(s),
            "t": lambda s: rng.standard_t(3, s),
            "lognormal": lambda s: np.exp(0.5) - np.exp(rng.standard_normal(s)),
            "sparse": lambda s: (rng.random(s) < 0.1) * (1 - rng.exponential(size=s)),
        }[name](size)
        reject += int((mean_test(x).p_above <= level).sum())
        t = x.mean(axis=1) / x.std(axis=1, ddof=1) * np.sqrt(200)
        plain += int((stats.t.sf(t, 199) <= level).sum())
    assert reject <= 20  # 10 are allowed on average
    if name in ("lognormal", "sparse"):
        assert plain > 50


def test_sums_within_clusters():
    labels = np.array([3, 1, 3, 2, 1])
    values = np.array([[1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    assert sums(values, labels).tolist() == [[18.0, 8.0, 5.0], [2.0, 1.0, 2.0]]
    assert sums(values[0], np.array(["b", "a", "b", "c", "a"])).tolist() == [18.0, 5.0, 8.0]


def test_the_ordinary_test_is_students_where_shapes_are_plain_and_careful_where_they_are_not():
    rng = np.random.default_rng(0)
    x = rng.normal(0.2, 1, 200)
    assert float(ordinary_test(x).p_above) == pytest.approx(
        stats.ttest_1samp(x, 0, alternative="greater").pvalue, rel=0.25
    )
    assert float(ordinary_test(-x).p_below) == pytest.approx(float(ordinary_test(x).p_above))
    assert float(ordinary_test(np.ones(10)).p_above) < 1e-10
    assert float(ordinary_test(np.zeros(10)).p_above) == 0.5
    above = np.abs(x[:20]) + 0.01  # all on one side, where no likelihood ratio is to be had
    assert float(ordinary_test(above).p_above) == pytest.approx(
        stats.ttest_1samp(above, 0, alternative="greater").pvalue
    )
    alone = ordinary_test(np.ones(1))  # one cluster, say
    assert (float(alone.p_above), float(alone.p_below)) == (0.5, 0.5)
    passed = plain = 0
    for _ in range(400):  # many small gains, one loss in ten: no gain on average
        y = np.where(rng.random(60) < 0.1, -9.0, 1.0) + rng.normal(0, 0.1, 60)
        passed += float(ordinary_test(y).p_above) <= 0.05
        plain += stats.ttest_1samp(y, 0, alternative="greater").pvalue <= 0.05
    assert passed <= 40 < plain
