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
from scipy import stats

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


NO_TARGET = """\
seed: 1
problem: {name: toy, kind: outliers, table: bodies, prediction_time: seen}
data:
  tables:
    bodies:
      source: bodies.csv
      key: [id]
      event_time: seen
      columns: {id: numeric, seen: datetime, clinic: categorical, city: categorical, height: numeric, weight: numeric}
features: {columns: [city, height, weight]}
split: {kind: time, valid: 0.25, test: 0.35}
models:
  outliers: {trials: 1, params: {shrink: SHRINK}}
evaluation: {explain: true}
promotion: {cluster: CLUSTER}
"""


# What is wrong where a kind has no target: what params.yaml says instead, and what is said of it.
REFUSED = {
    "target": ("table: bodies,", "table: bodies, target: weight,", "problem.target: kind 'outliers' has no target; remove this key; found 'weight'."),
    "snapshots": ("table: bodies", "table: {snapshots: bodies, every: 1d}", "problem.table: the rows of snapshots are made for a target"),
    "folds": ("seed: 1", "seed: 1\ntuning: {split: stratified}", "tuning.split: 'stratified' has no meaning where problem.kind is 'outliers'; use 'holdout', 'kfold', 'group', 'time_series'"),
    "encode": ("weight]}", "weight], encode: {categories: target}}", "features.encode.categories: 'target' goes by the target, and kind 'outliers' has none; remove it"),
    "select": ("weight]}", "weight], select: {importance: 2}}", "features.select.importance: goes by the target"),
    "slices": ("explain: true", "explain: true, slices: [city]", "evaluation.slices: goes by the target"),
    "calibration": ("CLUSTER", "[], guardrails: {calibration: 0.1}", "promotion.guardrails.calibration: goes by the target"),
}  # fmt: skip


def walk(root: Path, code: Path, table: str, *families: str) -> dict[str, Any]:
    """What :mod:`tests.tasks.kinds.walk` finds in a project, by this copy of Refit."""
    done = subprocess.run(
        [sys.executable, HERE / "walk.py", table, *families],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Refit with the toy kinds and families in their places."""
    code = tmp_path_factory.mktemp("code")
    for package in ("tasks", "deploy"):
        shutil.copytree(ROOT / package, code / package)
    for name, room in (("count", "kinds"), ("poisson", "families"), ("outliers", "kinds"), ("outliers", "families")):
        shutil.copy(HERE / f"{name}.py", code / "tasks" / room)
    return code


@pytest.fixture(scope="module")
def walked(code: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project of counts after two runs of all stages, and what was found."""
    root = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(0)
    age, city = rng.uniform(20, 80, 600).round(1), rng.choice(["Oslo", "Rome"], 600)
    visits = rng.poisson(np.exp(0.03 * (age - 40) + 0.7 * (city == "Rome")))
    table = pd.DataFrame({"id": np.arange(600), "age": age, "city": city, "visits": visits})
    table[:400].to_csv(root / "visits.csv", index=False)
    table.to_csv(root / "more.csv", index=False)
    (root / "params.yaml").write_text(PARAMS + ALL)
    (root / "more.yaml").write_text(PARAMS + ONE)
    (root / "refused").mkdir()
    (root / "refused" / "split.yaml").write_text(PARAMS.replace("kind: random", "kind: time") + ALL)
    return root, walk(root, code, "visits", "poisson", "lightgbm", "xgboost")


@pytest.fixture(scope="module")
def untargeted(code: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The same of a project that predicts nothing: bodies, most of them as heavy as they are tall."""
    root = tmp_path_factory.mktemp("untargeted")
    rng = np.random.default_rng(0)
    height = rng.normal(170, 10, 600).round(1)
    weight = (height - 100 + rng.normal(0, 4, 600)).round(1)
    table = pd.DataFrame({
        "id": np.arange(600),
        "seen": pd.date_range("2024-01-01", periods=600, freq="2h"),
        "clinic": [f"clinic {k % 60}" for k in range(600)],
        "city": rng.choice(["Oslo", "Rome"], 600),
        "height": height,
        "weight": weight,
    })  # fmt: skip
    table[:400].to_csv(root / "bodies.csv", index=False)
    table.to_csv(root / "more.csv", index=False)
    for name, shrink, cluster in (("params", 0.12, ""), ("more", 0.1, ""), ("clustered", 0.1, "clinic")):
        text = NO_TARGET.replace("SHRINK", str(shrink)).replace("CLUSTER", f"[{cluster}]")
        (root / f"{name}.yaml").write_text(text)
    (root / "refused").mkdir()
    for name, (old, new, _) in REFUSED.items():
        text = NO_TARGET.replace(old, new).replace("SHRINK", "0.9").replace("CLUSTER", "[]")
        (root / "refused" / f"{name}.yaml").write_text(text)
    return root, walk(root, code, "bodies", "outliers")


@pytest.mark.slow
def test_a_kind_and_a_family_of_one_file_each_go_through_every_stage(walked: tuple[Path, dict[str, Any]]) -> None:
    root, found = walked
    assert (root / "data" / "models" / "poisson" / "model" / "rates.json").is_file()
    assert found["choice"]["metric"] == "poisson_deviance"  # the first of its decisive ones
    assert found["choice"]["valid"] < found["choice"]["baseline"]
    assert not found["left_out"]
    assert "split.kind: 'time' has no meaning where problem.kind is 'count'; use 'random'." in found["refused"]["split"]
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


@pytest.mark.slow
def test_a_kind_without_a_target_goes_through_every_stage(untargeted: tuple[Path, dict[str, Any]]) -> None:
    root, found = untargeted
    features = pd.read_parquet(root / "data" / "features" / "features.parquet")
    assert features["__target__"].isna().all()
    assert (features["__split__"] != "pending").all()
    assert found["choice"]["metric"] == "surprise"
    assert found["choice"]["valid"] < found["choice"]["baseline"] == 0
    assert found["left_out"] == {"slices": "a part is judged by its truth, and kind 'outliers' has no target"}
    assert found["leaks"]["limits"] == ["Kind 'outliers' has no target, so nothing was held against labels."]
    assert not [line for line in found["leaks"]["checked"] if "label" in line]
    assert "features of 300 rows with the future made random" in found["leaks"]["checked"]
    assert not [line for line in found["proved"] if "target" in line]
    assert found["first"]["verdict"] == "promote"
    assert "beats columns that have nothing to do with each other" in found["first"]["sentence"]
    assert set(found["first"]["tests"]) == {"sign"}
    assert len(found["drift"]["mean"]) == 2
    assert found["answer"]["surprise"] == found["scores"][0]
    assert found["schema"]["surprise"] == {"type": "number"}


@pytest.mark.slow
def test_a_report_without_a_target_shows_what_the_kind_brings_and_nothing_of_labels(
    untargeted: tuple[Path, dict[str, Any]],
) -> None:
    page = untargeted[1]["page"]
    assert "<span>Outliers</span></header>" in page
    for there in (
        "Surprise by rank",
        "The most unusual rows.",
        "Sign test",
        "Learning curve",
        "nothing was held against labels",
    ):
        assert there in page, there
    for gone in ("Residuals", "Confusion matrix", ">Truth<", "Target by time", ">Slices<", "could not be drawn"):
        assert gone not in page, gone


@pytest.mark.slow
def test_a_kinds_own_test_of_a_difference_decides_with_clusters_and_without(
    untargeted: tuple[Path, dict[str, Any]],
) -> None:
    root, found = untargeted
    rows = pd.read_parquet(root / "data" / "verdict" / "predictions.parquet")
    gains = rows["champion_score"] - rows["challenger_score"]
    table = pd.read_parquet(root / "data" / "validated" / "bodies.parquet")
    clinics = gains.groupby(table["clinic"].to_numpy()[rows["__row__"]]).sum()
    for name, units, claim in (("second", gains, "rows"), ("clustered", clinics, "clusters")):
        verdict = found[name]
        evidence, test = verdict["evidence"], verdict["tests"]["sign"]
        better = stats.binomtest(int((units > 0).sum()), len(units), alternative="greater").pvalue
        assert verdict["n"] == len(gains)
        assert set(verdict["tests"]) == {"sign"}
        assert (test["statistic"], test["units"]) == ((units > 0).sum(), len(units)), claim
        assert evidence["decided_by"] == "sign"
        assert evidence["p_better"] == pytest.approx(better, abs=0)
        assert evidence["difference"] == pytest.approx(-gains.mean())
        half = 1.96 * units.std() * len(units) ** 0.5 / len(gains)
        assert evidence["interval"] == pytest.approx([-gains.mean() - half, -gains.mean() + half])
        assert (verdict["verdict"], verdict["n"]) == ("promote", len(gains))
    assert len(clinics) < len(gains)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_goes_by_labels_is_refused_where_a_kind_has_none(
    untargeted: tuple[Path, dict[str, Any]], name: str
) -> None:
    assert REFUSED[name][2] in untargeted[1]["refused"][name]
