"""A Parquet file as a frame that stays on disk: a column, or some rows, are read when they are asked for.

A stage that looks at one column after another, or at a sample of the rows, so holds these alone, however large the table
is. Where memory is not limited and the table takes a small part of it, a column stays once it was read. What is asked of
:class:`Stored` is written as for a data frame, and gives the same values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import pandas as pd
import pyarrow.types as pt

from tasks import memory
from tasks.files import no_file

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Make = Callable[[pd.Series, np.ndarray | slice], pd.Series]
CELLS = 1 << 22  # of the largest frame that is asked in one piece where memory is limited: 34 MB of numbers
HELD = 1 / 8  # of what a process may use: a table that takes less is held
MANY = 50  # columns beside numbers, beyond which they are not put in one by one


def opened(path: str | Path) -> pq.ParquetFile:
    """A Parquet file; RefitError where there is none."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise no_file(path) from None


class Stored:
    """Some columns and rows of a Parquet file. ``rows`` are positions in the file (None: all of them).

    ``stored[name]`` reads a column, ``stored[names]`` and ``stored[mask]`` narrow without reading anything, and
    ``stored.iloc[at]`` is a data frame of some rows. The index is always 0, 1, 2, …

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "t.parquet"
    >>> pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]}).to_parquet(path)
    >>> table = Stored(path)
    >>> later = table[table["a"] > 1]
    >>> later["b"].tolist(), later.iloc[[1]].to_dict("records"), later.shape
    (['y', 'z'], [{'a': 3.0, 'b': 'z'}], (2, 2))
    >>> later.with_column("c", "a", lambda values, at: 2 * values)["c"].tolist()
    [4.0, 6.0]
    """

    def __init__(self, path: str | Path, names: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        with opened(path) as file:
            self._schema, self._about = file.schema_arrow, file.metadata
        self._names = list(self._schema.names if names is None else names)
        self._rows: np.ndarray | None = None
        self._made: dict[str, tuple[str, Make]] = {}
        size = 8 * int(self._about.num_rows) * len(self._names)
        holds = not memory.limited() and size <= HELD * memory.of_process().bytes
        self._held: dict[str, pd.Series] | None = {} if holds else None

    @classmethod
    def folder(cls, folder: str | Path, names: Iterable[str]) -> dict[str, Stored]:
        """Whole tables by name, each in a file of its own."""
        return {name: cls(Path(folder) / f"{name}.parquet") for name in names}

    def _with(self, names: Sequence[str] | None = None, rows: np.ndarray | None = None) -> Stored:
        made = copy.copy(self)
        if names is not None:
            made._names = list(names)
        if rows is not None:
            made._rows = rows if self._rows is None else self._rows[rows]
        return made

    def with_column(self, name: str, of: str, make: Make) -> Stored:
        """The same with another column, or another one in its place, made of ``of`` whenever it is read.

        ``make``: from some of its values, and where in the file they stand (positions, or a slice), to as many others.
        """
        made = self._with(self._names if name in self._names else [*self._names, name])
        if of == name and name in self._made:
            of, before = self._made[name]
            made._made = {**self._made, name: (of, lambda values, at: make(before(values, at), at))}
        else:
            made._made = {**self._made, name: (of, make)}
        return made

    @property
    def columns(self) -> pd.Index:
        """Names of the columns, as of a data frame."""
        return pd.Index(self._names)

    @property
    def index(self) -> pd.RangeIndex:
        """0, 1, 2, …"""
        return pd.RangeIndex(len(self))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self._names)

    @property
    def iloc(self) -> _Places:
        """Some rows by position, as a data frame in memory."""
        return _Places(self)

    def __len__(self) -> int:
        return int(self._about.num_rows) if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    @overload
    def __getitem__(self, asked: str) -> pd.Series: ...
    @overload
    def __getitem__(self, asked: list[str] | np.ndarray | pd.Series | pd.Index) -> Stored: ...
    def __getitem__(self, asked: str | list[str] | np.ndarray | pd.Series | pd.Index) -> pd.Series | Stored:
        """A column's values, or fewer columns (a list of names), or fewer rows (a mask)."""
        if isinstance(asked, str):
            if asked not in self._names:
                raise KeyError(asked)
            return self._column(asked, self._rows)
        chosen = asked.to_numpy() if isinstance(asked, pd.Series | pd.Index) else asked
        if isinstance(chosen, np.ndarray) and chosen.dtype == bool:
            return self._with(rows=np.flatnonzero(chosen))
        lacking = [name for name in chosen if name not in self._names]
        if lacking:
            raise KeyError(lacking[0])
        return self._with(names=list(chosen))

    def reset_index(self, drop: bool = True) -> Stored:
        """The same: the index always counts from 0."""
        return self

    def take(self, at: np.ndarray) -> Stored:
        """Fewer rows, by position; the same table where all of them are asked for, in their order."""
        whole = len(at) == len(self) and np.array_equal(at, np.arange(len(at)))
        return self if whole else self._with(rows=at)

    def drop(self, columns: Sequence[str]) -> Stored:
        """The same without some columns."""
        gone = set(columns)
        return self._with(names=[name for name in self._names if name not in gone])

    def frame(self) -> pd.DataFrame:
        """All of it, in memory."""
        return self._frame(self._rows)

    def _column(self, name: str, rows: np.ndarray | None) -> pd.Series:
        if name not in self._made:
            return self._read(name, rows)
        of, make = self._made[name]
        values = self._read(name, rows) if of == name else self._column(of, rows)
        return make(values, slice(None) if rows is None else rows)

    def _read(self, name: str, rows: np.ndarray | None) -> pd.Series:
        """Values as they are in the file: of no more row groups than hold the rows."""
        if self._held is not None:
            if name not in self._held:
                self._held[name] = self._from_file(name, None)
            values = self._held[name]
            return values if rows is None else values.iloc[rows].reset_index(drop=True)
        return self._from_file(name, rows)

    def _from_file(self, name: str, rows: np.ndarray | None) -> pd.Series:
        import pyarrow.parquet as pq

        groups, first = list(range(self._about.num_row_groups)), 0
        if rows is not None:
            held = np.searchsorted(self._ends, [rows.min(), rows.max()], side="right") if len(rows) else [0, -1]
            groups = groups[held[0] : held[1] + 1]
            first = int(self._ends[held[0] - 1]) if held[0] else 0
        with pq.ParquetFile(self.path, metadata=self._about) as file:  # its footer may be large, and is read once
            read = file.read_row_groups(groups, [name], use_threads=False)
        whole = read.to_pandas(split_blocks=True, self_destruct=True)[name]
        return whole if rows is None else whole.iloc[rows - first].reset_index(drop=True)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where each row group ends."""
        return np.cumsum([self._about.row_group(i).num_rows for i in range(self._about.num_row_groups)])

    def _frame(self, rows: np.ndarray | None) -> pd.DataFrame:
        """Numbers go into one block as they are read, so that no column is there twice."""
        stored = set(self._schema.names)
        numeric = [n for n in self._names if n in stored and pt.is_float64(self._schema.field(n).type)]
        count = int(self._about.num_rows) if rows is None else len(rows)
        block = np.empty((len(numeric), count))
        for i, name in enumerate(numeric):
            block[i] = self._column(name, rows)
        if len(self._names) - len(numeric) > MANY:
            place = {name: i for i, name in enumerate(numeric)}
            columns = {n: block[place[n]] if n in place else self._column(n, rows) for n in self._names}
            return pd.DataFrame(columns, copy=False)
        made = pd.DataFrame(block.T, columns=pd.Index(numeric), copy=False)
        for i, name in enumerate(self._names):
            if name not in made.columns:
                made.insert(i, name, self._column(name, rows))
        return made


Frame = pd.DataFrame | Stored  # in memory, or on disk


class _Places:
    """Rows of a :class:`Stored` by position, as a data frame."""

    def __init__(self, of: Stored) -> None:
        self.of = of

    def __getitem__(self, at: np.ndarray | slice | Sequence[int]) -> pd.DataFrame:
        places = np.arange(len(self.of))[at]
        rows = places if self.of._rows is None else self.of._rows[places]
        return self.of._frame(rows).set_axis(places, axis=0)


def in_memory(rows: Frame) -> pd.DataFrame:
    """A data frame as it is, or all of a stored one."""
    return rows.frame() if isinstance(rows, Stored) else rows


def small_in_memory(rows: Stored) -> Frame:
    """A small table in memory, a large one as it is."""
    return rows.frame() if len(rows) * len(rows.columns) <= CELLS else rows


def by_parts(ask: Callable[[pd.DataFrame], np.ndarray], rows: Frame) -> np.ndarray:
    """What ``ask`` says of feature rows, (n, …): with a limit of memory a large table's rows in blocks."""
    if not memory.limited() or len(rows) * len(rows.columns) <= CELLS:
        return ask(in_memory(rows))
    size = max(1, CELLS // len(rows.columns) // 2)
    return np.concatenate([ask(rows.iloc[start : start + size]) for start in range(0, len(rows), size)])
