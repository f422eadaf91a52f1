"""The tuner killed at random moments: finished trials stay, the search ends as if undisturbed, nobody is left behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial

from tasks.files import hash_tree
from tests.samples import features_folder

pytestmark = pytest.mark.faults

TRIALS = 12
PARAMS = """
seed: 1
problem: {{name: t, kind: binary, table: t, target: target}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric}}}}}}}}
models: {{random_forest: {{params: {{n_estimators: 60}}}}}}
tuning: {{trials: {trials}, seconds: 300, workers: 2, sampler: {sampler}}}
"""


class Tuner:
    """``python -m tasks.tune`` in a project of its own, and the lines it prints."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tasks.tune", "random_forest"],
            cwd=root, env=os.environ | {"OMP_NUM_THREADS": "2"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line.strip())

    def wait(self) -> None:
        assert self.process.wait(300) == 0, "\n".join(self.lines)

    def kill(self) -> list[psutil.Process]:
        """Kill the tuner alone; returns the processes that it had started."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        self.process.kill()
        self.process.wait(30)
        return children


def project(root: Path, sampler: str) -> Path:
    features_folder(root)
    (root / "params.yaml").write_text(PARAMS.format(sampler=sampler, trials=TRIALS))
    return root


def finished(root: Path) -> dict[int, FrozenTrial]:
    """Finished trials in the study on disk, by number."""
    files = list((root / ".refit/studies").glob("*.db"))
    if not files:
        return {}
    assert len(files) == 1, "the search is another one: inputs or code have changed"
    try:
        study = optuna.load_study(study_name=files[0].stem, storage=f"sqlite:///{files[0]}")
    except KeyError:  # killed before the study was made
        return {}
    return {t.number: t for t in study.trials if t.state.name == "COMPLETE"}


def same(before: dict[int, FrozenTrial], after: dict[int, FrozenTrial]) -> bool:
    """Whether trials that were finished still are, and were not fitted again."""
    kept = {n: after.get(n) for n in before}
    return all(
        now is not None and (now.params, now.values, now.datetime_start, now.datetime_complete)
        == (then.params, then.values, then.datetime_start, then.datetime_complete)
        for then, now in zip(before.values(), kept.values(), strict=True)
    )  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_killed_search_repeats_nothing_and_finds_the_same(tmp_path: Path, sampler: str, full: bool) -> None:
    kills = 10 if full else {"random": 2, "grid": 1}[sampler]
    undisturbed = project(tmp_path / "undisturbed", sampler)
    tuner = Tuner(undisturbed)
    tuner.wait()
    expected, count = hash_tree(undisturbed / "data/tuning"), len(finished(undisturbed))
    assert count == TRIALS or (sampler == "grid" and count > TRIALS / 2)  # a grid has no more points than fit
    rng = random.Random(7)
    root, attempts, within = project(tmp_path / "killed", sampler), 0, 0
    left: list[psutil.Process] = []
    while within < kills:
        attempts += 1
        assert attempts < 5 * kills, "the kills came too late to test anything"
        before = finished(root)
        tuner = Tuner(root)
        # The moment: anywhere from the start to a random later trial, and a little after it.
        wanted = rng.randrange(-1, TRIALS // 2)
        until = time.monotonic() + 120
        while time.monotonic() < until and tuner.process.poll() is None:
            if wanted < 0 or sum("trial " in line for line in tuner.lines) >= wanted:
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1.0 if wanted < 0 else 0.3))
        alive = tuner.process.poll() is None
        within += alive
        left += tuner.kill()
        assert same(before, finished(root))
        if not alive:  # it was quicker than the kill: begin another search
            assert hash_tree(root / "data/tuning") == expected
            root = project(tmp_path / f"killed-{attempts}", sampler)
    before = finished(root)
    tuner = Tuner(root)
    tuner.wait()
    after = finished(root)
    assert same(before, after)
    assert len(after) == count
    assert len({repr(sorted(t.params.items())) for t in after.values()}) == count
    refitted = [line.split(":")[1].split()[1] for line in tuner.lines if ": trial " in line]
    assert set(map(int, refitted)).isdisjoint(number + 1 for number in before)
    assert hash_tree(root / "data/tuning") == expected
    gone, alive_still = psutil.wait_procs(left, timeout=15)
    assert not alive_still, "workers outlived their tuner"
    assert gone or not left
