"""What a model costs besides its errors: the goals of ``tuning.goals``, measured on trials and on the last fit."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from tasks.files import folder_size
from tasks.models.model import Model, save_model


def latency(model: Model, X: pd.DataFrame, times: int = 20, groups: int = 10) -> float:
    """Milliseconds of a single row's score, features not included: the least median of some groups of calls.

    Another program on the same core makes a group slower, never quicker.
    """
    row = X.iloc[:1]
    model.predict(row)
    medians = []
    for _ in range(groups):
        spent = []
        for _ in range(times):
            start = time.perf_counter()
            model.predict(row)
            spent.append(time.perf_counter() - start)
        medians.append(float(np.median(spent)))
    return min(medians) * 1e3


def size(model: Model, X: pd.DataFrame | None = None) -> float:
    """Kilobytes (1,000 bytes) on disk."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        return folder_size(folder) / 1000


COSTS: Mapping[str, Callable[[Model, pd.DataFrame], float]] = {"latency_ms": latency, "size_kb": size}
