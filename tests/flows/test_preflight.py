"""What is known to be wrong is told before a run begins: nothing is started, nothing is written."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows import doctor, preflight
from flows.preflight.subject import SMALL
from flows.preflight.tables import read
from tasks.errors import RefitError
from tasks.params import Table
from tests.flows.project import REFIT, alone, copied, refit

pytestmark = pytest.mark.flows
Spoil = Callable[[Path], object]
MODEL = "iris-target"


def edit(name: str, old: str, new: str) -> Spoil:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return change


def append(name: str, text: str) -> Spoil:
    return lambda root: (root / name).write_text((root / name).read_text() + text)


def sql(name: str, *statements: str) -> Spoil:
    def change(root: Path) -> None:
        with closing(sqlite3.connect(root / ".refit" / name)) as raw, raw:
            for statement in statements:
                raw.execute(statement)

    return change


def sparse(root: Path) -> None:
    """A table larger than the disk's free room, without taking any."""
    with (root / "iris.csv").open("r+b") as file:
        file.truncate(shutil.disk_usage(root).free)


def another(root: Path) -> None:
    """A new, empty file that is no database of anybody's."""
    (root / ".refit" / "mlflow.db").write_text("these are no tables\n" * 100)


class At:
    """Environment for a case; ``{root}`` is the project's folder."""

    def __init__(self, spoil: Spoil | None = None, **env: str) -> None:
        self.spoil, self.env = spoil or (lambda root: None), env

    def __call__(self, root: Path) -> None:
        self.spoil(root)


def remote(url: str, **env: str) -> At:
    """Workers that share nothing but a remote at this address."""

    def spoil(root: Path) -> None:
        append("params.yaml", "orchestration: {pools: {cpu: c}, exchange: remote}\n")(root)
        edit(".dvc/config", "../.dvc-remote", url)(root)

    return At(spoil, **env)


CASES: dict[str, tuple[Spoil, str]] = {
    "a misspelt section": (edit("params.yaml", "tuning:", "tunning:"), "Did you mean 'tuning'?"),
    "a missing section": (edit("params.yaml", "\nproblem:", "\nquestion:"), "problem"),
    "a section that stages go by": (edit("params.yaml", "\ntuning:", "\n#"), "params.yaml: has no tuning, and dvc.yaml's stage"),
    "no params.yaml": (lambda root: (root / "params.yaml").unlink(), "params.yaml: no such file"),
    "no YAML": (append("params.yaml", "a: [1\n"), "not valid YAML"),
    "a wrong kind": (edit("params.yaml", "kind: multiclass", "kind: multi"), "problem.kind"),
    "a key that is no column": (edit("params.yaml", "      source:", "      key: [id]\n      source:"), "'id'"),
    "an unknown family": (edit("params.yaml", "  logistic: {trials: 2}", "  logistik: {}"), "Did you mean 'logistic'?"),
    "a space out of bounds": (edit("params.yaml", "  logistic: {trials: 2}", "  logistic: {space: {C: [-1, 2]}}"), "models.logistic.space"),
    "too little time for auto": (edit("params.yaml", "  logistic: {trials: 2}", "  auto: {seconds: 1}"), "models.auto.seconds: 1 s are surely too few"),
    "more memory than there is": (edit("params.yaml", "\ntraining:", "\ntraining:\n  memory_gb: 100000"), "training.memory_gb: 100000 are more"),
    "less memory than a table takes": (edit("params.yaml", "\ntraining:", "\ntraining:\n  memory_gb: 0.25"), "in the stage validate"),
    "a missing source": (lambda root: (root / "iris.csv").unlink(), "source: iris.csv: no such file or folder"),
    "a folder without a table": (
        lambda root: (
            (root / "week").mkdir(),
            edit("params.yaml", "source: iris.csv", "source: week")(root),
        )[0],
        "the folder week has no table",
    ),
    "a glob that nothing matches": (edit("params.yaml", "source: iris.csv", "source: week/*.csv"), "week: no such file or folder"),
    "a folder that every run changes": (edit("params.yaml", "source: iris.csv", "source: ."), "every run would change the folder"),
    "a database without its password": (
        edit("params.yaml", "source: iris.csv", 'source: {sql: "postgresql://me:${NO_SUCH_PASSWORD}@127.0.0.1:9/shop", table: iris}'),
        "'NO_SUCH_PASSWORD', which the environment does not have",
    ),
    "a database that does not answer": (
        edit("params.yaml", "source: iris.csv", 'source: {sql: "postgresql://me@127.0.0.1:9/shop", table: iris}'), "does not answer",
    ),
    "an empty source": (lambda root: (root / "iris.csv").write_text(""), "iris.csv: is empty"),
    "a source without a column": (edit("iris.csv", "petal width (cm)", "petal breadth"), "has no column 'petal width (cm)'"),
    "a column of another kind": (
        lambda root: (root / "iris.csv").write_text((root / "iris.csv").read_text().replace("0.", "zero ").replace("1.", "one ")),
        "cannot be read as",
    ),
    "a disk that is too small": (sparse, "Make room"),
    "a dvc.yaml with merge marks": (append("dvc.yaml", "<<<<<<< HEAD\n=======\n>>>>>>> other\n"), "unfinished merge"),
    "a dvc.yaml that is no DAG": (append("dvc.yaml", "  bad: {cmd: 3}\n"), "dvc.yaml"),
    "a circle in dvc.yaml": (
        append("dvc.yaml", "  a: {cmd: python a.py, deps: [b], outs: [c]}\n  b: {cmd: python b.py, deps: [c], outs: [b]}\n"),
        "dvc.yaml",
    ),
    "a shell in dvc.yaml": (append("dvc.yaml", "  a: {cmd: python a.py | tee b, outs: [b]}\n"), "uses the shell's '|'"),
    "a folder that stages need": (lambda root: shutil.rmtree(root / "data" / "expectations"), "mkdir -p data/expectations"),
    "a broken .dvc/config": (append(".dvc/config", "[core\n"), ".dvc/config"),
    "no DVC repository": (lambda root: shutil.rmtree(root / ".dvc"), "not a DVC repository"),
    "a registry that is none": (another, "no SQLite database"),
    "a registry of something else": (
        sql("mlflow.db", "DROP TABLE alembic_version", "DROP TABLE experiments"), "is not MLflow's database",
    ),
    "a registry of a newer MLflow": (sql("mlflow.db", "UPDATE alembic_version SET version_num = 'ffffffffffff'"), "newer MLflow"),
    "a registry of an older MLflow": (sql("mlflow.db", "UPDATE alembic_version SET version_num = '451aebb31d03'"), "mlflow db upgrade"),
    "a deleted experiment": (
        sql("mlflow.db", f"UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = '{MODEL}'"), "mlflow experiments restore",
    ),
    "a history of something else": (
        sql("history.db", "DROP TRIGGER no_update", "DROP TABLE decisions", "CREATE TABLE decisions (x)"), "is not a history of Refit's",
    ),
    "a history that lost decisions": (lambda root: (root / ".refit" / "history.db").unlink(), "follows decision 1"),
    "a registry that does not answer": (At(MLFLOW_TRACKING_URI="http://127.0.0.1:9"), "does not answer"),
    "a registry's database that does not answer": (
        At(MLFLOW_TRACKING_URI="postgresql+psycopg://me@127.0.0.1:9/runs"),
        "the registry (127.0.0.1:9/runs): cannot be used",
    ),
    "a history's database that does not answer": (
        At(REFIT_HISTORY="postgresql://me@127.0.0.1:9/refit"),
        "the registry's history (127.0.0.1:9/refit) cannot be used",
    ),
    "a Prefect server that does not answer": (At(PREFECT_API_URL="http://127.0.0.1:9/api"), "PREFECT_API_URL"),
    "pools without a server": (append("params.yaml", "orchestration: {pools: {gpu: g}}\n"), "work pools need a Prefect server"),
    "a time to wait for a person that is none": (
        At(edit("params.yaml", "promotion:", "promotion:\n  approval: true"), REFIT_APPROVAL_SECONDS="a week"),
        "REFIT_APPROVAL_SECONDS: a whole number of seconds, 1 or more; found 'a week'",
    ),
    "a misspelt parameter of a family": (
        edit("params.yaml", "  logistic: {trials: 2}", "  logistic: {params: {maxiter: 5}}"), "Did you mean 'max_iter'?",
    ),
    "a key that would do nothing": (edit("params.yaml", "\ntuning:", "\ntuning:\n  folds: 5"), "tuning.folds: split: holdout has none"),
    "a DVC remote that does not answer": (
        remote("http://127.0.0.1:9/store", PREFECT_API_URL="http://127.0.0.1:9/api"), "DVC's remote 'local' (http://127.0.0.1:9/store): does not answer",
    ),
    "a DVC remote without its driver": (remote("s3://me/store", PREFECT_API_URL="http://127.0.0.1:9/api"), "requires 'dvc-s3'"),
    "no temporary folder": (At(TMPDIR="/nowhere"), "TMPDIR: /nowhere is no folder"),
}  # fmt: skip


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """All files of a project with their sizes and times; DVC's own scratch left out."""
    found = (p for p in root.rglob("*") if p.is_file() and ".dvc/tmp" not in p.as_posix())
    return {str(p.relative_to(root)): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_and_nothing_is_begun(
    case: str, iris: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    root = copied(iris, tmp_path / "copy")
    spoil, said = CASES[case]
    spoil(root)
    for name, value in spoil.env.items() if isinstance(spoil, At) else ():
        monkeypatch.setenv(name, value)
    before = tree(root)
    with pytest.raises(RefitError, match=re.escape(said)) as told:
        preflight.require(root)
    assert len(str(told.value)) < 1500
    assert tree(root) == before


@pytest.mark.parametrize("case", ["a deleted experiment", "a dvc.yaml with merge marks", "no DVC repository"])
def test_doctor_says_the_same(case: str, iris: Path, tmp_path: Path) -> None:
    root = copied(iris, tmp_path / "copy")
    spoil, said = CASES[case]
    spoil(root)
    found = [finding for finding in doctor.examine(root) if not finding.good and finding.needed]
    assert any(said in finding.says for finding in found)


def test_a_right_project_is_not_held_up(iris: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    root = copied(iris, tmp_path / "copy")
    assert preflight.require(root).problem.name == MODEL
    shutil.rmtree(root / "data" / "models")
    (root / "dvc.lock").write_text("stages: {cut")
    assert preflight.require(root).problem.name == MODEL, "what a run mends by itself is no trouble"


@contextmanager
def held(root: Path) -> Iterator[None]:
    with (root / ".refit" / "walk.lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked(root: Path) -> Iterator[None]:
    with closing(sqlite3.connect(root / ".refit" / "mlflow.db", isolation_level=None)) as raw:
        raw.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def no_mlflow(root: Path) -> Iterator[None]:
    """Something that answers, and is no MLflow."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root / "data")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    try:
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        (held, "another `refit run` is at work here"),
        (locked, "another program holds it locked"),
        (no_mlflow, "is no MLflow server"),
    ],
)
def test_what_others_do_at_this_moment(
    meanwhile: Callable[[Path], object], said: str, iris: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.preflight.servers.WAIT", 0.3)
    root = copied(iris, tmp_path / "copy")
    with meanwhile(root), pytest.raises(RefitError, match=said):  # type: ignore[attr-defined]
        preflight.require(root)


@pytest.mark.parametrize(
    ("as_of", "said"),
    [("2999-01-01", "--as-of: 2999-01-01 lies in the future"), ("soon", "a moment is a date or an ISO time")],
)
def test_an_as_of_that_cannot_be(as_of: str, said: str, iris: Path) -> None:
    with pytest.raises(RefitError, match=said):
        preflight.require(iris, as_of)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_a_large_table_the_columns_alone_are_looked_at(ending: str, tmp_path: Path) -> None:
    rows = SMALL // 4
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=rows), "y": ["yes", "no"] * (rows // 2)})
    path = tmp_path / f"t.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    assert path.stat().st_size > SMALL
    declared = {"x": "numeric", "y": "categorical"}
    assert read("t", Table(source=str(path), columns=declared), [path]) is None
    with pytest.raises(RefitError, match=r"has no column 'z'\. It has 'x', 'y'"):
        read("t", Table(source=str(path), columns=declared | {"z": "numeric"}), [path])


@pytest.mark.sweep
def test_the_command_tells_before_it_starts_anything(iris: Path, tmp_path: Path, full: bool) -> None:
    """Through the command, as a user meets it: one line a mistake, no server, no stage; the time is printed."""
    slowest = ("", 0.0)
    for number, (case, (spoil, said)) in enumerate(CASES.items()):
        if not full and case != "a registry of a newer MLflow":
            continue
        root = copied(iris, tmp_path / str(number))
        spoil(root)
        shutil.rmtree(root / ".refit" / "prefect")
        began = time.perf_counter()
        env = alone() | (spoil.env if isinstance(spoil, At) else {})
        done = subprocess.run([*REFIT, "run"], cwd=root, env=env, capture_output=True, text=True)
        slowest = max(slowest, (case, time.perf_counter() - began), key=lambda one: one[1])
        assert done.returncode == 1, case
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout.splitlines()[1:] == [], "it has said what it looks at, and nothing else"
        assert not (root / ".refit" / "prefect").exists(), "no server"
    print(f"slowest: {slowest[1]:.1f} s ({slowest[0]})")


def test_a_mistake_in_two_places_is_told_at_once(iris: Path, tmp_path: Path) -> None:
    root = copied(iris, tmp_path / "copy")
    (root / "iris.csv").unlink()
    sql("mlflow.db", "UPDATE experiments SET lifecycle_stage = 'deleted'")(root)
    _, *said = refit(root, "run", code=1).splitlines()
    assert len(said) == 2
    assert "iris.csv: no such file or folder" in said[0]
    assert "was deleted there" in said[1]
