"""Thresholds against a search over every possible one."""

import numpy as np
import pytest

from tasks.errors import RefitError
from tasks.metrics.thresholds import best_threshold


@pytest.fixture(params=range(5))
def rows(request) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    y = (rng.random(300) < 0.3).astype(float)
    return y, np.round(np.clip(0.3 * y + rng.random(300) * 0.7, 0, 1), 2)  # rounded: many ties


def counts(y: np.ndarray, p: np.ndarray, t: float) -> tuple[float, float, float]:
    positive = p >= t
    return (positive & (y == 1)).sum(), (positive & (y == 0)).sum(), (~positive & (y == 1)).sum()


def every(p: np.ndarray) -> np.ndarray:
    return np.append(np.unique(p), 2.0)


def f1(y, p, t) -> float:
    hits, false, missed = counts(y, p, t)
    return 2 * hits / (2 * hits + false + missed)


def test_best_f1(rows):
    y, p = rows
    assert f1(y, p, best_threshold("best_f1", y, p)) == max(f1(y, p, t) for t in every(p))


@pytest.mark.parametrize("cost", [(1, 1), (1, 5), (20, 1)])
def test_least_cost(rows, cost: tuple[float, float]):
    y, p = rows

    def paid(t: float) -> float:
        _, false, missed = counts(y, p, t)
        return cost[0] * false + cost[1] * missed

    assert paid(best_threshold("cost", y, p, cost=cost)) == min(paid(t) for t in every(p))


def test_precision_at_least(rows):
    y, p = rows

    def both(t: float) -> tuple[float, float]:
        hits, false, _ = counts(y, p, t)
        return hits / max(hits + false, 1), hits

    found = both(best_threshold("precision", y, p, precision=0.6))
    assert found[0] >= 0.6
    assert found[1] == max(both(t)[1] for t in every(p) if both(t)[0] >= 0.6)


def test_one_class_and_unknown_ways():
    assert best_threshold("best_f1", np.zeros(5), np.linspace(0, 1, 5)) == 0.5
    with pytest.raises(RefitError, match=r"training.threshold: 'f1'.*is not one of"):
        best_threshold("f1", np.zeros(5), np.zeros(5))


P = [0.9, 0.7, 0.5, 0.3]


@pytest.mark.parametrize(
    ("how", "y", "p", "options", "expected"),
    [
        ("best_f1", [1, 0, 1, 0], P, {}, 0.4),  # 2/3 at once, 4/5 with the third
        ("best_f1", [0, 0, 0, 1], P, {}, 0.15),  # all are positive: midway to 0
        (
            "best_f1",
            [1, 0, 0, 1],
            [0.9, 0.7, 0.7, 0.7],
            {},
            0.8,
        ),  # 2/3 both ways: the higher one; equals are not parted
        ("cost", [1, 0, 1, 0], P, {"cost": (1, 1)}, 0.8),  # one wrong at 0.8, and one at 0.4
        ("cost", [1, 0, 1, 0], P, {"cost": (1, 2)}, 0.4),
        ("cost", [0, 1, 0, 1], P, {"cost": (3, 1)}, np.nextafter(0.9, 1)),  # nothing is decided positive
        ("cost", [0, 1], [0.9, 0.1], {"cost": (1, 1)}, np.nextafter(0.9, 1)),  # of equally good ones the highest
        ("precision", [0, 1, 1, 0], P, {"precision": 0.5}, 0.4),  # two of three are right, which is more than asked
        ("precision", [1, 0, 0, 1], P, {"precision": 0.5}, 0.15),
        ("precision", [1, 0, 0, 1], P, {"precision": 0.51}, 0.8),
        ("precision", [0, 0, 1], P[:3], {"precision": 0.6}, 0.25),  # never reached: the best there is
        ("half", [0, 1, 1, 0], P, {}, 0.5),
        ("cost", [1, 1, 1, 1], P, {"cost": (9, 1)}, 0.5),
    ],
)
def test_thresholds_by_hand(how: str, y: list[int], p: list[float], options: dict, expected: float):
    found = best_threshold(how, np.array(y, dtype=float), np.array(p), **options)
    assert found == pytest.approx(expected, abs=1e-15)


def test_between_neighbouring_numbers_the_threshold_is_the_higher_one():
    p = np.array([np.nextafter(0.5, 1), 0.5])
    assert best_threshold("best_f1", np.array([1.0, 0.0]), p) == p[0]
