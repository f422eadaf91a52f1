"""A stage's data between two folders that share a DVC remote only: what travels, what must be there, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import exchange
from flows.commands import WALKER, StageFailed, environment, words
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


def ordered(root: Path, name: str) -> dict[str, Any]:
    """What the sender offers of a stage, as it arrives after Prefect's JSON."""
    with Dag(root) as dag:
        made: dict[str, Any] = json.loads(json.dumps(exchange.offer(dag, dag.node(name))))
    return made


@pytest.mark.parametrize("name", ["load", "join"])
def test_a_worker_gets_the_declared_data_and_makes_the_same(name: str, sender: Path, checkout: Path) -> None:
    lock = (sender / "dvc.lock").read_text()
    order = ordered(sender, name)
    with exchange.Workplace(checkout, order) as place:
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
            exchange.accept(dag, dag.node(name), outs)

        assert dag.run(name, lambda line: None, execute=fetched, force=True).how == "ran"
    assert (sender / "dvc.lock").read_text() == lock
    assert "seed: 1" in (sender / "data" / name / "text").read_text()


def test_code_that_differs_is_refused_before_anything_runs(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    (checkout / "work.py").write_text((checkout / "work.py").read_text() + "# edited\n")
    with pytest.raises(RefitError, match=r"join: 'work\.py' in this worker's checkout .* is not what"):
        exchange.Workplace(checkout, order).__enter__()
    assert not list((checkout / ".refit" / "pools").iterdir())
    (checkout / "work.py").unlink()
    with pytest.raises(RefitError, match=r"join: 'work\.py' in this worker's checkout"):
        exchange.Workplace(checkout, order).__enter__()


def test_shared_modules_that_no_stage_declares_count_too(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    (checkout / "tasks").mkdir()
    (checkout / "tasks" / "params.py").write_text("A = 1\n")
    with pytest.raises(RefitError, match=r"worker's code \(tasks/\) is not the sender's"):
        exchange.Workplace(checkout, order).__enter__()


def test_an_input_that_the_remote_lost_is_told(tmp_path: Path, sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    for path in [p for p in (tmp_path / "store").rglob("*") if p.is_file()]:
        path.chmod(0o600)
        path.unlink()
    with pytest.raises(StageFailed, match="join: cannot fetch its inputs from the DVC remote"):
        exchange.Workplace(checkout, order).__enter__()


def test_sources_and_other_files_travel_and_code_does_not(tmp_path: Path, sender: Path, checkout: Path) -> None:
    """Also beside code and beside files of the worker's that nobody declares; not through the sender's cache."""
    dag = sender / "dvc.yaml"
    dag.write_text(
        dag.read_text().replace(
            "[work.py, data/fit_p,", "[work.py, lib/code.py, lib/rates.csv, weekly, t.csv, data/fit_p,"
        )
    )
    params = sender / "params.yaml"
    params.write_text(params.read_text().replace("source: t.csv", "source: [weekly, t.csv]"))
    for root, text in ((sender, "new"), (checkout, "old")):
        for name in ("weekly/2024/a.csv", "lib/rates.csv", "t.csv"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(f"{text} {name}")
        (root / "lib" / "code.py").write_text("A = 1\n")
    (sender / "weekly" / "fetch.py").write_text("a folder of tables is no code, whatever else it holds\n")
    (checkout / "lib" / "note.txt").write_text("the worker's own\n")
    order = ordered(sender, "join")
    with exchange.Workplace(checkout, order) as place:
        for name in ("weekly/2024/a.csv", "lib/rates.csv", "t.csv"):
            assert (place.folder / name).read_text() == f"new {name}"
            assert (checkout / name).read_text() == f"old {name}"
        assert (place.folder / "weekly" / "fetch.py").exists()
        assert (place.folder / "lib" / "code.py").is_symlink()
        assert (place.folder / "lib" / "note.txt").read_text() == "the worker's own\n"
    of_csv = next(dep["md5"] for dep in order["deps"] if dep["path"] == "t.csv")
    place_of = f"files/md5/{of_csv[:2]}/{of_csv[2:]}"
    assert (tmp_path / "store" / place_of).exists()
    assert not (sender / ".dvc" / "cache" / place_of).exists()
    (checkout / "lib" / "code.py").write_text("A = 2\n")
    with pytest.raises(
        RefitError, match=r"join: 'lib/code\.py' in this worker's checkout .* \(Python code is not carried\)"
    ):
        exchange.Workplace(checkout, order).__enter__()


def test_what_lies_outside_of_the_folder_is_named(tmp_path: Path, sender: Path) -> None:
    dag = sender / "dvc.yaml"
    dag.write_text(
        dag.read_text().replace("[work.py, data/context]", f"[work.py, data/context, ../shared.csv, {tmp_path}/t.csv]")
    )
    with Dag(sender) as opened:
        assert exchange.outside(opened, opened.node("load")) == ["../shared.csv", f"{tmp_path}/t.csv"]
        assert exchange.outside(opened, opened.node("join")) == []


def test_other_libraries_are_refused_and_named(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    order["libraries"] |= {"numpy": "1.0", "python": "2.7"}
    with pytest.raises(
        RefitError,
        match=r"libraries are not the sender's, .*: numpy [\d.]+ here, 1\.0 there; python 3\.\d+ here, 2\.7 there",
    ):
        exchange.Workplace(checkout, order).__enter__()


@pytest.mark.parametrize("direction", ["to the worker", "back"])
def test_an_object_that_is_damaged_in_the_remote_is_not_taken(
    direction: str, tmp_path: Path, sender: Path, checkout: Path
) -> None:
    def damage(md5: str) -> None:
        path = tmp_path / "store" / "files" / "md5" / md5[:2] / md5[2:]
        path.chmod(0o600)
        path.write_text("half")

    order = ordered(sender, "join")
    told = "came from the DVC remote with other content"
    if direction == "to the worker":
        for path in (tmp_path / "store").rglob("*"):
            if path.is_file() and path.suffix != ".dir":
                damage(path.parent.name + path.name)
        with pytest.raises(StageFailed, match=told):
            exchange.Workplace(checkout, order).__enter__()
        return
    with exchange.Workplace(checkout, order) as place:
        out = place.folder / "data" / "join"
        out.mkdir()
        (out / "text").write_text("made on the worker")
        outs = place.deliver()
    damage(hashlib.md5(b"made on the worker").hexdigest())
    with Dag(sender) as dag, pytest.raises(StageFailed, match=told):
        exchange.accept(dag, dag.node("join"), outs)


def test_a_project_without_a_remote_is_told(tmp_path: Path) -> None:
    root = make_project(tmp_path / "alone")
    with Dag(root) as dag, pytest.raises(RefitError, match="there is no DVC remote here"):
        exchange.offer(dag, dag.node("load"))


def test_a_stage_that_left_an_output_out_delivers_nothing(sender: Path, checkout: Path) -> None:
    order = ordered(sender, "join")
    with (
        exchange.Workplace(checkout, order) as place,
        pytest.raises(StageFailed, match="did not write 'data/join'"),
    ):
        place.deliver()


def test_folders_of_killed_runs_are_removed_and_what_is_still_at_work_there_is_ended(
    sender: Path, checkout: Path
) -> None:
    left = checkout / ".refit" / "pools" / "1-abc"  # process 1 lives: its number tells nothing
    left.mkdir(parents=True)
    orphan = subprocess.Popen(["sleep", "600"], env=environment(left, "load") | {WALKER: "1"})
    orders = [ordered(sender, name) for name in ("load", "join")]
    with exchange.Workplace(checkout, orders[0]) as place:
        assert [p.name for p in left.parent.iterdir() if p.is_dir()] == [place.folder.name]
        assert not psutil.pid_exists(orphan.pid)
        orphan.wait(30)
        script = (
            "import sys, json; from pathlib import Path; from flows import exchange\n"
            "with exchange.Workplace(Path(sys.argv[1]), json.loads(sys.argv[2])) as place: print(place.folder.name)"
        )
        other = subprocess.run(
            [sys.executable, "-c", script, str(checkout), json.dumps(orders[1])],
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.strip() != place.folder.name
        assert place.folder.exists(), "one that is at work is let alone"
    assert os.listdir(left.parent) == []
