"""A run from Python, in a process of its own and from another folder: the same as ``refit run``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.project import copied
from tests.projects import ROOT

pytestmark = pytest.mark.flows

PROGRAM = """
import json, sys
import refit

class Steps(refit.Watcher):
    ended_stages = []

    def ended(self, stage, outcome):
        self.ended_stages.append(f"{stage} {outcome.how}")

steps = Steps()
standing = refit.run(sys.argv[1], watcher=steps)
package = refit.load_package(sys.argv[1] + "/data/package")
golden = json.load(open(sys.argv[1] + "/data/package/golden.json"))["rows"][0]
answer = package.predict_row(golden["input"])
print(json.dumps([standing.champion, steps.ended_stages, list(answer.scores), golden["scores"]]))
"""


def test_a_run_and_its_package_from_python(iris: Path, tmp_path: Path, server: dict[str, str]) -> None:
    project = copied(iris, tmp_path / "copy")
    call = [sys.executable, "-c", PROGRAM, str(project)]
    env = {**server, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    champion, stages, scores, golden = json.loads(done.stdout.splitlines()[-1])
    assert champion == "1"
    assert stages
    assert all(stage.endswith(" unchanged") for stage in stages)
    assert scores == pytest.approx(golden)
