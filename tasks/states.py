"""Rows that were corrected: every state that a row was known in, and until when.

A table of ``data/validated`` has each key once, as it is known last. What it was known as before lies beside it, in
``<table>.earlier.parquet``, with the moment :data:`UNTIL` from which on the next state is known. The engine sees a state
from the moment it became known up to that one, so features as of an earlier moment see what was known then, and no
event counts twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import pandas as pd

from tasks.artifacts.columns import RECEIVED, UNTIL
from tasks.files import read_table
from tasks.stored import Frame, Stored

MISSING = np.iinfo(np.int64).min  # a missing moment, as in NumPy's NaT


def known_from(known: np.ndarray, received: np.ndarray | None) -> np.ndarray:
    """int64 µs: when rows became known that say ``known`` and were ``received`` then (missing or None: not by this way).

    >>> known_from(np.array([5, 5, MISSING]), np.array([7, MISSING, 7])).tolist() == [7, 5, MISSING]
    True
    """
    return known if received is None else np.where(known == MISSING, MISSING, np.maximum(known, received))


def not_before_receipt(told: pd.Series, frame: Frame) -> pd.Series:
    """When rows became known that say ``told`` (UTC): events of the journal not before they were received (:data:`RECEIVED`)."""
    if RECEIVED not in frame.columns:
        return told
    known, received = (
        column.dt.tz_convert(None).to_numpy("datetime64[us]").view(np.int64) for column in (told, frame[RECEIVED])
    )
    made = pd.Series(known_from(known, received).view("M8[us]"), told.index)
    return made.dt.tz_localize("UTC").astype(told.dtype)


def path_of(folder: str | Path, table: str) -> Path:
    """Where the earlier states of a table lie, if it has any."""
    return Path(folder) / f"{table}.earlier.parquet"


def with_states(frame: pd.DataFrame, folder: str | Path, table: str) -> pd.DataFrame:
    """A validated table with its earlier states below its own rows, whose positions stay; the table itself where it has none."""
    path = path_of(folder, table)
    if not path.exists():
        return frame
    earlier = read_table(path, [*frame.columns, UNTIL])
    return pd.concat(
        [frame.assign(**{UNTIL: pd.Series(pd.NaT, frame.index, earlier[UNTIL].dtype)}), earlier], ignore_index=True
    )


def read_states(folder: str | Path, table: str, columns: Collection[str] | None = None) -> pd.DataFrame:
    """A validated table, or some of its columns, and its earlier states (:func:`with_states`)."""
    stored = Stored(Path(folder) / f"{table}.parquet")
    if columns is not None:
        stored = stored[[name for name in stored if name in columns or name == RECEIVED]]
    return with_states(stored.frame(), folder, table)


def tables_in(folder: Path, names: Iterable[str]) -> dict[str, Frame]:
    """Validated tables, to be read when they are needed; those with corrected rows, with the earlier states."""
    return {
        name: read_states(folder, name) if path_of(folder, name).exists() else Stored(folder / f"{name}.parquet")
        for name in names
    }


Held = TypeVar("Held", bound=Frame)


def last_known(frame: Held) -> Held:
    """The rows of a table that was read with its earlier states, without these; positions are the same."""
    return cast(Held, frame[frame[UNTIL].isna()]) if UNTIL in frame.columns else frame


def apart(
    frame: pd.DataFrame, key: list[str], known: pd.Series, as_of: pd.Timestamp | None
) -> tuple[np.ndarray, pd.Series]:
    """For each row of a table the state it is at ``as_of``: 1 the last known, 0 an earlier one, -1 none; and :data:`UNTIL`.

    ``known`` is when each row became known. Where no state of a key is known yet, the first one stands for it. Rows
    without a key, and rows that share key and moment, are all 1: they are no states of each other.
    """
    state = np.ones(len(frame), np.int64)
    until = pd.Series(pd.NaT, index=frame.index, dtype=known.dtype)
    at = np.flatnonzero(frame[key].notna().all(axis=1).to_numpy())
    code = frame.iloc[at].groupby(key, sort=False).ngroup().to_numpy()
    moment = (
        known.iloc[at].dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    )  # a missing one is the smallest
    order = np.lexsort((moment, code))
    at, code, moment = at[order], code[order], moment[order]
    if not len(at):
        return state, until
    more = np.append(code[1:] == code[:-1], False)  # the next one is of the same key
    same = more & (np.append(moment[1:], 0) == moment)
    alike = np.zeros(code.max() + 1, bool)
    alike[code[same]] = True
    limit = (
        np.iinfo(np.int64).max
        if as_of is None
        else as_of.tz_convert("UTC").tz_localize(None).to_datetime64().astype("M8[us]").view(np.int64)
    )
    visible = (moment != np.iinfo(np.int64).min) & (moment <= limit)
    last = visible & ~(more & np.append(visible[1:], False))
    known_at_all = np.zeros(code.max() + 1, bool)
    known_at_all[code[visible]] = True
    first = np.insert(~more[:-1], 0, True)
    states = np.where(last | (first & ~known_at_all[code]), 1, np.where(visible, 0, -1))
    state[at] = np.where(alike[code], 1, states)
    earlier = np.flatnonzero((states == 0) & ~alike[code])
    until.iloc[at[earlier]] = known.iloc[at[earlier + 1]].array
    return state, until
