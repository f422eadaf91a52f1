"""A project from Python, in a process of its own, from another folder and within an event loop, as in a notebook."""

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
import asyncio, json, sys
import pandas as pd
import refit

class Steps(refit.Watcher):
    ended_stages = []

    def ended(self, stage, outcome):
        self.ended_stages.append(f"{stage} {outcome.how}")

async def cell():
    return project.run(watcher=steps)

steps = Steps()
project = refit.open(sys.argv[1])
standing = asyncio.run(cell())
assert "champion" in standing._repr_html_() and "iris" in project._repr_html_()
package = refit.load_package(sys.argv[1] + "/data/package")
golden = json.load(open(sys.argv[1] + "/data/package/golden.json"))["rows"][0]
answer = package.predict_row(golden["input"])
frame = pd.DataFrame([golden["input"]])
decision = project.predict(frame)["decision"].iloc[0]
of = project.explain(frame)[0].answer
print(json.dumps([standing.champion, steps.ended_stages, list(answer.scores), golden["scores"], decision == of,
                  project.champion.version, project.verdicts[-1].verdict]))
"""


def test_a_run_and_its_package_from_python(iris: Path, tmp_path: Path, server: dict[str, str]) -> None:
    project = copied(iris, tmp_path / "copy")
    call = [sys.executable, "-c", PROGRAM, str(project)]
    env = {**server, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    champion, stages, scores, golden, *others = json.loads(done.stdout.splitlines()[-1])
    assert champion == "1"
    assert others == [True, "1", "promote"]
    assert stages
    assert all(stage.endswith(" unchanged") for stage in stages)
    assert scores == pytest.approx(golden)
