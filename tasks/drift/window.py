"""Which rows are compared: the newest window of the feature table, and how many of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tasks.params import Duration

ROWS = 5000


def newest(features: pd.DataFrame, window: Duration | None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows to look at, and a description of them.

    With times and a ``window``: the rows whose ``__time__`` lies within ``window`` of the newest one, labelled or not.
    Otherwise the test split.

    Raises
    ------
    RefitError
        If no row is left.
    """
    times = features["__time__"]
    if window is not None and times.notna().any():
        rows = features[times > times.max() - window.delta]
        about: dict[str, Any] = {"rule": f"newest {window}"}
        about |= {"from": rows["__time__"].min().isoformat(), "to": rows["__time__"].max().isoformat()}
    else:
        rows = features[features["__split__"] == "test"]
        about = {"rule": "test split", "from": None, "to": None}
    if rows.empty:
        raise RefitError(
            f"monitoring.window: no row to compare ({about['rule']}; the feature table has {len(features)} rows). "
            "Set a longer window, or a larger split.test."
        )
    return rows, about | {"rows": len(rows)}


def thin(rows: pd.DataFrame, seed: int, limit: int = ROWS) -> pd.DataFrame:
    """At most ``limit`` rows, drawn without replacement by ``seed``, in their order."""
    if len(rows) <= limit:
        return rows
    taken = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return rows.iloc[np.sort(taken)]
