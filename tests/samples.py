"""Small real problems on disk, in the form that stages exchange (see CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts import Best, Candidate, Choice, Drift, FeatureAbout, Metrics, Summary, Trial
from tasks.artifacts.columns import KNOWN, ROW, SPLIT, TARGET, TIME
from tasks.files import write_table

KINDS = ("binary", "multiclass", "regression")


def sample_frame(kind: str) -> tuple[pd.DataFrame, str]:
    """A bundled scikit-learn table with a categorical column and missing values, and its target's name."""
    from sklearn import datasets

    loader = {
        "binary": datasets.load_breast_cancer,
        "multiclass": datasets.load_iris,
        "regression": datasets.load_diabetes,
    }[kind]
    frame = loader(as_frame=True).frame.copy()
    first = frame.columns[0]
    frame["band"] = np.where(frame[first] > frame[first].median(), "high", "low")
    frame.loc[frame.index[::17], frame.columns[1]] = np.nan
    return frame, "target"


def features_folder(root: Path, kind: str = "binary", seed: int = 0) -> Path:
    """Write ``root/data/features`` for one of :data:`KINDS`; returns that folder."""
    frame, target = sample_frame(kind)
    folder = root / "data" / "features"
    rng = np.random.default_rng(seed)
    y = frame.pop(target)
    classes = [] if kind == "regression" else [str(c) for c in sorted(y.unique())]
    out = pd.DataFrame({ROW: np.arange(len(frame))})
    for column in (TIME, KNOWN):
        out[column] = pd.Series(pd.NaT, index=out.index, dtype="datetime64[us, UTC]")
    out[SPLIT] = rng.choice(["train", "valid", "test"], size=len(frame), p=[0.6, 0.2, 0.2])
    out[TARGET] = y.to_numpy(float)
    out = pd.concat([out, frame.reset_index(drop=True)], axis=1)
    write_table(folder / "features.parquet", out)
    Summary(
        kind=kind,
        target=target,
        classes=classes,
        features=[FeatureAbout(name=c, kind="categorical" if c == "band" else "numeric") for c in frame.columns],
        rows={s: int((out[SPLIT] == s).sum()) for s in ("train", "valid", "test", "pending")},
        boundaries={"valid": 0.2, "test": 0.2},
        plan="",
    ).write(folder)
    return folder


def summary(**more: Any) -> Summary:
    """``data/features/summary.json`` of a binary problem without rows and features, but for what is given."""
    empty = {
        "kind": "binary",
        "target": "y",
        "classes": ["0", "1"],
        "features": [],
        "rows": {},
        "boundaries": {},
        "plan": "",
    }
    return Summary.of_json(empty | more)


def best(family: str, params: dict[str, Any], **more: Any) -> Best:
    """``best.json`` of a search of one trial, with these parameters."""
    return Best.of_json({"family": family, "params": params, "value": 0.5, "metric": "roc_auc", "trials": 1} | more)


def candidate(family: str, params: dict[str, Any] | None = None, **more: Any) -> Candidate:
    """``candidate.json`` of a family that was fitted, without features, but for what is given."""
    empty = {
        "metric": "roc_auc",
        "valid": {},
        "features": [],
        "dropped": {},
        "notes": {},
        "history": {},
        "compression": [],
    }
    return Candidate.of_json({"family": family, "params": params or {}} | empty | more)


def trial(number: int, value: float | None, **more: Any) -> Trial:
    """A trial that was completed, without parameters, but for what is given."""
    return Trial.model_validate(
        {"number": number, "params": {}, "value": value, "state": "complete", "intermediate": {}} | more
    )


def choice(family: str = "ridge", **more: Any) -> Choice:
    """``choice.json`` of one family, by ROC AUC, but for what is given."""
    empty = {"members": [family], "weights": [1.0], "threshold": None, "metric": "roc_auc"}
    figures = {"valid": 0.5, "test": 0.5, "baseline": 0.5, "reason": ""}
    return Choice.of_json({"family": family} | empty | figures | more)


def metrics(**candidates: dict[str, Any]) -> Metrics:
    """``metrics.json`` of these candidates, without figures of the choice and the baseline."""
    none = {"valid": {}, "test": {}}
    choice, baseline = {"family": "ridge"} | none, {"name": "nothing"} | none
    return Metrics.of_json(
        {"metric": "roc_auc", "candidates": candidates, "choice": choice, "baseline": baseline, "rows": {}}
    )


def policy_state(looks: int) -> dict[str, Any]:
    """What the promotion policy remembers of so many looks, none of which promoted."""
    return {"format": 2, "looks": looks, "promoted": [], "candidates": [], "process": None}


def drift(drifted: bool | None) -> Drift:
    """``drift.json`` of a table without columns."""
    state = "no_rows" if drifted is None else "drifted" if drifted else "stable"
    window, reference = {"rule": "newest 7d"}, {"version": None, "package": "", "of": "new package"}
    told = {"alarms": [], "sentence": "This is what it came to.", "columns": [], "prediction": None}
    return Drift.of_json(
        {"state": state, "drifted": drifted, "share": 0.0, "drift_share": 0.5, "window": window, "reference": reference}
        | told
    )
