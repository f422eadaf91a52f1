"""A stage's data between two folders that share a DVC remote only: what travels, what must be there, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flows import carry
from flows.commands import StageFailed, environment, words
from flows.dag import Dag
from tasks.errors import RefitError
from tests.flows.project import make_project

pytestmark = pytest.mark.flows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sender whose stages have run, a worker's checkout of other parameters, and their remote."""
    home = tmp_path_factory.mktemp("carry")
    root = make_project(home / "sender")
    (root / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    remote = store\n['remote \"store\"']\n    url = ../../store\n"
    )
    shutil.copytree(root, home / "worker")
    params = home / "worker" / "params.yaml"
    params.write_text(params.read_text().replace("seed: 1", "seed: 99"))
    (root / "data" / "context" / "as_of.json").write_text('{"as_of": "2026-01-01"}\n')
    (root / "unrelated.txt").write_text("nobody declares this\n")
    with Dag(root) as dag:
        for name in dag.nodes:
            dag.run(name, lambda line: None)
    return home


@pytest.fixture
def sender(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path / "sender"


@pytest.fixture
def checkout(sender: Path) -> Path:
    return sender.parent / "worker"


def ordered(root: Path, name: str) -> dict[str, object]:
    """What the sender offers of a stage, as it arrives after Prefect's JSON."""
    with Dag(root) as dag:
        made: dict[str, object] = json.loads(json.dumps(carry.offer(dag, dag.node(name))))
    return made


@pytest.mark.parametrize("name", ["load", "join"])
def test_a_worker_gets_the_declared_data_and_makes_the_same(name: str, sender: Path, checkout: Path) -> None:
    lock = (sender / "dvc.lock").read_text()
    order = ordered(sender, name)
    with carry.Workplace(checkout, order) as place:
        there = {p.relative_to(place.folder).as_posix() for p in (place.folder / "data").rglob("*") if p.is_file()}
        assert (
            there
            == {
                "load": {"data/context/README.md", "data/context/as_of.json"},
                "join": {f"data/fit_{x}/{file}" for x in "pq" for file in ("half", "text")},
            }[name]
        )
        for command in words(place.stage.cmd):
            subprocess.run(command, cwd=place.folder, env=environment(place.folder, name), check=True)
        outs = place.deliver()
        assert not (checkout / "data" / name).exists()
    assert not list((checkout / ".refit" / "pools").iterdir())
    assert f"data/{name}" in [out["path"] for out in outs]
    with Dag(sender) as dag:

        def fetched(node: object, log: object) -> None:
            assert not (sender / "data" / name).exists()
            carry.accept(dag, dag.node(name), outs)

        assert dag.run(name, lambda line: None, execute=fetched, force=True).how == "ran"
    assert (sender / "dvc.lock").read_text() == lock
    assert "seed: 1" in (sender / "data" / name / "text").read_text()


def test_code_that_differs_is_refused_before_anything_runs(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    (checkout / "work.py").write_text((checkout / "work.py").read_text() + "# edited\n")
    with pytest.raises(RefitError, match=r"join: 'work\.py' in this worker's checkout .* is not what"):
        carry.Workplace(checkout, order).__enter__()
    assert not list((checkout / ".refit" / "pools").iterdir())
    (checkout / "work.py").unlink()
    with pytest.raises(RefitError, match=r"join: 'work\.py' in this worker's checkout"):
        carry.Workplace(checkout, order).__enter__()


def test_shared_modules_that_no_stage_declares_count_too(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    (checkout / "tasks").mkdir()
    (checkout / "tasks" / "params.py").write_text("A = 1\n")
    with pytest.raises(RefitError, match=r"worker's code \(tasks/\) is not the sender's"):
        carry.Workplace(checkout, order).__enter__()


def test_an_input_that_the_remote_lost_is_told(tmp_path: Path, sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    for path in [p for p in (tmp_path / "store").rglob("*") if p.is_file()]:
        path.chmod(0o600)
        path.unlink()
    with pytest.raises(StageFailed, match="join: cannot fetch its inputs from the DVC remote"):
        carry.Workplace(checkout, order).__enter__()


def test_a_project_without_a_remote_is_told(tmp_path: Path) -> None:
    root = make_project(tmp_path / "alone")
    with Dag(root) as dag, pytest.raises(RefitError, match="there is no DVC remote here"):
        carry.offer(dag, dag.node("load"))


def test_a_stage_that_left_an_output_out_delivers_nothing(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    with (
        carry.Workplace(checkout, order) as place,
        pytest.raises(StageFailed, match="did not write 'data/join'"),
    ):
        place.deliver()


def test_folders_of_killed_runs_are_removed(sender: Path, checkout: Path) -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    left = checkout / ".refit" / "pools" / f"{done.pid}-abc"
    left.mkdir(parents=True)
    with carry.Workplace(checkout, ordered(sender, "load")) as place:
        assert [p.name for p in left.parent.iterdir()] == [place.folder.name]
    assert os.listdir(left.parent) == []
