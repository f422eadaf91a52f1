"""The walk's own rules: which stage starts when, what a failure stops, what is edited meanwhile, what is given up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import load_yaml

from flows import dag as module
from flows.alone import at_work
from flows.commands import Cancelled, StageFailed
from flows.dag import Dag
from flows.node import Node
from flows.records import read_lock
from flows.walk import walk
from tasks.artifacts import Failed
from tasks.errors import RefitError, with_causes
from tests.flows.project import diary, make_project, recorded

# a and b need nothing, c needs a, d needs a and b, e needs c and d
NEEDS = {"a": (), "b": (), "c": ("a",), "d": ("a", "b"), "e": ("c", "d")}


def graph(tmp_path: Path) -> Dag:
    """A walk over stages that run nothing."""
    dag = Dag(tmp_path)
    record: Any = None
    dag.nodes = {name: Node(name, "true", "", {}, needs, (), (), record) for name, needs in NEEDS.items()}
    return dag


@pytest.mark.parametrize(
    ("parallel", "ends", "wanted"),
    [  # what ends while a stage is started, and in which order stages start and end
        (1, {"a": "a", "b": "b", "c": "c", "d": "d", "e": "e"}, "a! a b! b c! c d! d e! e"),
        (2, {"b": "a", "c": "b", "d": "cd", "e": "e"}, "a! b! a c! b d! c d e! e"),
        (9, {"b": "ab", "d": "dc", "e": "e"}, "a! b! a b c! d! d c e! e"),
        (2, {"b": "ba", "d": "cd", "e": "e"}, "a! b! b a c! d! c d e! e"),
    ],
)
def test_a_stage_starts_when_all_that_it_needs_is_done_and_no_more_at_once_than_asked(
    tmp_path: Path, parallel: int, ends: dict[str, str], wanted: str
) -> None:
    said: list[str] = []
    running: dict[str, Future[None]] = {}

    def start(node: Node) -> Future[None]:
        said.append(f"{node.name}!")
        begun = running[node.name] = Future()
        assert len(running) <= parallel
        for name in ends.get(node.name, ""):
            said.append(name)
            running.pop(name).set_result(None)
        return begun

    walk(graph(tmp_path).nodes, start, parallel)
    assert " ".join(said) == wanted


def test_after_a_failure_nothing_new_starts_what_runs_ends_and_the_first_error_is_raised(tmp_path: Path) -> None:
    started: list[str] = []
    running: dict[str, Future[None]] = {}

    def start(node: Node) -> Future[None]:
        started.append(node.name)
        begun = running[node.name] = Future()
        if node.name == "b":
            running["a"].set_exception(ValueError("first"))
            begun.set_exception(ValueError("second"))
        return begun

    with pytest.raises(ValueError, match="first"):
        walk(graph(tmp_path).nodes, start, 2)
    assert started == ["a", "b"]


def test_what_a_failure_means_is_handed_in(tmp_path: Path) -> None:
    """Here: no failure of the walk, so that what needs the stage starts all the same."""
    started: list[str] = []
    failed: list[str] = []

    def start(node: Node) -> Future[None]:
        started.append(node.name)
        begun: Future[None] = Future()
        begun.set_exception(ValueError(node.name))
        return begun

    def settle(node: Node, future: Future[None]) -> BaseException | None:
        failed.append(str(future.exception()))
        return None

    walk(graph(tmp_path).nodes, start, 1, settle)
    assert started == failed == ["a", "b", "c", "d", "e"]


def test_a_walk_waits_for_what_runs_in_threads(tmp_path: Path) -> None:
    order: list[str] = []

    with ThreadPoolExecutor(3) as threads:
        walk(graph(tmp_path).nodes, lambda node: threads.submit(order.append, node.name), 3)
    assert sorted(order) == sorted(NEEDS)
    assert all(order.index(before) < order.index(name) for name, needs in NEEDS.items() for before in needs)


def test_stages_are_listed_by_their_depth_and_sealed_where_tasks_run_them(tmp_path: Path) -> None:
    dag = graph(tmp_path)
    assert {name: dag._depth(name) for name in NEEDS} == {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3}
    record: Any = None
    commands = {"python -m tasks.tune x": True, "python -m tasks.tune\npython a.py": False, "python a.py": False}
    assert {c: Node("n", c, "", {}, (), (), (), record).sealed for c in commands} == commands
    with pytest.raises(RefitError, match="no stage 'f'; it has 'a', 'b', 'c', 'd', 'e'"):
        dag.node("f")


def test_a_walk_that_was_stopped_starts_no_command(tmp_path: Path) -> None:
    dag = graph(tmp_path)
    module.walks.add(dag)
    try:
        module.cancel_all()
    finally:
        module.walks.discard(dag)
    with pytest.raises(Cancelled, match="a: stopped before it began"):
        dag.execute("a", ["true"], print)


def test_an_error_is_told_in_one_line_with_its_causes_once() -> None:
    inner, middle, outer = ValueError("the disk"), KeyError(), RuntimeError("no room")
    middle.__cause__, outer.__cause__ = inner, middle
    assert with_causes(outer) == "no room — the disk"
    again = RuntimeError("the disk")
    again.__cause__ = inner
    assert with_causes(again) == "the disk"
    assert with_causes(ValueError("x" * 600)) == "x" * 600
    assert with_causes(ValueError("x" * 601)) == "x" * 597 + "..."


LOCK = """schema: '2.0'
stages:
  a:
    cmd: python a.py
    deps:
    - {path: x, md5: DIGEST, size: 1}
    outs:
    - {path: y, md5: DIGEST.dir, size: 2, nfiles: 1}
"""


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (LOCK.replace("DIGEST", "0a" * 16), True),
        ("schema: '2.0'\n", True),
        (LOCK.replace("DIGEST", "0a" * 15), False),
        (LOCK.replace("DIGEST", "0g" * 16), False),
        (LOCK.replace("DIGEST.dir", "0a" * 16 + ".tmp").replace("DIGEST", "0a" * 16), False),
        ("<<<<<<< HEAD\n" + LOCK, False),
        ("- 1\n", False),
        ("", False),
    ],
)
def test_a_lock_is_what_dvc_writes_or_none(tmp_path: Path, text: str, whole: bool) -> None:
    assert read_lock(tmp_path / "dvc.lock") is None
    (tmp_path / "dvc.lock").write_text(text)
    assert (read_lock(tmp_path / "dvc.lock") is not None) == whole


def test_what_is_edited_meanwhile_is_named_and_what_is_given_up_leaves_no_record(tmp_path: Path) -> None:
    """One project for both: DVC takes half a second to open it."""
    project = make_project(tmp_path / "project")
    with Dag(project) as dag:
        assert list(dag.nodes) == ["load", "fit@p", "fit@q", "join"]
        assert (dag.node("join").needs, dag.node("join").meta) == (("fit@p", "fit@q"), {"retries": 2})
        assert dag.node("load").desc == "the first stage"

        def fails(node: Node, log: Callable[[str], None]) -> None:
            raise StageFailed("its table is not whole")

        with pytest.raises(StageFailed, match="not whole"):
            dag.run("load", print, fails)
        (project / "data" / "context" / "README.md").write_text("mended\n")  # nothing has worked on it yet
        for name in dag.nodes:
            assert dag.run(name, lambda line: None).how == "ran"
        assert dag.run("load", lambda line: None).how == "unchanged"
        assert dag.run("load", lambda line: None, force=True).how == "ran"
        assert dag.newer() == []
        dag.give_up("fit@p", Failed(family="p", stage="fit", why="no rows"))
        assert [p.name for p in (project / "data" / "fit_p").iterdir()] == ["failed.json"]
        assert set(load_yaml(project / "dvc.lock")["stages"]) == {"load", "fit@q", "join"}
        assert dag.changed("fit@p")
        assert dag.restorable("fit@p")
        assert dag.run("fit@p", lambda line: None).how == "restored"
        with dag.dvc() as repo:
            assert repo.root_dir == str(project)

        def nothing(node: Node, log: Callable[[str], None]) -> None:
            (project / "data" / "join").mkdir()

        assert dag.run("join", print, nothing, force=True).how == "ran"
        # What is edited while a stage runs is no result, and the run cache has none either.
        cached = sorted((project / ".dvc" / "cache" / "runs").rglob("*"))
        work = (project / "work.py").read_text()

        def edits(node: Node, log: Callable[[str], None]) -> None:
            (project / "data" / "join").mkdir()
            (project / "work.py").write_text(work + "\n# edited\n")

        with pytest.raises(StageFailed, match=r"join: work\.py was edited while the stage ran, so its result was not"):
            dag.run("join", print, edits, force=True)
        assert sorted((project / ".dvc" / "cache" / "runs").rglob("*")) == cached
        (project / "work.py").write_text(work)
        # From here on the user edits: an input that was read, and parameters that a command reads by itself.
        (project / "data" / "context" / "README.md").write_text("other\n")
        work = (project / "work.py").read_text()
        (project / "work.py").write_text(work + "\n")
        assert dag.newer() == ["work.py"], "what effects write is no edit of a person's"
        with pytest.raises(
            StageFailed, match=r"fit@p: work\.py was edited while this run was going on, and load worked on"
        ):
            dag.run("fit@p", lambda line: None)
        (project / "work.py").write_text(work)
        params = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(params.replace("trials: 2", "trials: 3"))
        assert dag.newer() == ["params.yaml"]
        with pytest.raises(
            StageFailed, match=r"fit@q: params\.yaml was edited after this run had begun, and 'python work\.py"
        ) as told:
            dag.run("fit@q", lambda line: None, force=True)
        assert told.value.mistake
    assert diary(project).count("load") == 2
    assert diary(project).count("fit_q") == 1


def test_outputs_that_persist_are_still_there_when_their_stage_runs_again(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    text = (project / "dvc.yaml").read_text()
    kept = "outs: [data/load, {data/kept: {persist: true}}]"
    (project / "dvc.yaml").write_text(text.replace("outs: [data/load]", kept))
    lines = project / "data" / "kept"
    there: list[tuple[bool, bool]] = []

    def adds(node: Node, log: Callable[[str], None]) -> None:
        there.append((lines.exists(), (project / "data" / "load").exists()))
        (project / "data" / "load").mkdir()
        with lines.open("a") as file:
            file.write("one more\n")

    with Dag(project) as dag:
        assert dag.run("load", print, adds).how == "ran"
        assert dag.run("load", print, adds, force=True).how == "ran"
        assert lines.read_text() == "one more\n" * 2
        lines.unlink()
        lines.write_text("something else\n")
        assert dag.run("load", print, adds).how == "ran", "it is its own input, so no cache knows what comes of it"
        assert lines.read_text() == "something else\none more\n"
    assert there == [(False, False), (True, False), (True, False)]


def test_a_stage_that_was_up_to_date_has_met_its_inputs_too(tmp_path: Path) -> None:
    """What it was found to be up to date with is what the later stages of the walk must work on."""
    project = make_project(tmp_path / "project")
    with Dag(project) as dag:
        for name in ("load", "fit@p"):
            dag.run(name, lambda line: None)
    with Dag(project) as dag:
        assert dag.run("load", lambda line: None).how == "unchanged"
        assert dag.newer() == []
        work = (project / "work.py").read_text()
        (project / "work.py").write_text(work + "\n")
        assert dag.newer() == ["work.py"]
        with pytest.raises(
            StageFailed, match=r"fit@p: work\.py was edited while this run was going on, and load worked"
        ):
            dag.run("fit@p", lambda line: None)
        assert diary(project, "began").count("fit_p") == 1, "it is told before anything of it runs"
        assert (project / "data" / "fit_p" / "text").exists()
        (project / "work.py").write_text(work)
        assert dag.run("fit@p", lambda line: None).how == "unchanged"


DAMAGE: dict[str, tuple[list[str], list[str], int, bool]] = {
    # objects that are overwritten, and that are gone; how many are removed; whether the files in the project mend the cache
    "nothing": ([], [], 0, True),
    "a part": (["text"], [], 1, True),
    "both parts": (["half", "text"], [], 2, True),
    "the list": ([".dir"], [], 1, True),
    "the list and a part": ([".dir", "text"], [], 2, True),
    "a part is gone": ([], ["text"], 0, True),
    "the list is gone": ([], [".dir"], 0, True),
    "all is gone": ([], [".dir", "half", "text"], 0, True),
}


def test_damaged_objects_are_removed_from_the_cache_and_taken_anew_where_the_project_has_them(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    with Dag(project) as dag:
        dag.run("load", lambda line: None)
        files, lock = project / ".dvc" / "cache" / "files" / "md5", recorded(project)["load"]["outs"][0]["md5"]
        listed = json.loads((files / lock[:2] / lock[2:]).read_text())
        path_of = {item["relpath"]: files / item["md5"][:2] / item["md5"][2:] for item in listed}
        path_of[".dir"] = files / lock[:2] / lock[2:]
        assert set(path_of) == {".dir", "half", "text"}
        whole = {name: path.read_bytes() for name, path in path_of.items()}
        for in_project in (True, False):
            if not in_project:
                shutil.rmtree(project / "data" / "load")
            for name, (overwritten, gone, removed, mended) in DAMAGE.items():
                for part in overwritten:
                    path_of[part].chmod(0o644)
                    path_of[part].write_text("damaged")
                    path_of[part].chmod(0o444)  # DVC believes a read-only object unseen
                for part in gone:
                    path_of[part].unlink()
                said: list[str] = []
                with dag.dvc():
                    cached = dag._records.cached(dag.node("load").record.reload())
                    assert cached is not None
                    sound = dag._records.sound(cached, "load", said.append)
                hurt = bool(overwritten or gone)
                assert sound == (mended if in_project else not hurt), name
                if not in_project and ".dir" in overwritten:
                    removed = 1  # what it listed is not known
                objects = f"{removed} damaged object{'s' if removed > 1 else ''} of load in DVC's cache removed; "
                how = "its files in the project are whole" if in_project else "it is made anew"
                assert said == ([objects + how] if removed else []), name
                left = {part for part, path in path_of.items() if path.exists() and path.read_bytes() == whole[part]}
                if sound:
                    assert left == set(path_of), name
                for part, path in path_of.items():
                    if (
                        part in overwritten
                        and path.exists()
                        and ".dir" in (part, *set(path_of) - {*overwritten, *gone})
                    ):
                        assert path.read_bytes() == whole[part], f"{name}: {part} is damaged still"
                    if path.exists():
                        path.chmod(0o644)
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(whole[part])
                    path.chmod(0o444)


def test_a_folder_that_is_no_project_is_told_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "empty"
    root.mkdir()
    with pytest.raises(RefitError, match=r"empty: no dvc\.yaml here\. Change to the project's folder"):
        Dag(root).__enter__()
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text("seed: 1\n")
    asked: list[Path] = []
    with pytest.raises(RefitError, match=r"empty: not a DVC repository\. Run `dvc init`"):
        Dag(root, lambda path: asked.append(path) or []).__enter__()  # type: ignore[func-returns-value]
    assert asked == [root]
    assert (Path.cwd(), at_work(root), module.walks) == (tmp_path, None, set())


def test_what_is_mended_before_a_walk_is_noted_and_its_folder_must_not_be_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = make_project(tmp_path / "project")
    dag = Dag("project", lambda root: [f"mended {root.name}"])
    with dag:
        assert dag.notes == ["mended project"]
        assert (Path.cwd(), dag in module.walks) == (project, True)
        assert getattr(at_work(project), "process", None) == os.getpid()
        with pytest.raises(RefitError, match=r"^dvc pull load: "):
            dag.pull(["load"])
    assert (Path.cwd(), at_work(project), dag in module.walks) == (tmp_path, None, False)
    assert dag.cancelled.is_set()
    (project / ".dvcignore").write_text(".refit\n")
    with pytest.raises(RefitError, match=r"\.dvcignore: hides \.refit, where a run keeps what it reads"):
        Dag(project).__enter__()
