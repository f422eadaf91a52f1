"""Rows that trials are fitted and scored on: the given validation split, or folds of the training rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.encoding.folds import Parts, rarest
from tasks.errors import RefitError, nearest, some
from tasks.fitting.base import Fold
from tasks.fitting.rows import Dataset
from tasks.kinds import TWO, find_kind
from tasks.params import Tuning


def make_folds(rows: Dataset, tuning: Tuning, seed: int) -> list[Fold]:
    """The folds of ``tuning``: pairs of rows to fit on and rows to score.

    ``holdout`` scores on the validation split; the others cut the training rows, and leave the validation
    split to early stopping and calibration of the final fit. Dataset that ``split.by`` keeps together stay in one fold.

    Raises
    ------
    RefitError
        If there are fewer groups or times than folds, or a class is missing in what a fold is fitted on.
    """
    return [fold_of(rows, a, b) for a, b in fold_rows(rows, tuning, seed)]


def fold_rows(rows: Dataset, tuning: Tuning, seed: int) -> Parts:
    """The same as positions in ``rows``. Raises :class:`RefitError` as :func:`make_folds` does."""
    train = newest(rows, "train", tuning.rows, seed)
    if tuning.split == "holdout":
        parts: Parts = [(train, newest(rows, "valid", tuning.rows, seed))]
    else:
        parts = [(train[a], train[b]) for a, b in _cut(rows, train, tuning, seed)]
    _check(rows, parts, tuning)
    return parts


def newest(rows: Dataset, split: str, limit: int | None, seed: int) -> np.ndarray:
    """Positions of the newest ``limit`` rows of a split, in order; a random sample where rows have no time."""
    at = np.flatnonzero(rows.split == split)
    if limit is None or len(at) <= limit:
        return at
    times = rows.time.iloc[at]
    if times.isna().any():
        return np.sort(np.random.default_rng(seed).choice(at, limit, replace=False))
    order = np.argsort(times.to_numpy(), kind="stable")
    return np.sort(at[order[-limit:]])


def _cut(rows: Dataset, at: np.ndarray, tuning: Tuning, seed: int) -> Parts:
    from sklearn import model_selection as ms

    k, y = tuning.folds, rows.y[at]
    if len(at) < 2 * k:
        raise RefitError(f"tuning.folds: {k} folds of {len(at)} training rows; lower it to {max(2, len(at) // 2)}")
    if tuning.split == "time_series":
        known = None if rows.known is None else rows.known.iloc[at]
        return time_series(rows.time.iloc[at], k, tuning.gap.micros if tuning.gap else 0, known)
    if tuning.split == "group":
        assert tuning.group is not None
        if tuning.group not in rows.frame:
            raise RefitError(
                f"tuning.group: {tuning.group!r} is not a feature; there are {some(rows.frame.columns)}."
                + nearest(tuning.group, rows.frame.columns)
            )
        groups = pd.factorize(rows.frame[tuning.group].iloc[at], use_na_sentinel=False)[0]
        groups = _joined(groups, None if rows.group is None else rows.group[at])
        if len(np.unique(groups)) < k:
            apart = "" if rows.group is None else " that split.by does not join"
            raise RefitError(
                f"tuning.folds: {k} folds, and {tuning.group!r} has {len(np.unique(groups))} values{apart}"
            )
        return list(ms.GroupKFold(k).split(at, groups=groups))
    if tuning.split == "stratified":
        y = find_kind(rows.kind).strata(y, k)
        if rarest(y) < k:
            raise RefitError(
                f"tuning.folds: {k} stratified folds need {k} rows of every class, and one class has {rarest(y)}; "
                "lower tuning.folds, or use split: holdout"
            )
        if rows.group is not None:
            return grouped(rows.group[at], y.astype(int), k, seed)
        return list(ms.StratifiedKFold(k, shuffle=True, random_state=seed).split(at, y.astype(int)))
    if rows.group is not None:
        return grouped(rows.group[at], None, k, seed)
    return list(ms.KFold(k, shuffle=True, random_state=seed).split(at))


def grouped(group: np.ndarray, strata: np.ndarray | None, k: int, seed: int) -> Parts:
    """``k`` folds in which rows of equal ``group`` (n,) stay together, even over ``strata`` (n,) where they are given.

    Raises
    ------
    RefitError
        If there are fewer groups than folds.
    """
    from sklearn import model_selection as ms

    groups = np.unique(group, return_inverse=True)[1]
    found = int(groups.max()) + 1
    if found < k:
        raise RefitError(f"split.by: {k} folds, and the training rows have {found} groups; lower the folds or split.by")
    if strata is None:
        return list(ms.GroupKFold(k, shuffle=True, random_state=seed).split(groups, groups=groups))
    return list(ms.StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(groups, strata, groups))


def _joined(one: np.ndarray, two: np.ndarray | None) -> np.ndarray:
    """Codes of the smallest groups that keep together what either of two groupings keeps together."""
    if two is None:
        return one
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = (np.unique(codes, return_inverse=True)[1] for codes in (one, two))
    edges = coo_matrix((np.ones(len(a)), (a, b + a.max() + 1)), shape=(a.max() + b.max() + 2,) * 2)
    return np.asarray(connected_components(edges, directed=False)[1][a])


def time_series(times: pd.Series, k: int, gap: int, known: pd.Series | None = None) -> Parts:
    """``k`` held-out stretches of time, each fitted on all rows that are at least ``gap`` microseconds older.

    As between the parts of the split, a row whose label was ``known`` only when the stretch had begun is not fitted on.

    >>> t = pd.Series(pd.date_range("2024-01-01", periods=6, freq="D"))
    >>> [(a.tolist(), b.tolist()) for a, b in time_series(t, 2, 0)]
    [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    """
    if times.isna().any():
        raise RefitError("tuning.split: time_series needs problem.prediction_time, and the rows have no time")
    moments = _micros(times)
    labels = (
        np.full(len(moments), np.iinfo(np.int64).min) if known is None else _micros(known)
    )  # a missing one: at once
    edges = np.quantile(np.sort(moments), np.linspace(0, 1, k + 2), method="higher")
    parts: Parts = []
    for i in range(1, k + 1):
        low, high = edges[i], edges[i + 1]
        held = (moments >= low) & ((moments < high) if i < k else (moments <= high))
        older = (moments < low - gap) & (labels < low)
        if not held.any() or not older.any():
            raise RefitError(
                f"tuning.folds: stretch {i} of {k} has nothing to fit on or to score; lower folds or the gap, "
                "or see when labels become known"
            )
        parts.append((np.flatnonzero(older), np.flatnonzero(held)))
    return parts


def _micros(moments: pd.Series) -> np.ndarray:
    """Microseconds since 1970; the least number where there is no moment."""
    return np.asarray(pd.to_datetime(moments, utc=True).dt.as_unit("us").astype("int64"))


def _check(rows: Dataset, parts: Parts, tuning: Tuning) -> None:
    """A class that a fold is not fitted on could never be predicted in it."""
    output = find_kind(rows.kind).output
    if not output.classes:
        return
    for number, (train, held) in enumerate(parts, start=1):
        seen = np.bincount(rows.y[train].astype(int), minlength=len(rows.classes)) > 0
        if seen.sum() < 2:
            raise RefitError(
                f"tuning.split: fold {number} of {len(parts)} is fitted on rows of one class; use split: stratified"
            )
        lost = [c for c, s in zip(rows.classes, seen, strict=True) if not s]
        if lost:
            raise RefitError(
                f"tuning.split: fold {number} of {len(parts)} ({tuning.split}) is fitted without the classes "
                f"{some(lost)}; use split: stratified, fewer folds, or raise tuning.rows"
            )
        if output == TWO and len(np.unique(rows.y[held])) < 2:
            raise RefitError(
                f"tuning.split: the held-out rows of fold {number} are all of one class; use split: stratified, "
                "or a longer split.valid"
            )


def fold_of(rows: Dataset, fitted: np.ndarray, held: np.ndarray) -> Fold:
    """The rows at two sets of positions."""
    X, X_held = (rows.frame.iloc[at].reset_index(drop=True) for at in (fitted, held))
    return Fold(X, rows.y[fitted], X_held, rows.y[held])
