"""A learning curve's joints by hand: which rows each size is fitted on and how often, and when there is no point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.evaluate import learning
from tasks.evaluate.learning import Gauge, errors, learning_curve
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup

MAE = Gauge("mae", "regression", 0.5, 3)
VALID = 50


class Model:
    """Says of every row how many rows it was fitted on, a thousandth each."""

    def __init__(self, size: int) -> None:
        self.size = size

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.full(len(X), self.size / 1000)


def curve(n: int, monkeypatch: pytest.MonkeyPatch, full: bool = False, timed: bool = False, refused: int = 0, y: Any = None, kind: str = "regression") -> tuple[list[Any], list[list[int]]]:  # fmt: skip
    """The points, and the rows of each fit; ``refused``: a size that cannot be fitted."""
    fits: list[list[int]] = []

    def fit(family: str, settings: Any, fold: Fold, setup: Setup) -> Model:
        assert (family, settings, len(fold.X_valid)) == ("tree", {"a": 1}, min(VALID, learning.WATCHED))
        assert (fold.X["row"].to_numpy() == fold.y).all() or y is not None
        if len(fold.X) == refused:
            raise RefitError("too few")
        fits.append(fold.X["row"].astype(int).tolist())
        return Model(len(fold.X))

    monkeypatch.setattr(learning, "fit_family", fit)
    X, V = pd.DataFrame({"row": np.arange(float(n))}), pd.DataFrame({"row": np.arange(float(VALID))})
    truth = X["row"].to_numpy() if y is None else y
    moments = pd.Series(pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC"))
    times = (moments, moments[:VALID]) if timed else None
    setup = Setup(kind, 1 if kind == "regression" else 2, {"row": "numeric"})
    scores = np.zeros(VALID) if full else None
    points = learning_curve("tree", {"a": 1}, Fold(X, truth, V, np.zeros(VALID)), setup, MAE, scores, times)
    return points, fits


def test_a_sixteenth_a_quarter_and_all_rows_are_fitted_the_smaller_sizes_three_times(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    points, fits = curve(1600, monkeypatch)
    assert [len(rows) for rows in fits] == [100] * 3 + [400] * 3 + [1600]
    assert all(rows == sorted(set(rows)) for rows in fits)
    assert len({tuple(rows) for rows in fits}) == 7, "each draw is another one"
    assert [(p.rows, p.valid) for p in points] == [
        (100, pytest.approx(0.1)),
        (400, pytest.approx(0.4)),
        (1600, pytest.approx(1.6)),
    ]
    assert [p.gain for p in points] == [None, pytest.approx(0.3), pytest.approx(1.2)]
    assert points[2].train == pytest.approx(np.abs(np.arange(1600) - 1.6).mean())


def test_the_candidate_itself_is_the_last_point(monkeypatch: pytest.MonkeyPatch) -> None:
    points, fits = curve(1600, monkeypatch, full=True)
    assert [len(rows) for rows in fits] == [100] * 3 + [400] * 3
    assert [(p.rows, p.valid, p.train is None) for p in points][-1] == (1600, 0.0, True)
    monkeypatch.setattr(learning, "MOST", 800)
    points, fits = curve(1600, monkeypatch, full=True)
    assert [len(rows) for rows in fits] == [50] * 3 + [200] * 3 + [800] * 3, (
        "refits have a bound, the candidate has none"
    )
    assert [p.rows for p in points] == [50, 200, 800, 1600]


def test_of_rows_with_moments_the_newest_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fits = curve(1600, monkeypatch, timed=True)
    assert fits == [list(range(1600 - size, 1600)) for size in (100, 400, 1600)]


@pytest.mark.parametrize(("n", "sizes"), [(320, [20, 80, 320]), (311, [78, 311]), (79, [20, 79]), (19, [])])
def test_fewer_than_twenty_rows_are_no_point(n: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = curve(n, monkeypatch)
    assert [p.rows for p in points] == sizes


def test_a_size_that_cannot_be_fitted_or_lacks_a_class_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = curve(1600, monkeypatch, refused=400)
    assert [p.rows for p in points] == [100, 1600]
    assert points[1].gain == pytest.approx(1.5)
    rare = (np.arange(1600) < 2).astype(float)  # of a class of two rows a sixteenth has none
    points, fits = curve(1600, monkeypatch, y=rare, kind="binary", timed=True)
    assert [p.rows for p in points] == [1600]
    assert [len(rows) for rows in fits] == [1600]
    monkeypatch.setattr(learning, "WATCHED", 30)
    assert curve(1600, monkeypatch)[0][0].rows == 100


def test_the_covariance_of_a_sample_is_that_of_all_rows_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=4000)
    scores = [np.zeros(4000), rng.normal(size=4000)]
    whole = errors(MAE, y, scores)
    assert whole.shape == (2, 2)
    single = np.abs(y).std() / np.sqrt(4000)
    assert np.sqrt(whole[0, 0]) == pytest.approx(single, rel=0.2)
    monkeypatch.setattr(learning, "SAMPLE", 1000)
    assert np.sqrt(errors(MAE, y, scores)[0, 0]) == pytest.approx(single, rel=0.2)
    monkeypatch.setattr(learning, "SAMPLE", 4000)
    assert (errors(MAE, y, scores) == whole).all()


@pytest.mark.parametrize(("n", "wider"), [(80, True), (79, False)])
def test_stretches_of_time_are_drawn_from_two_rows_each_on(n: int, wider: bool) -> None:
    """Neighbours are alike, so that forty stretches of two rows say as much as forty rows."""
    y = np.random.default_rng(1).exponential(size=40).repeat(2)[:n]
    shuffled = np.random.default_rng(2).permutation(n)
    time = pd.Series(pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC"))[shuffled]
    rows, stretches = (errors(MAE, y[shuffled], [np.zeros(n)], t)[0, 0] for t in (None, time))
    assert (stretches > 1.4 * rows) == wider
    assert (stretches == rows) != wider


def test_a_metric_that_half_of_the_resamples_lack_has_no_error() -> None:
    y = np.zeros(30)
    y[0] = 1.0  # two in three resamples have it, and so both classes
    both = np.column_stack([np.linspace(1, 0, 30), np.linspace(0, 1, 30)])
    assert np.isfinite(errors(Gauge("roc_auc", "binary", 0.5, 0), y, [both, both])).all()
    assert (errors(Gauge("roc_auc", "binary", 0.5, 0), np.zeros(30), [both, both]) == np.full((2, 2), np.inf)).all()
