"""One study in a real PostgreSQL, shared by two tuners, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tasks.errors import RefitError
from tasks.files import hash_tree
from tasks.tune.study import ENVIRONMENT, open_study
from tests.postgres import postgres
from tests.samples import features_folder

PARAMS = """
seed: 1
problem: {name: t, kind: binary, table: t, target: target}
data: {tables: {t: {source: t.csv, columns: {target: numeric, x: numeric}}}}
models: {random_forest: {params: {n_estimators: 100}}}
tuning: {trials: 12, seconds: 300, sampler: random}
"""


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on a free port of this machine."""
    with postgres() as url:
        yield url


def tuner(root: Path, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.tune", "random_forest"],
        cwd=root, env=os.environ | {ENVIRONMENT: url, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.slow
def test_workers_share_a_study_and_take_over_from_a_killed_one(tmp_path: Path, database: str):
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        features_folder(root)
        (root / "params.yaml").write_text(PARAMS)
    first, second = (tuner(root, database) for root in roots)
    assert first.stdout is not None
    with first:
        for line in first.stdout:
            if ": trial " in line:
                break
        time.sleep(0.1)
        first.kill()  # in the midst of its next trial
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    parsed = database.replace("postgresql:", "postgresql+psycopg:")
    (name,) = optuna.get_all_study_names(parsed)
    trials = optuna.load_study(study_name=name, storage=parsed).trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * 12
    assert len({repr(t.params) for t in trials}) == 12
    # The killed one, begun again, finds all done; both report the same.
    done, _ = tuner(roots[0], database).communicate(timeout=300)
    assert "12 trials of an earlier run of this search were kept" in done
    assert hash_tree(roots[0] / "data/tuning") == hash_tree(roots[1] / "data/tuning")


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("postgres//nowhere", "REFIT_STUDIES_URL: not a database's URL; expected postgresql://"),
        ("postgresql://me:secret@127.0.0.1:1/x", r"cannot connect to postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x"),
        ("oracle://me@127.0.0.1/x", "needs a driver that is not installed"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, match: str
):
    if url.startswith("postgresql:"):
        pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    monkeypatch.setenv(ENVIRONMENT, url)
    with pytest.raises(RefitError, match=match) as error, open_study("k", ["maximize"], tmp_path):
        pass
    assert "secret" not in str(error.value)
