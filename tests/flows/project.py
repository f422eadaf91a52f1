"""The command in a project, and a small real DVC project whose stages keep a diary of when they ran."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REFIT = [sys.executable, "-m", "flows.cli"]

DVC_YAML = """\
stages:
  load:
    desc: the first stage
    cmd: python work.py load
    deps: [work.py, data/context]
    params: [seed]
    outs: [data/load]
  fit:
    foreach: [p, q]
    do:
      cmd: python work.py fit_${item} load
      deps: [work.py, data/load]
      params: [tuning]
      outs: ["data/fit_${item}"]
  join:
    cmd: python work.py join fit_p fit_q
    deps: [work.py, data/fit_p, data/fit_q]
    outs: [data/join]
    meta: {retries: 2}
"""

WORK = '''\
"""Write data/NAME from the named inputs; NAP_<name> seconds are slept half-way, FAIL_<name> fails the first times."""
import os, pathlib, sys, time

name, inputs = sys.argv[1], sys.argv[2:]
out = pathlib.Path("data") / name
out.mkdir(parents=True)


def diary(word):
    with open("diary.txt", "a") as file:
        file.write(f"{time.time():.3f} {word} {name}\\n")


diary("began")
(out / "half").write_text("half")
print("working on", name)
time.sleep(float(os.environ.get(f"NAP_{name}", os.environ.get("NAP", 0))))
tries = sum(line.endswith(f"began {name}\\n") for line in open("diary.txt"))
if tries <= int(os.environ.get(f"FAIL_{name}", 0)):
    print("something went wrong in", name, file=sys.stderr)
    sys.exit(3)
text = "".join((pathlib.Path("data") / i / "text").read_text() for i in inputs)
(out / "text").write_text(f"{name}({text})" + open("params.yaml").read().split("\\n")[0])
diary("ended")
'''

PARAMS = """\
seed: 1
problem: {name: toy, kind: binary, table: t, target: y}
data: {tables: {t: {source: t.csv, columns: {x: numeric, y: categorical}}}}
models: {logistic: {}}
tuning: {trials: 2}
orchestration: {parallel: 2, retries: 0, retry_seconds: 0}
"""


def make_project(root: Path) -> Path:
    """Write the project into ``root`` and make it a DVC repository; returns ``root``."""
    (root / "data" / "context").mkdir(parents=True)
    (root / "data" / "context" / "README.md").write_text("what a run needs from outside\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "work.py").write_text(WORK)
    (root / "params.yaml").write_text(PARAMS)
    dvc(root, "init", "--no-scm", "-q")
    return root


def dvc(root: Path, *arguments: str) -> str:
    """Run DVC's own command in the project; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def diary(root: Path, word: str = "ended") -> list[str]:
    """Stages that began or ended, in order."""
    path = root / "diary.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[2] for line in lines if line.split()[1] == word]


def alone() -> dict[str, str]:
    """This process's environment without a server: Prefect starts one of its own, MLflow keeps files in the project."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_TRACKING"))}


def refit(root: Path, *arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run the command in the project, without a server if ``env`` names none; returns what it printed."""
    done = subprocess.run(
        [*REFIT, *arguments], cwd=root, env=env or alone(), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def copied(root: Path, to: Path) -> Path:
    """A copy of a project that has run."""
    shutil.copytree(root, to, symlinks=True)
    return to


def recorded(root: Path) -> dict[str, Any]:
    """The stages of ``dvc.lock``, whose order is that of recording."""
    found: dict[str, Any] = YAML(typ="safe").load(root / "dvc.lock")["stages"]
    return found
