"""Numbers that are larger than models hold."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tasks.stored import opened
from tasks.values.numbers import LARGEST


def beyond(path: Path, names: Collection[str]) -> list[str]:
    """The columns of a Parquet file, of those named, with a value beyond :data:`LARGEST`; nothing but its footer is read."""
    found = set()
    with opened(path) as file:
        for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                told = column.statistics if column.physical_type == "DOUBLE" else None
                if told is not None and told.has_min_max and max(-told.min, told.max) > LARGEST:
                    found.add(column.path_in_schema)
    return [name for name in names if name in found]
