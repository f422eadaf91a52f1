"""A few feature rows in the shape of a table, without the cost of making one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Block:
    """Numeric columns of a few rows."""

    values: np.ndarray

    def to_numpy(self, dtype: type = float) -> np.ndarray:
        """The values (rows, columns), as a frame gives them."""
        return self.values.astype(dtype, copy=False)


class FewRows:
    """Feature rows, as much of a ``DataFrame`` as the encoder asks of it: columns by name, and a block of numbers.

    Making a ``DataFrame`` of one row and 150 features and cutting it up again takes 3 ms, which is ten times what
    the features and the prediction take together; this takes 20 µs.

    >>> rows = FewRows([{"a": 1.0, "b": "x"}, {"a": 2.0, "b": float("nan")}])
    >>> rows[["a"]].to_numpy(float).tolist()
    [[1.0], [2.0]]
    >>> rows["b"].isna().tolist()
    [False, True]
    """

    def __init__(self, rows: Sequence[Mapping[str, str | float]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        return name in self.rows[0]

    @overload
    def __getitem__(self, wanted: str) -> pd.Series: ...

    @overload
    def __getitem__(self, wanted: list[str]) -> Block: ...

    def __getitem__(self, wanted: str | list[str]) -> pd.Series | Block:
        if isinstance(wanted, str):
            return pd.Series([row[wanted] for row in self.rows], dtype=object)
        return Block(np.array([[row[name] for name in wanted] for row in self.rows], dtype=float))
