"""What compressing a network saves: memory, work and time of a row, before and after, and whether it is served as judged.

``python -m tests.bench.compression [--quick]``: three networks of ``mlp`` on three tables, each trained, then compressed
with ``training.compression: {prune: 0.5, quantise: true, tolerance: 0.01}`` as the stage ``train`` does it. Both are
stored, and measured by other processes that load them: ``memory_kb`` is what its memory grows by for each of many copies
(``counted_kb``: the bytes of the network's numbers), ``row_ms`` the median time of one encoded row's scores, both networks
taking turns. ``served_as_judged`` compares the scores of single rows there, bit by bit, with those of the whole
table that the form was judged by. ``ratios`` are after over before. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np
import pandas as pd
import psutil

from tasks.fitting.base import Compress, Fold
from tasks.fitting.setup import Setup
from tasks.metrics import higher_is_better, measure
from tasks.models import fit_family, load_model, save_model
from tests.bench._flights import emit
from tests.bench._tables import load, split

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
# The default shape, a wider one, and one with layers that are quicker with 8-bit integers.
NETWORKS: dict[str, dict[str, Any]] = {
    "fair": {},
    "digits": {"layers": 3, "width": 256},
    "flights": {"layers": 3, "width": 1024, "epochs": 3},
}
HOW = {"prune": 0.5, "quantise": True, "tolerance": 0.01}
COPIES, ROWS, TIMES = 60, 100, 400


def examine(name: str, quick: bool) -> dict[str, Any]:
    """One table's figures."""
    X, y, kind = load(name)
    if quick and len(y) > 6000:
        at = np.arange(0, len(y), len(y) // 6000 + 1)
        X, y = X.iloc[at].reset_index(drop=True), y[at]
    part = split(y, kind, 0)
    rows = {p: (X[part == p].reset_index(drop=True), y[part == p]) for p in ("train", "valid", "test")}
    kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    setup = Setup(kind, int(y.max()) + 1 if kind != "regression" else 0, kinds)
    fold = Fold(*rows["train"], *rows["valid"])
    full = fit_family("mlp", NETWORKS[name], fold, setup)
    metric, y_valid = METRICS[kind], rows["valid"][1]
    how = Compress(
        **HOW, measure=lambda scores: measure(metric, y_valid, scores, kind), higher=higher_is_better(metric)
    )
    small = fit_family("mlp", NETWORKS[name], fold, setup, compression=how, fitted=full.fitted)
    test, truth = rows["test"]
    with tempfile.TemporaryDirectory() as folder:
        for which, model in (("before", full), ("after", small)):
            save_model(model, Path(folder) / which)
            np.save(Path(folder) / f"{which}.npy", model.predict(test)[:ROWS])
        test[:ROWS].to_parquet(Path(folder) / "rows.parquet")
        found = apart("--measure", folder)
        for which in ("before", "after"):
            found[which]["memory_kb"] = apart("--grow", str(Path(folder) / which))
    forms = {form.variant: form for form in small.forms}
    kept = next(name for name, form in forms.items() if form.used)
    for which, model, form in (("before", full, forms["full"]), ("after", small, forms[kept])):
        found[which] |= {
            "counted_kb": form.memory_kb,
            "file_kb": form.size_kb,
            "multiply_adds": form.multiply_adds,
            "valid": form.metric,
            "test": measure(metric, truth, model.predict(test), kind),
        }
    return {
        "kept": kept,
        "metric": metric,
        **found,
        "ratios": {
            k: round(found["after"][k] / found["before"][k], 3)
            for k in ("memory_kb", "counted_kb", "row_ms", "multiply_adds")
        },
        "not_made": {name: form.why for name, form in forms.items() if form.why},
    }


def apart(*words: str) -> Any:
    """What this module prints in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.compression", *words]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(told.stdout.splitlines()[-1])


def measured(folder: Path) -> dict[str, Any]:
    """Of what was stored: the time of a row, and whether single rows score as the table did."""
    import torch

    torch.set_num_threads(1)
    X = pd.read_parquet(folder / "rows.parquet")
    models = {which: load_model(folder / which) for which in ("before", "after")}
    out: dict[str, Any] = {which: {} for which in models}
    for which, model in models.items():
        judged = np.load(folder / f"{which}.npy")
        single = np.concatenate([model.predict(X.iloc[[i]]) for i in range(len(X))])
        out[which]["served_as_judged"] = single.tobytes() == judged.tobytes()
    spent: dict[str, list[float]] = {which: [] for which in models}
    Z = {which: model.encoder.transform(X) for which, model in models.items()}
    for i in range(TIMES):
        for which, model in models.items():
            row = Z[which][[i % len(X)]]
            begun = time.perf_counter()
            model.fitted.predict(row)
            spent[which].append(time.perf_counter() - begun)
    for which in models:
        out[which]["row_ms"] = float(np.median(spent[which][20:]) * 1e3)
    return out


def grown(folder: Path) -> float:
    """Kilobytes that the process grows by for each of :data:`COPIES` copies of a stored network."""
    process, copies, model = psutil.Process(), [], load_model(folder)
    load_one = type(model.fitted).load
    copies.append(load_one(folder, model.kind, model.classes))
    gc.collect()
    before = process.memory_info().rss
    for _ in range(COPIES):
        one = load_one(folder, model.kind, model.classes)
        one.predict(np.zeros((1, 10_000))[:, : one.network.shape["inputs"]])  # type: ignore[attr-defined]
        copies.append(one)
    gc.collect()
    return (process.memory_info().rss - before) / COPIES / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 6,000 rows a table")
    parser.add_argument("--grow", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.grow:
        print(json.dumps(grown(Path(args.grow))))
        return
    if args.measure:
        print(json.dumps(measured(Path(args.measure))))
        return
    tables = {}
    for name in NETWORKS:
        tables[name] = found = examine(name, args.quick)
        b, a = found["before"], found["after"]
        print(
            f"{name}: {found['kept']}: memory {b['memory_kb']:.0f} -> {a['memory_kb']:.0f} kB, a row "
            f"{b['row_ms']:.3f} -> {a['row_ms']:.3f} ms, {found['metric']} (test) {b['test']:.4f} -> {a['test']:.4f}",
            flush=True,
        )
    emit(
        {
            "networks": len(tables),
            "smaller": sum(t["ratios"]["memory_kb"] < 1 for t in tables.values()),
            "faster": sum(t["ratios"]["row_ms"] < 1 for t in tables.values()),
            "served_as_judged": all(t[w]["served_as_judged"] for t in tables.values() for w in ("before", "after")),
            "tables": tables,
        }
    )


if __name__ == "__main__":
    main()
