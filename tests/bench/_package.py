"""A package of the flights, made by the product's own stages, quickly: for the benchmarks of what is served."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)

# isort: split
import numpy as np
from ruamel.yaml import YAML

from tasks import params as parameters
from tasks.artifacts import Choice
from tasks.files import read_json, read_table
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.models import fit_family, save_model
from tests.bench._flights import ROOT

STAGES = ("ingest", "validate", "features")


def made(root: Path, quick: bool) -> Path:
    """A project up to its package: the flights as known at the end of October, all 146 features of the main job.

    The stages run for real, but for the search: an XGBoost of 60 trees is fitted on 10,000 (``quick``) or 60,000 rows.
    """
    tree = YAML().load(ROOT / "params.yaml")
    tree["models"] = {"xgboost": {}}
    YAML().dump(tree, root / "params.yaml")
    (root / "data").mkdir()
    (root / "data" / "expectations").symlink_to(ROOT / "data" / "expectations")
    for name in STAGES:
        _stage(root, name)
    given, summary = parameters.load(root / "params.yaml"), read_json(root / "data" / "features" / "summary.json")
    features = read_table(root / "data" / "features" / "features.parquet")
    kinds = {f["name"]: f["kind"] for f in summary["features"]}
    draw = np.random.default_rng(0)
    parts = []
    for part, most in (("train", 10_000 if quick else 60_000), ("valid", 5_000)):
        at = np.flatnonzero((features["__split__"] == part).to_numpy())
        chosen = features.iloc[np.sort(draw.choice(at, min(most, len(at)), replace=False))]
        parts += [chosen[list(kinds)], chosen["__target__"].to_numpy()]
    model = fit_family("xgboost", {"rounds": 60}, Fold(*parts), Setup(given.problem.kind, classes=2, columns=kinds))
    save_model(model, root / "data" / "models" / "xgboost" / "model")
    Choice(
        family="xgboost", members=["xgboost"], weights=[1.0], threshold=0.3, metric="roc_auc", valid=0.0, test=0.0, baseline=0.5,
        reason="a benchmark",
    ).write(root / "data" / "evaluation")  # fmt: skip
    _stage(root, "package")
    return root / "data" / "package"


def _stage(root: Path, name: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", f"tasks.{name}"], cwd=root, env=env, check=True, stdout=sys.stderr)
