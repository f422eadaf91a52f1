"""DeLong's test against its definition, pair by pair."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tasks.errors import RefitError
from tasks.metrics import measure
from tasks.paired import auc_covariance, delong


def by_definition(y, scores):
    """DeLong, DeLong and Clarke-Pearson (1988), equations 3 to 6: every pair of a positive and a negative row."""
    positive, negative = scores[:, y == 1], scores[:, y == 0]
    psi = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    m, n = positive.shape[1], negative.shape[1]
    auc, v10, v01 = psi.mean(axis=(1, 2)), psi.mean(axis=2), psi.mean(axis=1)
    s10 = (v10 - auc[:, None]) @ (v10 - auc[:, None]).T / (m - 1)
    s01 = (v01 - auc[:, None]) @ (v01 - auc[:, None]).T / (n - 1)
    return auc, s10 / m + s01 / n


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 250), digits=st.integers(1, 6), models=st.integers(1, 4))
def test_agrees_with_the_definition(seed, n, digits, models):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:4] = [0, 0, 1, 1]
    scores = np.round(rng.random((models, n)) + 0.3 * y, digits)  # few digits: many ties
    auc, covariance = auc_covariance(y, scores)
    expected_auc, expected_covariance = by_definition(y, scores)
    np.testing.assert_allclose(auc, expected_auc, atol=1e-10, rtol=0)
    np.testing.assert_allclose(covariance, expected_covariance, atol=1e-10, rtol=0)


def test_difference_and_its_p_value():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    good, poor = y + rng.normal(0, 1, 400), y + rng.normal(0, 2, 400)
    found = delong(y, good, poor)
    auc, covariance = by_definition(y, np.stack([good, poor]))
    assert found.auc == pytest.approx(tuple(auc), abs=1e-12)
    assert found.se == pytest.approx(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]), abs=1e-12)
    assert found.p_better < 0.001 < found.p + 0.001
    assert found.interval[0] < found.difference < found.interval[1]
    assert delong(y, poor, good).p_better > 0.999
    z = found.difference / found.se
    assert (found.z, found.p_better, found.p) == pytest.approx((z, norm.sf(z), 2 * norm.sf(z)), rel=1e-12)
    for level, factor in ((0.95, 1.959964), (0.5, 0.6744898)):
        low, high = delong(y, good, poor, level).interval
        assert (low, high) == pytest.approx(
            (found.difference - factor * found.se, found.difference + factor * found.se)
        )


def test_a_perfect_order_against_a_wrong_one_leaves_no_doubt():
    y = np.array([0, 0, 1, 1])
    found = delong(y, y, 1 - y)
    assert (found.difference, found.se, found.z, found.p, found.p_better) == (1.0, 0.0, 40.0, 0.0, 0.0)
    assert (delong(y, 1 - y, y).z, delong(y, 1 - y, y).p_better) == (-40.0, 1.0)
    with pytest.raises(RefitError, match=r"needs both models on the same rows, found \(4,\) and \(3,\)"):
        delong(y, y, y[:3])


def test_auc_is_the_metric():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 300).astype(float)
    p = np.round(rng.random(300), 2)
    auc, _ = auc_covariance(y, p)
    assert auc[0] == pytest.approx(measure("roc_auc", y, np.column_stack([1 - p, p]), "binary"), abs=1e-12)


def test_same_order_is_no_difference():
    y = np.array([0, 1, 0, 1, 1, 0])
    s = np.array([0.1, 0.4, 0.2, 0.9, 0.3, 0.35])
    found = delong(y, s, s**3)
    assert (found.difference, found.p, found.p_better) == (0.0, 1.0, 0.5)


def test_holds_its_level():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(800):
        y = rng.integers(0, 2, 150)
        common = y + rng.normal(0, 1, 150)
        hits += delong(y, common + rng.normal(0, 1, 150), common + rng.normal(0, 1, 150)).p <= 0.05
    assert 0.03 < hits / 800 < 0.075


def test_a_hundred_thousand_rows_within_a_second():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 100_000)
    scores = rng.random((2, 100_000)) + 0.2 * y
    before = time.thread_time()  # the processor's: others may want it too
    delong(y, *scores)
    assert time.thread_time() - before < 1


def test_bad_input_is_named():
    y = np.array([0, 0, 1, 1])
    s = np.array([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(RefitError, match="a score for each of the 4 rows, found 3"):
        auc_covariance(y, s[:3])
    with pytest.raises(RefitError, match="same rows"):
        delong(y, s, s[:3])
    with pytest.raises(RefitError, match="1 scores are missing"):
        delong(y, s, np.array([0.1, np.nan, 0.3, 0.4]))
    with pytest.raises(RefitError, match="at least two rows of each class, found 0 positive and 4 negative"):
        delong(np.zeros(4), s, s)
