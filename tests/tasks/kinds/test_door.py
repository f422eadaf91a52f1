"""A kind of problem and a family are one file each: put in their places, they go through every stage and the service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
PARAMS = """\
seed: 1
problem: {name: toy, kind: count, table: visits, target: visits}
data:
  tables:
    visits:
      source: visits.csv
      key: [id]
      columns: {id: numeric, age: numeric, city: categorical, visits: numeric}
features: {columns: auto}
split: {kind: random, valid: 0.25, test: 0.35}
"""
ALL = """\
models:
  poisson: {trials: 2}
  lightgbm: {trials: 1, params: {rounds: 20}}
  xgboost: {trials: 1, params: {rounds: 20, max_depth: 1}}
evaluation: {explain: true}
"""
ONE = """\
models:
  xgboost: {trials: 1, params: {rounds: 20, max_depth: 2}}
evaluation: {explain: false}
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project of counts after two runs of all stages, by a copy of Refit with the two files; and what was found."""
    code, root = tmp_path_factory.mktemp("code"), tmp_path_factory.mktemp("project")
    for package in ("tasks", "deploy"):
        shutil.copytree(ROOT / package, code / package)
    shutil.copy(HERE / "count.py", code / "tasks" / "kinds")
    shutil.copy(HERE / "poisson.py", code / "tasks" / "families")
    rng = np.random.default_rng(0)
    age, city = rng.uniform(20, 80, 600).round(1), rng.choice(["Oslo", "Rome"], 600)
    visits = rng.poisson(np.exp(0.03 * (age - 40) + 0.7 * (city == "Rome")))
    table = pd.DataFrame({"id": np.arange(600), "age": age, "city": city, "visits": visits})
    table[:400].to_csv(root / "visits.csv", index=False)
    table.to_csv(root / "more.csv", index=False)
    (root / "params.yaml").write_text(PARAMS + ALL)
    (root / "more.yaml").write_text(PARAMS + ONE)
    env = {**os.environ, "PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, HERE / "walk.py", "poisson", "lightgbm", "xgboost"],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return root, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_kind_and_a_family_of_one_file_each_go_through_every_stage(walked: tuple[Path, dict[str, Any]]) -> None:
    root, found = walked
    assert (root / "data" / "models" / "poisson" / "model" / "rates.json").is_file()
    assert found["choice"]["metric"] == "poisson_deviance"  # the first of its decisive ones
    assert found["choice"]["valid"] < found["choice"]["baseline"]
    assert not found["left_out"]
    assert found["first"]["champion"] is None
    assert found["first"]["verdict"] == "promote"
    assert "poisson deviance" in found["first"]["sentence"]
    assert {"diebold_mariano", "wilcoxon", "bootstrap_poisson_deviance"} <= set(found["second"]["tests"])
    assert found["second"]["evidence"]["metric"] == "poisson_deviance"
    assert "accuracy" not in found["second"]["evidence"]
    assert len(found["drift"]["mean"]) == 2
    names = pd.read_parquet(root / "data" / "evaluation" / "predictions.parquet").columns
    assert list(names) == ["__row__", "__split__", "__target__", "score"]


@pytest.mark.slow
def test_such_a_kind_answers_in_its_own_words(walked: tuple[Path, dict[str, Any]]) -> None:
    _, found = walked
    assert found["answer"]["expected"] == found["scores"][0] > 0
    assert "prediction" not in found["answer"]
    assert found["schema"]["expected"] == {"type": "number", "minimum": 0}
    page = found["page"]
    assert "Poisson deviance" in page
    assert "twice the log-likelihood that a perfect model has more" in page
    assert "Expected count" in page
    assert "Residuals" in page
    assert "Counted against expected" in page
    assert "Confusion matrix" not in page
    assert "could not be drawn" not in page
    assert "add up to" in found["space"]
