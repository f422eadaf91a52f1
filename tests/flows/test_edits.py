"""A real run with its parameters, its source and its code edited at some moment of it: the result is that of its start."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.files import hash_tree
from tasks.registry.history import DecisionHistory
from tests.flows.project import recorded, refit
from tests.projects import checkout, edit

pytestmark = [pytest.mark.flows, pytest.mark.sweep]
RUN = [sys.executable, "-m", "flows.cli", "run", "--plain"]
OUTPUTS = ("raw", "validated", "features", "tuning", "models", "evaluation", "package", "verdict", "drift", "reports")
STAGES = ("validate", "features", "leaks", "tune", "train", "evaluate", "package", "compare", "drift", "report")


def change(root: Path, source: bool, code: bool = True) -> None:
    """Edit everything that a run reads; code so that a stage which reads it fails."""
    edit(root / "params.yaml", seed=7, problem__name="renamed", models={"logistic": {"trials": 2}})
    if source:
        with (root / "iris.csv").open("a") as file:
            file.write("5.0,3.3,1.5,0.25,0\n")
    for name in STAGES if code else ():
        main = root / "tasks" / name / "__main__.py"
        main.write_text('raise SystemExit("this code was edited")\n' + main.read_text())


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, whose stages depend on its own code, with a small problem that has not run yet."""
    from sklearn.datasets import load_iris

    root = checkout(tmp_path_factory.mktemp("edits") / "begun")
    load_iris(as_frame=True).frame.to_csv(root / "iris.csv", index=False)
    refit(root, "init", "--data", "iris.csv", "--target", "target", "--force")
    edit(root / "params.yaml", models={"logistic": {"trials": 1}}, evaluation={"explain": False})
    return root


def ran(begun: Path, to: Path, env: dict[str, str], at: float | None, lines: int = 0, source: bool = True) -> int:
    """Run a copy, edited once that share of the ``lines`` was printed; returns how many lines it printed."""
    shutil.copytree(begun, to, symlinks=True)
    said = []
    with subprocess.Popen(RUN, cwd=to, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if at is not None and len(said) == max(1, int(at * lines)):
                change(to, source)
    assert process.returncode == 0, "".join(said[-40:])
    (to / "said.txt").write_text("".join(said))
    return len(said)


def made(root: Path) -> dict[str, dict[str, str]]:
    return {name: hash_tree(root / "data" / name) for name in OUTPUTS}


def test_the_result_is_that_of_the_start(begun: Path, tmp_path: Path, server: dict[str, str], full: bool) -> None:
    env = {k: v for k, v in server.items() if k != "PYTHONPATH"}  # the checkout's own code
    lines = ran(begun, tmp_path / "undisturbed", env, None)
    right = {"first": tmp_path / "undisturbed"}
    for moment in range(20) if full else (6,):
        at, root = (moment + 0.5) / 20 * 0.8, tmp_path / f"moment-{moment}"  # the last fifth is the summary
        ran(begun, root, env, at, lines)
        read = "first"
        if recorded(root)["ingest"] != recorded(right["first"])["ingest"]:  # the source was edited before it was read
            read = "second"
            if read not in right:
                shutil.copytree(begun, tmp_path / "begun", symlinks=True)
                with (tmp_path / "begun" / "iris.csv").open("a") as file:
                    file.write("5.0,3.3,1.5,0.25,0\n")
                right[read] = tmp_path / "second"
                ran(tmp_path / "begun", right[read], env, None)
        assert recorded(root) == recorded(right[read]), moment
        assert made(root) == made(right[read]), moment
        assert [d.model for d in DecisionHistory(root).decisions("iris-target")] == ["iris-target"]
        assert DecisionHistory(root).decisions("renamed") == []
        (note,) = [line for line in (root / "said.txt").read_text().splitlines() if line.startswith("note ")]
        waits = note.split("waiting for the next one: ")[1].split(", ")
        assert waits == ["params.yaml", "tasks/", *(["iris.csv"] if read == "first" else [])]
    if not full:
        return  # test_seal.py sees with small stages that the next run has the rest
    shutil.rmtree(root / "tasks")
    shutil.copytree(begun / "tasks", root / "tasks")
    assert "this project's champion is that of 'iris-target'" in refit(root, "run", "--plain", env=env, code=1)
    refit(root, "adopt", "--none", "--reason", "another question", env=env)
    subprocess.run(RUN, cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
    assert recorded(root)["tune@logistic"]["params"]["params.yaml"]["seed"] == 7
    assert [d.model for d in DecisionHistory(root).decisions("renamed")] == ["renamed"] * 2
    assert recorded(root)["ingest"] != recorded(right["first"])["ingest"]
