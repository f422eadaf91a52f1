"""The rows of `data/features` by split, as fitting needs them; both tuning and training read them here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.artifacts import Summary
from tasks.artifacts.columns import GROUP, KNOWN, ROW, SPLIT, TARGET, TIME
from tasks.artifacts.folders import FEATURE_TABLE, FEATURES
from tasks.errors import RefitError
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.kinds import find_kind, score_columns
from tasks.stored import Frame, Stored, in_memory, small_in_memory

if TYPE_CHECKING:
    from tasks.params import Params


@dataclass(frozen=True)
class Dataset:
    """All rows with their split; pending rows are left out.

    ``frame`` holds the features under their plan names (a data frame, or one that stays on disk), ``y`` the targets, ``split``
    the splits' names, ``group`` which rows stay together in folds (``split.by``; None: each row by itself), ``known`` when
    labels became known.
    ``silent``: the features that say nothing in the training rows, and why.
    """

    kind: str
    classes: tuple[str, ...]
    kinds: dict[str, str]
    frame: Frame
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

    @property
    def fold(self) -> Fold:
        """The training rows, and the validation rows."""
        return Fold(*self.of("train"), *self.of("valid"))

    def setup(self, params: Params) -> Setup:
        """What all fits on these rows share."""
        return Setup.of(params, self.kind, len(self.classes), self.kinds)

    def only(self, features: list[str]) -> Dataset:
        """The same rows with fewer features."""
        return replace(self, frame=self.frame[features], kinds={f: self.kinds[f] for f in features})


def read_rows(folder: str | Path = FEATURES) -> Dataset:
    """Read ``features.parquet`` and ``summary.json``, and check that a model can be fitted at all.

    Raises
    ------
    RefitError
        If a split is empty, the target is constant, classes are missing or outnumber the rows, or no
        feature is left.
    """
    summary = Summary.read(folder)
    table = Stored(Path(folder) / FEATURE_TABLE.name)
    table = table[table[SPLIT] != "pending"]
    kinds = summary.kinds
    part, names = pd.factorize(table[SPLIT])  # each name is made once, not for every row
    rows = Dataset(
        kind=summary.kind,
        classes=tuple(summary.classes),
        kinds=kinds,
        frame=small_in_memory(table[list(kinds)]),
        y=table[TARGET].to_numpy(float),
        split=np.asarray(names, dtype=str)[part],
        row=table[ROW].to_numpy(np.int64),
        time=table[TIME],
        group=table[GROUP].to_numpy(np.uint64) if GROUP in table else None,
        silent=summary.silent,
        known=table[KNOWN],
    )
    check_rows(rows, summary.target)
    return rows


def check_rows(rows: Dataset, target: str) -> None:
    """Refuse what cannot be learnt from, before any long work."""
    if not rows.kinds:
        raise RefitError("data/features: no feature is left; name columns in features.columns")
    for split in ("train", "valid"):
        if not (rows.split == split).any():
            raise RefitError(f"split.{split}: no row is in the {split} split; give it a longer time or a larger share")
    train = rows.y[rows.split == "train"]
    if (kind := find_kind(rows.kind)).targeted:
        kind.check_train(train, rows.classes, target)


def with_scores(table: pd.DataFrame, scores: np.ndarray, whose: str = "") -> pd.DataFrame:
    """A table (rows numbered from 0), then ``score_0 ...``, or ``score`` for ``(n,)`` numbers; ``whose`` goes before.

    Where a feature has such a name, the scores are called ``__score_0__ ...``.
    """
    names = [whose + name for name in score_columns(scores)]
    if not table.columns.intersection(names).empty:
        names = [f"__{name}__" for name in names]
    return pd.concat([table, pd.DataFrame(scores.reshape(len(table), -1), columns=names)], axis=1)


def scores_in(table: pd.DataFrame) -> np.ndarray:
    """The scores in a table's last columns, as :func:`with_scores` put them there.

    >>> own = pd.DataFrame({"score": [7.0, 8.0]})
    >>> scores_in(with_scores(own, np.array([0.2, 0.4]))).tolist(), scores_in(with_scores(own, np.eye(2))).tolist()
    ([0.2, 0.4], [[1.0, 0.0], [0.0, 1.0]])
    """
    last = str(table.columns[-1]).strip("_")
    if last == "score":
        return table.iloc[:, -1].to_numpy(float)
    return table.iloc[:, -1 - int(last.removeprefix("score_")) :].to_numpy(float)
