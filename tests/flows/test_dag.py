"""The walk and `dvc repro` are the same thing: same lock, same cache, same answer to what is up to date."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from flows import walk as walks
from flows.commands import Cancelled, StageFailed, words
from flows.dag import Dag
from flows.node import Node, Outcome
from tasks import files
from tasks.errors import RefitError
from tests.flows.project import diary, dvc, make_project

UP_TO_DATE = "Data and pipelines are up to date."


def walk(root: Path, parallel: int = 2) -> dict[str, Outcome]:
    """Walk the project in threads; returns each stage's outcome."""
    outcomes: dict[str, Outcome] = {}
    with Dag(root) as dag:

        def start(node: Node) -> Future[None]:
            return threads.submit(run, node)

        def run(node: Node) -> None:
            outcomes[node.name] = dag.run(node.name, lambda line: None)

        with ThreadPoolExecutor(parallel) as threads:
            try:
                walks.walk(dag.nodes, start, parallel)
            except BaseException:
                dag.cancel()  # as flows.stages does: the threads wait for what runs
                raise
    return outcomes


def hows(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: o.how for name, o in sorted(outcomes.items())}


ALL = ("fit@p", "fit@q", "join", "load")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


def test_a_walk_leaves_what_repro_leaves(project: Path, tmp_path: Path) -> None:
    assert hows(walk(project)) == dict.fromkeys(ALL, "ran")
    assert dvc(project, "status").strip() == UP_TO_DATE
    lock = (project / "dvc.lock").read_bytes()
    dvc(project, "repro")
    assert diary(project) == diary(project, "began")
    assert len(diary(project)) == 4
    assert (project / "dvc.lock").read_bytes() == lock
    other = make_project(tmp_path / "other")
    dvc(other, "repro")
    # Stages that ran side by side stand in the order in which they ended.
    assert load_yaml(other / "dvc.lock") == load_yaml(project / "dvc.lock")
    assert hows(walk(other)) == dict.fromkeys(ALL, "unchanged")


def test_only_what_depends_on_a_change_runs_again(project: Path) -> None:
    walk(project)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("trials: 2", "trials: 3"))
    # fit's outputs come out the same, so what follows them is not run: only the dependencies' state counts.
    assert hows(walk(project)) == {"fit@p": "ran", "fit@q": "ran", "join": "unchanged", "load": "unchanged"}
    assert dvc(project, "status").strip() == UP_TO_DATE


def test_earlier_inputs_are_restored_from_the_run_cache(project: Path) -> None:
    walk(project)
    params, before = project / "params.yaml", (project / "params.yaml").read_text()
    first = (project / "data" / "join" / "text").read_bytes()
    params.write_text(before.replace("seed: 1", "seed: 2"))
    assert hows(walk(project)) == dict.fromkeys(ALL, "ran")
    params.write_text(before)
    assert hows(walk(project)) == dict.fromkeys(ALL, "restored")
    assert (project / "data" / "join" / "text").read_bytes() == first
    (project / "dvc.lock").unlink()
    assert set(hows(walk(project)).values()) == {"restored"}


CONFLICT = """<<<<<<< HEAD
    - path: data/load
=======
    - path: data/load
>>>>>>> other
"""


def test_a_lock_that_is_lost_cut_or_in_conflict_comes_back_from_the_run_cache(project: Path, full: bool) -> None:
    walk(project)
    lock = project / "dvc.lock"
    whole, text = lock.read_text(), (project / "data" / "join" / "text").read_text()
    middle = whole.index("    - path: data/load")
    step = 25 if full else 700
    damaged = {f"cut at {at}": whole[:at] for at in range(0, len(whole) - 1, step)}
    damaged |= {
        "ends in no YAML": whole[: len(whole) // 2] + "\n  - [",
        "in conflict": whole[:middle] + CONFLICT + whole[middle:],
        "twice": whole + whole[whole.index("stages:") :],
        "not text": "\udcff\x00",
        "of no form": "- 1\n- 2\n",
    }
    for how, content in damaged.items():
        lock.write_bytes(content.encode("utf-8", "surrogateescape"))
        with Dag(project) as dag:
            outcomes = {name: dag.run(name, lambda line: None).how for name in dag.nodes}
            told = dag.notes
        assert set(outcomes.values()) <= {"restored", "unchanged"}, how
        assert load_yaml(lock) == load_yaml_text(whole), how
        aside = project / ".refit" / "dvc.lock.damaged"
        assert bool(told) == aside.exists(), how
        if told:
            assert aside.read_bytes() == content.encode("utf-8", "surrogateescape"), how
            assert set(outcomes.values()) == {"restored"}, how
            aside.unlink()
        if how in ("ends in no YAML", "in conflict", "twice", "not text", "of no form"):
            assert told == [
                "dvc.lock was cut or in conflict, and was set aside as .refit/dvc.lock.damaged; stages come from the run cache"
            ], how
    lock.unlink()
    with Dag(project) as dag:
        assert dag.notes == ["dvc.lock was not there; stages come from the run cache"]
        assert all(dag.restorable(name) for name in ("load", "fit@p", "fit@q"))
        assert {dag.run(name, lambda line: None).how for name in dag.nodes} == {"restored"}
    assert (project / "data" / "join" / "text").read_text() == text
    assert len(diary(project)) == 4, "no command ran again"
    assert dvc(project, "status").strip() == UP_TO_DATE


def load_yaml_text(text: str) -> object:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


def test_a_first_run_has_nothing_to_remark(project: Path) -> None:
    with Dag(project) as dag:
        assert dag.notes == []
        assert not dag.restorable("load")
        assert not dag.restorable("join"), "what it needs is not there"


def test_a_lock_that_is_damaged_while_stages_run_loses_nothing(project: Path) -> None:
    walk(project)
    whole = load_yaml(project / "dvc.lock")
    params = project / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("trials: 2", "trials: 3"))
    with Dag(project) as dag:
        for name in dag.nodes:
            dag.run(name, lambda line: (project / "dvc.lock").write_text("<<<<<<<\n"))
    params.write_text(text)
    assert hows(walk(project)) == {"fit@p": "restored", "fit@q": "restored", "join": "unchanged", "load": "unchanged"}
    assert load_yaml(project / "dvc.lock") == whole


def objects(project: Path, stage: str) -> list[Path]:
    """The cached objects of a stage's output: its folder's list first."""
    (out,) = load_yaml(project / "dvc.lock")["stages"][stage]["outs"]
    cache = project / ".dvc" / "cache" / "files" / "md5"
    listed = cache / out["md5"][:2] / out["md5"][2:]
    parts = [entry["md5"] for entry in json.loads(listed.read_text())]
    return [listed, *(cache / md5[:2] / md5[2:] for md5 in parts)]


def alter(path: Path) -> None:
    """Change an object as a careless program would, and leave it read-only as DVC has it."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    path.chmod(0o444)


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_object_is_never_restored(project: Path, which: int) -> None:
    walk(project)
    before = load_yaml(project / "dvc.lock")
    path = objects(project, "join")[which]
    alter(path)
    shutil.rmtree(project / "data" / "join")
    said: list[str] = []
    with Dag(project) as dag:
        assert {name: dag.run(name, said.append).how for name in dag.nodes}["join"] == "ran"
    assert said[0] == "1 damaged object of join in DVC's cache removed; it is made anew"
    assert load_yaml(project / "dvc.lock") == before
    assert file_md5(path) == path.parent.name + path.name.removesuffix(".dir")


def test_an_object_that_is_whole_in_the_project_is_taken_from_there(project: Path) -> None:
    walk(project)
    for path in objects(project, "join"):
        alter(path)
    (project / "dvc.lock").unlink()
    said: list[str] = []
    with Dag(project) as dag:
        assert {dag.run(name, said.append).how for name in dag.nodes} == {"restored"}
    assert said == [  # one of them is an output of another stage too
        "1 damaged object of load in DVC's cache removed; its files in the project are whole",
        "2 damaged objects of join in DVC's cache removed; its files in the project are whole",
    ]
    shutil.rmtree(project / "data" / "join")
    assert hows(walk(project))["join"] == "restored"


def file_md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_what_killed_stages_left_unfinished_enters_no_hash_and_is_swept(project: Path) -> None:
    """Beside an output, where a folder that another stage depends on holds both; of a living process it stays."""
    (project / ".dvcignore").write_text(".*.part\n")
    gone = subprocess.Popen(["true"])
    gone.wait()
    machine = files._machine()
    context = project / "data" / "context"
    walk(project)
    left = [
        context / f".as_of.json.x1.{machine}-{gone.pid}.part",
        project / "data" / f".fit_p.x2.{machine}-{gone.pid}.part",
    ]
    kept = [
        context / f".as_of.json.x3.{machine}-{os.getpid()}.part",
        context / ".as_of.json.x4.00000000-1.part",  # of another machine, just now
        context / "of the user.part",
    ]
    for path in [*left, *kept]:
        path.mkdir() if "fit" in path.name else path.write_text("half")
    kept[2].unlink()
    assert dvc(project, "status").strip() == UP_TO_DATE
    assert hows(walk(project)) == dict.fromkeys(ALL, "unchanged")
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept[:2])
    assert set(files.hash_tree(context)) == {"README.md"}
    os.utime(kept[1], (0, 0))
    assert files.sweep(context) == [kept[1]]


def test_independent_stages_overlap(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAP_fit_p", "0.7")
    monkeypatch.setenv("NAP_fit_q", "0.7")
    walk(project)
    order = [line.split()[1:] for line in (project / "diary.txt").read_text().splitlines()]
    fits = [word for word, name in order if name.startswith("fit")]
    assert fits == ["began", "began", "ended", "ended"]


def test_a_failed_stage_leaves_no_record_and_stops_what_follows(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL_fit_p", "1")
    with pytest.raises(
        StageFailed, match=r"(?s)fit@p: the command failed with exit code 3.*something went wrong in fit_p"
    ):
        walk(project)
    assert diary(project) == ["load", "fit_q"]
    assert hows(walk(project)) == {"fit@p": "ran", "fit@q": "unchanged", "join": "ran", "load": "unchanged"}


def test_a_second_try_does_not_take_the_old_outputs_for_the_new(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(project)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("seed: 1", "seed: 2"))
    monkeypatch.setenv("FAIL_load", "2")
    with Dag(project) as dag:
        with pytest.raises(StageFailed, match="exit code 3"):
            dag.run("load", lambda line: None)
        assert dag.run("load", lambda line: None).how == "ran"
    assert (project / "data" / "load" / "text").read_text() == "load()seed: 2"


def test_an_input_edited_meanwhile_is_noticed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAP_load", "1")
    with Dag(project) as dag:

        def edit(line: str) -> None:
            (project / "data" / "context" / "as_of.json").write_text("{}")

        with pytest.raises(StageFailed, match="data/context was edited while the stage ran"):
            dag.run("load", edit)
    assert not (project / "dvc.lock").exists()


def test_a_second_walk_of_the_same_project_is_refused(project: Path) -> None:
    with (
        Dag(project),
        pytest.raises(RefitError, match=f"another `refit run` is at work here \\(process {os.getpid()}, since "),
    ):
        Dag(project).__enter__()


def test_no_walk_begins_beside_a_dvc_repro(project: Path) -> None:
    command = [sys.executable, "-m", "dvc", "repro", "load"]
    env = {**os.environ, "NAP_load": "600", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    repro = subprocess.Popen(command, cwd=project, env=env, stdout=-3, stderr=-3, start_new_session=True)
    try:
        while diary(project, "began") != ["load"]:
            assert repro.poll() is None
            time.sleep(0.05)
        with pytest.raises(RefitError, match=f"`dvc repro` is at work here \\(process {repro.pid}, since "):
            Dag(project).__enter__()
    finally:
        os.killpg(repro.pid, signal.SIGKILL)
        repro.wait()
    assert set(hows(walk(project)).values()) == {"ran"}


def test_cancelling_ends_the_command_and_its_children(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAP", "60")
    with Dag(project) as dag:
        timer = threading.Timer(0.8, dag.cancel)
        timer.start()
        began = time.perf_counter()
        with pytest.raises(Cancelled, match="load: stopped"):
            dag.run("load", lambda line: None)
        assert time.perf_counter() - began < 10
    monkeypatch.delenv("NAP")
    assert set(hows(walk(project)).values()) == {"ran"}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            "stages:\n  a: {cmd: python work.py a, outs: [data/a], deps: [nowhere]}\n",
            r"needs 'nowhere', which is not there",
        ),
        ("stages:\n  a: {cmd: python work.py a | tee x, outs: [data/a], deps: [work.py]}\n", r"uses the shell's '\|'"),
        ("stages:\n  a: {cmd: nosuchprogram, outs: [data/a], deps: [work.py]}\n", "cannot run 'nosuchprogram'"),
        ("stages:\n  a: {cmd: python -c pass, outs: [data/a], deps: [work.py]}\n", "did not write 'data/a'"),
        ("stages:\n  a: {comd: x}\n", r"dvc\.yaml: "),
    ],
)
def test_mistakes_in_the_dag_are_told_plainly(project: Path, broken: str, said: str) -> None:
    (project / "dvc.yaml").write_text(broken)
    with pytest.raises(RefitError, match=said):
        walk(project)


def test_unknown_stage_names_the_nearest(project: Path) -> None:
    with Dag(project) as dag, pytest.raises(RefitError, match=r"no stage 'joyn'.*Did you mean 'join'"):
        dag.run("joyn", print)


def test_words_refuses_redirection() -> None:
    with pytest.raises(RefitError, match="uses the shell's '>'"):
        words("python a.py > out")


WALK = """
import signal, sys
from tests.flows.test_dag import walk
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; a background job of a shell ignores it
walk(Path(sys.argv[1]))
"""


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("stage", ["load", "fit_p", "join"])
def test_a_killed_walk_goes_on_where_it_stopped(project: Path, stage: str, number: signal.Signals) -> None:
    walker = subprocess.Popen([sys.executable, "-c", WALK, str(project)], env={**os.environ, f"NAP_{stage}": "120"})
    deadline = time.monotonic() + 60
    while stage not in diary(project, "began") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    walker.send_signal(number)
    walker.wait(30)
    lock = project / "dvc.lock"
    finished = load_yaml(str(lock))["stages"] if lock.exists() else {}
    outcomes = walk(project)
    assert {name for name, how in hows(outcomes).items() if how == "unchanged"} == set(finished)
    assert outcomes["join"].how == "ran"
    assert (project / "data" / "join" / "text").read_text().startswith("join(fit_p(load()")
    assert dvc(project, "status").strip() == UP_TO_DATE


def test_what_a_stage_that_is_gone_had_made_is_removed_before_a_stage_reads_its_folder(project: Path) -> None:
    """As a clone has it, where git and DVC bring only what the stages of now make."""
    dag_of = """\
stages:
  part:
    foreach: [{parts}]
    do: {{cmd: "python work.py parts/${{item}}", deps: [work.py], outs: ["data/parts/${{item}}"]}}
  join: {{cmd: python work.py join, deps: [data/parts], outs: [data/join], params: [seed]}}
"""

    def run(parts: str) -> dict[str, str]:
        (project / "dvc.yaml").write_text(dag_of.format(parts=parts))
        with Dag(project) as dag:
            return {name: dag.run(name, print).how for name in dag.nodes}

    assert run("a, b") == {"part@a": "ran", "part@b": "ran", "join": "ran"}
    assert run("a") == {"part@a": "unchanged", "join": "unchanged"}, "nothing else changed, so nothing runs for it"
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("seed: 1", "seed: 2"))
    assert run("a") == {"part@a": "unchanged", "join": "ran"}
    assert [path.name for path in (project / "data" / "parts").iterdir()] == ["a"]
    assert dvc(project, "status") == "Data and pipelines are up to date.\n"
    assert run("a, b") == {"part@a": "unchanged", "part@b": "restored", "join": "ran"}
