"""A frame as the file that commands read: its values may be texts as in a file, or what pandas made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.errors import RefitError, first_line

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def as_file(frame: pd.DataFrame, call: Callable[[Path], T]) -> T:
    """Call a function with a Parquet file of the frame's rows; in messages the file is called the frame.

    Raises
    ------
    RefitError
        If the frame cannot be stored, and what ``call`` raises.
    """
    import pyarrow as pa

    with tempfile.TemporaryDirectory(prefix="refit-frame-") as folder:
        source = Path(folder) / "rows.parquet"
        try:
            _storable(frame).to_parquet(source, index=False)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise RefitError(f"the frame: cannot be read ({first_line(error)}). Columns have texts as names.") from None
        try:
            return call(source)
        except RefitError as error:
            raise RefitError(str(error).replace(str(source), "the frame")) from None


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without pandas' categories, and values of several types in one column as the texts that they are written as."""
    import pandas as pd
    import pyarrow as pa

    plain = frame.copy(deep=False)
    for at, kind in enumerate(frame.dtypes):
        column = frame.iloc[:, at]
        if isinstance(kind, pd.CategoricalDtype):
            plain.isetitem(at, column.to_numpy(object))
        elif pd.api.types.is_object_dtype(kind):
            try:
                pa.array(column, from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                plain.isetitem(at, column.map(str, na_action="ignore").array)
    return plain
