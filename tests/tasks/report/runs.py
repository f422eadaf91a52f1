"""Finished small runs, every file made by the stage that makes it in production."""

from __future__ import annotations

import contextlib
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

from ruamel.yaml import YAML

from tasks.artifacts import Measured, Past, PastDecision
from tasks.files import sha256, write_json
from tests.tasks.package.projects import project

ROOT = Path(__file__).parents[3]
FAMILIES = {"regression": ("ridge",), "multiclass": ("logistic",)}


def stage(root: Path, name: str, *arguments: str) -> None:
    """Run a stage in a project's folder; in this process (no second start of Python) unless it starts others."""
    if name == "tune":
        done = subprocess.run(
            [sys.executable, "-m", "tasks.tune", *arguments], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return
    with contextlib.chdir(root), mock.patch.object(sys, "argv", [name, *arguments]):
        runpy.run_module(f"tasks.{name}", run_name="__main__", alter_sys=False)


def evaluated(root: Path, kind: str) -> Path:
    """A run up to evaluation, package and drift; no comparison yet."""
    families = FAMILIES.get(kind, ("logistic", "xgboost"))
    project(root, kind, families)
    file = root / "params.yaml"
    tree = YAML().load(file)
    tree["models"] = {name: {"trials": 1} for name in families}
    tree["tuning"] = {"seconds": 300}  # one trial ends it
    tree["monitoring"] = {"window": "10d"}
    if kind == "orders":
        tree["training"] = {**(tree.get("training") or {}), "threshold": "cost", "cost": [2, 5]}
        tree["evaluation"] = {**(tree.get("evaluation") or {}), "cost_unit": "EUR"}
    YAML().dump(tree, file)
    shutil.copy(ROOT / "dvc.yaml", root)
    stage(root, "leaks")
    for family in families:
        stage(root, "tune", family)
        stage(root, "train", family)
    for name in ("evaluate", "package", "drift"):
        stage(root, name)
    return root


def finish(folder: Path) -> Path:
    """A finished binary run with times, history, a champion to compare with and weeks before, in ``folder/orders``."""
    root = with_champion(evaluated(folder / "orders", "orders"))
    past().write(root / "data/champion")
    stage(root, "compare")
    stage(root, "report")
    return root


def reported(folder: Path, kind: str) -> Path:
    """A finished run of a plain kind, without a champion, in ``folder/kind``."""
    root = evaluated(folder / kind, kind)
    stage(root, "compare")
    stage(root, "report")
    return root


def past() -> Past:
    """Version 1 became champion, and two weeks later version 2 did not; an older decision says nothing of what it measured."""
    first = Measured(as_of="2023-12-18T00:00:00+00:00", family="xgboost", metric="roc_auc", rows=240, challenger=0.59)
    later = first.model_copy(update={"as_of": "2024-01-01T00:00:00+00:00", "challenger": 0.57, "champion": 0.6})
    return Past(
        decisions=[
            PastDecision(number=1, action="keep", version="0", champion=None, by="refit run"),
            PastDecision(number=2, action="promote", version="1", champion="1", by="refit run", measured=first),
            PastDecision(number=3, action="keep", version="2", champion="1", by="refit run", measured=later),
        ]
    )


def with_champion(root: Path) -> Path:
    """Make the other family the champion, so that there is something to compare with."""
    from tasks.files import read_json
    from tasks.params import load

    file = root / "params.yaml"
    chosen = read_json(root / "data/evaluation/choice.json")["family"]
    other = next(name for name in load(file).models if name != chosen)
    kept = {name: (root / "data" / name).rename(root / f"kept-{name}") for name in ("evaluation", "package")}
    shutil.copytree(kept["evaluation"], root / "data/evaluation")
    choice = read_json(root / "data/evaluation/choice.json")
    write_json(root / "data/evaluation/choice.json", choice | {"family": other, "members": [other]})
    stage(root, "package")
    shutil.move(root / "data/package", root / "data/champion/package")
    identity = sha256(root / "data/champion/package/bundle.json")
    about = {"version": "1", "name": "sample", "run_id": "0" * 32, "package_sha256": identity}
    write_json(root / "data/champion/champion.json", about)
    shutil.rmtree(root / "data/evaluation")
    for name, path in kept.items():
        path.rename(root / "data" / name)
    return root
