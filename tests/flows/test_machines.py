"""Two clones of one repository that share a DVC remote, a PostgreSQL and a Prefect server, by the commands of docs/machines.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from tasks.files import hash_tree
from tests.flows.conftest import running
from tests.flows.project import REFIT, dvc, recorded, refit
from tests.postgres import postgres
from tests.projects import ROOT

pytestmark = pytest.mark.flows
PAGE = (ROOT / "docs" / "machines.md").read_text()
PYTHON = {"dvc": f"{sys.executable} -m dvc", "prefect": f"{sys.executable} -m prefect", "refit": " ".join(REFIT)}
POOL, TRIALS = "machines", 8
CUT = ("ingest", "validate", "features", "tune")


@pytest.fixture(scope="module")
def studies() -> Iterator[str]:
    with postgres() as url:
        yield url


def command(begin: str, **there: str) -> str:
    """The page's command that begins so, with its examples of addresses replaced and this Python's programs."""
    (found,) = re.findall(rf"^\$ ({re.escape(begin)}.*)$", PAGE, flags=re.MULTILINE)
    for example, real in there.items():
        assert EXAMPLES[example] in found
        found = found.replace(EXAMPLES[example], real)
    for name, real in PYTHON.items():
        found = re.sub(rf"(^| ){name} ", rf"\g<1>{real} ", f"{found} ").strip()
    return found


EXAMPLES = {
    "store": "/mnt/shared/store",
    "origin": "https://git.example/shop.git",
    "folder": " shop",
    "studies": "postgresql://refit@db.example/refit",
}


def said(root: Path, line: str, env: dict[str, str]) -> str:
    done = subprocess.run(["sh", "-c", line], cwd=root, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, line + done.stdout + done.stderr
    return done.stdout


def until(what: Callable[[], bool], seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def finished_trials(studies: str) -> int:
    import psycopg

    with psycopg.connect(studies) as database:
        try:
            row = database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
    assert row is not None
    return int(row[0])


def alive(env: dict[str, str]) -> int:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import WorkerStatus

    with SyncPrefectClient(env["PREFECT_API_URL"]) as client:
        return sum(w.status == WorkerStatus.ONLINE for w in client.read_workers_for_work_pool(POOL))


def killed(checkout: Path) -> None:
    """SIGKILL to all that runs for a machine: its worker, the stage, and what that started."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("REFIT_CHECKOUT") == str(checkout):
                process.kill()
        except psutil.Error:
            continue


def project(root: Path, full: bool) -> None:
    """A project in git whose table is in nobody's clone; ``full``: with all its stages."""
    from sklearn.datasets import load_iris

    root.mkdir()
    load_iris(as_frame=True).frame.to_csv(root / "iris.csv", index=False)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    refit(root, "init", "--data", "iris.csv", "--target", "target")
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "/iris.csv\n")
    params = root / "params.yaml"
    blocks = re.findall(r"```yaml\norchestration:\n(.*?)```", PAGE, flags=re.DOTALL)
    text = re.sub(r"^  logistic: .*\n", "", params.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^  auto: .*", "  random_forest: {params: {n_estimators: 300}}", text, flags=re.MULTILINE)
    text = re.sub(
        r"^  trials: 6.*\n  seconds: .*",
        f"  {{trials: {TRIALS}, seconds: 600, sampler: random}}",
        text,
        flags=re.MULTILINE,
    )
    assert f"{{trials: {TRIALS}," in text
    assert "orchestration:" not in text
    params.write_text(text + "\norchestration:\n" + blocks[0] + (blocks[1] if full else ""))
    yaml, dag = YAML(), root / "dvc.yaml"
    tree = yaml.load(dag.read_text())
    if not full:
        tree["stages"] = {name: tree["stages"][name] for name in CUT}
        for name in ("validate", "features"):
            tree["stages"][name]["meta"] = {"pool": "here"}
    yaml.dump(tree, dag)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)


def test_two_clones_share_a_run_and_one_of_them_is_killed(
    tmp_path: Path, server: dict[str, str], studies: str, full: bool
) -> None:
    """Nothing is copied by hand. The quick size has the stages up to a search; the other all of them, and a shared search."""
    one, two, origin = (tmp_path / name for name in ("one", "two", "origin.git"))
    who = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    env = server | {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    env = {k: v for k, v in env.items() if k not in ("MLFLOW_TRACKING_URI", "REFIT_HISTORY", "REFIT_STUDIES_URL")}
    project(one, full)
    subprocess.run(["git", "init", "-q", "--bare", str(origin)], check=True)
    said(one, f"git commit -q -m all && git remote add origin {origin} && git push -q -u origin HEAD", env)
    said(one, command("dvc remote add", store=str(tmp_path / "store")), env)
    said(one, command("git commit"), env)
    said(one, command("git push"), env)
    said(one, command("prefect work-pool"), env)
    said(tmp_path, command("git clone", origin=str(origin), folder=" two"), env)
    work = command("cd shop &&", studies=studies)
    begun = {root: ["sh", "-c", work.replace("cd shop", f"cd {root}")] for root in (one, two)}
    with running(begun[two], env):
        until(lambda: alive(env) > 0)
        run = subprocess.Popen(
            [*REFIT, "run", "--plain"], cwd=one, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            until(lambda: finished_trials(studies) > 0 or run.poll() is not None)
            with running(begun[one], env):
                if full:
                    until(lambda: finished_trials(studies) > 2)
                killed(two)
                told, _ = run.communicate(timeout=600)
        finally:
            run.kill()
            assert run.stdout is not None
            run.stdout.close()
    print(told)
    assert run.returncode == 0, told
    assert "ingest | inputs pushed to the DVC remote; sent to work pool 'machines'" in told
    assert "tune@random_forest: its worker in pool 'machines' has died" in told
    assert finished_trials(studies) == TRIALS
    best = YAML(typ="safe").load(one / "data" / "tuning" / "random_forest" / "best.json")
    assert best["trials"] == TRIALS
    assert dvc(one, "status").strip() == "Data and pipelines are up to date."
    assert not (two / "iris.csv").exists()
    assert not (two / "dvc.lock").exists()
    assert not (two / "data" / "raw").exists()
    if full:
        assert "champion: version 1" in told
        return
    assert "trials of an earlier run of this search were kept" in told
    assert len(recorded(one)) == len(CUT)

    # The same search once more, by hand in the other clone: all trials are known, and the result is the same.
    dvc(one, "push", "-q", "features")
    said(one, "git add dvc.lock && git commit -q -m 'what was made' && git push -q", env)
    said(two, "git pull -q", env)
    said(two, command("dvc pull"), env)
    here = os.environ["PATH"].split(os.pathsep)
    by_hand = env | {"REFIT_STUDIES_URL": studies, "PATH": os.pathsep.join([str(Path(sys.executable).parent), *here])}
    assert f"{TRIALS} trials of an earlier run of this search were kept" in said(two, command("python -m"), by_hand)
    assert hash_tree(two / "data" / "tuning") == hash_tree(one / "data" / "tuning")
