"""What orchestration costs: ``refit run`` against the same stage commands one after another by a shell script.

``python -m tests.bench.overhead [--quick]`` prints ``ratio``: the wall time of ``refit run``, without Prefect's start-up
(taken from a run with nothing to do), over the script's. One stage runs at a time in both, and both pay for their
stages' own imports. Full: this project's own pipeline on the flights; quick: iris.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.dag import Dag, words
from tests.projects import edit

HOUSE = Path(__file__).resolve().parent.parent.parent
REFIT = [sys.executable, "-m", "flows.cli"]


def seconds(command: list[str], root: Path) -> float:
    """Wall seconds of a command in the project; its output is shown where it fails."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.perf_counter() - began


def flights(root: Path) -> None:
    """A copy of this project, without what it has made."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(HOUSE / name, root / name)
    shutil.copytree(HOUSE / "tasks", root / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HOUSE / "data" / "expectations", root / "data" / "expectations")
    for name in ("context", "champion", "start"):
        (root / "data" / name).mkdir()
        shutil.copy(HOUSE / "data" / name / "README.md", root / "data" / name)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)


def iris(root: Path) -> None:
    """A project made by ``refit init`` on a small table, with families whose work does not hang on the clock."""
    from sklearn.datasets import load_iris

    load_iris(as_frame=True).frame.to_csv(root / "iris.csv", index=False)
    subprocess.run([*REFIT, "init", "--data", "iris.csv", "--target", "target"], cwd=root, check=True, stdout=-3)
    edit(root / "params.yaml", models={name: {} for name in ("logistic", "gradient_boosting", "xgboost", "mlp")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        by_script, by_refit = Path(name) / "script", Path(name) / "refit"
        for root in (by_script, by_refit):
            root.mkdir()
            (iris if quick else flights)(root)
            params = root / "params.yaml"
            text = params.read_text().replace("parallel: 2", "parallel: 1")
            if "orchestration: {}" in text or "orchestration:" not in text:
                text = text.replace("orchestration: {}\n", "") + "\norchestration: {parallel: 1}\n"
            params.write_text(text)
        with Dag(by_script) as dag:
            commands = [command for node in dag.nodes.values() for command in words(node.cmd)]
        stages = 0.0
        for command in commands:
            stages += seconds(command, by_script)
        first = seconds([*REFIT, "run", "--plain"], by_refit)
        # What a run costs when nothing is to be done: Prefect's temporary server above all.
        start_up = seconds([*REFIT, "run", "--plain"], by_refit)
        effects = _effects(by_refit)
    walk = first - start_up - effects
    print(
        json.dumps(
            {
                "stages": len(commands), "script_seconds": round(stages, 2), "refit_seconds": round(first, 2),
                "start_up_seconds": round(start_up, 2), "effects_seconds": round(effects, 2),
                "ratio": round(walk / stages, 3), "bar": 1.15,
            }
        )
    )  # fmt: skip


def _effects(root: Path) -> float:
    """Seconds of the first run's effects (tracking, registration, the package's check), which the script has not."""
    return float(json.loads((root / ".refit" / "done.json").read_text())["seconds"])


if __name__ == "__main__":
    main()
