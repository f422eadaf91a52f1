"""The tables that scikit-learn ships: measurements and a numeric column ``target``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

_FILES = {
    "iris": ("iris.csv",),
    "breast_cancer": ("breast_cancer.csv",),
    "wine": ("wine_data.csv",),
    "digits": ("digits.csv.gz",),
    "diabetes": ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
}
TABLES = tuple(_FILES)


def files(table: str) -> list[Path]:
    """Files that a table's content hangs on."""
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    return [Path(spec.origin).parent / "datasets" / "data" / name for name in _FILES[table]]


def read(table: str) -> pd.DataFrame:
    """A table, as the library has it. Raises :class:`RefitError` for one that it has not."""
    from sklearn import datasets

    return getattr(datasets, f"load_{table}")(as_frame=True).frame
