"""Ensembles: kept where they help on rows they were not fitted on, and only there."""

import numpy as np
import pytest

from tasks.ensembles import METHODS, combine
from tasks.ensembles.mixes import FEWEST, bagged, greedy
from tasks.errors import RefitError
from tasks.metrics import measure

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def candidates(kind: str, noise: tuple[float, ...], n: int = 900) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Candidates that err independently, with these amounts of noise."""
    rng = np.random.default_rng(0)
    if kind == "regression":
        y = rng.normal(size=n)
        return {f"m{i}": y + rng.normal(0, s, n) for i, s in enumerate(noise)}, y
    k = 2 if kind == "binary" else 3
    y = rng.integers(0, k, n).astype(float)
    out = {}
    for i, s in enumerate(noise):
        margins = np.eye(k)[y.astype(int)] + rng.normal(0, s, (n, k))
        out[f"m{i}"] = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    return out, y


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("method", METHODS)
def test_independent_candidates_are_combined(kind: str, method: str):
    predictions, y = candidates(kind, (1.0, 1.0, 1.2))
    found = combine(predictions, y, kind, METRICS[kind], [method])
    assert found["method"] == method
    assert len(found["members"]) >= 2
    assert sum(found["weights"]) == pytest.approx(1)
    assert min(found["weights"]) > 0
    mixed = sum(w * predictions[m] for m, w in zip(found["members"], found["weights"], strict=True))
    assert measure(METRICS[kind], y, np.asarray(mixed), kind) == pytest.approx(found["value"])
    assert found == combine(predictions, y, kind, METRICS[kind], [method])


@pytest.mark.parametrize("kind", METRICS)
def test_one_that_cannot_be_helped_stays_alone(kind: str):
    predictions, y = candidates(kind, (0.02, 8.0))
    found = combine(predictions, y, kind, METRICS[kind], ["voting"])
    assert (found["members"], found["weights"], found["method"]) == (["m0"], [1.0], "single")


def test_greedy_finds_a_member_that_helps_at_a_small_weight_only():
    predictions, y = candidates("regression", (0.5, 1.2), n=20_000)
    weights = greedy(np.stack(list(predictions.values())), y, "regression", "rmse")
    assert weights == pytest.approx([0.85, 0.15], abs=0.03)  # 1.44 / 1.69: inverse variances


def test_bagged_selection_without_time_takes_the_fewest_turns(monkeypatch: pytest.MonkeyPatch):
    predictions, y = candidates("binary", (1.0, 1.0, 1.2, 0.9, 1.5))
    stack = np.stack(list(predictions.values()))
    whole, hurried = bagged(stack, y, "binary", "roc_auc"), bagged(stack, y, "binary", "roc_auc", seconds=0)
    monkeypatch.setitem(bagged.__globals__, "TURNS", FEWEST)
    assert np.array_equal(hurried, bagged(stack, y, "binary", "roc_auc"))
    assert not np.array_equal(hurried, whole)


def test_unknown_ways_are_refused():
    predictions, y = candidates("regression", (1.0, 1.0))
    with pytest.raises(RefitError, match=r"training.ensembles: 'greedi'.*Did you mean 'greedy'"):
        combine(predictions, y, "regression", "rmse", ["greedi"])
