"""Commands of stages: how they are split, what they are given, what is said of one that failed, how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import commands
from flows.commands import (
    MARK,
    WALKER,
    StageFailed,
    end_group,
    end_orphans,
    environment,
    failure,
    follow,
    is_stage,
    sealed_environment,
    start,
    words,
)
from tasks.errors import RefitError
from tasks.params import START


def test_commands_are_split_as_a_shell_would_and_empty_lines_are_none() -> None:
    assert words("python a.py 'b c' \"d|e\"\n\n  python -m x --y=z\n") == [
        ["python", "a.py", "b c", "d|e"],
        ["python", "-m", "x", "--y=z"],
    ]
    assert words(["python a.py", "", "echo b"]) == [["python", "a.py"], ["echo", "b"]]


@pytest.mark.parametrize("operator", ["|", "||", "&", "&&", ";", "<", ">", ">>", "(", ")"])
def test_the_shells_operators_are_refused_by_name(operator: str) -> None:
    with pytest.raises(RefitError, match="without a shell") as error:
        words(["python a.py", f"python a.py {operator} b"])
    assert f"uses the shell's {operator!r}" in str(error.value)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("python -m tasks.tune xgboost", True),
        ("/usr/bin/python3.11 -m tasks.tune", True),
        ("python -m tasksx.tune", False),
        ("python -u -m tasks.tune", False),
        ("python work.py tasks.tune", False),
        ("sh -m tasks.tune", False),
        ("python", False),
    ],
)
def test_a_stage_of_tasks_is_told_from_other_commands(command: str, wanted: bool) -> None:
    assert is_stage(command.split()) is wanted


def test_a_command_gets_the_users_environment_with_this_python_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/opt/mine:/usr/bin")
    monkeypatch.setenv("MY_OWN", "kept")
    found = environment(Path("/project"), "train@mlp")
    assert found["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/opt/mine", "/usr/bin"]
    more = {"PYTHONUNBUFFERED": "1", "DVC_ROOT": "/project", "DVC_STAGE": "train@mlp"}
    more |= {MARK: "/project", WALKER: str(os.getpid())}
    assert found == {**os.environ, **more, "PATH": found["PATH"]}
    assert found["MY_OWN"] == "kept"
    monkeypatch.delenv("PATH")
    assert environment(Path("/project"), "x")["PATH"].split(os.pathsep)[1:] == os.defpath.split(os.pathsep)


def test_a_sealed_command_reads_the_runs_code_before_the_projects_and_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/opt/mine")
    found = sealed_environment(Path("/sealed"), tmp_path)
    assert found == {
        START: "/sealed", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(["/sealed", str(tmp_path), "/opt/mine"]),
    }  # fmt: skip
    monkeypatch.delenv("PYTHONPATH")
    assert sealed_environment(Path("/sealed"), tmp_path)["PYTHONPATH"] == f"/sealed{os.pathsep}{tmp_path}"


def test_what_a_stage_says_of_a_mistake_is_the_message_and_is_not_repeated() -> None:
    said = ["working", "error: a", "error: params.yaml: x is wrong", "  found 'y'"]
    found = failure("tune", 1, said)
    assert str(found) == "tune: params.yaml: x is wrong\n  found 'y'"
    assert found.mistake


def test_what_else_fails_is_told_by_its_last_eight_lines_and_its_signal() -> None:
    lines = [f"line {i}" for i in range(9)]
    found = failure("tune", 3, lines)
    assert str(found) == "tune: the command failed with exit code 3. Its last lines:\n  " + "\n  ".join(lines[1:])
    assert not found.mistake
    assert str(failure("tune", 3, [])) == "tune: the command failed with exit code 3."
    assert str(failure("tune", -9, [])) == "tune: the command was killed by signal 9 (out of memory?)."
    assert str(failure("tune", 137, [])) == "tune: the command failed with exit code 137 (out of memory?)."
    assert str(failure("tune", -15, [])) == "tune: the command was killed by signal 15."


SAYS = (
    "import os, sys; print(os.environ['DVC_STAGE'], os.getcwd(), flush=True); print('oh', file=sys.stderr); sys.exit(5)"
)


def test_a_commands_two_outputs_come_line_by_line_and_its_pipe_is_closed(tmp_path: Path) -> None:
    process = start("fit@p", [sys.executable, "-c", SAYS], tmp_path, tmp_path)
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0), "a group of its take_lock, that can be ended whole"
    heard: list[str] = []
    code, said = follow(process, heard.append)
    assert (code, said) == (5, heard)
    assert heard == [f"fit@p {tmp_path}", "oh"]
    assert process.stdout is not None
    assert process.stdout.closed


def test_only_commands_of_tasks_read_what_a_run_keeps(tmp_path: Path) -> None:
    tells = "import os; print(os.environ.get('REFIT_START'))"
    for module, wanted in (("tasks.told", str(tmp_path)), ("other.told", "None")):
        package = tmp_path / module.partition(".")[0]
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "told.py").write_text(tells)
        python = [sys.executable, "-m", module]
        assert follow(start("told", python, tmp_path, tmp_path, tmp_path), lambda line: None) == (0, [wanted])


def test_a_command_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"told: cannot run 'no-such-program': No such file") as error:
        start("told", ["no-such-program"], tmp_path, tmp_path)
    assert error.value.mistake


def test_only_the_last_thirty_lines_are_kept(tmp_path: Path) -> None:
    process = start("x", [sys.executable, "-c", "for i in range(40): print(i, ' ')"], tmp_path, tmp_path)
    assert follow(process, lambda line: None) == (0, [str(i) for i in range(10, 40)])


def test_a_command_ends_with_what_it_started_where_its_listener_fails(tmp_path: Path) -> None:
    parent = "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    process = start("x", [sys.executable, "-c", parent], tmp_path, tmp_path)
    child: list[int] = []

    def listen(line: str) -> None:
        child.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(process, listen)
    assert process.returncode is not None
    assert gone(child[0])
    assert process.stdout is not None
    assert process.stdout.closed


DEAF = (
    "import signal, subprocess, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    "p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
)
LEAVES = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3).pid, flush=True)"


@pytest.mark.parametrize(("program", "code"), [(DEAF, -signal.SIGKILL), (LEAVES, 0)], ids=["deaf", "gone"])
def test_a_group_is_ended_though_it_is_deaf_or_its_leader_is_gone(
    program: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "GRACE", 0.1)
    process = start("x", [sys.executable, "-c", program], tmp_path, tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    if program == LEAVES:
        process.wait(60)
    end_group(process)
    process.stdout.close()
    assert process.returncode == code
    assert gone(child)
    end_group(process)  # nothing is left: no error


def gone(pid: int) -> bool:
    """Whether a process ends; one that nobody has waited for has ended."""
    for _ in range(3000):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_what_a_killed_walk_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    marks = {
        "orphan": {MARK: str(tmp_path), WALKER: "1"},
        "mine": {MARK: str(tmp_path), WALKER: str(os.getpid())},
        "another project's": {MARK: str(tmp_path / "other"), WALKER: "1"},
        "nobody's": {},
    }
    begun = {who: subprocess.Popen(["sleep", "600"], env={**os.environ, **env}) for who, env in marks.items()}
    try:
        assert end_orphans(tmp_path) == [begun["orphan"].pid]
        begun["orphan"].wait(30)
        assert {who for who, process in begun.items() if process.poll() is None} == set(marks) - {"orphan"}
    finally:
        for process in begun.values():
            process.kill()
            process.wait()
