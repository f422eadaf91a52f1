"""Cochran's Q and corrections for several tests, against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.multitest import multipletests

from tasks.errors import RefitError
from tasks.paired import ContingencyTable, cochran_q, holm, mcnemar


def test_corrections_agree_with_statsmodels():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 50):
        p = rng.random(n) ** 3
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    assert len(holm(np.array([]))) == 0


def test_cochran_agrees_with_statsmodels():
    rng = np.random.default_rng(1)
    for k in (2, 3, 5):
        right = (rng.random((200, k)) < np.linspace(0.6, 0.8, k)).astype(float)
        found, expected = cochran_q(right), cochrans_q(right)
        assert found.statistic == pytest.approx(expected.statistic, abs=1e-10)
        assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
        assert found.df == k - 1


def test_published_table():
    """The drug study of the SAS manual (PROC FREQ, Cochran's Q): 46 patients, three drugs, Q = 8.4706, p = 0.0145."""
    answers = {
        (1, 1, 1): 6,
        (1, 1, 0): 16,
        (1, 0, 1): 2,
        (1, 0, 0): 4,
        (0, 1, 1): 2,
        (0, 1, 0): 4,
        (0, 0, 1): 6,
        (0, 0, 0): 6,
    }
    found = cochran_q(np.array([answer for answer, count in answers.items() for _ in range(count)]))
    assert (round(found.statistic, 4), found.df, round(found.p, 4)) == (8.4706, 2, 0.0145)


def test_two_models_are_mcnemar():
    rng = np.random.default_rng(2)
    right = (rng.random((500, 2)) < [0.7, 0.75]).astype(float)
    plain = mcnemar(ContingencyTable.of(right[:, 0], right[:, 1]), "asymptotic")
    assert cochran_q(right).statistic == pytest.approx(plain.statistic, abs=1e-12)


def test_pairs_are_corrected():
    rng = np.random.default_rng(3)
    right = (rng.random((400, 3)) < [0.6, 0.6, 0.9]).astype(float)
    found = cochran_q(right)
    assert found.p < 1e-6
    assert found.pairs[(0, 2)] < 0.001
    assert found.pairs[(0, 1)] > 0.05
    raw = np.array([mcnemar(ContingencyTable.of(right[:, i], right[:, j])).p for i, j in found.pairs])
    np.testing.assert_allclose(list(found.pairs.values()), holm(raw))


def test_alike_models_and_bad_tables():
    assert cochran_q(np.ones((10, 3))).p == 1.0
    with pytest.raises(RefitError, match="at least 2 models"):
        cochran_q(np.ones(5))
    with pytest.raises(RefitError, match=r"0 .wrong. and 1 .right. only"):
        cochran_q(np.full((4, 2), 0.5))
