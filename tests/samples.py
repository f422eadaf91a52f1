"""Small real problems on disk, in the form that stages exchange (see CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.files import write_json, write_table

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
    out = pd.DataFrame({"__row__": np.arange(len(frame))})
    for column in ("__time__", "__known__"):
        out[column] = pd.Series(pd.NaT, index=out.index, dtype="datetime64[us, UTC]")
    out["__split__"] = rng.choice(["train", "valid", "test"], size=len(frame), p=[0.6, 0.2, 0.2])
    out["__target__"] = y.to_numpy(float)
    out = pd.concat([out, frame.reset_index(drop=True)], axis=1)
    write_table(folder / "features.parquet", out)
    write_json(
        folder / "summary.json",
        {
            "kind": kind,
            "target": target,
            "classes": classes,
            "features": [{"name": c, "kind": "categorical" if c == "band" else "numeric"} for c in frame.columns],
            "rows": {s: int((out["__split__"] == s).sum()) for s in ("train", "valid", "test", "pending")},
        },
    )
    return folder
