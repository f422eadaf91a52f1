"""A project run in several ways: `refit run`, `dvc repro`, and its stages' own commands by a shell script or by make."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from flows.dag import Dag, words
from tasks.files import sha256
from tests.bench._flights import ROOT
from tests.projects import BIN, edit, environment

REFIT = [sys.executable, "-m", "flows.cli"]
RUN = [*REFIT, "run", "--plain"]
REPRO = [sys.executable, "-m", "dvc", "repro", "-q"]
NEVER = 3600  # seconds of tuning, where trials are to end it


def newcomer(root: Path, table: pd.DataFrame, target: str, models: dict[str, Any]) -> None:
    """What `refit init` makes of a table, with families whose searches end by their trials."""
    root.mkdir()
    table.to_csv(root / "table.csv", index=False)
    seconds([*REFIT, "init", "--data", "table.csv", "--target", target], root)
    edit(root / "params.yaml", models=models, tuning={"seconds": NEVER}, orchestration={"parallel": 1})


def flights(root: Path) -> None:
    """A copy of this project, without what it has made."""
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "tasks", root / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data" / "expectations", root / "data" / "expectations")
    for name in ("context", "champion", "start"):
        (root / "data" / name).mkdir()
        shutil.copy(ROOT / "data" / name / "README.md", root / "data" / name)
    edit(root / "params.yaml", tuning__seconds=NEVER, orchestration__parallel=1)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)


def copied(project: Path, ways: Iterable[str]) -> dict[str, Path]:
    """A copy of a project beside it for each way of running it."""
    return {way: shutil.copytree(project, project.parent / way, symlinks=True) for way in ways}


class Spent(NamedTuple):
    """Seconds of the wall, and of the processor by the command and all that it started."""

    wall: float
    cpu: float


def seconds(command: list[str], root: Path) -> Spent:
    """Seconds of a command in the project, its start-up with it; its output is shown where it fails."""
    env = environment(PYTHONPATH=str(ROOT), PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    print(
        f"{' '.join(command[-3:])}: {spent.wall:.1f} s, of the processor {spent.cpu:.1f}", file=sys.stderr, flush=True
    )
    return spent


def script(root: Path) -> list[str]:
    """A shell script of the stages' commands, one after another."""
    with Dag(root) as dag:
        lines = [" ".join(command) for node in dag.nodes.values() for command in words(node.cmd)]
    (root / "run.sh").write_text("\n".join(["set -e", *lines, ""]))
    return ["sh", "run.sh"]


def make(root: Path, jobs: int) -> list[str]:
    """A makefile of the same DAG: what is ready runs, so many at a time."""
    with Dag(root) as dag:
        names = {name: name.replace("@", "-") for name in dag.nodes}
        rules = [
            f"{names[name]}: {' '.join(names[need] for need in node.needs)}\n"
            + "".join(f"\t@{' '.join(command)}\n" for command in words(node.cmd))
            for name, node in dag.nodes.items()
        ]
    (root / "Makefile").write_text(
        f"all: {' '.join(names.values())}\n{''.join(rules)}.PHONY: all {' '.join(names.values())}\n"
    )
    return ["make", "-s", f"-j{jobs}"]


def made(root: Path) -> dict[str, str]:
    """What must be the same whoever ran the stages: the packaged model, and its scores."""
    files = [root / "data" / "evaluation" / "predictions.parquet", *(root / "data" / "package" / "model").rglob("*")]
    found = {str(p.relative_to(root)): sha256(p) for p in files if p.is_file()}
    assert len(found) > 1, f"{root} holds no packaged model"
    return found


def effects(root: Path) -> float:
    """Seconds of a run's effects (tracking, registration, the package's check), which no other way has."""
    return float(json.loads((root / ".refit" / "done.json").read_text())["seconds"])
