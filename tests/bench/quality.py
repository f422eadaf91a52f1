"""Quality under equal time: Refit's ``auto`` against FLAML and AutoGluon, same rows, same two cores.

``python -m tests.bench.quality [--quick] [--seconds 60] [--environments FOLDER]`` prints JSON with
``mean_rank`` by system and ``scores`` by set. FLAML and AutoGluon run in environments of their own
(``FOLDER/flaml``, ``FOLDER/autogluon``, made with uv when missing); one that cannot be made is null, with
the reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
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

from tasks.ensembles import combine
from tasks.families import Model, fit_family
from tasks.metrics import higher_is_better, measure
from tasks.tune.auto import search_families
from tasks.tune.objective import Objective
from tasks.tune.search import Budget
from tests.bench._tables import TABLES, load, split

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
PACKAGES = {
    "flaml": ["flaml[automl]", "pyarrow", "pandas<3"],
    "autogluon": ["autogluon.tabular[lightgbm,catboost,xgboost]", "pyarrow"],
}
SEARCH = 0.75  # share of the time for the search; the rest is for the final fits of the ensemble


def environment(system: str, folder: Path) -> Path | str:
    """The system's Python, or why there is none."""
    python = (folder / system / "bin" / "python").absolute()
    if python.exists():
        return python
    uv = shutil.which("uv")
    if uv is None:
        return "uv is not installed, which makes the separate environment"
    links = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"], capture_output=True, text=True, check=False
    ).stdout.strip()
    extra = ["--find-links", links] if links else []
    for command in (
        [uv, "venv", "-q", "-p", sys.executable, str(folder / system)],
        [uv, "pip", "install", "-q", "--python", str(python), *extra, *PACKAGES[system]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
        if done.returncode:
            shutil.rmtree(folder / system, ignore_errors=True)
            return done.stderr.strip()[-300:]
    return python


def rival(system: str, python: Path, train: pd.DataFrame, test: pd.DataFrame, seconds: float, kind: str) -> np.ndarray:
    """Scores of the test rows by a system in its own environment."""
    with tempfile.TemporaryDirectory() as name:
        train.to_parquet(Path(name) / "train.parquet")
        test.to_parquet(Path(name) / "test.parquet")
        script = Path(__file__).with_name("_rivals.py")
        command = [str(python), str(script), system, name, str(seconds), METRICS[kind], kind]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * seconds + 120)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        return np.load(Path(name) / "scores.npy")


def refit(X: pd.DataFrame, y: np.ndarray, parts: np.ndarray, kind: str, seconds: float) -> np.ndarray:
    """Scores of the test rows by ``models: auto`` with a greedy ensemble of the families it tried."""
    begun = time.monotonic()
    kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    rows = {p: (X[parts == p].reset_index(drop=True), y[parts == p]) for p in ("train", "valid", "test")}
    classes = 0 if kind == "regression" else int(y.max()) + 1
    metric = METRICS[kind]
    one = Objective("auto", kind, classes, metric, [(*rows["train"], *rows["valid"])], kinds)
    with tempfile.TemporaryDirectory() as name:
        found = search_families(
            one, Budget(60, SEARCH * seconds, 1, 2), lambda family, _: family, {}, pruner="median", folder=Path(name)
        )
    sign = -1.0 if higher_is_better(metric) else 1.0
    done = [t for t in found.trials if t["state"] == "complete"]
    models: dict[str, Model] = {}
    for trial in sorted(done, key=lambda t: sign * t["value"]):  # best first, as long as there is time
        if trial["family"] in models or (models and time.monotonic() - begun > 0.9 * seconds):
            continue
        models[trial["family"]] = fit_family(
            trial["family"], trial["params"], *rows["train"], *rows["valid"], kind, classes=classes, kinds=kinds
        )
    mixed = combine({n: m.predict(rows["valid"][0]) for n, m in models.items()}, rows["valid"][1], kind, metric)
    return sum(w * models[n].predict(rows["test"][0]) for n, w in zip(mixed["members"], mixed["weights"], strict=True))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--environments", type=Path, default=Path(".refit/bench"))
    args = parser.parse_args()
    names, seconds = (("breast_cancer", "diabetes"), 20.0) if args.quick else (TABLES, args.seconds)
    pythons = {system: environment(system, args.environments) for system in PACKAGES}
    scores: dict[str, dict[str, float | None]] = {}
    reasons: dict[str, str] = {s: p for s, p in pythons.items() if isinstance(p, str)}
    for name in names:
        X, y, kind = load(name)
        parts = split(y, kind, 0)
        known, test = parts != "test", parts == "test"
        whole = X.assign(__y__=y)
        scores[name] = {}
        for system in ("refit", *PACKAGES):
            python = pythons.get(system)
            if isinstance(python, str):
                scores[name][system] = None
                continue
            try:
                if python is None:
                    found = refit(X, y, parts, kind, seconds)
                else:
                    found = rival(system, python, whole[known], whole[test], seconds, kind)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                scores[name][system], reasons[f"{system} on {name}"] = None, str(error)
                continue
            scores[name][system] = float(measure(METRICS[kind], y[test], found, kind))
        print(f"{name}: {scores[name]}", file=sys.stderr, flush=True)
    print(json.dumps({"mean_rank": ranks(scores), "seconds": seconds, "scores": scores, "missing": reasons}, indent=2))


def ranks(scores: dict[str, dict[str, float | None]]) -> dict[str, float | None]:
    """Mean rank of each system over the sets it has a score on (1 is best; equals share)."""
    places: dict[str, list[float]] = {}
    for name, row in scores.items():
        sign = -1.0 if higher_is_better(METRICS[load(name)[2]]) else 1.0
        there: dict[str, float] = {s: sign * v for s, v in row.items() if v is not None}
        order = pd.Series(there).rank()
        for system in there:
            places.setdefault(system, []).append(float(order[system]))
    systems: dict[str, Any] = dict.fromkeys(next(iter(scores.values())))
    return {s: float(np.mean(places[s])) if places.get(s) else None for s in systems}


if __name__ == "__main__":
    main()
