"""What a model costs besides its errors: the goals of ``tuning.goals``, measured on trials and on the last fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from tasks.fitting.measured import kilobytes, milliseconds
from tasks.models.model import Model, save_model


def latency(model: Model, X: pd.DataFrame, times: int = 20, groups: int = 10) -> float:
    """Milliseconds of a single row's score, features not included: the least median of some groups of calls.

    Another program on the same core makes a group slower, never quicker.
    """
    row = X.iloc[:1]
    model.predict(row)
    return min(float(np.median(milliseconds(model.predict, [row] * times))) for _ in range(groups))


def size(model: Model, X: pd.DataFrame | None = None) -> float:
    """Kilobytes (1,000 bytes) on disk."""
    return kilobytes(partial(save_model, model))


COSTS: Mapping[str, Callable[[Model, pd.DataFrame], float]] = {"latency_ms": latency, "size_kb": size}
