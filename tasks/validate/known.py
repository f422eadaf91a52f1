"""Which rows exist, and which outcomes are known, at the moment ``as_of``.

A row of the problem table exists from its prediction time on; a row of another table from the moment it
was known. Outcome columns are empty until they are known. Without ``as_of`` every moment has come.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

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
    when = problem.prediction_time if name == problem.table else table.known_at
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


def unknown(frame: pd.DataFrame, table: Table, as_of: datetime | None) -> np.ndarray:
    """Mask of the rows whose outcome is not known at ``as_of``: known later, or at no stated moment."""
    if table.known_at is None or not table.outcome:
        return np.zeros(len(frame), bool)
    times = moment(frame, table.known_at)
    late = times.isna() if as_of is None else ~(times <= pd.Timestamp(as_of))
    return late.to_numpy()


def hide_outcomes(frame: pd.DataFrame, table: Table, hidden: np.ndarray) -> pd.DataFrame:
    """The frame with its outcome columns emptied in the rows ``hidden``."""
    return frame.assign(**{c: frame[c].mask(hidden) for c in table.outcome if c in frame}) if hidden.any() else frame


def add_target(frame: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The problem table with the derived target: 1.0 where the column is above the bound, 0.0 where not, else NaN."""
    target = params.problem.target
    if target.above is None:
        return frame
    values = frame[target.column].to_numpy(float)
    return frame.assign(**{target.name: np.where(np.isnan(values), np.nan, (values > target.above).astype(float))})
