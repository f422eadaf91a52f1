"""Rows per second that the network ``mlp`` is trained with, on the processor and, where there is one, on a GPU.

``python -m tests.bench.network [--quick]``. The rows are made up (numbers beside two categories), since their content
does not matter. The last line is one JSON object: ``cpu`` and ``gpu`` rows per second (an epoch's rows over the
median epoch), ``ratio`` of the two (null without a GPU, with ``why``), ``threads`` and ``rows``.
"""

from __future__ import annotations

import sys
import time

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np

from tasks.families import find_family
from tasks.families._base import Job
from tasks.families._model import threads
from tests.bench._flights import emit

EPOCHS = 5


def rate(rows: int, device: str) -> float:
    """Rows per second of the median epoch, the first left out (it warms up)."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(rows, 60)), rng.integers(0, 20, (rows, 2))])
    y = (X[:, 0] + rng.normal(size=rows) > 0).astype(float)
    ends: list[float] = []

    def watch(step: int, predict: object) -> bool:
        ends.append(time.perf_counter())
        return False

    job = Job(
        "binary", 2, X, y, X[:1000], y[:1000], coded={60: 20, 61: 20}, device=device, threads=threads(), watch=watch
    )
    find_family("mlp").fit({"epochs": EPOCHS + 1, "patience": EPOCHS + 1}, job)
    return rows / float(np.median(np.diff(ends)))


def main(quick: bool) -> None:
    import torch

    rows = 50_000 if quick else 500_000
    cpu = rate(rows, "cpu")
    print(f"CPU: {cpu:,.0f} rows/s", flush=True)
    gpu = rate(rows, "cuda") if torch.cuda.is_available() else None
    emit(
        {
            "cpu": round(cpu),
            "gpu": None if gpu is None else round(gpu),
            "ratio": None if gpu is None else round(gpu / cpu, 1),
            **({"why": "this machine has no CUDA GPU"} if gpu is None else {}),
            "threads": threads(),
            "rows": rows,
        }
    )


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
