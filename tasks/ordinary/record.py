"""The record that a package keeps of its reference: each column's counts over its cells, in all and by past window."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.artifacts import OrdinaryColumn, OrdinaryPart, OrdinaryParts
from tasks.files import read_table, write_table
from tasks.kinds import find_kind
from tasks.ordinary.cells import Cells
from tasks.stored import Frame

FOLDER = "ordinary"
WEEK = pd.Timedelta(days=7)  # of a past window, where monitoring.window says nothing
WINDOWS = 160  # past windows kept: three years of weeks
PARTS = 7  # of a window, between which rows are seen to depend
LEVELS = 50_000  # a column of more levels is a name for rows; new ones are no news
PREDICTION = "prediction"  # the column of the model's answers


@dataclass(frozen=True)
class Column:
    """One column's reference.

    ``total`` (cells,) and ``past`` (K, cells): rows by cell, in all and by past window (oldest first). Of categories also
    ``once`` and ``twice``, the levels seen in one row and in two; ``own`` and ``largest`` (K,), the rows of levels that no
    other window has, and those of the most frequent of them; ``watched``: whether new levels can be judged at all.
    ``alike``: the correlation of two rows of one window (:func:`dependence`).
    """

    name: str
    cells: Cells
    total: np.ndarray
    past: np.ndarray
    once: int = 0
    twice: int = 0
    own: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    largest: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    watched: bool = True
    alike: float = 0.0


@dataclass(frozen=True)
class Record:
    """The reference of all columns, and ``answers``, the same of the model's answers to held-out rows (None: none there).

    ``length`` of a past window and ``end`` of the newest are None where rows have no moment.
    """

    columns: dict[str, Column]
    length: pd.Timedelta | None = None
    end: pd.Timestamp | None = None
    answers: Record | None = None

    def write(self, folder: Path) -> None:
        """Write ``about.json``, ``counts.parquet`` and ``levels.parquet``; the bytes depend on the value alone."""
        parts = [self] if self.answers is None else [self, self.answers]
        counts: list[np.ndarray] = [np.zeros((0, 4), dtype=np.int64)]
        about, levels = [], []
        for part in parts:
            length = None if part.length is None else int(part.length.total_seconds())
            end = None if part.end is None else part.end.isoformat()
            columns = {name: _about(column) for name, column in part.columns.items()}
            about.append(OrdinaryPart(length=length, end=end, columns=columns))
            for column in part.columns.values():
                i = len(counts) - 1
                rows = np.vstack([column.total, column.past])
                window, cell = np.nonzero(rows)
                counts.append(np.column_stack([np.full(len(window), i), window, cell, rows[window, cell]]))
                levels += [(i, level) for level in sorted(column.cells.known)]
        table = pd.DataFrame(np.concatenate(counts), columns=["column", "window", "cell", "rows"])
        OrdinaryParts(parts=about).write(folder)
        write_table(folder / "counts.parquet", table.astype({"column": "int32", "window": "int16", "cell": "int8"}))
        known = pd.DataFrame(levels, columns=["column", "level"])
        write_table(folder / "levels.parquet", known.astype({"column": "int32", "level": "str"}))

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Inverse of :meth:`write`."""
        table, known = read_table(folder / "counts.parquet"), read_table(folder / "levels.parquet")
        of, levels = dict(list(table.groupby("column"))), dict(list(known.groupby("column")["level"]))
        answers: Record | None = None
        about = OrdinaryParts.read(folder).parts
        number = sum(len(part.columns) for part in about)
        for part in reversed(about):
            number -= len(part.columns)
            columns = {}
            for i, (name, one) in enumerate(part.columns.items(), number):
                cells = Cells.of_file(one, frozenset(levels.get(i, ())))
                rows = np.zeros((1 + one.windows, cells.count), dtype=np.int64)
                if i in of:
                    rows[of[i]["window"], of[i]["cell"]] = of[i]["rows"]
                own, largest = (np.array(listed, dtype=np.int64) for listed in (one.own, one.largest))
                columns[name] = Column(
                    name, cells, rows[0], rows[1:], one.once, one.twice, own, largest, one.watched, one.alike
                )
            length = None if part.length is None else pd.Timedelta(seconds=part.length)
            answers = cls(columns, length, None if part.end is None else pd.Timestamp(part.end), answers)
        assert answers is not None  # about.json has one part at least
        return answers


def _about(column: Column) -> OrdinaryColumn:
    cells, windows = column.cells, len(column.past)
    if cells.kind == "numeric":
        far = cells.far if cells.edges else None
        return OrdinaryColumn(kind=cells.kind, edges=list(cells.edges), far=far, windows=windows, alike=column.alike)
    return OrdinaryColumn(
        kind=cells.kind,
        levels=list(cells.levels),
        windows=windows,
        alike=column.alike,
        once=column.once,
        twice=column.twice,
        watched=column.watched,
        own=column.own.tolist(),
        largest=column.largest.tolist(),
    )


def answers(scores: np.ndarray, kind: str, classes: tuple[str, ...]) -> pd.Series:
    """The model's answers as one column: probability of the positive class, class, or number.

    >>> answers(np.array([[0.2, 0.8]]), "multiclass", ("a", "b")).tolist()
    ['b']
    """
    return pd.Series(find_kind(kind).drifting(scores, classes), name=PREDICTION)


def windows(time: pd.Series, length: pd.Timedelta) -> tuple[np.ndarray, int]:
    """The part of a past window of each row, counted from the oldest, and the number of windows; -1 for rows in none.

    Windows lie back to back and end with the newest row; what is left over at the old end is in none.

    >>> time = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-09", "2024-01-15"], utc=True))
    >>> windows(time, WEEK)
    (array([-1,  7, 13]), 2)
    """
    known = time.notna().to_numpy()
    if not known.any():
        return np.full(len(time), -1), 0
    age = ((time.max() - time) * PARTS // length).fillna(-1).to_numpy(dtype=np.int64)
    count = min(int((time.max() - time.min()) // length), WINDOWS)
    at = np.where(known & (age < count * PARTS), count * PARTS - 1 - age, -1)
    return at, count


def column(name: str, kind: str, values: pd.Series, at: np.ndarray, count: int) -> Column:
    """The reference of one column.

    Parameters
    ----------
    values : (n,) the reference's rows. at : (n,) the part of a past window of each
    (:data:`PARTS` make one), -1 for none. count : of past windows.
    """
    cells = Cells.of(values, kind)
    codes = cells.codes(values)
    inside = at >= 0
    size = count * PARTS * cells.count
    parts = np.bincount(at[inside] * cells.count + codes[inside], minlength=size).reshape(count * PARTS, cells.count)
    grid = parts.reshape(count, PARTS, cells.count).sum(1)
    total = np.bincount(codes, minlength=cells.count)
    alike = dependence(cells, total, parts)
    if kind == "numeric":
        return Column(name, cells, total, grid, alike=alike)
    level, names = pd.factorize(values)
    seen = np.bincount(level[level >= 0], minlength=len(names))
    own, largest = own_levels(level, np.where(inside, at // PARTS, -1), count)
    watched = len(names) <= LEVELS
    once, twice = (int((seen == n).sum()) for n in (1, 2))
    return Column(name, cells, total, grid, once, twice, own, largest, watched, alike)


def dependence(cells: Cells, total: np.ndarray, parts: np.ndarray) -> float:
    """The correlation of two rows of one window (intraclass), as far as windows are short: 0 and more.

    Features of history and looked-up ones carry a value over many rows. The means of the windows' parts (:data:`PARTS` make
    one) give their variance s² and the correlation r of neighbours; a window's mean then varies by
    s²/m (1 + 2 sum (1 - k/m) r^k) over its m parts, as a first-order autoregression. Of independent rows it would be that of a
    row over n; a correlation c makes it 1 + (n - 1) c times as much (Kish's design effect).
    """
    n = parts[:, 1:].sum(1)
    used = n >= 3
    if used.sum() < 3 * PARTS:
        return 0.0
    f = cells.scores(total)[1:, None] if cells.kind == "numeric" else np.eye(cells.count - 1)
    share = total[1:] / total[1:].sum()
    variance = share @ f**2 - (share @ f) ** 2
    if variance.sum() <= 0:
        return 0.0
    away = (parts[used, 1:] @ f) / n[used, None] - share @ f
    spread = (away**2).mean(0).sum()
    follow = float((away[1:] * away[:-1]).sum() / max((away**2).sum(), 1e-300))
    follow = min(max(follow + (1 + 3 * follow) / used.sum(), 0.0), 0.98)  # its bias: Marriott and Pope (1954)
    k = np.arange(1, PARTS)
    whole = spread / PARTS * (1 + 2 * ((1 - k / PARTS) * follow**k).sum())
    rows = n[used].mean() * PARTS
    effect = max(whole * rows / variance.sum(), 1.0)
    return float(f"{(effect - 1) / (rows - 1):.6g}")  # no more digits than are sure


def own_levels(level: np.ndarray, at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of levels that stand in one past window only, and of the most frequent of these, by window; int64 (count,).

    This is what the window would have had of unseen levels, had all others been the reference.
    """
    keep = level >= 0
    pairs = pd.DataFrame({"level": level[keep], "at": at[keep]}).value_counts(sort=False).reset_index()
    alone = pairs[~pairs["level"].duplicated(keep=False) & (pairs["at"] >= 0)]
    own, largest = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    np.add.at(own, alone["at"].to_numpy(), alone["count"].to_numpy())
    np.maximum.at(largest, alone["at"].to_numpy(), alone["count"].to_numpy())
    return own, largest


def make(rows: Frame, kinds: dict[str, str], time: pd.Series, length: pd.Timedelta | None) -> Record:
    """The record of the columns ``kinds`` (name: kind; text is left out) of the reference's rows.

    Parameters
    ----------
    rows : (n, columns). time : (n,) their moments, NaT where there are none. length : of a past window.
    """
    timed = length is not None and bool(time.notna().any())
    at, count = windows(time, length) if timed and length is not None else (np.full(len(rows), -1), 0)
    columns = {
        name: column(name, kind, rows[name], at, count)
        for name, kind in kinds.items()
        if kind in ("numeric", "categorical")
    }
    return Record(columns, length if timed else None, time.max() if timed else None)
