"""docs/dvc.md on a real project: every command of that page, as DVC's users type it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.artifacts import RunMetrics
from tasks.artifacts.folders import REPORTS
from tasks.registry.history import DecisionHistory
from tests.flows.project import copied
from tests.projects import ROOT

pytestmark = pytest.mark.flows
PAGE = (ROOT / "docs" / "dvc.md").read_text()
WORDS = {"dvc": [sys.executable, "-P", "-m", "dvc"], "python": [sys.executable, "-P"], "git": ["git"]}
WHO = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")


def typed(root: Path, line: str) -> str:
    """What a command of the page prints; it ends well and warns of nothing."""
    first, *rest = shlex.split(line)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where the stages find `python`
    env = os.environ | {"PATH": path, "COLUMNS": "80"} | {f"GIT_{name}": "somebody" for name in WHO}
    done = subprocess.run([*WORDS[first], *rest], cwd=root, env=env, capture_output=True, text=True, timeout=500)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{line}\n{said}"
    assert not re.search("failed|warning|error:|not found", said, re.IGNORECASE), f"{line}\n{said}"
    return said


def test_the_page(iris: Path, tmp_path: Path) -> None:
    root = copied(iris, tmp_path / "iris")
    blocks = re.findall(r"```console\n(.*?)```", PAGE.replace("/shared", str(tmp_path / "shared")), flags=re.DOTALL)
    before = RunMetrics.read(root / REPORTS)
    assert (before.verdict, before.against) == ("promote", None)
    said = {}
    for block in blocks:
        folder = root
        for line in (line.removeprefix("$ ") for line in block.splitlines()):
            if line.startswith("cd "):
                folder = folder / line.removeprefix("cd ")
            else:
                said[line] = typed(folder, line)

    assert "promote" in said["dvc metrics show"]
    assert str(round(before.test["accuracy"], 5)) in said["dvc metrics show"]
    page = (root / "dvc_plots" / "index.html").read_text()
    assert all(title in page for title in ("Decisions by true class", "Trials of the search"))
    assert '"rev": "HEAD"' in page, "dvc plots diff draws both"
    assert re.search(r"models\.logistic\.trials +2 +3", said["dvc params diff"])
    assert re.search(r"against\.version +- +1", said["dvc metrics diff --no-path"])
    assert not re.search(r"^\.dvc/(cache|tmp)", typed(root, "git ls-files"), re.MULTILINE)
    assert "up to date" in said["dvc status"], "of the clone"
    assert "up to date" in said["dvc repro"]
    assert "Running stage" not in said["dvc repro"]
    for line, most in (("dvc metrics diff", 80), ("dvc exp show", 100)):
        tables = [text for command, text in said.items() if command.startswith(line)]
        assert tables
        assert max(len(row) for text in tables for row in text.splitlines()) <= most
        assert not any("…" in text for text in tables), "every column is whole"

    listed = json.loads(typed(root, "dvc exp show --json --num 2"))
    runs = [run["revs"][0]["data"] for commit in listed for run in commit.get("experiments") or []]
    alphas = sorted(run["params"]["params.yaml"]["data"]["promotion"]["alpha"] for run in runs)
    assert alphas == [0.05, 0.1, 0.2]
    for run in runs:
        figures = run["metrics"]["data/reports/metrics.json"]["data"]
        assert figures["against"]["version"] == "1", "no false first verdict"
        assert figures["verdict"] != before.verdict
    assert [d.action for d in DecisionHistory(root).decisions("iris-target")] == ["promote"], (
        "an experiment decides nothing"
    )
