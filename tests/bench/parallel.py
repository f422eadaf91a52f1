"""Wall time of four equal families on two workers against one.

``python -m tests.bench.parallel [--quick]`` prints ``ratio``, the median of pairs of runs, one after the other. The four
are the real training stage on the same table with the same parameters, walked as ``refit run`` walks a project with
``orchestration.parallel`` 1 and 2: each a process of its own with one thread, its outputs removed before and recorded
after. They must run, and leave the same bytes. The table is synthetic only in its size (rows of a real set, repeated).
``cores`` is the processor time of a run on one worker over its wall time: above 1 only if a worker used more than a thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from flows.dag import Dag
from tasks.files import sha256, write_json, write_table
from tests.bench._tables import load, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.dag import Node, Outcome

FAMILY = "xgboost"
EQUAL = ("a", "b", "c", "d")
# XGBoost asks for two threads where it predicts, whatever OMP_NUM_THREADS says; the limit holds for it too.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"), "1")
DVC_YAML = """\
stages:
  train:
    foreach: [a, b, c, d]
    do:
      wdir: ${item}
      cmd: python -m tasks.train xgboost
      deps: [data/features, data/tuning/xgboost]
      outs: [data/models/xgboost]
"""


def projects(root: Path, copies: int, rounds: int) -> None:
    """A DVC project of four equal families, each in a folder of its own."""
    for name in EQUAL:
        project(root / name, copies, rounds)
    (root / "dvc.yaml").write_text(DVC_YAML)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)


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


def wall(root: Path, workers: int) -> tuple[float, float]:
    """Wall and processor seconds of the four stages on so many workers; all run, and to the same bytes."""
    outcomes: list[Outcome] = []
    with Dag(root) as dag, ThreadPoolExecutor(workers) as pool:

        def start(node: Node, done: Callable[[BaseException | None], None]) -> None:
            def work() -> None:
                try:
                    outcomes.append(dag.run(node.name, lambda line: None, force=True))
                except BaseException as error:
                    done(error)
                else:
                    done(None)

            pool.submit(work)

        used, begun = _processor(), time.perf_counter()
        dag.walk(start, workers)
        spent = time.perf_counter() - begun, _processor() - used
    assert sorted((o.stage, o.how) for o in outcomes) == [(f"train@{name}", "ran") for name in EQUAL]
    folders = [root / name / "data" / "models" / FAMILY for name in EQUAL]
    made = {tuple((p.relative_to(f), sha256(p)) for p in sorted(f.rglob("*")) if _compared(p)) for f in folders}
    assert len(made) == 1, "the families' work was not equal"
    return spent


def _compared(path: Path) -> bool:
    return path.is_file() and path.name != "timing.json"  # measured seconds


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    os.environ |= ONE_THREAD
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        projects(root, 1 if quick else 6, 60 if quick else 300)
        wall(root, 2)  # fills the disk cache and DVC's own
        pairs = [(wall(root, 1), wall(root, 2)) for _ in range(1 if quick else 3)]
    found = {
        "ratio": statistics.median(two[0] / one[0] for one, two in pairs),
        "ratios": [two[0] / one[0] for one, two in pairs],
        "one_worker_seconds": statistics.median(one[0] for one, _ in pairs),
        "two_workers_seconds": statistics.median(two[0] for _, two in pairs),
        "cores": statistics.median(one[1] / one[0] for one, _ in pairs),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
