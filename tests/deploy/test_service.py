"""The same assertions on the served and on the built service, and the check before promotion."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.build import build
from deploy.check import check, compare, refuse
from deploy.launch import ask, free_port, running, serving
from tasks.bundle.manifest import write_manifest
from tasks.errors import RefitError
from tasks.files import read_json, write_json
from tests.tasks.package.projects import TIMED

pytestmark = pytest.mark.service


def assert_serves(address: str, package: Path) -> None:
    to = partial(ask, address)
    compare(read_json(package / "bundle.json"), read_json(package / "golden.json"), to)
    assert refuse(read_json(package / "golden.json"), read_json(package / "schema.json"), to) > 5
    assert to("/healthz")[0] == to("/openapi.json")[0] == 200
    assert "refit_rows_total" in to("/metrics")[1]


def test_served(packages: dict[str, Path]) -> None:
    with running(serving(packages[TIMED], "3")) as address:
        assert_serves(address, packages[TIMED])
        assert ask(address, "/readyz")[1]["version"] == "3"
    with pytest.raises(OSError, match="refused"):
        ask(address, "/healthz")


def test_bentoml_serves_the_same_service(packages: dict[str, Path]) -> None:
    def command(port: int) -> list[str]:
        return [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "deploy.service:Model",
            "--host",
            "127.0.0.1",
            "-p",
            str(port),
        ]

    with running(command, env={"REFIT_PACKAGE": str(packages[TIMED])}) as address:
        assert_serves(address, packages[TIMED])


def test_built(packages: dict[str, Path], tmp_path: Path) -> None:
    """The Bento holds its package and its code; it runs from its own folder."""
    bento = build(packages[TIMED], "5", store=tmp_path / "store")
    assert (bento / "src" / "package" / "bundle.json").is_file()

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "-p", str(port)]

    env = {"BENTOML_HOME": str(tmp_path / "store"), "REFIT_PACKAGE": "", "REFIT_VERSION": "5"}
    with running(command, env=env) as address:
        assert_serves(address, packages[TIMED])
        assert ask(address, "/readyz")[1]["version"] == "5"


def test_check(packages: dict[str, Path]) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    found = check(packages[TIMED])
    assert found["rows"] == 20
    assert found["refused"] > 5
    assert found["seconds"] < 30
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_check_finds_an_answer_that_differs(packages: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packages[TIMED], tmp_path / "package"))
    golden = read_json(copy / "golden.json")
    golden["rows"][3]["scores"][1] += 2**-52
    write_json(copy / "golden.json", golden)
    manifest = read_json(copy / "bundle.json")
    write_manifest(copy, {k: v for k, v in manifest.items() if k not in ("files", "format")})
    with pytest.raises(RefitError, match=r"golden row 3: the served package answers probability"):
        check(copy)


def test_check_refuses_a_damaged_package(packages: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packages[TIMED], tmp_path / "package"))
    (copy / "plan.json").write_text("{}")
    with pytest.raises(RefitError, match=r"damaged: 'plan\.json'"):
        check(copy)


def test_a_service_that_ends_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(RefitError, match=r"(?s)ended with code 1 before it was ready.*no package here"),
        running(serving(tmp_path, "1")),
    ):
        pass


def test_a_service_that_is_late_is_stopped(packages: dict[str, Path]) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with pytest.raises(RefitError, match=r"not ready within 0\.1 s"):
        check(packages[TIMED], timeout=0.1)
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_several_workers_count_together(packages: dict[str, Path]) -> None:
    def command(port: int) -> list[str]:
        return [*serving(packages["binary"], "1")(port), "--workers", "2"]

    row = read_json(packages["binary"] / "golden.json")["rows"][0]["input"]
    import json

    with running(command) as address:
        for _ in range(30):
            assert ask(address, "/predict", json.dumps(row).encode())[0] == 200
        assert "refit_rows_total 30.0" in ask(address, "/metrics")[1]


def test_ctrl_c_ends_it(packages: dict[str, Path]) -> None:
    port = free_port()
    process = subprocess.Popen(serving(packages["binary"], "1")(port), stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(300):
            try:
                ask(f"http://127.0.0.1:{port}", "/readyz")
                break
            except OSError:
                psutil.wait_procs([psutil.Process(process.pid)], timeout=0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "Traceback" not in said
