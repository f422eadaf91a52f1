"""What a run would do is told before it is done: the stages that run are those that were named, for the reason that was named."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.lasted import keep, lasted
from flows.outlook import Due, Outlook, outlook
from tasks.errors import RefitError
from tasks.params import load
from tests.flows.project import copied, make_project
from tests.flows.test_dag import ALL, hows, walk


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project after a walk; take a copy."""
    root = make_project(tmp_path_factory.mktemp("outlook") / "project")
    walk(root)
    return root


@pytest.fixture
def project(walked: Path, tmp_path: Path) -> Path:
    return copied(walked, tmp_path / "project")


def seen(root: Path, as_of: str | None = None) -> Outlook:
    return outlook(root, load(root / "params.yaml"), as_of)


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


CHANGES: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "a parameter of the first stage": (
        edit("params.yaml", "seed: 1", "seed: 2"),
        {"load": "seed: 1 → 2", "fit@p": "after load", "fit@q": "after load", "join": "after fit@p, fit@q"},
    ),
    "a key of a section": (
        edit("params.yaml", "trials: 2", "trials: 3"),
        {"fit@p": "tuning.trials: 2 → 3", "fit@q": "tuning.trials: 2 → 3", "join": "after fit@p, fit@q"},
    ),
    "a key that was not there": (
        edit("params.yaml", "{trials: 2}", "{trials: 2, sampler: tpe}"),
        {"fit@p": "tuning.sampler: unset → tpe", "fit@q": "tuning.sampler: unset → tpe", "join": "after fit@p, fit@q"},
    ),
    "code": (edit("work.py", '"""Write', '"""Writes'), dict.fromkeys(ALL, "work.py changed")),
    "an output that is gone": (lambda root: shutil.rmtree(root / "data/join"), {"join": "its output data/join is gone"}),
    "an output that was edited": (
        lambda root: (root / "data/fit_p/text").write_text("by hand"),
        {"fit@p": "its output data/fit_p was changed since", "join": "after fit@p"},
    ),
    "a command": (
        edit("dvc.yaml", "python work.py join fit_p fit_q", "python work.py join fit_q fit_p"),
        {"join": "its entry in dvc.yaml is another"},
    ),
    "a file that is read": (
        lambda root: (root / "data/context/README.md").write_text("another"),
        {"load": "data/context changed", "fit@p": "after load", "fit@q": "after load", "join": "after fit@p, fit@q"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_named_and_what_runs_was_named(project: Path, what: str) -> None:
    change, reasons = CHANGES[what]
    change(project)
    before = seen(project)
    assert {one.stage: one.reason for one in before.due} == reasons
    assert {*before.unchanged} == {*ALL} - reasons.keys()
    done = {name for name, how in hows(walk(project)).items() if how != "unchanged"}
    assert done <= reasons.keys()
    assert {one.stage for one in before.due if one.why} <= done
    assert seen(project).due == ()


def test_before_the_first_run_every_stage_is_due(tmp_path: Path) -> None:
    due = seen(make_project(tmp_path / "new")).due
    assert [one.stage for one in due] == ["load", "fit@p", "fit@q", "join"]
    assert all(one.reason.startswith("never ran") for one in due)


def test_an_asked_moment_is_a_reason(project: Path) -> None:
    first = seen(project, "2013-11-30").due[0]
    assert (first.stage, first.reason) == ("load", "as of: everything → 2013-11-30T23:59:59")


def test_what_dvc_has_in_its_cache_is_restored(project: Path) -> None:
    edit("params.yaml", "seed: 1", "seed: 2")(project)
    walk(project)
    edit("params.yaml", "seed: 2", "seed: 1")(project)
    due = {one.stage: one for one in seen(project).due}
    assert due["load"].restored
    assert hows(walk(project))["load"] == "restored"


def test_nothing_is_written(project: Path) -> None:
    def files() -> dict[str, tuple[int, int]]:
        every = [path for path in project.rglob("*") if ".dvc/tmp" not in path.as_posix()]  # DVC's own notes of hashes
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in every}

    edit("params.yaml", "seed: 1", "seed: 2")(project)
    before = files()
    assert seen(project, "2013-11-30").due
    assert files() == before


def test_a_lock_in_conflict_is_refused_with_the_remedy(project: Path) -> None:
    (project / "dvc.lock").write_text("<<<<<<< ours\n")
    with pytest.raises(RefitError, match=r"dvc\.lock: cut or in conflict.*Restore it from git"):
        seen(project)


def test_the_cost_is_what_the_stages_took_last(project: Path) -> None:
    edit("params.yaml", "seed: 1", "seed: 2")(project)
    keep(project, "load", 100.0)
    keep(project, "fit@p", 30.6)
    keep(project, "load", 90.0)
    assert lasted(project) == {"load": 90.0, "fit@p": 30.6}
    lines = list(seen(project).lines())
    assert lines[0] == "4 of 4 stages to run, about 2 min 1 s by their last times (of 2 of them no time is known)"
    assert lines[1:5] == [
        "  load   1 min 30 s  seed: 1 → 2",
        "  fit@p        31 s  after load",
        "  fit@q           ?  after load",
        "  join            ?  after fit@p, fit@q",
    ]
    assert lines[-1] == "Nothing was done."


def test_each_state_has_a_sentence() -> None:
    nothing = Outlook((), ("a", "b"), False, ())
    assert list(nothing.lines()) == ["nothing to run: everything is up to date", "Nothing was done."]
    left = replace(nothing, effects=True)
    assert left.sentence() == "nothing to run, but the last result is still to be registered"
    one = replace(nothing, due=(Due("c", ("x changed",), (), True, None),), effects=True)
    assert one.sentence() == "1 of 3 stages to run"
    assert replace(one, due=(replace(one.due[0], restored=False),)).sentence() == "1 of 3 stages to run"
    assert "  c  restored  x changed" in list(one.lines())


@pytest.mark.flows
def test_a_run_does_what_it_said_that_it_would_do(twice: Path) -> None:
    """``twice`` asked before its second run, from which a family was taken."""
    told, done = ((twice.parent / name).read_text() for name in ("explained.txt", "run.txt"))
    due = {line.split()[0]: line for line in told.splitlines() if line.startswith("  ")}
    ran = set(re.findall(r"(\S+) done \(", done))
    assert "evaluate" in ran
    assert ran <= due.keys()
    assert "models.gradient_boosting" in due["evaluate"]
    assert "?" not in "".join(due.values()), "the first run kept how long each stage took"
    assert told.splitlines()[-1] == "Nothing was done."
