"""Encoded rows on disk: features.parquet read and encoded one column at a time, so that the table never is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.artifacts import Summary
from tasks.artifacts.columns import ROW, SPLIT, TARGET
from tasks.artifacts.folders import FEATURE_TABLE, FEATURES
from tasks.encoding import Encoder
from tasks.encoding.encoder import LARGE
from tasks.files import read_table
from tasks.fitting.rows import Dataset, check_rows
from tasks.fitting.setup import Setup

if TYPE_CHECKING:
    from tasks.params import Params

SPLITS = ("train", "valid", "test")
SLICE = 50_000  # rows of a column that are encoded at once


@dataclass
class Encoded:
    """One split's encoded rows: float32, one file, column after column.

    ``y`` is float64 ``(rows,)``; ``gaps`` says whether any value is missing.
    """

    path: Path
    y: np.ndarray
    row: np.ndarray
    width: int = 0
    gaps: bool = False
    weight: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.y)

    def part(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``, ``(n, width)`` float32. Read, not mapped: mapped pages would count as ours."""
        stop = min(stop, self.rows)
        out = np.empty((stop - start, self.width), np.float32)
        with self.path.open("rb") as file:
            for j in range(self.width):
                file.seek(4 * (j * self.rows + start))
                out[:, j] = np.fromfile(file, np.float32, stop - start)
        return out

    def parts(self, size: int) -> Iterator[np.ndarray]:
        """All rows in order, ``size`` at a time."""
        return (self.part(start, start + size) for start in range(0, self.rows, size))

    def append(self, columns: np.ndarray) -> None:
        """Write whole columns, ``(rows, k)``, behind those written."""
        with self.path.open("ab") as file:
            np.ascontiguousarray(columns.T, dtype=np.float32).tofile(file)
        self.width += columns.shape[1]
        self.gaps = self.gaps or bool(np.isnan(columns).any())


@dataclass
class Outline:
    """What is known of the rows without their features. ``split`` is int8: position in :data:`SPLITS`, or -1."""

    path: Path
    kind: str
    classes: tuple[str, ...]
    kinds: dict[str, str]
    y: np.ndarray
    row: np.ndarray
    split: np.ndarray

    def setup(self, params: Params) -> Setup:
        """What all fits on these rows share."""
        return Setup.of(params, self.kind, len(self.classes), self.kinds)

    def of(self, split: str) -> np.ndarray:
        """The rows of one split, as a mask."""
        return self.split == SPLITS.index(split)


def outline(folder: str | Path = FEATURES) -> Outline:
    """Read all but the features, and refuse what cannot be learnt from (see :func:`check_rows`)."""
    folder = Path(folder)
    summary, path = Summary.read(folder), folder / FEATURE_TABLE.name
    head = read_table(path, [ROW, SPLIT, TARGET])
    split = pd.Index(SPLITS).get_indexer(pd.Index(head[SPLIT])).astype(np.int8)
    found = Outline(
        path=path,
        kind=summary.kind,
        classes=tuple(summary.classes),
        kinds=summary.kinds,
        y=head[TARGET].to_numpy(float),
        row=head[ROW].to_numpy(np.int64),
        split=split,
    )
    names = np.array([*SPLITS, "pending"], dtype=object)[split]
    nothing = pd.DataFrame(index=head.index)
    check_rows(
        Dataset(found.kind, found.classes, found.kinds, nothing, found.y, names, found.row, pd.Series(dtype="str")),
        summary.target,
    )
    return found


def encode_to(folder: Path, rows: Outline, features: list[str], setup: Setup) -> tuple[Encoder, dict[str, Encoded]]:
    """Fit the encoder that trees need on the training rows, and write all three splits encoded into ``folder``.

    The encoder is equal to the one that :func:`tasks.models.prepare` fits, and so are the encoded rows, but for
    being float32 (which XGBoost makes of any number).
    """
    masks = {split: rows.of(split) for split in SPLITS}
    made = {s: Encoded(folder / f"{s}.f32", rows.y[m], rows.row[m]) for s, m in masks.items()}
    parts: list[Encoder] = []
    columns: dict[str, list[str]] = {"numeric": [], "categorical": [], "text": []}
    for kind in columns:  # the encoder's own order of columns
        for name in features:
            if rows.kinds[name] == kind:
                parts.append(_column(name, rows, masks, made, setup))
                columns[kind] += parts[-1].columns[kind]
    encoder = Encoder(
        "trees", columns, None, [c for p in parts for c in p.categories], [t for p in parts for t in p.texts], "float64"
    )
    if made["train"].rows * made["train"].width > LARGE:
        encoder.dtype = "float32"
    return encoder, made


def _column(
    name: str,
    rows: Outline,
    masks: Mapping[str, np.ndarray],
    made: Mapping[str, Encoded],
    setup: Setup,
) -> Encoder:
    """Encode one feature into every split's file."""
    frame = read_table(rows.path, [name])
    train = frame[masks["train"]].reset_index(drop=True)
    y, own, seed, how = made["train"].y, {name: rows.kinds[name]}, setup.seed, setup.encode
    if how.get("categories") == "target" and rows.kinds[name] == "categorical":  # cross-fitted: all at once
        encoder, crossed = Encoder.fit_transform(train, y, "trees", rows.kind, own, seed, None, **how)
        made["train"].append(crossed)
        todo = ["valid", "test"]
    else:
        encoder = Encoder.fit(train, y, "trees", rows.kind, kinds=own, seed=seed, **how)
        todo = list(SPLITS)
    width = len(encoder.names)
    if width == 0:  # missing in every training row
        return encoder
    for split in todo:
        chosen = train if split == "train" else frame[masks[split]]
        if width == 1:
            made[split].append(encoder.transform(chosen))
        else:
            _wide(made[split], encoder, chosen, width)
    return encoder


def _wide(made: Encoded, encoder: Encoder, frame: pd.DataFrame, width: int) -> None:
    """Append a feature of many columns: encoded a slice of rows at a time, put at its place in each column."""
    with made.path.open("ab") as file:
        start = file.tell()
        file.truncate(start + 4 * width * made.rows)
    with made.path.open("r+b") as file:
        for at in range(0, made.rows, SLICE):
            block = encoder.transform(frame.iloc[at : at + SLICE]).astype(np.float32)
            made.gaps = made.gaps or bool(np.isnan(block).any())
            for j in range(width):
                file.seek(start + 4 * (j * made.rows + at))
                np.ascontiguousarray(block[:, j]).tofile(file)
    made.width += width
