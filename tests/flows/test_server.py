"""With a real Prefect server and real process workers: pools, the fall-back without a GPU worker, deployments."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.files import write_json
from tasks.registry.history import DecisionHistory
from tests.flows.conftest import make_pool, running
from tests.flows.project import REFIT, diary, dvc, make_project, recorded
from tests.tasks.registry.packages import make_versions

pytestmark = pytest.mark.flows


def worker(pool: str, env: dict[str, str]) -> list[str]:
    return [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", f"{pool}-worker"]


def refit(root: Path, env: dict[str, str], *arguments: str) -> tuple[str, float]:
    began = time.perf_counter()
    done = subprocess.run([*REFIT, *arguments], cwd=root, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, time.perf_counter() - began


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The small project with ``join`` for the GPU's pool, and a program that says on which device it runs."""
    root = make_project(tmp_path / "project")
    dag = root / "dvc.yaml"
    dag.write_text(dag.read_text().replace("meta: {retries: 2}", "meta: {pool: gpu}"))
    work = root / "work.py"
    work.write_text(work.read_text() + 'print(f"device of {name}:", os.environ.get("TOLD_DEVICE", "here"))\n')
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("{parallel: 2,", "{parallel: 2, pools: {cpu: cpu, gpu: gpu},"))
    return root


def test_stages_run_on_the_workers_of_their_pools(project: Path, server: dict[str, str]) -> None:
    dag = project / "dvc.yaml"  # each stage that a worker runs starts a process with Prefect: one `fit` less here
    text = dag.read_text().replace("[p, q]", "[p]").replace("fit_p fit_q", "fit_p").replace(", data/fit_q", "")
    dag.write_text(text)
    cpu, gpu = ({**server, "TOLD_DEVICE": device} for device in ("cpu worker", "gpu worker, told to use the CPU"))
    with running(worker("cpu", cpu), cpu), running(worker("gpu", gpu), gpu):
        time.sleep(8)  # until both have sent their first heartbeat
        said, _ = refit(project, server, "run", "--plain")
    assert "device of load: cpu worker" in said
    assert "device of fit_p: cpu worker" in said
    assert "device of join: gpu worker, told to use the CPU" in said
    assert "join | sent to work pool 'gpu'" in said
    assert sorted(diary(project)) == ["fit_p", "join", "load"]
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
    said, seconds = refit(project, server, "run", "--plain")
    assert "0 run, 3 cached" in said
    print(f"nothing to do, with a server: {seconds:.1f} s")


def test_a_stage_is_tried_again_as_often_and_as_late_as_asked(tmp_path: Path, server: dict[str, str]) -> None:
    root = make_project(tmp_path / "project")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("retries: 0, retry_seconds: 0", "retries: 2, retry_seconds: 4"))
    said, _ = refit(root, {**server, "FAIL_load": "2"}, "run", "--plain")
    assert "4 run, 0 cached" in said
    began = [float(line.split()[0]) for line in (root / "diary.txt").read_text().splitlines() if "began load" in line]
    assert len(began) == 3
    assert min(later - earlier for earlier, later in pairwise(began)) >= 4, "the least time between two tries"


def test_workers_that_share_a_dvc_remote_and_nothing_else(
    project: Path, tmp_path: Path, server: dict[str, str]
) -> None:
    alone = tmp_path / "alone"  # what a run without workers records
    checkouts = {pool: tmp_path / f"{pool}-checkout" for pool in ("cpu", "gpu")}
    for folder in (alone, *checkouts.values()):
        make_project(folder)
        for name in ("dvc.yaml", "work.py"):
            shutil.copy(project / name, folder / name)
    for folder in (project, *checkouts.values()):
        dvc(folder, "remote", "add", "-d", "store", str(tmp_path / "store"))
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("{parallel: 2,", "{parallel: 2, exchange: remote,"))
    environments = {
        pool: {**server, "TOLD_DEVICE": f"{pool} worker", "REFIT_CHECKOUT": str(folder)}
        for pool, folder in checkouts.items()
    }
    with (
        running(worker("cpu", environments["cpu"]), environments["cpu"]),
        running(worker("gpu", environments["gpu"]), environments["gpu"]),
    ):
        time.sleep(8)  # until both have sent their first heartbeat
        said, seconds = refit(project, server, "run", "--plain")
        print(f"four stages through a DVC remote: {seconds:.1f} s")
        assert "device of fit_q: cpu worker" in said
        assert "device of join: gpu worker" in said
        assert "join | inputs pushed to the DVC remote; sent to work pool 'gpu'" in said
        assert diary(project) == []  # no command ran here
        assert dvc(project, "status").strip() == "Data and pipelines are up to date."
        dvc(alone, "repro", "-q")
        assert recorded(project) == recorded(alone)
        for folder in checkouts.values():
            assert not (folder / "dvc.lock").exists()
            assert [p.name for p in (folder / "data").iterdir()] == ["context"]

        (checkouts["gpu"] / "work.py").write_text("raise SystemExit('this is older code')\n")
        (project / "data" / "context" / "note").write_text("another input")
        params.write_text(params.read_text().replace("seed: 1", "seed: 2"))
        before = recorded(project)
        done = subprocess.run(
            [*REFIT, "run", "--plain"], cwd=project, env=server, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 1
    assert "join: 'work.py' in this worker's checkout" in done.stderr
    assert "is not what the sender has. Bring it to the sender's commit" in done.stderr
    after = recorded(project)
    assert after["join"] == before["join"]  # the last good one
    assert after["load"] != before["load"]


def test_without_a_worker_stages_run_here_and_say_so(project: Path, server: dict[str, str]) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("pools: {cpu: cpu, gpu: gpu},", "pools: {gpu: nobody-here},"))
    make_pool(server["PREFECT_API_URL"], "nobody-here")
    said, _ = refit(project, server, "run", "--plain")
    assert "warning: no worker of pool 'nobody-here' is alive; join runs here" in said
    assert "device of join: here" in said


def test_a_stage_waits_for_a_worker_of_its_pool_whichever_it_is(project: Path, server: dict[str, str]) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("{cpu: cpu, gpu: gpu},", "{cpu: late}, no_gpu: wait,"))
    make_pool(server["PREFECT_API_URL"], "late")
    run = subprocess.Popen([*REFIT, "run", "--plain"], cwd=project, env=server, stdout=-1, text=True)
    assert run.stdout is not None
    with run.stdout:
        lines = iter(run.stdout.readline, "")
        assert any(
            "load | no worker of pool 'late' is alive; load waits for one (orchestration.no_gpu)" in x for x in lines
        )
        env = {**server, "TOLD_DEVICE": "late worker"}
        with running(worker("late", env), env):
            said = "".join(lines)
            assert run.wait(60) == 0, said
    assert "device of load: late worker" in said
    assert "device of join: here" in said  # it asks for the pool gpu, which is none


ASKING = """
import flows.settings
from prefect import flow
from flows.approval import approval
from flows.watcher import Watcher
from tasks.registry.tracking import Registered

@flow(name="asking")
def asking():
    print("answer:", approval(Registered("toy", "4", "run", "ab" * 32), Watcher()))

asking()
"""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"promote": True, "name": "Ada", "reason": "looks right"},
            "answer: Reply(promote=True, words='Ada: looks right')",
        ),
        ({"promote": False, "name": "Ada", "reason": "wait"}, "answer: Reply(promote=False, words='Ada: wait')"),
    ],
)
def test_a_person_is_asked_before_promotion(server: dict[str, str], answer: dict[str, object], said: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    asking = subprocess.Popen([sys.executable, "-c", ASKING], env=server, stdout=subprocess.PIPE, text=True)
    try:
        with SyncPrefectClient(server["PREFECT_API_URL"]) as client:
            deadline = time.monotonic() + 60
            paused = []
            while not paused and time.monotonic() < deadline:
                time.sleep(0.5)
                paused = [r for r in client.read_flow_runs() if r.state is not None and r.state.is_paused()]
            client.resume_flow_run(paused[0].id, run_input=answer)
        assert said in asking.communicate(timeout=60)[0]
    finally:
        asking.kill()
        assert asking.stdout is not None
        asking.stdout.close()


UNANSWERED = """
import sys
from pathlib import Path
import flows.settings
from prefect import flow
from flows import promotion
from flows.approval import approval
from flows.retrain import ended
from flows.watcher import Watcher
from tasks.registry.tracking import Registry

root = Path(sys.argv[1])
one = Registry(root).version("toy", "1")

@flow(name="unanswered")
def unanswered():
    assert approval(one, Watcher()) is None
    return ended(promotion.waiting(root, one))

print("returned:", unanswered())
"""


def test_an_approval_that_nobody_gives_ends_in_plain_words(tmp_path: Path, server: dict[str, str]) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    make_versions(tmp_path, 1)
    write_json(
        tmp_path / "data" / "verdict" / "verdict.json", {"verdict": "promote", "sentence": "Promote: it is better."}
    )
    done = subprocess.run(
        [sys.executable, "-c", UNANSWERED, str(tmp_path)], env=server | {"REFIT_APPROVAL_SECONDS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "returned: Standing(version='1', champion=None" in done.stdout
    with SyncPrefectClient(server["PREFECT_API_URL"]) as client:
        (flow,) = [f for f in client.read_flows() if f.name == "unanswered"]
        (run,) = [r for r in client.read_flow_runs() if r.flow_id == flow.id]
    assert run.state is not None
    assert run.state.is_completed()
    assert run.state.name == "Unapproved"
    assert run.state.message is not None
    assert run.state.message.startswith("Promote: it is better. Not promoted until a person approves")
    assert "`refit promote 1 --reason ...`" in run.state.message
    assert DecisionHistory(tmp_path).champion("toy") is None
