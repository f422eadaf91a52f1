"""What the manifest says about a package, and the reference sample that drift compares with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.bundle import Bundle
from tasks.bundle.seen import Seen
from tasks.identity import Rule, identify
from tasks.params import Params

REFERENCE_ROWS = 20_000


def reference(bundle: Bundle, features: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A seeded sample of at most 20,000 training rows: features as fitted on, then the model's scores."""
    train = np.flatnonzero((features["__split__"] == "train").to_numpy())
    if len(train) > REFERENCE_ROWS:
        train = np.sort(np.random.default_rng(seed).choice(train, REFERENCE_ROWS, replace=False))
    sample = features.iloc[train].reset_index(drop=True)
    scores = bundle.predict(sample)
    names = ["score"] if scores.ndim == 1 else [f"score_{i}" for i in range(scores.shape[1])]
    told = pd.DataFrame(scores.reshape(len(sample), -1), columns=names)
    return pd.concat([sample[[f.name for f in bundle.plan.features]], told], axis=1)


def seen_rows(rows: pd.DataFrame, features: pd.DataFrame, rule: Rule) -> Seen:
    """The record of the training and validation rows; ``rows`` is the problem's whole table, one row a feature row."""
    seen = features["__split__"].isin(["train", "valid"]).to_numpy()
    return Seen.of(identify(rows, rule), seen, features["__time__"], rule)


def about_of(given: Params, choice: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``bundle.json`` but for the files: from the choice and the features' summary."""
    members = choice.get("members") or [choice["family"]]
    weights = choice.get("weights") or [1.0] * len(members)
    if isinstance(weights, dict):
        weights = [weights[member] for member in members]
    return {
        "name": given.problem.name,
        "kind": given.problem.kind,
        "target": summary["target"],
        "classes": summary["classes"],
        "threshold": choice.get("threshold"),
        "family": choice["family"],
        "members": list(members),
        "weights": [float(w) for w in weights],
        **({"calibration": choice["calibration"]} if choice.get("calibration") else {}),
        "metrics": {key: choice.get(key) for key in ("metric", "valid", "test", "baseline")},
    }
