"""Wall time of four equal families on two workers against one.

``python -m tests.bench.parallel [--quick]`` prints ``ratio``. Each family is the real stage in its own process
with one thread, as a work pool runs it; the table is synthetic only in its size (rows of a real set, repeated).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.files import write_json, write_table
from tests.bench._tables import load, split

FAMILY = "xgboost"


def project(root: Path, copies: int, rounds: int) -> None:
    """A features folder, and tuned parameters that fix the work."""
    X, y, kind = load("flights")
    X, y = pd.concat([X] * copies, ignore_index=True), np.tile(y, copies)
    folder = root / "data" / "features"
    head = pd.DataFrame({"__row__": np.arange(len(X))})
    for column in ("__time__", "__known__"):
        head[column] = pd.Series(pd.NaT, index=head.index, dtype="datetime64[us, UTC]")
    head["__split__"], head["__target__"] = split(y, kind, 0), y
    write_table(folder / "features.parquet", pd.concat([head, X], axis=1))
    features = [{"name": c, "kind": "numeric" if X[c].dtype.kind in "if" else "categorical"} for c in X]
    write_json(folder / "summary.json", {"kind": kind, "target": "late", "classes": ["0", "1"], "features": features})
    tuned = root / "data" / "tuning" / FAMILY
    params = {"rounds": rounds, "patience": rounds, "max_depth": 6}
    write_json(tuned / "best.json", {"family": FAMILY, "params": params})
    write_json(tuned / "selection.json", {"kept": list(X.columns), "dropped": {}})
    (root / "params.yaml").write_text(
        "problem: {name: bench, kind: binary, table: t, target: late}\n"
        "data: {tables: {t: {source: t.csv, columns: {late: numeric}}}}\n"
        f"models: {{{FAMILY}: {{}}}}\n"
    )


def train(root: Path) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "tasks.train", FAMILY], cwd=root, env=env, check=True, stdout=subprocess.DEVNULL
    )


def wall(roots: list[Path], workers: int) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(train, roots))
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        roots = [Path(name) / str(i) for i in range(4)]
        for root in roots:
            project(root, 1 if quick else 6, 60 if quick else 300)
        train(roots[0])  # fills the disk cache
        one, two = wall(roots, 1), wall(roots, 2)
    print(json.dumps({"ratio": two / one, "one_worker_seconds": one, "two_workers_seconds": two}, indent=2))


if __name__ == "__main__":
    main()
