"""Which rows train, validate and test; and which wait, because their label is not there or came too late."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError, some
from tasks.identity import position
from tasks.params import Duration, Split
from tasks.values.moments import start_of_newest

Assigned = tuple[np.ndarray, dict[str, Any]]


def by_time(
    time: pd.Series, known: pd.Series, labelled: np.ndarray, split: Split, as_of: pd.Timestamp | None
) -> Assigned:
    """Test are the rows of the last ``split.test`` before ``as_of``, valid those of ``split.valid`` before them.

    A share counts labelled rows: ``test: 0.2`` are the newest fifth of them, as near as whole moments allow, since
    rows of one moment are never parted. A row without a label is ``pending``, and so is a train or valid row whose label was known only at or after the
    start of the next split: at that moment nobody could have learned from it. ``as_of`` None: the newest row's time.
    """
    if time[labelled].isna().all():
        raise RefitError("split: no labelled row has a prediction time; check problem.prediction_time and data.as_of")
    end = (as_of if as_of is not None else time[labelled].max()) + pd.Timedelta(1, "us")  # both count themselves
    dated = time[labelled & time.notna().to_numpy()]
    test_start = _start("test", split.test, dated, len(dated), end)
    valid_start = _start("valid", split.valid, dated[dated < test_start], len(dated), test_start)
    part = np.select([time >= test_start, time >= valid_start], ["test", "valid"], "train").astype(object)
    late = ((part == "train") & (known >= valid_start)) | ((part == "valid") & (known >= test_start))
    part[~labelled | time.isna().to_numpy() | late.to_numpy()] = "pending"
    return part, {"valid": valid_start.isoformat(), "test": test_start.isoformat(), "as_of": end.isoformat()}


def _start(name: str, size: Duration | float, times: pd.Series, labelled: int, end: pd.Timestamp) -> pd.Timestamp:
    """Where the part before ``end`` begins: a duration earlier, or at its share of the ``labelled`` rows."""
    if isinstance(size, Duration):
        return end - size.delta
    start = start_of_newest(times, size * labelled)
    if start is None:
        raise RefitError(
            f"split.{name}: the labelled rows have too few different times for a part before {end.isoformat()}; rows of "
            "one moment stay together. Bring rows of more days, or set split.kind: random"
        )
    return start


def by_identity(rows: np.ndarray, labelled: np.ndarray, split: Split) -> Assigned:
    """Shares of the labelled rows, each by its own number (:mod:`tasks.identity`) and ``split.salt``.

    Parameters
    ----------
    rows : uint64 (n,), equal for rows that shall stay together.

    Raises
    ------
    RefitError
        If a part has no row.
    """
    test, valid = float(split.test), float(split.valid)
    at = position(rows, split.salt)
    part = np.select([at < test, at < test + valid], ["test", "valid"], "train").astype(object)
    part[~labelled] = "pending"
    empty = [name for name in ("train", "valid", "test") if not (part == name).any()]
    if empty:
        what = f"{len(np.unique(rows[labelled]))} different values of split.by" if split.by else "different rows"
        raise RefitError(
            f"split: no row is in {some(empty)}; there are {int(labelled.sum()):,} labelled rows and {what}. "
            "Set another split.salt (any text), larger shares, or bring more rows."
        )
    return part, {"valid": valid, "test": test}
