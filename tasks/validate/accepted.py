"""What was accepted of a table, in figures: the baseline that later rows are held against (:mod:`tasks.validate.baseline`).

Every column is measured over windows of rows that became known together, back to back and ending with the newest: the
lowest and the highest value of a figure say how much ordinary weeks differ. A table without moments, or with too few rows,
is measured as a whole. A time is measured by its hour and by its distance from the row's moment, a text by its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts.folders import ACCEPTED as ACCEPTED
from tasks.engine.codes import composite
from tasks.files import optional_json
from tasks.kinds import find_kind
from tasks.params import Moment, Problem, Table
from tasks.stored import Frame, in_memory
from tasks.validate import known
from tasks.validate.suite import moment_name

DAY = 86_400
# Length of a window in seconds, and how many are needed; a day only where all days of a week are among them, twice.
LENGTHS = ((7 * DAY, 4), (28 * DAY, 4), (91 * DAY, 4), (365 * DAY, 4), (DAY, 14))
WINDOWS = 160  # of the newest that are measured
LEAST = 30  # rows of a window, in the middle of all, below which it tells nothing
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TAILS = (0.01, 0.99)
ODD = (0, -1, -9, -99, -999, -9999, 99, 999, 9999, 99999)  # numbers that often stand for a missing value
LEVELS = 5000  # a column of more is a name for rows
SHARES = 30  # categories whose shares are compared; the others count as one
CLASSES = 20
OTHER, LEAST_OTHER = "(other)", 0.02
KEYS = 200
# UTF-8 that was read as another encoding, and letters that were lost.
DAMAGED = (
    "\ufffd|[\u00c2\u00c3][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
    "|\u00e2\u20ac|[a-zA-Z][?][a-zA-Z]"
)  # fmt: skip
Figures = dict[str, Any]


class Columns:
    """Columns that are made when they are asked for, so that of a large table there is never a second one.

    ``made``: what gives each column for all rows of the table; ``rows`` (n,) the positions that count, None: all ``count``.
    """

    def __init__(self, made: dict[str, Callable[[], pd.Series]], rows: np.ndarray | None, count: int) -> None:
        self.made, self.rows = made, rows
        self.count = count if rows is None else len(rows)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> pd.Series:
        values = self.made[name]()
        return values if self.rows is None else values.take(self.rows).reset_index(drop=True)

    def frame(self) -> pd.DataFrame:
        """All columns, numbered anew."""
        return self.frames([np.ones(self.count, bool)])[0]

    def frames(self, masks: Sequence[np.ndarray]) -> list[pd.DataFrame]:
        """All columns, of the rows of each mask, numbered anew; each column is made once."""
        places = [np.flatnonzero(inside) for inside in masks]
        places = places if self.rows is None else [self.rows[at] for at in places]
        found: list[dict[str, pd.Series]] = [{} for _ in masks]
        for name, make in self.made.items():
            values = make()
            for at, columns in zip(places, found, strict=True):
                columns[name] = values.take(at).reset_index(drop=True)
        return [pd.DataFrame(columns) for columns in found]


@dataclass(frozen=True)
class Part:
    """Columns that become known together, for the rows where they are: with their moments (None: the table has none).

    ``kinds`` of the columns: numeric, hour, categorical, text or classes.
    """

    when: str
    columns: Columns
    times: pd.Series | None
    kinds: dict[str, str]


def moment_of(name: str, table: Table, problem: Problem) -> Moment | None:
    """The moment of a row: when it is predicted, became known, or happened; None where the table has none."""
    if name == problem.table and problem.prediction_time:
        return problem.prediction_time
    return table.row_known or table.event_time or table.moment


def parts(
    name: str,
    table: Table,
    problem: Problem,
    frame: Frame,
    labelled: Frame | None,
    as_of: datetime | None,
) -> list[Part]:
    """The table in parts: what is known with a row first, outcomes by when they are known, and the label.

    ``labelled``: the problem table's rows with the target, where there is one; None for other tables.
    """
    row = moment_of(name, table, problem)
    found: dict[Moment | None, list[str]] = {row: []}
    for column, spec in table.given.items():
        if spec.kind != "ignore" and column in frame:
            found.setdefault(table.outcome_known(column) or row, []).append(column)
    made = []
    for when, columns in found.items():
        times, rows = None, None
        if when is not None:
            times = known.moment(frame, when) if when == row else known.learned(frame, when)
            there = times.notna()
            if when != row and as_of is not None:
                there &= times <= pd.Timestamp(as_of)
            rows = None if there.all() else np.flatnonzero(there)
            times = times[there].reset_index(drop=True)
        kinds = {c: str(table.columns[c].kind) for c in columns if not (len(table.key) == 1 and c in table.key)}
        made.append(_derived(frame, rows, times, kinds, when))
    if labelled is not None:
        made.append(_label(problem, labelled, row))
    return made


def _derived(
    frame: Frame, rows: np.ndarray | None, times: pd.Series | None, kinds: dict[str, str], moment: Moment | None
) -> Part:
    """The part with each time as an hour and a distance, and texts with their lengths."""
    when = moment_name(moment) if moment else ""
    made: dict[str, Callable[[], pd.Series]] = {}
    of: dict[str, str] = {}

    def own(name: str) -> pd.Series:
        return frame[name]

    def hour(name: str) -> pd.Series:
        return frame[name].dt.hour + frame[name].dt.minute / 60

    def distance(name: str, since: Moment) -> pd.Series:
        return (frame[name] - known.moment(frame, since)).dt.total_seconds() / DAY

    def length(name: str) -> pd.Series:
        return frame[name].str.len().astype(float)

    for name, kind in kinds.items():
        if kind == "datetime":
            made[f"hour of {name}"] = partial(hour, name)
            of[f"hour of {name}"] = "hour"
            if times is not None and moment is not None and name != moment.column:
                label = f"days from {when} to {name}"
                made[label] = partial(distance, name, moment)
                of[label] = "numeric"
            continue
        made[name], of[name] = partial(own, name), kind
        if kind == "text":
            made[f"length of {name}"] = partial(length, name)
            of[f"length of {name}"] = "numeric"
    return Part(when, Columns(made, rows, len(frame)), times, of)


def _label(problem: Problem, labelled: Frame, row: Moment | None) -> Part:
    name = problem.target.name
    there, times = labelled[name].notna(), None
    if row is not None:
        times = known.moment(labelled, row)
        there &= times.notna()
        times = times[there].reset_index(drop=True)
    values = labelled[name][there].reset_index(drop=True)
    kind = "numeric"
    if find_kind(problem.kind).output.classes:
        code, names = pd.factorize(values)
        values, kind = pd.Series(np.array([str(v) for v in names], dtype=object)[code], dtype="str"), "classes"
    return Part(
        "label", Columns({f"target {name}": lambda: values}, None, len(values)), times, {f"target {name}": kind}
    )


# Measuring -------------------------------------------------------------------------------------------------


def measure(
    name: str,
    table: Table,
    problem: Problem,
    frame: Frame,
    labelled: Frame | None,
    as_of: datetime | None,
) -> Figures:
    """The figures of a table's accepted rows, as JSON; arguments as for :func:`parts`."""
    made = parts(name, table, problem, frame, labelled, as_of)
    first = made[0]
    length = _length(first.times)
    out: Figures = {
        "rows": len(frame),
        "as_of": as_of.isoformat() if as_of else None,
        "order": [c for c in frame.columns if c in table.given],
        "moment": first.when,
        "window": length,
        "parts": {},
    }
    if first.times is not None and len(first.times):
        ends = (first.times.min().isoformat(), first.times.max().isoformat())
        out |= {"from": ends[0], "until": ends[1], "timed": len(first.times)}
        out["keys"] = keys(frame, table, moment_of(name, table, problem), length)
    elif name != problem.table:
        out["keys"] = keys(frame, table, None, None)
    for part in made:
        at, count = windows(part.times, length) if part.times is not None else (np.full(len(part.columns), -1), 0)
        counts = np.bincount(at[at >= 0], minlength=count)
        about: Figures = {"windows": count, "columns": {}}
        if count and part.times is not None:
            about["until"] = part.times.max().isoformat()
            about["rows"] = [int(counts.min()), int(counts.max()), int(np.median(counts))]
        for column, kind in part.kinds.items():
            about["columns"][column] = _column(part.columns[column], kind, at, count)
        if not table.key and part is first:
            about["repeated"] = _triple(repeated(part.columns), at, count)
        out["parts"][part.when] = about
    return out


def _length(times: pd.Series | None) -> int | None:
    """Seconds of a window: the first length of which there are enough windows with enough rows."""
    if times is None or not len(times):
        return None
    for seconds, least in LENGTHS:
        at, count = windows(times, seconds)
        if count >= least and np.median(np.bincount(at[at >= 0], minlength=count)) >= LEAST:
            return seconds
    return None


def windows(times: pd.Series | None, seconds: int | None) -> tuple[np.ndarray, int]:
    """The window of each row, counted from the oldest, and how many there are; -1 for rows in none.

    >>> windows(pd.Series(pd.to_datetime(["2024-01-01", "2024-01-05", "2024-01-15"], utc=True)), 7 * DAY)
    (array([-1,  0,  1]), 2)
    """
    size = 0 if times is None else len(times)
    if times is None or seconds is None or not size:
        return np.full(size, -1), 0
    length = pd.Timedelta(seconds=seconds)
    age = ((times.max() - times) // length).to_numpy(np.int64)
    count = min(int((times.max() - times.min()) // length), WINDOWS)
    return np.where(age < count, count - 1 - age, -1), count


def _column(values: pd.Series, kind: str, at: np.ndarray, count: int) -> Figures:
    out: Figures = {"kind": kind, "missing": _triple(values.isna(), at, count)}
    if kind in ("numeric", "hour"):
        return out | _numbers(values, kind, at, count)
    if kind == "classes":
        shares = values.value_counts(normalize=True)
        if 1 < len(shares) <= CLASSES:
            out["shares"] = {level: _triple(values == level, at, count) for level in sorted(shares.index)}
        return out
    out["damaged"] = _triple(damaged(values), at, count)
    if kind == "categorical":
        out |= _levels(values, at, count)
    return out


def _numbers(values: pd.Series, kind: str, at: np.ndarray, count: int) -> Figures:
    x = values.astype(float)
    out: Figures = {}
    if not x.notna().any():
        return out
    whole = np.quantile(x.dropna(), QUANTILES)
    out["tails"] = _short(np.quantile(x.dropna(), TAILS))
    inside = at >= 0
    grouped = x[inside].groupby(at[inside])
    enough = grouped.count() >= LEAST // 3
    if count and enough.any():
        table = grouped.quantile(np.array(QUANTILES)).unstack()[enough]
        low, high = table.min().to_numpy(), table.max().to_numpy()
    else:
        low = high = whole
    out["quantiles"] = [_short(low), _short(high), _short(whole)]
    if kind == "hour":
        return out
    std = grouped.std(ddof=1)[enough] if count and enough.any() else pd.Series([x.std(ddof=1) if len(x) > 1 else 0.0])
    out["std"] = _short([std.min(), std.max(), x.std(ddof=1) if len(x) > 1 else 0.0])
    out["range"] = _short([x.min(), x.max()])
    out["odd"] = _triple(x.isin(ODD), at, count)
    return out


def _levels(values: pd.Series, at: np.ndarray, count: int) -> Figures:
    code, names = pd.factorize(values)
    if not len(names):
        return {}
    inside = at >= 0
    there = inside & (code >= 0)
    pairs = np.unique(at[there] * len(names) + code[there])  # of a window and a level
    distinct = np.bincount(pairs // len(names), minlength=count)
    bounds = [int(distinct.min()), int(distinct.max())] if count else [len(names)] * 2
    out: Figures = {"distinct": [*bounds, len(names)]}
    if len(names) > LEVELS:
        return out | {"levels": None}
    out["levels"] = sorted(map(str, names))
    shares = np.bincount(code[code >= 0]) / (code >= 0).sum()
    # Levels that were new in the later half of the windows: what ordinary weeks bring.
    first = pd.Series(at).where(inside, -1).groupby(code).transform("min").to_numpy()
    fresh = (code >= 0) & inside & (first == at)
    new = pd.Series(fresh[inside]).groupby(at[inside]).mean().reindex(range(count), fill_value=0.0)
    out["new"] = _short([float(new.iloc[count // 2 :].max())])[0] if count >= 4 else None
    top = sorted(zip(names, shares, strict=True), key=lambda item: (-item[1], str(item[0])))[:SHARES]
    expected = with_other({str(level): float(share) for level, share in top})
    out["shares"] = {level: _short([share])[0] for level, share in expected.items()}
    out["moved"] = _short([_divergence(code[inside], names, at[inside], count, expected)])[0]
    return out


def with_other(shares: dict[str, float]) -> dict[str, float]:
    """Shares that add up to one, with a part for all other categories.

    >>> with_other({"a": 0.5, "b": 0.5})
    {'a': 0.49, 'b': 0.49, '(other)': 0.02}
    """
    other = max(1 - sum(shares.values()), LEAST_OTHER)
    scale = (1 - other) / sum(shares.values())
    return {level: share * scale for level, share in shares.items()} | {OTHER: other}


def _divergence(code: np.ndarray, names: pd.Index, at: np.ndarray, count: int, expected: dict[str, float]) -> float:
    """The largest divergence (Kullback and Leibler, in nats) of a window's shares from the expected ones."""
    if not count:
        return 0.0
    place = {level: i for i, level in enumerate(expected)}
    cell = np.array([place.get(str(name), len(place) - 1) for name in names] + [0], dtype=np.int64)[code]
    there = code >= 0
    grid = np.bincount(at[there] * len(place) + cell[there], minlength=count * len(place)).reshape(count, len(place))
    rows = grid.sum(1)
    shares = grid[rows >= LEAST // 3] / rows[rows >= LEAST // 3, None]
    ratio = np.where(shares > 0, shares, 1.0) / np.where(shares > 0, np.array(list(expected.values())), 1.0)
    return float((shares * np.log(ratio)).sum(1).max(initial=0.0))


def damaged(values: pd.Series) -> pd.Series:
    """Whether a text holds signs of a wrong encoding."""
    code, names = pd.factorize(values)
    found = pd.Series(names, dtype="str").str.contains(DAMAGED, regex=True, na=False).to_numpy(bool)
    return pd.Series(np.append(found, False)[code], index=values.index)


def repeated(columns: Columns) -> pd.Series:
    """Whether a row is like another in all columns, of which one is there at a time."""
    parts = (pd.factorize(columns[name], use_na_sentinel=False) for name in columns.made)
    (codes,) = composite((((part,), len(names)) for part, names in parts), [len(columns)])
    return pd.Series(codes).duplicated(keep=False)


def keys(frame: Frame, table: Table, row: Moment | None, length: int | None) -> list[str] | None:
    """Some keys of the newest window's rows (with their moments), or of all rows where they have none: as hashes."""
    if not table.key:
        return None
    rows = frame
    if row is not None:
        times = known.moment(frame, row)
        if length is not None:
            rows = frame[times > times.max() - pd.Timedelta(seconds=length)]
    return [f"{key:016x}" for key in np.sort(hashes(rows, table, row))[:KEYS].tolist()]


def hashes(frame: Frame, table: Table, row: Moment | None) -> np.ndarray:
    """Each row's key and moment in a hash; uint64 (n,)."""
    named = in_memory(frame[list(table.key)]).copy()
    if row is not None:
        named["__moment__"] = known.moment(frame, row)
    return pd.util.hash_pandas_object(named, index=False).to_numpy()


def _triple(mask: pd.Series, at: np.ndarray, count: int) -> list[float]:
    """Lowest and highest share of a window, and the share of all rows."""
    whole = float(mask.mean()) if len(mask) else 0.0
    inside = at >= 0
    if not count or not inside.any():
        return _short([whole] * 3)
    grouped = mask[inside].groupby(at[inside])
    by = grouped.mean()[grouped.size() >= LEAST // 3]
    return _short([by.min(), by.max(), whole]) if len(by) else _short([whole] * 3)


def _short(values: Iterable[float]) -> list[float]:
    """Six significant digits: enough for a band, and short in git."""
    return [float(f"{float(v):.6g}") if np.isfinite(v) else 0.0 for v in values]


# In files --------------------------------------------------------------------------------------------------


def read(name: str, folder: Path = ACCEPTED) -> Figures | None:
    """The baseline of a table, with ``of``, whose it is; None where there is none."""
    found = optional_json(folder / f"{name}.json")
    return found if isinstance(found, dict) and "parts" in found else None
