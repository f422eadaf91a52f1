"""What answers cost, as it is measured: milliseconds a row, and kilobytes on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tasks.files import folder_size

T = TypeVar("T")


def milliseconds(answer: Callable[[T], object], rows: Iterable[T], warm_up: int = 0) -> list[float]:
    """How long each row's answer took, but for the first ones, which only warm up; of few rows at least the last counts."""
    spent = []
    for row in rows:
        start = time.perf_counter()
        answer(row)
        spent.append((time.perf_counter() - start) * 1000)
    return spent[min(warm_up, len(spent) - 1) :]


def kilobytes(save: Callable[[Path], object]) -> float:
    """Kilobytes (1,000 bytes) of what ``save`` writes into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return folder_size(folder) / 1000
