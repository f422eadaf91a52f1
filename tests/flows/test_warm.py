"""A stage that is forked from a process with loaded libraries is as one that is started: what it sees, says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.commands import MARK, end_group, environment, follow, start
from flows.warm import Process, Warm
from tests.flows.project import PARAMS
from tests.projects import ROOT

TOLD = """
import json, os, sys, threading
about = sys.modules["__main__"]
seen = {
    "argv": sys.argv[1:], "name": __name__, "main": about.__spec__.name, "file": about.__file__, "folder": os.getcwd(), "path": sys.path,
    "environment": dict(os.environ), "alone": os.getsid(0) == os.getpid() == os.getpgid(0), "safe": sys.flags.safe_path,
    "input": sys.stdin.read(), "threads": threading.active_count(),
    "open": sorted(os.readlink(f"/proc/self/fd/{n}").partition(":")[0] for n in os.listdir("/proc/self/fd") if n.isdigit()
                   and os.path.exists(f"/proc/self/fd/{n}")),
}
print(json.dumps(seen))
"""
LEAVES = "import atexit, sys; atexit.register(lambda: print('goodbye')); print('oh', file=sys.stderr); sys.exit(5)"
RAISES = "raise ValueError('as it is')"
SLEEPS = "import time, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\nprint('here', flush=True)\ntime.sleep(600)"
KILLS = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
LOADED = """
import sys
from tasks.params import load, loads
load()
print("pandas" in sys.modules, loads.cache_info().hits, "optuna" in sys.modules)
"""
MODULES = {"told": TOLD, "leaves": LEAVES, "raises": RAISES, "sleeps": SLEEPS, "kills": KILLS, "loaded": LOADED}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with modules of its own."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "params.yaml").write_text(PARAMS)
    return folder


@pytest.fixture(scope="module")
def env(folder: Path) -> dict[str, str]:
    more = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), "PYTHONSAFEPATH": "1"}
    return environment(folder, "fit@p") | more


@pytest.fixture(scope="module")
def warm(folder: Path, env: dict[str, str]) -> Iterator[Warm]:
    one = Warm()
    yield one
    one.close()


def forked(warm: Warm, folder: Path, env: dict[str, str], *command: str) -> Process:
    process = warm.start("fit@p", ["python", "-m", *command], folder, env)
    assert process is not None
    return process


def heard(process: Process) -> tuple[int, list[str]]:
    lines: list[str] = []
    code, _ = follow(process, lines.append)
    return code, lines


def test_it_sees_what_a_started_process_sees(warm: Warm, folder: Path, env: dict[str, str]) -> None:
    code, lines = heard(forked(warm, folder, env, "told", "a b", "--c"))
    started = subprocess.run([sys.executable, "-m", "told", "a b", "--c"], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, check=True)  # fmt: skip
    seen, wanted = json.loads(lines[0]), json.loads(started.stdout)
    assert code == 0
    settled = {"OMP_WAIT_POLICY", *(set(seen["environment"]) - set(wanted["environment"]))}  # tasks.process sets them
    for one in (seen, wanted):
        one["environment"] = {key: value for key, value in one["environment"].items() if key not in settled}
        one["open"] = {kind for kind in one["open"] if kind != "anon_inode"}
    assert seen == wanted
    assert (seen["argv"], seen["main"], seen["alone"]) == (["a b", "--c"], "told", True)


def test_it_has_its_libraries_already(warm: Warm, folder: Path, env: dict[str, str]) -> None:
    """Its parameters too, and after the stage before searches what those need."""
    assert heard(forked(warm, folder, env, "tasks.features"))[0] == 1, "there is no table"
    deadline = time.monotonic() + 120
    while heard(forked(warm, folder, env, "loaded"))[1] != ["True 1 True"]:
        assert time.monotonic() < deadline


def test_both_its_outputs_and_its_own_end_are_those_of_a_process(warm: Warm, folder: Path, env: dict[str, str]) -> None:
    assert heard(forked(warm, folder, env, "leaves")) == (5, ["oh", "goodbye"])
    code, lines = heard(forked(warm, folder, env, "raises"))
    assert (code, lines[-1]) == (1, "ValueError: as it is")
    assert heard(forked(warm, folder, env, "kills")) == (-signal.SIGKILL, [])
    assert heard(forked(warm, folder, env, "not_there"))[0] == 1


def test_several_run_at_once_and_each_one_is_ended_with_what_it_started(
    warm: Warm, folder: Path, env: dict[str, str]
) -> None:
    two = [forked(warm, folder, env, "sleeps") for _ in range(2)]
    for process in two:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    children = [child for one in two for child in psutil.Process(one.pid).children()]
    assert len(children) == 2
    assert psutil.Process(two[0].pid).environ()[MARK] == str(folder), "an orphan is found by it"
    end_group(two[0])
    assert two[0].wait() == -signal.SIGINT, "as Python ends that is interrupted"
    assert psutil.pid_exists(two[1].pid)
    end_group(two[1])
    assert psutil.wait_procs(children, timeout=10)[1] == []
    for process in two:
        assert process.stdout is not None
        process.stdout.close()


def test_its_group_can_be_ended_from_the_moment_that_it_is_known(warm: Warm, folder: Path, env: dict[str, str]) -> None:
    for _ in range(20):
        process = forked(warm, folder, env, "sleeps")
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()


def test_another_environment_or_interpreter_is_not_forked(warm: Warm, folder: Path, env: dict[str, str]) -> None:
    assert heard(forked(warm, folder, env, "loaded"))[0] == 0
    assert warm.start("fit@p", ["python", "-m", "loaded"], folder, env | {"OMP_NUM_THREADS": "9"}) is None
    assert warm.start("fit@p", ["/bin/sh", "-m", "loaded"], folder, env) is None
    other = folder / "other" / "python"  # of another environment, with the same program behind it
    other.parent.mkdir()
    other.symlink_to(os.path.realpath(sys.executable))
    assert warm.start("fit@p", [str(other), "-m", "loaded"], folder, env) is None
    other = warm.start("another", ["python", "-m", "told"], folder, env | {"DVC_STAGE": "another"})
    assert other is not None
    assert json.loads(heard(other)[1][0])["environment"]["DVC_STAGE"] == "another"


def test_where_it_is_gone_a_stage_is_started_all_the_same(folder: Path) -> None:
    warm = Warm()
    stage = [sys.executable, "-m", "tasks.errors"]
    assert follow(start("one", stage, folder, folder, ROOT, warm), lambda line: None) == (0, [])
    assert warm._process is not None
    warm._process.kill()
    warm._process.wait()
    again = start("one", stage, folder, folder, ROOT, warm)
    assert isinstance(again, subprocess.Popen)
    assert follow(again, lambda line: None) == (0, [])
    warm.close()


def test_it_ends_with_its_walk_and_an_end_that_nobody_saw_is_a_kill(folder: Path, env: dict[str, str]) -> None:
    warm = Warm()
    process = forked(warm, folder, env, "sleeps")
    assert warm._process is not None
    own = psutil.Process(warm._process.pid)
    own.kill()
    warm.close()
    assert process.wait(10) == -signal.SIGKILL
    end_group(process)
    assert process.stdout is not None
    process.stdout.close()
    other = Warm()
    assert heard(forked(other, folder, env, "loaded"))[0] == 0
    assert other._process is not None
    other.close()
    assert other._process.returncode == 0
    assert other.start("fit@p", ["python", "-m", "loaded"], folder, env) is None
