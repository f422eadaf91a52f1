"""A run works on what it began with: parameters, DAG, code and sources edited in the middle of it reach no result that lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from flows.commands import StageFailed
from flows.dag import Dag
from flows.seal import seal
from tasks.errors import RefitError
from tests.flows.project import dvc, make_project

pytestmark = pytest.mark.flows
# Stages as packages of tasks/: parameters by the run's own file, code of their own and code that they share.
DVC_YAML = """\
stages:
  load:
    cmd: python -m tasks.work load
    deps: [tasks/work, tasks/shared.py, source.csv]
    params: [seed]
    outs: [data/load]
  fit:
    foreach: [p, q]
    do:
      cmd: python -m tasks.work fit_${item} load
      deps: [tasks/work, tasks/shared.py, data/load]
      params: [seed, tuning]
      outs: ["data/fit_${item}"]
  join:
    cmd: python -m tasks.work join fit_p fit_q
    deps: [tasks/work, tasks/shared.py, data/fit_p, data/fit_q, data/expectations]
    params: [seed]
    outs: [data/join]
"""
WORK = """\
import os, pathlib, sys, time

name, inputs = sys.argv[1], sys.argv[2:]
given = pathlib.Path(os.environ.get("REFIT_START", "."), "params.yaml")
print("began", name, flush=True)
seed = given.read_text().split("\\n")[0]
time.sleep(float(os.environ.get("NAP", 0)))
from tasks.shared import WORD  # late, as heavy imports are

source = [pathlib.Path("source.csv").read_text()] if name == "load" else []
if name == "join":
    source = [pathlib.Path("data/expectations/t.json").read_text()]
parts = [pathlib.Path("data", i, "text").read_text() for i in inputs]
print("reading", name, flush=True)
out = pathlib.Path("data", name)
out.mkdir(parents=True)
(out / "text").write_text("|".join([name, seed, WORD, *source, *parts]))
print("ended", name, flush=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return made(tmp_path / "project")


def made(root: Path) -> Path:
    make_project(root)
    for name, text in {
        "dvc.yaml": DVC_YAML,
        "tasks/__init__.py": "",
        "tasks/work/__init__.py": "",
        "tasks/work/__main__.py": WORK,
        "tasks/shared.py": 'WORD = "first"\n',
        "source.csv": "1,2\n",
        "data/expectations/t.json": "{}",
        ".dvcignore": "__pycache__/\n.*.part\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def walk(root: Path, said: Callable[[str], None] = lambda line: None) -> tuple[dict[str, str], list[str]]:
    """Walk the project; returns what became of each stage, and what is newer at the end."""
    hows = {}
    with Dag(root) as dag:
        for name in dag.nodes:
            hows[name] = dag.run(name, said).how
        return hows, dag.newer()


def text(root: Path) -> str:
    return (root / "data" / "join" / "text").read_text()


EDITS = {
    "params.yaml": lambda s: s.replace("seed: 1", "seed: 2"),
    "dvc.yaml": lambda s: s.replace("foreach: [p, q]", "foreach: [p, r]"),
    "tasks/shared.py": lambda s: s.replace("first", "second"),
    "tasks/work/__main__.py": lambda s: "raise SystemExit('new code')\n" + s,
}


def edit(root: Path, name: str) -> None:
    (root / name).write_text(EDITS[name]((root / name).read_text()))


MOMENTS = [f"{word} {name}" for name in ("load", "fit_p", "fit_q", "join") for word in ("began", "reading", "ended")]


@pytest.mark.sweep
def test_what_is_edited_in_the_middle_of_a_run_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    undisturbed = made(tmp_path / "undisturbed")
    walk(undisturbed)
    monkeypatch.setenv("NAP", "0.2")  # between a stage's first line and its late import
    for moment in MOMENTS if full else ("began load", "reading fit_p"):
        root = made(tmp_path / moment.replace(" ", "-"))

        def disturb(line: str, root: Path = root, moment: str = moment) -> None:
            if line == moment:
                for name in EDITS:
                    edit(root, name)

        hows, newer = walk(root, disturb)
        assert set(hows.values()) == {"ran"}
        assert sorted(newer) == ["dvc.yaml", "params.yaml", "tasks/"]
        assert text(root) == text(undisturbed)
        assert (root / "dvc.lock").read_bytes() == (undisturbed / "dvc.lock").read_bytes()
        status = dvc(root, "status")
        assert "fit@r" in status, "DVC itself sees what waits"
        with pytest.raises(StageFailed, match="new code"):
            walk(root)


def test_repro_of_the_same_content_agrees_to_the_byte(project: Path, tmp_path: Path) -> None:
    assert walk(project)[1] == []
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
    other = made(tmp_path / "other")
    dvc(other, "repro")
    assert load_yaml(other / "dvc.lock") == load_yaml(project / "dvc.lock")
    assert text(other) == text(project)
    assert set(walk(other)[0].values()) == {"unchanged"}


def test_a_source_edited_before_it_is_read_is_taken_in_whole(project: Path, tmp_path: Path) -> None:
    with Dag(project) as dag:
        (project / "source.csv").write_text("3,4\n")
        for name in dag.nodes:
            dag.run(name, lambda line: None)
    other = made(tmp_path / "other")
    (other / "source.csv").write_text("3,4\n")
    walk(other)
    assert (project / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()


@pytest.mark.parametrize("back", [False, True])
def test_a_source_edited_while_it_is_read_ends_the_run_also_where_it_is_put_back(project: Path, back: bool) -> None:
    source = project / "source.csv"

    def disturb(line: str) -> None:
        if line == "began load":
            source.write_text("3,4\n")
        if line == "ended load" and back:
            source.write_text("1,2\n")

    with Dag(project) as dag:
        with pytest.raises(StageFailed, match=r"source\.csv was edited while the stage ran") as failed:
            dag.run("load", disturb)
        assert not failed.value.mistake, "the flow's retry may read it whole"
        assert dag.run("load", lambda line: None).how == "ran"
    assert source.read_text() in (project / "data" / "load" / "text").read_text()


def test_a_source_edited_after_it_was_read_waits(project: Path) -> None:
    def disturb(line: str) -> None:
        if line == "began fit_q":
            (project / "source.csv").write_text("3,4\n")

    assert walk(project, disturb)[1] == ["source.csv"]
    assert "1,2" in text(project)
    assert walk(project)[0]["load"] == "ran"
    assert "3,4" in text(project)


def test_an_input_of_two_stages_is_the_same_for_both_or_the_run_ends(project: Path) -> None:
    dag = project / "dvc.yaml"
    dag.write_text(
        dag.read_text().replace("tasks/shared.py, source.csv]", "tasks/shared.py, source.csv, data/expectations]")
    )
    walk(project)
    before = (project / "dvc.lock").read_bytes()
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("trials: 2", "trials: 3"))

    def disturb(line: str) -> None:
        if line == "ended fit_q":
            (project / "data" / "expectations" / "t.json").write_text('{"another": 1}')

    with pytest.raises(StageFailed, match="join: data/expectations was edited while this run was going on, and load"):
        walk(project, disturb)
    assert load_yaml(project / "dvc.lock")["stages"]["join"] == load_yaml_text(before)["stages"]["join"]
    assert walk(project)[0] == {"load": "ran", "fit@p": "unchanged", "fit@q": "unchanged", "join": "ran"}


def load_yaml_text(content: bytes) -> dict:  # type: ignore[type-arg]
    from ruamel.yaml import YAML

    found: dict = YAML(typ="safe").load(content)  # type: ignore[type-arg]
    return found


def test_a_program_that_reads_params_yaml_itself_is_not_recorded_for_others(tmp_path: Path) -> None:
    """The small project's work.py opens params.yaml in the working directory."""
    root = make_project(tmp_path / "project")
    with Dag(root) as dag:
        dag.run("load", lambda line: None)
        (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("trials: 2", "trials: 3"))
        with pytest.raises(
            StageFailed, match=r"fit@p: params\.yaml was edited after this run had begun, and 'python work"
        ):
            dag.run("fit@p", lambda line: None)
    assert list(load_yaml(root / "dvc.lock")["stages"]) == ["load"]


@pytest.mark.parametrize("times", [2, 99])
def test_code_that_changes_while_it_is_copied_is_copied_anew(
    project: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    count, copy = 0, shutil.copytree

    def copied(source: Path, *rest: object, **options: object) -> None:
        nonlocal count
        copy(source, *rest, **options)  # type: ignore[arg-type]
        count += 1
        if count <= times:
            (project / "tasks" / "shared.py").write_text(f"WORD = {count}\n")

    monkeypatch.setattr("flows.seal.shutil.copytree", copied)
    monkeypatch.setattr("flows.seal.TRIES", 4)
    if times == 99:
        with pytest.raises(RefitError, match="tasks: goes on changing while the run reads it"):
            seal(project)
        assert list((project / ".refit" / "start").iterdir()) == []
    else:
        assert (seal(project).folder / "tasks" / "shared.py").read_text() == "WORD = 2\n"


def test_one_folder_is_kept_and_found_again(project: Path) -> None:
    for _ in range(2):
        walk(project)
    (first,) = (project / ".refit" / "start").iterdir()
    edit(project, "params.yaml")
    with Dag(project) as dag:
        assert dag.seal.folder != first
        assert dag.seal.params().seed == 2
    assert len(list((project / ".refit" / "start").iterdir())) == 1
