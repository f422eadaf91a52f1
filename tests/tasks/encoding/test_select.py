"""Feature selection: the useless goes, with a reason; the useful and the protected stay."""

import numpy as np
import pandas as pd
import pytest

from tasks.encoding.select import select
from tasks.errors import RefitError
from tasks.params import Select


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
    rng = np.random.default_rng(0)
    n = 600
    X = pd.DataFrame({"signal": rng.normal(size=n), "band": rng.choice(["a", "b", "c"], n)})
    y = ((X["signal"] + 1.5 * (X["band"] == "a") + rng.normal(0, 0.4, n)) > 0.5).to_numpy(float)
    X["twin"] = X["signal"] * 2 + rng.normal(0, 0.01, n)
    X["noise"] = rng.normal(size=n)
    X["counter"] = np.arange(n) + rng.normal(size=n)
    X["constant"] = 1.0
    return X, y, pd.Series(pd.date_range("2024-01-01", periods=n, freq="h"))


KINDS = dict.fromkeys(("signal", "twin", "noise", "counter", "constant"), "numeric") | {"band": "categorical"}


def test_correlated_dated_and_constant_features_go(rows):
    X, y, time = rows
    found = select(X, y, "binary", Select(correlation=0.95, time_auc=0.8), KINDS, time)
    assert found.kept == ["signal", "band", "noise"]
    assert found.dropped["twin"].startswith("rank correlation")
    assert found.dropped["twin"].endswith("with signal")
    assert "AUC" in found.dropped["counter"]
    assert found.dropped["constant"] == "has one value in the training rows"


@pytest.mark.parametrize("how", [{"univariate": 2}, {"importance": 2}, {"rfe": 2}, {"l1": 0.02}])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_signal_survives_every_way(rows, how: dict, kind: str):
    X, y, _ = rows
    y = y if kind == "binary" else X["signal"].to_numpy() * 3 + (X["band"] == "a") * 4.0
    found = select(X[["signal", "band", "noise", "counter"]], np.asarray(y), kind, Select(**how), KINDS)
    assert found.kept == ["signal", "band"]
    assert set(found.dropped) == {"noise", "counter"}


def test_protected_features_stay(rows):
    X, y, _ = rows
    assert "noise" in select(X, y, "binary", Select(univariate=1, keep=("noise",)), KINDS).kept


def test_mistakes_are_named(rows):
    X, y, _ = rows
    with pytest.raises(RefitError, match=r"features.select.keep: 'nose' not among"):
        select(X, y, "binary", Select(keep=("nose",)), KINDS)
    with pytest.raises(RefitError, match=r"features.select.time_auc: the rows have no time"):
        select(X, y, "binary", Select(time_auc=0.8), KINDS)


def test_where_a_single_value_is_missing_is_worth_knowing(rows):
    X, y, _ = rows
    told = pd.Series(np.where(y == 1, 0.1, np.nan))  # a date of payment, say: one value, and it tells everything
    frame = X[["noise"]].assign(told=told, never=np.nan)
    found = select(frame, y, "binary", Select(univariate=1), KINDS | {"told": "numeric", "never": "numeric"})
    assert found.kept == ["told"]
    assert found.dropped["never"] == "has one value in the training rows"


def test_of_many_rows_a_sample_is_looked_at_and_said_to_be_one(monkeypatch):
    monkeypatch.setattr("tasks.encoding.select.ROWS", 50)
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=400), "rare": (np.arange(400) == 7).astype(float)})
    found = select(X, (X["a"] > 0).to_numpy(float), "binary", Select(correlation=0.9), dict.fromkeys(X, "numeric"))
    assert found.dropped == {"rare": "has one value in a sample of 50 training rows"}
