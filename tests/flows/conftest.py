"""A Prefect server, and an iris project after its first run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from deploy.launch import free_port
from tasks import blank
from tests.flows.project import copied, refit
from tests.projects import ROOT
from tests.shared import for_session, shared


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[None]:
    """A process of its own group with its signals reset, ended with all its children."""
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a Prefect server with the work pools ``cpu`` and ``gpu`` and no worker; one for all workers of pytest.

    A `refit run` without a server starts one of its own, which takes nine processor seconds each time.
    """
    home = for_session(tmp_path_factory, "prefect", start_server)
    url = (home / "url").read_text()
    return {**os.environ, "PREFECT_HOME": str(home), "PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1"}


def start_server(home: Path) -> None:
    """`prefect server start`, until the first process of the session is gone; its address stands in ``home/url``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    env = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_API_URL": url, "PREFECT_UI_ENABLED": "0"}
    env["PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS"] = "2"
    blank.fill(home / "prefect.db", f"prefect-{version('prefect')}")
    session = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    until = [sys.executable, "-S", "-m", "tests.until", str(session), *command]
    subprocess.run(until, cwd=ROOT, env=env, stdin=-3, stdout=-3, stderr=-3, check=True)
    deadline = time.monotonic() + 120
    while True:
        try:
            urlopen(f"{url}/health", timeout=2).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "the Prefect server did not start"
            time.sleep(0.3)
    for pool in ("cpu", "gpu"):
        make_pool(url, pool)
    (home / "url").write_text(url)


def make_pool(url: str, name: str) -> None:
    """A work pool as a worker makes it, without the four processor seconds of Prefect's command."""
    asked = json.dumps({"name": name, "type": "process"}).encode()
    urlopen(Request(f"{url}/work_pools/", asked, {"Content-Type": "application/json"}), timeout=60).close()


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris after its first run, with two small families; for all workers, so take a copy."""
    return shared(tmp_path_factory, "iris", first_run)


@pytest.fixture(scope="session")
def twice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris after a second run without one of its families: champion 1, and version 2, which is kept; take a copy."""

    def second_run(root: Path) -> None:
        project = copied(request.getfixturevalue("iris"), root / "iris")
        params = project / "params.yaml"
        params.write_text(params.read_text().replace("  gradient_boosting: {}\n", ""))
        (root / "explained.txt").write_text(refit(project, "run", "--explain"))
        said = refit(project, "run", "--plain", env=request.getfixturevalue("server"))
        (root / "run.txt").write_text(said)
        assert "this run: version 2; champion: version 1" in said

    return shared(tmp_path_factory, "twice", second_run) / "iris"


def first_run(root: Path) -> None:
    from sklearn.datasets import load_iris

    load_iris(as_frame=True).frame.to_csv(root / "iris.csv", index=False)
    refit(root, "init", "--data", "iris.csv", "--target", "target")
    params = root / "params.yaml"
    text = re.sub(r"  auto: .*", "  gradient_boosting: {}", params.read_text())
    text = text.replace("trials: 6", "trials: 2").replace("explain: true", "explain: false")  # quicker runs
    assert "trials: 2" in text
    assert "explain: false" in text
    params.write_text(text)
    said = refit(root, "run", "--plain")
    assert "150 accepted, 0 quarantined" in said
    assert "champion: version 1" in said
