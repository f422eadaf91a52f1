"""The train stage on a table that is several times what it may use: its peak stays below the limit, its bytes the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.artifacts import Selection
from tasks.files import hash_tree
from tests.samples import best, summary

PARAMS = """
seed: 1
problem: {{name: t, kind: binary, table: t, target: target}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric}}}}}}}}
models: {{xgboost: {{}}}}
training: {{memory_gb: {limit}}}
"""
# What the kernel holds as the highest resident set of this process since it began (ru_maxrss counts the parent's too).
MEASURED = """
import runpy
runpy.run_module("tasks.train", run_name="__main__")
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print("peak", int(line.split()[1]) * 1024)
"""


def project(root: Path, rows: int, columns: int) -> Path:
    """A tuned problem of ``rows`` x ``columns`` numbers (one a category), 5% of them missing, written in row groups."""
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(columns - 1)]
    folder = root / "data/features"
    folder.mkdir(parents=True)
    writer, group = None, 50_000
    for start in range(0, rows, group):
        n = min(group, rows - start)
        X = np.round(rng.normal(size=(columns - 1, n)), 2)
        y = (X[0] + X[1] * X[2] + rng.normal(size=n) > 0).astype(float)
        X[rng.random(X.shape) < 0.05] = np.nan
        head = {
            "__row__": np.arange(start, start + n),
            "__split__": rng.choice(["train", "valid", "test"], n, p=[0.7, 0.15, 0.15]).astype(object),
            "__target__": y,
        }
        head["__time__"] = head["__known__"] = np.full(n, "2020-01-01", "datetime64[us]")
        table = pa.table(
            head | dict(zip(names, X, strict=True)) | {"where": rng.choice(["a", "b", "c"], n).astype(object)}
        )
        writer = writer or pq.ParquetWriter(folder / "features.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    features = [{"name": n, "kind": "numeric"} for n in names] + [{"name": "where", "kind": "categorical"}]
    summary(target="target", features=features).write(folder)
    own = {"rounds": 8, "max_depth": 5, "subsample": 0.8, "learning_rate": 0.3}
    best("xgboost", own).write(root / "data/tuning/xgboost")
    Selection(kept=[f["name"] for f in features]).write(root / "data/tuning/xgboost")
    return root


def trained(root: Path, limit: float) -> tuple[str, float, dict[str, str]]:
    """Output, peak resident bytes, and the hash of every file that the stage wrote."""
    (root / "params.yaml").write_text(PARAMS.format(limit=limit))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "xgboost"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    peak = float(done.stdout.rpartition("peak ")[2])
    return done.stdout, peak, hash_tree(root / "data/models")


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_peak_memory_stays_below_the_limit(tmp_path: Path, full: bool, capsys: pytest.CaptureFixture[str]):
    rows, columns, limit = (3_000_000, 100, 0.75) if full else (400_000, 100, 0.55)
    root = project(tmp_path, rows, columns)
    said, peak, files = trained(root, limit)
    assert "external memory" in said
    whole_said, whole_peak, whole_files = trained(root, 1000)
    assert "training from batches" not in whole_said
    table = rows * columns * 8
    with capsys.disabled():
        print(
            f"\n{rows:,} rows x {columns} features: table {table / 1e9:.2f} GB, limit {limit} GB, "
            f"peak {peak / 1e9:.2f} GB; in memory {whole_peak / 1e9:.2f} GB"
        )
        print(said)
    assert peak < limit * 1e9
    assert peak < whole_peak / 2
    assert files == whole_files
    assert not list((root / ".refit").iterdir())
