"""Planted copies of the target are named, strong honest features are not: both directions of one measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn import datasets

from tasks.giveaways import cut_from_one, giveaways, sample

N = 800
Make = Callable[[np.ndarray, np.random.Generator], object]


def weak(n: int = N, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Five features of which two tell something, and a binary target with three positives in ten."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=list("abcde"))
    y = (rng.random(n) < expit(X["a"] + 0.5 * X["b"] - 1)).to_numpy(float)
    return X, y


def texts(values: object) -> pd.Series:
    return pd.Series(values, dtype="str")


BINARY: dict[str, Make] = {
    "a copy": lambda y, r: y,
    "a copy under other names": lambda y, r: texts(np.where(y == 1, "closed", "open")),
    "a copy with 4% mistakes": lambda y, r: np.where(r.random(len(y)) < 0.04, 1 - y, y),
    "a copy with normal noise, AUC 0.95": lambda y, r: y + r.normal(0, 0.43, len(y)),
    "another model's score": lambda y, r: r.beta(2 + 4 * y, 6 - 4 * y),
    "filled for positives only": lambda y, r: np.where(y == 1, r.normal(size=len(y)), np.nan),
    "filled for half of the positives": lambda y, r: np.where((y == 1) & (r.random(len(y)) < 0.5), 1.5, np.nan),
    "a status after the fact": lambda y, r: texts(np.where((y == 1) & (r.random(len(y)) < 0.6), "refunded", "paid")),
    "ids in order of the target": lambda y, r: y * len(y) + r.permutation(len(y)),
    "ids that begin with the label": lambda y, r: texts([f"{'A' if v else 'B'}{i:05d}" for i, v in enumerate(y)]),
    "odd ids": lambda y, r: 2.0 * r.permutation(len(y)) + y,
    "a word in a text": lambda y, r: texts([f"order {i} {'refund agreed' if v else 'all fine so'}" for i, v in enumerate(y)]),
}  # fmt: skip


@pytest.mark.parametrize("leak", BINARY)
def test_a_leak_of_classes_is_named_alone(leak: str) -> None:
    X, y = weak()
    values = BINARY[leak](y, np.random.default_rng(1))
    found = giveaways(X.assign(leak=values), y, "binary")
    assert [g.feature for g in found] == ["leak"], found


def test_a_copy_is_certain_and_a_noisy_one_is_not() -> None:
    X, y = weak()
    (exact,) = giveaways(X.assign(leak=1 - y), y, "binary")
    assert (exact.kind, exact.strength, exact.certain) == ("copy", 1.0, True)
    (noisy,) = giveaways(X.assign(leak=y + np.random.default_rng(1).normal(0, 0.4, N)), y, "binary")
    assert noisy.kind == "noisy copy"
    assert 0.93 <= noisy.strength < 0.99
    assert not noisy.certain


NUMBER: dict[str, Make] = {
    "a copy in another unit": lambda y, r: 1000 * y - 7,
    "a bent copy": lambda y, r: np.exp(y / y.std()),
    "a copy with noise": lambda y, r: y + r.normal(0, 0.3 * y.std(), len(y)),
    "ten steps": lambda y, r: np.floor(pd.Series(y).rank(pct=True) * 10).to_numpy(),
    "whether it is large": lambda y, r: (y > np.median(y)).astype(float),
    "named steps": lambda y, r: texts(pd.qcut(y, 4, labels=list("wxyz")).astype(str)),
}


@pytest.mark.parametrize("leak", NUMBER)
def test_a_leak_of_a_number_is_named_alone(leak: str) -> None:
    X, y = datasets.load_diabetes(return_X_y=True, as_frame=True)
    values = NUMBER[leak](y.to_numpy(), np.random.default_rng(1))
    found = giveaways(X.assign(leak=values), y.to_numpy(), "regression")
    assert [g.feature for g in found] == ["leak"], found


def test_copies_of_many_classes_whole_and_coarse() -> None:
    X, y = datasets.load_iris(return_X_y=True, as_frame=True)
    y = y.to_numpy(float)
    for values in (texts([f"c{int(v)}" for v in y]), (y > 0).astype(float)):
        assert [g.feature for g in giveaways(X.assign(leak=values), y, "multiclass")] == ["leak"]


HONEST = {
    "breast_cancer": "binary", "iris": "multiclass", "wine": "multiclass", "diabetes": "regression",
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_strong_measurements_are_not_suspected(name: str) -> None:
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
    assert giveaways(X, y.to_numpy(float), HONEST[name]) == []


def test_measurements_that_part_a_class_without_an_error_are_not_suspected() -> None:
    X, y = datasets.load_iris(return_X_y=True, as_frame=True)
    assert giveaways(X, (y == 0).to_numpy(float), "binary") == []


@pytest.mark.parametrize("heap", ["normal", "lognormal"])
def test_one_honest_cause_that_dominates_is_not_suspected(heap: str) -> None:
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.normal(size=(1500, 4)), columns=list("abcd"))
    y = (rng.random(1500) < expit(5 * X["a"] + 0.3 * X["b"])).to_numpy(float)
    if heap == "lognormal":
        X["a"] = np.exp(X["a"])
    assert giveaways(X, y, "binary") == []


def test_the_sides_of_one_heap_and_one_shape_twice() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=2000)
    assert cut_from_one(z, rng.random(2000) < expit(5 * z))
    y = rng.random(2000) < 0.5
    assert not cut_from_one(y + rng.normal(0, 0.4, 2000), y)


def test_too_few_rows_conclude_nothing() -> None:
    X, y = weak(30)
    assert giveaways(X.assign(leak=y), y, "binary") == []
    assert giveaways(X.assign(leak=1.0), np.full(30, np.nan), "regression") == []


def test_a_sample_keeps_the_rare_class_and_the_order() -> None:
    y = np.r_[np.zeros(900), np.ones(60), np.full(40, np.nan)]
    rows = sample(y, "binary", 200, 0)
    assert (len(rows), int(y[rows].sum())) == (200, 60)
    assert (np.diff(rows) > 0).all()
    assert len(sample(y, "binary", 5000, 0)) == 960
