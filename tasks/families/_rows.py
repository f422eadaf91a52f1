"""The rows of `data/features` by split, as fitting needs them; both tuning and training read them here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError, some
from tasks.files import read_json
from tasks.stored import Stored, in_memory, small_in_memory


@dataclass(frozen=True)
class Rows:
    """All rows with their split; pending rows are left out.

    ``frame`` holds the features under their plan names (a data frame, or one that stays on disk), ``y`` the targets, ``split``
    the splits' names, ``group`` which rows stay together in folds (``split.by``; None: each row by itself), ``known`` when
    labels became known.
    ``silent``: the features that say nothing in the training rows, and why.
    """

    kind: str
    classes: tuple[str, ...]
    kinds: dict[str, str]
    frame: Any
    y: np.ndarray
    split: np.ndarray
    row: np.ndarray
    time: pd.Series
    group: np.ndarray | None = None
    silent: dict[str, str] = field(default_factory=dict)
    known: pd.Series | None = None

    def of(self, *splits: str) -> tuple[pd.DataFrame, np.ndarray]:
        """Features and targets of some splits, in the table's order."""
        chosen = np.isin(self.split, splits)
        return in_memory(self.frame[chosen].reset_index(drop=True)), self.y[chosen]

    def only(self, features: list[str]) -> Rows:
        """The same rows with fewer features."""
        return replace(self, frame=self.frame[features], kinds={f: self.kinds[f] for f in features})


def read_rows(folder: str | Path = "data/features") -> Rows:
    """Read ``features.parquet`` and ``summary.json``, and check that a model can be fitted at all.

    Raises
    ------
    RefitError
        If a split is empty, the target is constant, classes are missing or outnumber the rows, or no
        feature is left.
    """
    summary = read_json(Path(folder) / "summary.json")
    table = Stored(Path(folder) / "features.parquet")
    table = table[table["__split__"] != "pending"]
    kinds = {f["name"]: f["kind"] for f in summary["features"]}
    part, names = pd.factorize(table["__split__"])  # each name is made once, not for every row
    rows = Rows(
        kind=summary["kind"],
        classes=tuple(summary["classes"]),
        kinds=kinds,
        frame=small_in_memory(table[list(kinds)]),
        y=table["__target__"].to_numpy(float),
        split=np.asarray(names, dtype=str)[part],
        row=table["__row__"].to_numpy(np.int64),
        time=table["__time__"],
        group=table["__group__"].to_numpy(np.uint64) if "__group__" in table else None,
        silent=summary.get("silent", {}),
        known=table["__known__"],
    )
    check_rows(rows, summary)
    return rows


def check_rows(rows: Rows, summary: dict[str, Any]) -> None:
    """Refuse what cannot be learnt from, before any long work."""
    target = summary.get("target", "the target")
    if not rows.kinds:
        raise RefitError("data/features: no feature is left; name columns in features.columns")
    for split in ("train", "valid"):
        if not (rows.split == split).any():
            raise RefitError(f"split.{split}: no row is in the {split} split; give it a longer time or a larger share")
    train = rows.y[rows.split == "train"]
    if rows.kind == "regression":
        if np.ptp(train) == 0:
            raise RefitError(f"problem.target: {target!r} has one value, {train[0]:g}, in all training rows")
        return
    if len(rows.classes) > len(train):
        raise RefitError(
            f"problem.target: {target!r} has {len(rows.classes)} classes and {len(train)} training rows; "
            "is it a number? Then set problem.kind: regression"
        )
    counts = np.bincount(train.astype(int), minlength=len(rows.classes))
    if (counts > 0).sum() < 2:
        only = rows.classes[int(counts.argmax())]
        raise RefitError(f"problem.target: {target!r} has one class, {only!r}, in all training rows")
    absent = [c for c, n in zip(rows.classes, counts, strict=True) if n == 0]
    if absent:
        raise RefitError(
            f"problem.target: the classes {some(absent)} have no training row; "
            "drop their rows, join them with another class, or give the train split more"
        )


def score_table(scores: np.ndarray, **first: Any) -> pd.DataFrame:
    """A table of some columns, then ``score_0 ...``, or ``score`` for ``(n,)`` numbers."""
    columns = ["score"] if scores.ndim == 1 else [f"score_{k}" for k in range(scores.shape[1])]
    return pd.concat([pd.DataFrame(first), pd.DataFrame(scores.reshape(len(scores), -1), columns=columns)], axis=1)
