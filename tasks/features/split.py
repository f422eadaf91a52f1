"""Which rows train, validate and test; and which wait, because their label is not there or came too late."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.errors import RefitError, some
from tasks.identity import position
from tasks.params import Duration, Moment, Params, Split
from tasks.values.moments import start_of_newest

Boundaries = dict[str, str | float]  # where valid and test begin: ISO moments, or shares
Assigned = tuple[np.ndarray, Boundaries]
AT_ONCE = pd.Timedelta(0)


def by_time(
    time: pd.Series,
    known: pd.Series,
    labelled: np.ndarray,
    split: Split,
    as_of: pd.Timestamp | None,
    wait: pd.Timedelta = AT_ONCE,
) -> Assigned:
    """Test are the rows of the last ``split.test`` before ``as_of``, valid those of ``split.valid`` before them.

    A share counts labelled rows: ``test: 0.2`` are the newest fifth of them, as near as whole moments allow, since
    rows of one moment are never parted. A row without a label is ``pending``, and so is a train or valid row whose label
    was known only at or after the start of the next split: at that moment nobody could have learned from it. Where every
    label comes ``wait`` after its row, parts are counted back from the newest row that can have one, and end so long
    before the next part. ``as_of`` None: the newest labelled row's time.
    """
    if time[labelled].isna().all():
        raise RefitError("split: no labelled row has a prediction time; check problem.prediction_time and data.as_of")
    end = (as_of - wait if as_of is not None else time[labelled].max()) + pd.Timedelta(1, "us")  # both count themselves
    dated = time[labelled & time.notna().to_numpy()]
    test_start = _start("test", split.test, dated, len(dated), end)
    valid_end = test_start - wait
    valid_start = _start("valid", split.valid, dated[dated < valid_end], len(dated), valid_end)
    part = np.select([time >= test_start, time >= valid_start], ["test", "valid"], "train").astype(object)
    late = ((part == "train") & (known >= valid_start)) | ((part == "valid") & (known >= test_start))
    part[~labelled | time.isna().to_numpy() | late.to_numpy()] = "pending"
    return part, {"valid": valid_start.isoformat(), "test": test_start.isoformat(), "as_of": end.isoformat()}


def waiting(time: Moment | None, known: Moment | None) -> pd.Timedelta:
    """How long after its prediction time a row's label is known at least, where both are the same column's."""
    if time is None or known is None or time.column != known.column:
        return AT_ONCE
    return pd.Timedelta(max(0, known.offset_micros - time.offset_micros), "us")


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


def check_parts(part: np.ndarray, y: np.ndarray, classes: list[str], params: Params, time: pd.Series,
                known: pd.Series, boundaries: Boundaries) -> None:  # fmt: skip
    """Refuse parts that nothing can be learned from or measured on: without a row, or with one class.

    Parameters
    ----------
    part : (n,) names. y : (n,) class indices or numbers, NaN without a label. time, known : (n,) moments.
    """
    name = params.problem.target.name
    labelled = ~np.isnan(y) if params.problem.target.given else np.ones(len(y), dtype=bool)
    for one in ("train", "valid", "test"):
        here = y[part == one]
        if not len(here):
            raise RefitError(
                f"split.{one}: no row is in this part: {_why_empty(one, labelled, time, known, boundaries, params)}"
            )
        there = np.unique(here) if classes else here[:0]
        if len(there) == 1:
            raise RefitError(
                f"split.{one}: all {len(here):,} rows of this part have {name} {classes[int(there[0])]!r}, so nothing can be "
                f"{'learned from' if one == 'train' else 'measured on'} it; {_remedy(one, params)}, or check problem.target"
            )
    learned = np.unique(y[part == "train"])
    lacking = [c for i, c in enumerate(classes) if i not in learned]
    if lacking:
        raise RefitError(
            f"split.train: no row of this part has {name} {some(lacking)}, which others have; "
            f"{_remedy('train', params)}, or leave out the rows of such classes"
        )


def _remedy(name: str, params: Params) -> str:
    if name == "train":
        return "make split.valid and split.test smaller, or bring more rows"
    longer = "longer or larger" if params.split.kind == "time" else "larger"
    return f"make split.{name} {longer}, or bring more rows"


def _why_empty(
    name: str, labelled: np.ndarray, time: pd.Series, known: pd.Series, boundaries: Boundaries, params: Params
) -> str:
    """Why a part of a split by time has no row, and what would help."""
    if params.split.kind != "time":
        return _remedy(name, params)
    labelled = labelled & time.notna().to_numpy()
    valid, test = pd.Timestamp(str(boundaries["valid"])), pd.Timestamp(str(boundaries["test"]))
    inside = {"train": time < valid, "valid": (time >= valid) & (time < test), "test": time >= test}[name].to_numpy()
    follows = {"train": valid, "valid": test}.get(name)
    span = f"{time[labelled].min():%Y-%m-%d %H:%M} to {time[labelled].max():%Y-%m-%d %H:%M}"
    said = f"the {int(labelled.sum()):,} labelled rows are of {span}, and it "
    said += f"ends before {follows:%Y-%m-%d %H:%M}" if follows is not None else f"begins at {test:%Y-%m-%d %H:%M}"
    late = int((inside & labelled & (known >= follows).to_numpy()).sum()) if follows is not None else 0
    if late:
        said += f"; the labels of {late:,} rows in it were known only after that, when the next part had begun"
        size = {"train": "split.valid and split.test smaller", "valid": "split.valid longer, or split.test shorter"}[
            name
        ]
        return f"{said}. Make {size}, or bring older rows"
    return f"{said}. {_remedy(name, params).capitalize()}"
