"""Folds: nothing is fitted on what it is scored on, and impossible ones are refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.fitting.rows import Dataset
from tasks.params import Tuning
from tasks.tune.bags import cross
from tasks.tune.folds import make_folds


def rows(n: int = 300, kind: str = "binary") -> Dataset:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.arange(float(n)), "team": rng.choice(["a", "b", "c", "d"], n)})
    return Dataset(
        kind=kind,
        classes=() if kind == "regression" else ("no", "yes"),
        kinds={"id": "numeric", "team": "categorical"},
        frame=frame,
        y=rng.normal(size=n) if kind == "regression" else (rng.random(n) < 0.3).astype(float),
        split=np.repeat(["train", "valid", "test"], n // 3),
        row=np.arange(n),
        time=pd.Series(pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")),
    )


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("split", ["holdout", "kfold", "stratified", "group", "time_series"])
def test_folds_are_apart_and_never_touch_test(split: str, kind: str):
    table = rows(kind=kind)
    how = {"holdout": {}, "group": {"folds": 3, "group": "team"}}.get(split, {"folds": 3})
    folds = make_folds(table, Tuning(split=split, **how), 0)
    assert len(folds) == (1 if split == "holdout" else 3)
    held = []
    for X, y, X_held, y_held in folds:
        assert len(X) == len(y)
        assert len(X_held) == len(y_held)
        assert not set(X["id"]) & set(X_held["id"])
        assert max(X["id"].max(), X_held["id"].max()) < (200 if split == "holdout" else 100)
        if split == "group":
            assert not set(X["team"]) & set(X_held["team"])
        if split == "time_series":
            assert X["id"].max() < X_held["id"].min()
        if split == "stratified" and kind == "binary":
            assert abs(y.mean() - y_held.mean()) < 0.05
        held += list(X_held["id"])
    assert len(held) == len(set(held))


def test_a_gap_is_left_before_each_stretch():
    folds = make_folds(rows(), Tuning(split="time_series", folds=3, gap="5h"), 0)
    for X, _, X_held, _ in folds:
        assert X_held["id"].min() - X["id"].max() > 5


def test_a_row_whose_label_was_not_known_yet_is_not_fitted_on():
    table = rows()
    known = table.time + pd.to_timedelta(np.where(np.arange(300) % 2, 7, 1), unit="h")
    folds = make_folds(replace(table, known=known), Tuning(split="time_series", folds=3), 0)
    assert len(folds) == 3
    for X, _, X_held, _ in folds:
        first = X_held["id"].min()
        waits = np.where(X["id"] % 2, 7, 1)
        assert (X["id"] + waits < first).all()
        assert set(range(int(first) - 8)) <= set(X["id"])  # the others all are
        assert first - 2 in set(X["id"]) or (first - 2) % 2


def test_the_newest_rows_are_taken():
    ((X, _, _, _),) = make_folds(rows(600), Tuning(rows=100), 0)
    assert X["id"].tolist() == list(range(100, 200))


def test_impossible_folds_are_refused():
    table = rows()
    lonely = replace(table, y=np.where(np.arange(300) == 5, 1.0, 0.0))
    with pytest.raises(RefitError, match="3 stratified folds need 3 rows of every class"):
        make_folds(lonely, Tuning(split="stratified"), 0)
    with pytest.raises(RefitError, match=r"fitted on rows of one class|are all of one class"):
        make_folds(lonely, Tuning(split="kfold"), 0)
    with pytest.raises(RefitError, match=r"tuning.group: 'teem' is not a feature.*Did you mean 'team'"):
        make_folds(table, Tuning(split="group", group="teem"), 0)
    with pytest.raises(RefitError, match=r"tuning.folds: 5 folds, and 'team' has 4 values"):
        make_folds(table, Tuning(split="group", group="team", folds=5), 0)
    with pytest.raises(RefitError, match=r"time_series needs problem.prediction_time"):
        make_folds(replace(table, time=pd.Series([pd.NaT] * 300)), Tuning(split="time_series"), 0)


@pytest.mark.parametrize("split", ["kfold", "stratified", "group"])
def test_rows_that_split_by_keeps_together_stay_in_one_fold(split: str):
    table = rows()
    pairs = np.arange(300) // 2  # neighbours belong together, whatever their teams
    pairs[[0, 1]] = pairs[[2, 3]] = 0
    table = replace(table, group=pairs.astype(np.uint64), frame=table.frame.assign(team=np.arange(300) // 10 % 6 * 1.0))
    folds = make_folds(table, Tuning(split=split, folds=3, group="team" if split == "group" else None), 0)
    held = []
    for X, _, X_held, _ in folds:
        assert not set(X["id"] // 2) & set(X_held["id"] // 2)
        assert not {0.0, 1.0, 2.0, 3.0} & set(X["id"]) or not {0.0, 1.0, 2.0, 3.0} & set(X_held["id"])
        if split == "group":
            assert not set(X["team"]) & set(X_held["team"])
        held += list(X_held["id"])
    assert sorted(held) == list(range(100))


def test_groups_that_hang_together_by_way_of_others_are_one():
    table = replace(rows(), group=np.zeros(300, dtype=np.uint64))
    with pytest.raises(RefitError, match=r"tuning.folds: 3 folds, and 'team' has 1 values that split.by does not join"):
        make_folds(table, Tuning(split="group", group="team", folds=3), 0)
    with pytest.raises(RefitError, match=r"split.by: 3 folds, and the training rows have 1 groups"):
        make_folds(table, Tuning(split="kfold", folds=3), 0)


def test_folds_of_auto_keep_groups_together():
    rng = np.random.default_rng(0)
    group, y = rng.integers(0, 40, 400), rng.integers(0, 2, 400).astype(float)
    found = cross(pd.DataFrame({"x": y}), y, "binary", 4, 2, 0, group)
    assert found.repeats == 2
    assert sorted(np.concatenate(found.held[:4]).tolist()) == list(range(400))
    for held in found.held:
        inside = np.isin(np.arange(400), held)
        assert not set(group[inside]) & set(group[~inside])
    with pytest.raises(RefitError, match=r"split\.by: 50 folds, and the training rows have 40 groups"):
        cross(pd.DataFrame({"x": y}), y, "binary", 50, 1, 0, group)
