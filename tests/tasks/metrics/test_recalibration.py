"""Slope and intercept of recalibration, against statsmodels and on rows that no number fits."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from tasks.metrics.recalibration import recalibration


@pytest.mark.parametrize(("slope", "shift", "n"), [(1.0, 0.0, 400), (0.4, 1.5, 300), (2.5, -1.0, 800)])
def test_both_numbers_and_their_intervals_are_those_of_statsmodels(slope: float, shift: float, n: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    y = (rng.random(n) < expit(slope * x + shift)).astype(float)
    found = recalibration(y, expit(x))
    both = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-12)
    alone = sm.GLM(y, np.ones(n), family=sm.families.Binomial(), offset=x).fit(tol=1e-12)
    assert found["slope"] == pytest.approx([both.params[1], *both.conf_int()[1]], abs=1e-6)
    assert found["intercept"] == pytest.approx([alone.params[0], *alone.conf_int()[0]], abs=1e-6)


def test_scores_of_nought_and_one_are_taken_as_a_billionth_from_them() -> None:
    y, p = np.array([0.0, 1, 0, 1, 0, 1]), np.array([0.0, 1.0, 1.0, 0.0, 0.4, 0.6])
    alone = sm.GLM(y, np.ones(6), family=sm.families.Binomial(), offset=logit(np.clip(p, 1e-9, 1 - 1e-9))).fit()
    assert recalibration(y, p)["intercept"][0] == pytest.approx(alone.params[0], abs=1e-6)


@pytest.mark.parametrize(
    ("y", "p", "slope", "intercept"),
    [
        ([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], False, False),  # one class
        ([1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4], False, False),
        ([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3], False, True),  # one score
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], False, True),  # parted without error
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], True, True),
    ],
)
def test_where_no_finite_number_fits_there_is_none(y: list, p: list, slope: bool, intercept: bool) -> None:
    found = recalibration(np.array(y), np.array(p))
    assert ((found["slope"] is not None), (found["intercept"] is not None)) == (slope, intercept)
