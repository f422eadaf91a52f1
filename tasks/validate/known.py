"""Which rows exist, and which outcomes are known, at the moment ``as_of``.

A row of the problem table exists from its prediction time on; a row of another table from the moment it
was known. Outcome columns are empty until they are known. Without ``as_of`` every moment has come.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd

from tasks.artifacts.columns import RECEIVED
from tasks.engine.facts import above
from tasks.errors import RefitError
from tasks.params import Moment, Params, Problem, Table
from tasks.states import not_before_receipt
from tasks.stored import Frame, Stored, in_memory

Place = np.ndarray | slice  # of rows in a file


def moment(frame: Frame, when: Moment) -> pd.Series:
    """The moments of all rows: the column plus its offset (UTC; NaT where the column is empty)."""
    return shifted(when.offset_micros, frame[when.column])


def learned(frame: Frame, when: Moment) -> pd.Series:
    """The moments from which on something is known that becomes known at ``when``: events not before they were received."""
    return not_before_receipt(moment(frame, when), frame)


def shifted(micros: int, values: pd.Series, at: Place = slice(None)) -> pd.Series:
    """Moments plus an offset."""
    return values + np.timedelta64(micros, "us")


def visible(frame: Frame, name: str, table: Table, problem: Problem, as_of: datetime | None) -> np.ndarray:
    """Mask of the rows of table ``name`` that exist at ``as_of``.

    A row without a moment is kept where the schema forbids that (the contract then rejects it), and is not
    yet known otherwise. No event of the journal exists before it was received.
    """
    when = problem.prediction_time if name == problem.table else table.row_known
    if as_of is None:
        return np.ones(len(frame), bool)
    if when is None:
        return received(frame, as_of)
    times = learned(frame, when)
    exists = (times <= pd.Timestamp(as_of)).to_numpy()
    if name == problem.table or not table.columns[when.column].nullable:
        exists = exists | times.isna().to_numpy()
    if not exists.any():
        raise RefitError(
            f"data.as_of: at {as_of.isoformat()} no row of {name!r} was known yet "
            f"(the first moment of {when.column!r} is {times.min().isoformat()}). Choose a later moment."
        )
    return exists


def received(frame: Frame, as_of: datetime) -> np.ndarray:
    """Mask of the rows that were received by ``as_of``, or not by way of a service."""
    if RECEIVED not in frame.columns:
        return np.ones(len(frame), bool)
    return ~(frame[RECEIVED] > pd.Timestamp(as_of)).to_numpy()


def unknown(frame: Frame, table: Table, as_of: datetime | None) -> dict[str, np.ndarray]:
    """For each outcome, mask of the rows where it is not known at ``as_of``: known later, or at no stated moment."""
    masks: dict[Moment, np.ndarray] = {}
    found = {}
    for column in table.outcome:
        when = table.outcome_known(column)
        if when is None or column not in frame:
            continue
        if when not in masks:
            times = learned(frame, when)
            masks[when] = (times.isna() if as_of is None else ~(times <= pd.Timestamp(as_of))).to_numpy()
        found[column] = masks[when]
    return found


def rows_of(frame: Frame, mask: np.ndarray, hidden: dict[str, np.ndarray]) -> Frame:
    """The rows under ``mask``, with each outcome emptied where it is ``hidden``.

    Of a table that stays on disk (:class:`Stored`) these are on disk too, and read so a column at a time.
    """
    if isinstance(frame, Stored):
        for name, rows in hidden.items():
            if rows.any():
                frame = frame.with_column(name, name, partial(_emptied, rows))
        return frame if mask.all() else frame[mask]
    emptied = {name: frame[name].mask(rows) for name, rows in hidden.items() if rows.any()}
    frame = frame.assign(**emptied) if emptied else frame
    return frame if mask.all() else frame[mask].reset_index(drop=True)


def _emptied(hidden: np.ndarray, values: pd.Series, at: Place) -> pd.Series:
    return values.mask(hidden[at])


def divided(frame: Frame, rejected: np.ndarray) -> tuple[Frame, pd.DataFrame]:
    """The accepted rows and the rejected ones."""
    bad = in_memory(frame[rejected]).reset_index(drop=True)
    return (frame[~rejected].reset_index(drop=True) if rejected.any() else frame), bad


def add_target(frame: Frame, params: Params) -> Frame:
    """The problem table with the derived target: 1.0 where the column is above the bound, 0.0 where not, else NaN."""
    target = params.problem.target
    if target.compared is None:
        return frame
    return with_column(frame, target.name, target.column, partial(_above, target.compared))


def _above(bound: float, values: pd.Series, at: Place = slice(None)) -> pd.Series:
    return pd.Series(above(values.to_numpy(float), bound), values.index)


def with_column(frame: Frame, name: str, of: str, make: Callable[[pd.Series, Place], pd.Series]) -> Frame:
    """A frame, in memory or on disk, with another column, made of one that it has."""
    if isinstance(frame, Stored):
        return frame.with_column(name, of, make)
    return frame.assign(**{name: make(frame[of], slice(None))})
