"""Coefficient paths: right at the chosen penalty, noted by final fits alone, and drawn."""

import numpy as np
import pandas as pd
import pytest

from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.models import fit_family
from tasks.report.about_models import candidates
from tasks.report.found import FamilyFiles
from tests.samples import candidate


def rows() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 4)), columns=list("abcd"))
    return X, 3 * X["a"].to_numpy() - X["b"].to_numpy() + 0.1 * rng.normal(size=200)


@pytest.mark.parametrize("family", ["ridge", "lasso", "elastic_net"])
def test_a_path_goes_through_the_fitted_coefficients(family: str):
    X, y = rows()
    model = fit_family(family, {"alpha": 0.05}, Fold(X[:150], y[:150], X[150:], y[150:]), Setup("regression"))
    path = model.notes["path"]
    middle = path["alpha"].index(path["chosen"])
    assert list(path["coefficients"])[:2] == ["a", "b"]
    for j, name in enumerate(model.encoder.names):
        assert path["coefficients"][name][middle] == pytest.approx(model.fitted.coef[j, 0], abs=2e-3)
    largest = np.abs(path["coefficients"]["a"])
    assert np.all(np.diff(largest) <= 1e-6)  # it shrinks as the penalty grows
    page = candidates(None, None, {family: FamilyFiles(candidate(family, notes=model.notes))})
    assert any("Coefficient paths" in str(block) for block in page.blocks)


def test_without_a_penalty_there_is_no_path():
    X, y = rows()
    assert (
        "path"
        not in fit_family("ridge", {"alpha": 0.0}, Fold(X[:150], y[:150], X[150:], y[150:]), Setup("regression")).notes
    )
    assert "path" not in fit_family("linear", {}, Fold(X[:150], y[:150], X[150:], y[150:]), Setup("regression")).notes
