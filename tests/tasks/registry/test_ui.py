"""MLflow's own server over a project's registry, as a person opens it: runs, versions and files are there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from deploy.launch import free_port
from tasks.registry.tracking import Registry
from tests.deploy.conftest import deployed as deployed
from tests.deploy.conftest import packages as packages
from tests.projects import environment

pytestmark = pytest.mark.service


def test_mlflow_shows_versions_with_their_signature(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    words = ["ui", "--backend-store-uri", "sqlite:///.refit/mlflow.db", "--port", str(port), "--workers", "1"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            cwd=deployed / "project",
            env=environment(DO_NOT_TRACK="true"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    looked_at(f"http://127.0.0.1:{port}")
                    break
                except OSError:
                    assert time.monotonic() < until, (tmp_path / "log").read_text()
                    assert server.poll() is None, (tmp_path / "log").read_text()
                    time.sleep(0.5)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
            link = Registry(deployed / "project").link("orders-late", "2", "reports/report.html")
            made = re.fullmatch(
                rf"http://127.0.0.1:{port}/#/experiments/(\d+)/runs/(\w+)/artifacts/reports/report.html", str(link)
            )
            assert made is not None, link
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/get?run_id={made[2]}", timeout=60
            ) as answer:
                assert json.load(answer)["run"]["info"]["experiment_id"] == made[1]
        finally:
            server.terminate()
            server.wait(60)


def looked_at(address: str) -> None:
    """What the pages ask the server for."""

    def ask(path: str) -> bytes:
        with urllib.request.urlopen(f"{address}/{path}", timeout=60) as answer:
            return bytes(answer.read())

    model = json.loads(ask("api/2.0/mlflow/registered-models/get?name=orders-late"))["registered_model"]
    assert [one["version"] for one in model["latest_versions"]] == ["2"]
    for version in ("1", "2"):
        about = ask(f"model-versions/get-artifact?name=orders-late&version={version}&path=MLmodel").decode()
        assert "loader_module: refit.pyfunc" in about
        assert "signature:" in about
