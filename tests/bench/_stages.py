"""A project's folder as stages after ``features`` find it, written from a table in memory; and how a stage is run there."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts import Selection
from tasks.files import write_table
from tests.bench._flights import ROOT
from tests.samples import best, summary


def features(root: Path, X: pd.DataFrame, y: np.ndarray, kind: str, parts: np.ndarray, params: str) -> None:
    """``data/features`` of rows without time: ``y`` (n,) are class indexes or numbers, ``parts`` (n,) say which split.

    ``params``: the sections of ``params.yaml`` after ``data``, with the metric first.
    """
    head = pd.DataFrame({"__row__": np.arange(len(X))})
    for column in ("__time__", "__known__"):
        head[column] = pd.Series(pd.NaT, index=head.index, dtype="datetime64[us, UTC]")
    head["__split__"], head["__target__"] = parts, y
    folder = root / "data" / "features"
    write_table(folder / "features.parquet", pd.concat([head, X], axis=1))
    listed = [{"name": c, "kind": "numeric" if X[c].dtype.kind in "if" else "categorical"} for c in X]
    classes = [] if kind == "regression" else [str(c) for c in range(int(y.max()) + 1)]
    summary(kind=kind, classes=classes, features=listed).write(folder)
    metric, rest = params.split("\n", 1)
    (root / "params.yaml").write_text(
        f"problem: {{name: bench, kind: {kind}, table: t, target: y, metric: {metric}}}\n"
        f"data: {{tables: {{t: {{source: t.csv, columns: {{y: numeric}}}}}}}}\n{rest}"
    )


def run(root: Path, *words: str) -> tuple[str, float, float]:
    """What a Python module prints, and the wall and processor seconds of it and of all that it started."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=root, env=env, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tuned(root: Path, family: str, kept: list[str], params: dict[str, Any]) -> None:
    """What the stage ``train`` needs of ``tune``."""
    folder = root / "data" / "tuning" / family
    best(family, params).write(folder)
    Selection(kept=kept).write(folder)
