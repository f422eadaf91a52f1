"""Rows with the pipeline's own answers, and a proof that the package gives the same ones a row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.bundle import Bundle
from tasks.bundle.rows import from_json, to_json
from tasks.errors import RefitError

ROWS = 20
NEWEST = 2_000  # with time, golden rows are drawn from as many of the newest


def choose(features: pd.DataFrame, seed: int) -> np.ndarray:
    """Positions in the feature table of the golden rows, in order.

    Newest rows where there is time (a package keeps the history that such rows need), rows of any
    time otherwise; test rows if there are enough.
    """
    candidates = np.flatnonzero(features["__split__"].isin(["test", "pending"]).to_numpy())
    if len(candidates) < ROWS:
        candidates = np.arange(len(features))
    times = features["__time__"].to_numpy("datetime64[us]")[candidates]
    if not np.isnat(times).all():
        candidates = candidates[np.argsort(times, kind="stable")][-NEWEST:]
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(candidates, size=min(ROWS, len(candidates)), replace=False))


def earliest(features: pd.DataFrame, chosen: np.ndarray) -> pd.Timestamp | None:
    """Prediction time of the earliest golden row; None where the problem has no time."""
    moment = features["__time__"].iloc[chosen].min()
    return None if pd.isna(moment) else moment


def golden(bundle: Bundle, features: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Any]:
    """``golden.json``: inputs, features, scores (alone and as this batch) and decisions.

    Matrix products may round the last bit differently for one row and for many, so both are kept, and a
    served package is held to each exactly.

    Parameters
    ----------
    features
        Feature rows as the pipeline computed them in batch.
    rows
        The same rows of the problem table.

    Raises
    ------
    RefitError
        If the package, a row at a time, computes another feature or another score than the pipeline did.
    """
    fields = bundle.schema["fields"]
    names = [str(c) for c in rows.columns]
    inputs = [to_json(dict(zip(names, row, strict=True)), fields) for row in rows.itertuples(index=False)]
    asked = [from_json(given, fields) for given in inputs]
    batch = bundle.predict_rows(asked)
    pipeline = bundle.predict(features)
    out = []
    for i, row in enumerate(asked):
        alone = bundle.predict_row(row)
        found = {name: _plain(value) for name, value in alone.features.items()}
        wanted = {name: _plain(features[name].iloc[i]) for name in found}
        different = [name for name in found if repr(found[name]) != repr(wanted[name])]
        if different:
            name = different[0]
            raise RefitError(
                f"golden row {i}: online, feature {name!r} is {found[name]!r}, and in batch it was {wanted[name]!r} "
                f"({len(different)} features differ). The package would not serve what was evaluated; this is a bug "
                "in the feature plan, please report it with your params.yaml."
            )
        if not np.allclose(alone.scores, np.atleast_1d(pipeline[i]), rtol=1e-6, atol=1e-9):
            raise RefitError(f"golden row {i}: online scores {alone.scores}, and the pipeline's are {pipeline[i]}")
        out.append(
            {
                "input": inputs[i],
                "features": found,
                "scores": list(alone.scores),
                "batch_scores": list(batch[i].scores),
                "decision": bundle.label(alone.decision),
                "batch_decision": bundle.label(batch[i].decision),
            }
        )
    return {"rows": out}


def _plain(value: Any) -> Any:
    """A feature's value for JSON and for comparison by bits: missing is None, and -0.0 is not 0.0."""
    if pd.isna(value):
        return None
    return str(value) if isinstance(value, str) else float(value)
