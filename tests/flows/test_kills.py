"""`refit run` killed between its effects: the same command makes good what was left half done."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import Registry
from tests.flows.project import REFIT, alone, copied, recorded, refit

pytestmark = [pytest.mark.flows, pytest.mark.faults]
MODEL = "iris-target"
PHASES = ("track ...", "register ...", "check package ...", "promote ...")


def killed(root: Path, phase: str, env: dict[str, str]) -> None:
    """Run the command and kill it a moment after it began the phase."""
    env = {**env, "PYTHONUNBUFFERED": "1"}
    reached = False
    with subprocess.Popen([*REFIT, "run", "--plain"], cwd=root, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if phase in line:
                reached = True
                time.sleep(0.1)
                process.send_signal(signal.SIGKILL)
                break
    assert reached, f"the run did not come to {phase!r}"


def test_kills_between_effects_are_made_good_by_the_same_command(
    iris: Path, tmp_path: Path, server: dict[str, str]
) -> None:
    """Killed in one phase after the other; each run meets what the one before it left, and the last ends the work."""
    root = copied(iris, tmp_path / "copy")
    for name in ("mlflow.db", "history.db", "done.json", "walk.lock"):
        (root / ".refit" / name).unlink(missing_ok=True)
    (root / "champion.lock").unlink()
    shutil.rmtree(root / ".refit" / "mlruns")
    for phase, env in zip(PHASES, (alone(), server, server, server), strict=True):
        killed(root, phase, env)
    said = refit(root, "run", "--plain", env=server)
    assert f"0 run, {len(recorded(root))} cached" in said
    assert "champion: version 1" in said
    registry = Registry(root)
    assert [v.version for v in registry.versions(MODEL)] == ["1"]
    runs = registry.client.search_runs([registry.experiment(MODEL)])
    assert [r.info.status for r in runs] == ["FINISHED"] * 4, "the run, its two families, and the account of looks"
    assert [d.action for d in DecisionHistory(root).decisions(MODEL)] == ["promote"]
