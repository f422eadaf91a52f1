"""How much memory a fit of XGBoost takes in each of its ways, and which one fits."""

from __future__ import annotations

import math

from tasks.errors import RefitError
from tasks.memory import GB, Memory

# Bytes, measured on XGBoost 3.2 at 0.25 to 2.5 million rows of 15 to 60 columns, two threads (rounded up):
DENSE, SPARSE = 3.5, 7.0  # a cell of quantised rows without and with missing values
ROW = 64  # a row in every way: target, split, gradients, predictions, positions in the tree
OUTPUT = 24  # a row for each class after the second
SKETCH = 0.3e6  # a column's quantile sketch, per doubling of the rows
CELL = 24  # a cell of the batch at hand: as read, as given to XGBoost, and the pages read ahead


def by_row(rows: int, outputs: int) -> float:
    """Bytes that every way takes for each row, however the features are held."""
    return float(rows * (ROW + OUTPUT * max(0, outputs - 2)))


def quantised(rows: int, width: int, outputs: int, gaps: bool) -> float:
    """Bytes of rows quantised in memory from batches."""
    return by_row(rows, outputs) + sketches(rows, width) + (SPARSE if gaps else DENSE) * rows * width


def sketches(rows: int, width: int) -> float:
    """Bytes of the quantile sketches that find the bins."""
    return SKETCH * width * max(1.0, math.log2(max(rows, 2) / 2048))


def batch_rows(memory: Memory, width: int) -> int:
    """Rows of a batch: an eighth of the memory, at least 4,096 rows and at most a million."""
    return int(min(1_000_000, max(4096, memory.bytes / 8 / (CELL * max(1, width)))))


def check(rows: int, columns: int, outputs: int, memory: Memory) -> None:
    """Refuse, before any long work, what does not fit in any way.

    First the bins are found (sketches), then the trees grown; a batch is at hand in both.

    Raises
    ------
    RefitError
        If that is more than the limit, wherever the features are.
    """
    least = max(by_row(rows, outputs), sketches(rows, columns) + OUTPUT * rows) + memory.bytes / 8
    if least > memory.bytes:
        raise RefitError(
            f"training.memory_gb: {rows:,} rows x {columns} features take about {least / GB:.2f} GB in XGBoost even "
            f"from disk, and {max(0.0, memory.bytes / GB):.2f} GB may be used ({memory.source}). Raise "
            "training.memory_gb, free memory, or keep fewer rows or features"
        )
