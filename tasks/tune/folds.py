"""Rows that trials are fitted and scored on: the given validation split, or folds of the training rows."""

from __future__ import annotations

import numpy as np

from tasks.families import Rows
from tasks.params import Tuning
from tasks.tune.objective import Fold


def newest(rows: Rows, split: str, limit: int | None, seed: int) -> np.ndarray:
    """Positions of the newest ``limit`` rows of a split, in order; a random sample where rows have no time."""
    at = np.flatnonzero(rows.split == split)
    if limit is None or len(at) <= limit:
        return at
    times = rows.time.iloc[at]
    if times.isna().all():
        return np.sort(np.random.default_rng(seed).choice(at, limit, replace=False))
    order = np.argsort(times.to_numpy(), kind="stable")
    return np.sort(at[order[-limit:]])


def make_folds(rows: Rows, tuning: Tuning, seed: int) -> list[Fold]:
    """The folds of ``tuning``."""
    train, valid = (newest(rows, s, tuning.rows, seed) for s in ("train", "valid"))
    return [(_frame(rows, train), rows.y[train], _frame(rows, valid), rows.y[valid])]


def _frame(rows: Rows, at: np.ndarray):  # type: ignore[no-untyped-def]
    return rows.frame.iloc[at].reset_index(drop=True)
