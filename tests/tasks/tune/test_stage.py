"""`python -m tasks.tune` and `python -m tasks.train` on disk, as DVC runs them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.families import find_family
from tasks.files import hash_tree, read_json, read_table, write_json, write_table
from tasks.params import load
from tasks.tune.__main__ import champion_params, tune
from tests.samples import features_folder

pytestmark = pytest.mark.slow

PARAMS = """
seed: 1
problem: {{name: t, kind: {kind}, table: t, target: target}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric}}}}}}}}
features: {{select: {{correlation: 0.99}}, encode: {{scale: robust}}}}
models: {{{family}: {own}}}
tuning: {{trials: 3, seconds: 100}}
training: {{calibration: {calibration}}}
"""


def project(root: Path, kind: str, family: str, own: str = "{}", calibration: str = "none") -> Path:
    features_folder(root, kind)
    (root / "params.yaml").write_text(PARAMS.format(kind=kind, family=family, own=own, calibration=calibration))
    return root


def stage(name: str, family: str | None, root: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"tasks.{name}", *([family] if family else [])]
    return subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("kind", "family"), [("binary", "gradient_boosting"), ("regression", "mlp")])
def test_two_runs_give_the_same_bytes(tmp_path: Path, kind: str, family: str, monkeypatch: pytest.MonkeyPatch):
    trees, said = [], ""
    for name in ("a", "b"):
        if name == "b" and family == "gradient_boosting":  # of a network the last bits depend on the threads
            monkeypatch.setenv("OMP_NUM_THREADS", "3")
        own = "{params: {epochs: 8}}" if family == "mlp" else "{}"
        root = project(tmp_path / name, kind, family, own, "isotonic" if kind == "binary" else "none")
        if kind == "binary":  # a size is no clock's, so with that goal too
            text = (root / "params.yaml").read_text()
            (root / "params.yaml").write_text(text.replace("tuning: {", "tuning: {goals: {size_kb: }, "))
        for step in ("tune", "train"):
            done = stage(step, family, root)
            assert done.returncode == 0, done.stderr
            said += done.stdout + done.stderr
        trees.append(hash_tree(root / "data"))
    assert trees[0] == trees[1]
    out = root / "data"
    best = read_json(out / f"tuning/{family}/best.json")
    assert best["family"] == family
    assert len(read_json(out / f"tuning/{family}/trials.json")) == best["trials"] == 3
    candidate = read_json(out / f"models/{family}/candidate.json")
    assert candidate["params"] == best["params"]
    assert len(candidate["history"]["valid_loss"]) > 1
    assert ("goals" in best) == (kind == "binary")
    if kind == "binary":
        (chosen,) = [p for p in best["goals"]["front"] if p["chosen"]]
        assert chosen["value"] == best["value"]
        assert chosen["size_kb"] > 1
        assert best["goals"]["reason"] in said
    if kind == "binary":  # several sizes of a tumour say the same
        assert any("rank correlation" in reason for reason in candidate["dropped"].values())
    assert set(candidate["features"]).isdisjoint(candidate["dropped"])
    found = read_table(out / f"models/{family}/predictions.parquet")
    features = read_table(out / "features/features.parquet")
    expected = features[features["__split__"].isin(["valid", "test"])]
    assert found["__row__"].tolist() == expected["__row__"].tolist()
    assert found["__split__"].tolist() == expected["__split__"].tolist()


def test_pending_and_test_labels_change_nothing(tmp_path: Path):
    trees = []
    for name in ("a", "b"):
        root = project(tmp_path / name, "binary", "logistic", own="{params: {C: 0.1}}")
        path = root / "data/features/features.parquet"
        table = read_table(path)
        table.loc[table.index[::10], "__split__"] = "pending"
        table.loc[table["__split__"] == "pending", "__target__"] = np.nan
        if name == "b":
            test = table["__split__"] == "test"
            table.loc[test, "__target__"] = 1 - table.loc[test, "__target__"]
        write_table(path, table)
        for step in ("tune", "train"):
            assert stage(step, "logistic", root).returncode == 0
        trees.append(hash_tree(root / "data/models"))
    assert trees[0] == trees[1]


def test_mistakes_end_with_one_line(tmp_path: Path):
    root = project(tmp_path, "binary", "ridge")
    done = stage("tune", "ridge", root)
    assert done.returncode == 1
    assert done.stderr.startswith("error: models.ridge: serves 'regression', and problem.kind is 'binary'")
    assert "Traceback" not in done.stderr
    table = read_table(root / "data/features/features.parquet")
    table["__target__"] = 1.0
    write_table(root / "data/features/features.parquet", table)
    project_params = (root / "params.yaml").read_text().replace("ridge", "logistic")
    (root / "params.yaml").write_text(project_params)
    done = stage("tune", "logistic", root)
    assert "problem.target: 'target' has one class, '1', in all training rows" in done.stderr


def test_a_search_begins_with_the_champions_parameters_unless_told_otherwise(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(project(tmp_path, "binary", "logistic", own="{trials: 1}"))
    write_json(tmp_path / "data/start/params.json", {"logistic": [{"C": 0.5}]})
    file, first = tmp_path / "params.yaml", []
    text = file.read_text()
    for wanted in ("true", "false"):
        file.write_text(text.replace("tuning: {", f"tuning: {{warm_start: {wanted}, "))
        tune("logistic", load())
        first.append(read_json(tmp_path / "data/tuning/logistic/trials.json")[0]["params"]["C"])
    assert first == [0.5, find_family("logistic").space("binary", 500, 2)["C"].default]


def test_a_retrain_begins_with_the_champions_parameters(tmp_path: Path):
    assert champion_params("xgboost", tmp_path) == []
    write_json(tmp_path / "params.json", {"xgboost": [{"max_depth": 4}], "mlp": [{"layers": 1}]})
    assert champion_params("xgboost", tmp_path) == [{"max_depth": 4}]
    assert champion_params("ridge", tmp_path) == []
