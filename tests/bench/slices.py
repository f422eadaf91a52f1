"""Weak slices, simulated: how often a model that says the truth is accused, and how often a planted slice is found.

``python -m tests.bench.slices [--quick]``. The last line is one JSON object, each by kind of problem:

``oracle_named``       share of reports on a model that says the true probabilities (regression: the true means, under
                       noise that grows with a feature) that name a slice
``planted_found``      share of reports that name the planted slice, which has 500 of 2,000 test rows: its true logit is
                       1 above what is said (regression: its truth lies half a standard deviation of the noise above)
``planted_in_500``     the same with 500 test rows in all, of which 125 are in the slice

A report has as many validation rows as test rows, of six features; sizes of the oracle's reports go from 60 rows to
5,000, and a tenth of them has rare classes. A slice counts as found where at least half of the named slice's rows are
the planted ones.
"""

from __future__ import annotations

import json
import sys

import tasks.stage  # noqa: F401  (threads, before numpy loads)

import numpy as np  # isort: skip
import pandas as pd

from tasks.artifacts import SliceResult
from tasks.bands import bands
from tasks.evaluate.slices import Rows, weak

KINDS = ("binary", "multiclass", "regression")
METRIC = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}
SIZES = (60, 120, 300, 1000, 5000)
ALPHA = 0.05


def table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Six features: numbers, one with gaps, a rounded one, and categories, one of them with many levels."""
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    X.loc[rng.random(n) < 0.1, "b"] = np.nan
    X["tens"] = np.round(rng.gamma(2, 5, n))
    X["region"] = pd.Series(rng.choice(["east", "north", "south", "west"], n), dtype="str")
    X["shop"] = pd.Series(rng.integers(0, 30, n).astype(str), dtype="str")
    return X


def rows(rng: np.random.Generator, n: int, kind: str, rare: bool = False, planted: bool = False) -> Rows:
    """Rows with a model's answers: the truth, but for the planted slice (a quarter of the rows: region is north)."""
    X = table(rng, n)
    lift = (X["a"] + 0.5 * X["b"].fillna(0) + (X["region"] == "east")).to_numpy()
    bad = planted & (X["region"] == "north").to_numpy()
    if kind == "regression":
        noise = np.exp(0.7 * X["c"].to_numpy())  # the spread grows tenfold from the lowest to the highest values of c
        y = lift + noise * rng.normal(size=n) + 0.5 * bad * np.exp(0.7**2)
        return Rows(X, y, lift)
    logits = np.zeros((n, 2 if kind == "binary" else 4))
    logits[:, 1] = lift - (4.5 if rare else 1.0)
    if kind == "multiclass":
        logits[:, 2] = X["c"].to_numpy() - (4.0 if rare else 0.5)
        logits[:, 3] = -lift / 2
    true = logits.copy()
    true[bad, 1] += 1.0
    said, truth = (np.exp(v) / np.exp(v).sum(axis=1, keepdims=True) for v in (logits, true))
    y = (rng.random(n)[:, None] > truth.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(float)
    return Rows(X, y, said)


def named(rng: np.random.Generator, n: int, kind: str, rare: bool = False, planted: bool = False) -> list[tuple[SliceResult, float]]:  # fmt: skip
    """The slices that a report names, and which share of each was planted."""
    valid, test = (rows(rng, n, kind, rare, planted) for _ in range(2))
    if kind == "binary" and min(len(np.unique(v.y)) for v in (valid, test)) < 2:
        return []
    out = []
    found = weak(valid, test, list(test.X), METRIC[kind], kind, 0.5)
    for one in found:
        inside = np.ones(n, dtype=bool)
        for column, name in one.where.items():
            cut = bands(valid.X[column])
            inside &= cut.codes(test.X[column]) == cut.names.index(name)
        assert inside.sum() == one.rows, one  # the label selects the rows that were counted
        out.append((one, float((test.X["region"].to_numpy()[inside] == "north").mean())))
    return [(one, share) for one, share in out if one.p_holm is not None and one.p_holm < ALPHA]


def main() -> None:
    reports = 100 if "--quick" in sys.argv else 500
    rng = np.random.default_rng(0)
    out: dict[str, dict[str, float]] = {"oracle_named": {}, "planted_found": {}, "planted_in_500": {}}
    for kind in KINDS:
        accused = [named(rng, SIZES[i % len(SIZES)], kind, rare=i % 10 < 5 and i % 2 == 0) for i in range(reports)]
        out["oracle_named"][kind] = float(np.mean([bool(found) for found in accused]))
        for name, n in (("planted_found", 2000), ("planted_in_500", 500)):
            found = [named(rng, n, kind, planted=True) for _ in range(reports)]
            out[name][kind] = float(np.mean([any(share >= 0.5 for _, share in each) for each in found]))
        print(f"{kind:10}  " + ", ".join(f"{name} {values[kind]:.3f}" for name, values in out.items()), flush=True)
    print(json.dumps({"reports": reports} | out))


if __name__ == "__main__":
    main()
