"""Shapley values by asking alone, against the formula over all coalitions, where a function is the model."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from tasks.evaluate import shapley
from tasks.evaluate.shapley import Asked, by_asking

P = 10


def rough(encoded: list[np.ndarray]) -> np.ndarray:
    """A number with steps, products and a feature that counts for nothing (the last)."""
    Z = encoded[0]
    out = np.tanh(2 * Z[:, 0] * Z[:, 1] + Z[:, 2]) + Z[:, 3] * (Z[:, 4] > 0) * Z[:, 5] + 0.5 * Z[:, 6:9].prod(axis=1)
    return out[:, None]


def plain(encoded: list[np.ndarray]) -> np.ndarray:
    return np.column_stack([encoded[0] @ np.arange(P), encoded[0].sum(axis=1) ** 2 * 0.0])


def asked(answer, rows: int = 12, p: int = P, seed: int = 0, **how) -> tuple[Asked, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X, back = rng.normal(size=(rows, p)), rng.normal(size=(shapley.BACKGROUND, p))
    return by_asking(answer, [X], [back], [[np.array([j]) for j in range(p)]], 1.0, seed, **how), X, back


def by_formula(answer, X: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(rows, features) of the first output, straight from the definition."""
    n, p = X.shape
    worth = {}
    for size in range(p + 1):
        for coalition in combinations(range(p), size):
            Z = np.repeat(back[None], n, axis=0)
            Z[:, :, list(coalition)] = X[:, None, list(coalition)]
            worth[coalition] = answer([Z.reshape(-1, p)])[:, 0].reshape(n, len(back)).mean(axis=1)
    out = np.zeros((n, p))
    for coalition, value in worth.items():
        weight = (
            factorial(len(coalition)) * factorial(p - len(coalition) - 1) / factorial(p) if len(coalition) < p else 0
        )
        for j in set(range(p)) - set(coalition):
            out[:, j] += weight * (worth[tuple(sorted((*coalition, j)))] - value)
    return out


@pytest.fixture(scope="module")
def found() -> tuple[Asked, np.ndarray, np.ndarray]:
    return asked(rough, rows=24, budget=60_000)


def test_drawn_values_lie_about_the_exact_ones_as_their_errors_say(found) -> None:
    values, X, back = found
    exact = by_formula(rough, X, back)
    off, error = values.values[:, :, 0] - exact, values.errors[:, :, 0]
    assert not values.exact
    assert error[:, :-1].min() > 0
    ratio = (off / np.where(error > 0, error, 1.0))[:, :-1]
    assert np.mean(np.abs(ratio) < 2) > 0.9
    assert 0.7 < np.sqrt(np.mean(ratio**2)) < 1.4
    assert np.corrcoef(values.values[:, :, 0].ravel(), exact.ravel())[0, 1] > 0.99


def test_values_add_up_exactly_and_what_counts_for_nothing_has_nothing(found) -> None:
    values, X, _ = found
    total = values.values.sum(axis=1) + values.base
    np.testing.assert_allclose(total, rough([X]), atol=1e-12)
    assert (values.values[:, -1] == 0).all()
    assert (values.errors[:, -1] == 0).all()


def test_a_line_has_its_exact_values_whatever_is_drawn() -> None:
    values, X, back = asked(plain)
    np.testing.assert_allclose(values.values[:, :, 0], np.arange(P) * (X - back.mean(axis=0)), atol=1e-9)
    assert values.errors.max() < 1e-7
    assert (values.walks == 2 * 2 * shapley.BACKGROUND).all()


@pytest.mark.parametrize("p", [1, 3, 8])
def test_few_features_are_exact(p: int) -> None:
    def answer(encoded: list[np.ndarray]) -> np.ndarray:
        return (encoded[0].sum(axis=1) ** 3)[:, None]

    values, X, back = asked(answer, rows=3, p=p)
    assert values.exact
    assert not values.errors.any()
    np.testing.assert_allclose(values.values[:, :, 0], by_formula(answer, X, back), atol=1e-9)


def test_a_feature_that_is_like_the_background_is_no_player() -> None:
    rng = np.random.default_rng(0)
    X, back = rng.normal(size=(2, P)), rng.normal(size=(8, P))
    X[:, 3:], back[:, 3:] = 1.0, 1.0
    values = by_asking(rough, [X], [back], [[np.array([j]) for j in range(P)]], 1.0, 0)
    assert values.exact
    np.testing.assert_allclose(values.values[:, :3, 0], by_formula(rough, X, back)[:, :3], atol=1e-12)
    assert not values.values[:, 3:].any()


def test_more_walks_where_the_error_is_beyond_what_is_stated(found) -> None:
    more, _, _ = asked(rough, rows=24, budget=4_000_000)
    assert more.walks.max() > found[0].walks.max()
    small = (more.errors.max(axis=(1, 2)) <= more.stated * more.spread) | (more.walks == 2 * 16 * shapley.BACKGROUND)
    assert small.all()


def test_a_costly_model_is_asked_less_and_still_adds_up() -> None:
    count = []

    def slow(encoded: list[np.ndarray]) -> np.ndarray:
        count.append(len(encoded[0]))
        return rough(encoded)

    rng = np.random.default_rng(5)
    X, back = rng.normal(size=(100, P)), rng.normal(size=(100, P))
    values = by_asking(slow, [X], [back], [[np.array([j]) for j in range(P)]], 40.0, 0)
    assert sum(count) == values.predictions < 1.1 * shapley.BUDGET / 40 + len(X)
    assert len(values.values) == shapley.FEWEST
    np.testing.assert_allclose(values.values.sum(axis=1) + values.base, rough([X[: len(values.values)]]), atol=1e-12)


def test_the_same_seed_gives_the_same_values_and_rows_do_not_depend_on_each_other() -> None:
    one, _, _ = asked(rough, rows=6)
    again, _, _ = asked(rough, rows=6)
    other, _, _ = asked(rough, rows=6, seed=1)
    np.testing.assert_array_equal(one.values, again.values)
    assert (one.values[:, :-1] != other.values[:, :-1]).any()
