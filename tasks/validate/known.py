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


def hide_outcomes(frame: pd.DataFrame, hidden: dict[str, np.ndarray]) -> pd.DataFrame:
    """The frame with each outcome emptied where it is ``hidden``."""
    return frame.assign(**{c: frame[c].mask(rows) for c, rows in hidden.items() if rows.any()})


def add_target(frame: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The problem table with the derived target: 1.0 where the column is above the bound, 0.0 where not, else NaN."""
    target = params.problem.target
    if target.compared is None:
        return frame
    values = frame[target.column].to_numpy(float)
    return frame.assign(**{target.name: np.where(np.isnan(values), np.nan, (values > target.compared).astype(float))})
