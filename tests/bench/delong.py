"""DeLong's test of two models on 100,000 rows (``--quick``: 20,000).

``python -m tests.bench.delong [--quick]``. The last line is one JSON object: ``seconds`` (the best of three), ``rows``,
and ``error``, the largest difference from the definition, pair by pair, on 2,000 of the rows.
"""

from __future__ import annotations

import json
import sys
import time

import tasks.stage  # noqa: F401  (threads, before numpy loads)

import numpy as np  # isort: skip

from tasks.paired import auc_covariance, delong


def definition(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs and covariance by comparing every positive row with every negative one, O(n²)."""
    positive, negative = scores[:, y == 1], scores[:, y == 0]
    wins = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    auc = wins.mean(axis=(1, 2))
    covariance = np.cov(wins.mean(axis=2)) / positive.shape[1] + np.cov(wins.mean(axis=1)) / negative.shape[1]
    return auc, covariance


def main() -> None:
    rows = 20_000 if "--quick" in sys.argv else 100_000
    rng = np.random.default_rng(0)
    y = (rng.random(rows) < 0.24).astype(float)
    scores = np.round(rng.random((2, rows)) + 0.25 * y, 4)  # rounded: ties, as probabilities of trees have
    seconds = []
    for _ in range(3):
        before = time.perf_counter()
        delong(y, scores[0], scores[1])
        seconds.append(time.perf_counter() - before)
    few = slice(0, 2000)
    found, expected = auc_covariance(y[few], scores[:, few]), definition(y[few], scores[:, few])
    error = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    print(json.dumps({"seconds": round(min(seconds), 4), "rows": rows, "error": error}))


if __name__ == "__main__":
    main()
