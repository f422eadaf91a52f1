"""Which rows exist, and which outcomes are known, at the moment ``as_of``.

A row of the problem table exists from its prediction time on; a row of another table from the moment it
was known. Outcome columns are empty until they are known. Without ``as_of`` every moment has come.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tasks import memory
from tasks.errors import RefitError
from tasks.params import Moment, Params, Problem, Table


def moment(frame: pd.DataFrame, when: Moment) -> pd.Series:
    """The moments of all rows: the column plus its offset (UTC; NaT where the column is empty)."""
    return frame[when.column] + np.timedelta64(when.offset_micros, "us")


def visible(frame: pd.DataFrame, name: str, table: Table, problem: Problem, as_of: datetime | None) -> np.ndarray:
    """Mask of the rows of table ``name`` that exist at ``as_of``.

    A row without a moment is kept where the schema forbids that (the contract then rejects it), and is not
    yet known otherwise.
    """
    when = problem.prediction_time if name == problem.table else table.row_known
    if when is None or as_of is None:
        return np.ones(len(frame), bool)
    times = moment(frame, when)
    exists = (times <= pd.Timestamp(as_of)).to_numpy()
    if name == problem.table or not table.columns[when.column].nullable:
        exists = exists | times.isna().to_numpy()
    if not exists.any():
        raise RefitError(
            f"data.as_of: at {as_of.isoformat()} no row of {name!r} was known yet "
            f"(the first moment of {when.column!r} is {times.min().isoformat()}). Choose a later moment."
        )
    return exists


def unknown(frame: pd.DataFrame, table: Table, as_of: datetime | None) -> dict[str, np.ndarray]:
    """For each outcome, mask of the rows where it is not known at ``as_of``: known later, or at no stated moment."""
    masks: dict[Moment, np.ndarray] = {}
    found = {}
    for column in table.outcome:
        when = table.outcome_known(column)
        if when is None or column not in frame:
            continue
        if when not in masks:
            times = moment(frame, when)
            masks[when] = (times.isna() if as_of is None else ~(times <= pd.Timestamp(as_of))).to_numpy()
        found[column] = masks[when]
    return found


def rows_of(frame: Any, mask: np.ndarray, hidden: dict[str, np.ndarray]) -> pd.DataFrame:
    """The rows under ``mask``, with each outcome emptied where it is ``hidden``; each column is taken by itself."""
    columns: dict[str, pd.Series] = {}
    for name in frame.columns:
        values = frame[name]
        if name in hidden and hidden[name].any():
            values = values.mask(hidden[name])
        columns[name] = values if mask.all() else values[mask].reset_index(drop=True)
    return pd.DataFrame(columns, copy=len(mask) < memory.APART)


def divided(frame: pd.DataFrame, rejected: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The accepted rows and the rejected ones. A large ``frame`` is used up: each column is divided, and let go."""
    bad = frame[rejected].reset_index(drop=True)
    if not rejected.any():
        return frame, bad
    if len(frame) < memory.APART:
        return frame[~rejected].reset_index(drop=True), bad
    columns = {name: frame.pop(name)[~rejected].reset_index(drop=True) for name in list(frame.columns)}
    return pd.DataFrame(columns, copy=False), bad


def add_target(frame: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The problem table with the derived target: 1.0 where the column is above the bound, 0.0 where not, else NaN."""
    target = params.problem.target
    if target.compared is None:
        return frame
    values = frame[target.column].to_numpy(float)
    return frame.assign(**{target.name: np.where(np.isnan(values), np.nan, (values > target.compared).astype(float))})
