"""Which rows train, validate and test; and which wait, because their label is not there or came too late."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tasks.params import Duration, Split

Assigned = tuple[np.ndarray, dict[str, Any]]


def by_time(
    time: pd.Series, known: pd.Series, labelled: np.ndarray, split: Split, as_of: pd.Timestamp | None
) -> Assigned:
    """Test are the rows of the last ``split.test`` before ``as_of``, valid those of ``split.valid`` before them.

    A row without a label is ``pending``, and so is a train or valid row whose label was known only at or after the
    start of the next split: at that moment nobody could have learned from it. ``as_of`` None: the newest row's time.
    """
    if not isinstance(split.test, Duration) or not isinstance(split.valid, Duration):
        raise RefitError("split: a time split needs durations for `valid` and `test`")
    if time[labelled].isna().all():
        raise RefitError("split: no labelled row has a prediction time; check problem.prediction_time and data.as_of")
    end = (as_of if as_of is not None else time[labelled].max()) + pd.Timedelta(1, "us")  # both count themselves
    test_start = end - split.test.delta
    valid_start = test_start - split.valid.delta
    part = np.select([time >= test_start, time >= valid_start], ["test", "valid"], "train").astype(object)
    late = ((part == "train") & (known >= valid_start)) | ((part == "valid") & (known >= test_start))
    part[~labelled | time.isna().to_numpy() | late.to_numpy()] = "pending"
    return part, {"valid": valid_start.isoformat(), "test": test_start.isoformat(), "as_of": end.isoformat()}


def at_random(target: np.ndarray, labelled: np.ndarray, stratify: bool, split: Split, seed: int) -> Assigned:
    """Shares of the labelled rows, drawn with the seed; of each class alike where ``stratify``."""
    part = np.full(len(target), "pending", dtype=object)
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(labelled)
    classes = np.unique(target[rows]) if stratify else [None]
    for value in classes:
        members = rng.permutation(rows[target[rows] == value] if stratify else rows)
        test, valid = (round(float(share) * len(members)) for share in (split.test, split.valid))
        part[members[:test]] = "test"
        part[members[test : test + valid]] = "valid"
        part[members[test + valid :]] = "train"
    return part, {"valid": float(split.valid), "test": float(split.test)}
