"""Single rows worth a look: those the model got most wrong, and those it was least certain about."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.artifacts import NotableRow, NotableRows
from tasks.artifacts.pages import Value


def _values(X: pd.DataFrame, at: np.ndarray) -> list[dict[str, Value]]:
    """Feature values of rows as JSON: a missing one is None."""
    part = X.iloc[at]
    names = [str(c) for c in X]
    columns = {c: [None if pd.isna(v) else v for v in part[c].tolist()] for c in names}
    return [{c: columns[c][i] for c in names} for i in range(len(at))]


def notable(
    X: pd.DataFrame,
    rows: np.ndarray,
    y: np.ndarray,
    scores: np.ndarray,
    classes: list[str],
    count: int = 10,
    loss: np.ndarray | None = None,
) -> NotableRows:
    """The ``count`` worst rows, and for classification the ``count`` least certain, with their feature values.

    Worst: the least probability for what was true, or the largest error. Least certain: the smallest
    distance between the two most probable classes. Without a truth, worst by the ``loss`` of each row that is given.
    """
    if loss is not None:
        kinds = {"worst": loss}
    elif scores.ndim == 1:
        badness = np.abs(scores - y)
        kinds = {"worst": badness}
    else:
        ordered = np.sort(scores, axis=1)
        kinds = {
            "worst": 1.0 - scores[np.arange(len(y)), y.astype(np.int64)],
            "least_certain": 1.0 - (ordered[:, -1] - ordered[:, -2]),
        }
    found = {}
    for name, value in kinds.items():
        at = np.lexsort((rows, -value))[:count]
        said = scores[at].tolist()
        found[name] = [
            NotableRow(
                row=int(rows[i]),
                truth=None if loss is not None else float(y[i]) if scores.ndim == 1 else classes[int(y[i])],
                score=s,
                features=f,
            )
            for i, s, f in zip(at, said, _values(X, at), strict=True)
        ]
    return NotableRows(**found)
