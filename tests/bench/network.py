"""Rows per second that the network ``mlp`` is trained with by the stage ``train``, and by plain PyTorch written by hand.

``python -m tests.bench.network [--quick]``. The table is made up: 60 numbers beside two categories of 20 levels, of which a tenth
tell the target. Ours is ``python -m tasks.train mlp``, the rival :mod:`tests.bench._plain_torch`: the same layers, batches,
optimiser, schedule, clipping and epochs. Both are whole processes, reading and writing included; ours also encodes for the package, measures and calibrates.
They take turns, and both must have the same ROC AUC on test rows but for luck (0.01). The last line is one JSON
object: ``cpu`` rows per second (rows times epochs over wall seconds), ``rival_cpu``, ``ratio`` (ours over the rival's, median
of the rounds), ``cpu_ratio`` (the rival's processor seconds over ours), ``auc`` and ``rival_auc``, ``gpu`` and ``rival_gpu`` (null without a GPU, with ``why``), ``rows``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np
import pandas as pd

from tasks.files import read_table
from tasks.metrics import measure
from tests.bench._flights import emit
from tests.bench._stages import features, run, tuned

EPOCHS = 12  # the default


def project(root: Path, rows: int, device: str) -> np.ndarray:
    """The table, as the stage finds it; returns the targets."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(rows, 60)).round(4)).add_prefix("x")
    codes = rng.integers(0, 20, (rows, 2))
    for i, name in enumerate(("one", "two")):
        X[name] = pd.Series([f"level {c}" for c in codes[:, i]], dtype="str")
    wave = np.sin(2 * X["x0"]) + X["x1"] * X["x2"] + 0.5 * X["x3"] + rng.normal(size=20)[codes[:, 0]]
    y = (wave + rng.normal(size=rows) > 0).to_numpy(float)
    parts = np.resize(["train", "train", "train", "train", "train", "train", "train", "train", "valid", "test"], rows)
    features(root, X, y, "binary", parts, f"roc_auc\nmodels: {{mlp: {{}}}}\ntraining: {{device: {device}}}\n")
    tuned(root, "mlp", list(X), {"epochs": EPOCHS, "patience": EPOCHS})
    return y


def compare(rows: int, device: str, rounds: int) -> dict[str, Any]:
    """Both on one device: rows per second of each, their ratio, and the values on test rows."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        y = project(root, rows, device)
        trained = EPOCHS * int(0.8 * rows)
        rates: list[tuple[float, float]] = []
        processor = []
        for _ in range(rounds):
            _, ours, cpu = run(root, "tasks.train", "mlp")
            _, theirs, their_cpu = run(root, "tests.bench._plain_torch", str(EPOCHS), device)
            rates.append((trained / ours, trained / theirs))
            processor.append(their_cpu / cpu)
            print(f"{device}: {rates[-1][0]:,.0f} and {rates[-1][1]:,.0f} rows/s", file=sys.stderr, flush=True)
        auc = []
        for path in (root / "data" / "models" / "mlp" / "predictions.parquet", root / "plain.parquet"):
            found = read_table(path)
            found = found[found["__split__"] == "test"]
            p = found["score_1"].to_numpy(float)
            auc.append(float(measure("roc_auc", y[found["__row__"]], np.column_stack([1 - p, p]), "binary")))
        assert abs(auc[0] - auc[1]) < 0.01, f"the two networks differ: ROC AUC {auc}"
        return {
            "rate": round(statistics.median(a for a, _ in rates)),
            "rival": round(statistics.median(b for _, b in rates)),
            "ratio": round(statistics.median(a / b for a, b in rates), 2),
            "cpu_ratio": round(statistics.median(processor), 2),
            "auc": round(auc[0], 4),
            "rival_auc": round(auc[1], 4),
        }


def main(quick: bool) -> None:
    import torch

    rows = 50_000 if quick else 500_000
    cpu = compare(rows, "cpu", 2 if quick else 3)
    gpu = compare(rows, "cuda", 3) if torch.cuda.is_available() else None
    emit(
        {
            "cpu": cpu["rate"],
            "rival_cpu": cpu["rival"],
            "ratio": cpu["ratio"],
            "cpu_ratio": cpu["cpu_ratio"],
            "auc": cpu["auc"],
            "rival_auc": cpu["rival_auc"],
            "gpu": gpu and gpu["rate"],
            "rival_gpu": gpu and gpu["rival"],
            **({} if gpu else {"why": "this machine has no CUDA GPU"}),
            "rows": rows,
        }
    )


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
