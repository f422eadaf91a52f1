"""The same assertions on the served and on the built service, and the check before promotion."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.check import check, compare, refuse
from deploy.launch import ask, free_port, running, serving
from tasks.artifacts import Golden, Manifest, Schema
from tasks.bundle.manifest import write_manifest
from tasks.errors import RefitError
from tasks.files import read_json, sha256, write_json
from tests.projects import ROOT
from tests.tasks.bundle.changes import CHANGES, says
from tests.tasks.package.projects import TIMED, project

pytestmark = pytest.mark.service


def assert_serves(address: str, package: Path) -> None:
    to = partial(ask, address)
    golden = Golden.read(package).rows
    compare(Manifest.read(package), golden, to)
    assert refuse(golden, Schema.read(package), to) > 5
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

    identity = sha256(packages[TIMED] / "bundle.json")
    with running(command, env={"REFIT_PACKAGE": str(packages[TIMED]), "REFIT_SHA256": identity}) as address:
        assert_serves(address, packages[TIMED])
        assert "orders-late" in ask(address, "/")[1]
        # BentoML's own page asks another machine for a script; neither it nor what it loads can be had.
        for path in ("/docs.json", "/static_content/index.html", "/schema.json", "/metrics/"):
            assert ask(address, path)[0] == 404


def test_built(bento: Path, packages: dict[str, Path], tmp_path: Path) -> None:
    """The Bento holds its package and its code; it runs from its own folder."""
    bento = Path(shutil.copytree(bento, tmp_path / "bento"))
    assert (bento / "src" / "package" / "bundle.json").is_file()

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "-p", str(port)]

    env = {"BENTOML_HOME": str(tmp_path / "store"), "REFIT_PACKAGE": "", "REFIT_VERSION": "unregistered"}
    with running(command, env=env) as address:
        assert_serves(address, packages[TIMED])
        assert ask(address, "/readyz")[1]["version"] == "1"
    package = bento / "src" / "package"
    said = subprocess.run(
        [sys.executable, "-c", IN_A_BENTO, str(package), str(ROOT)], cwd=bento / "src", env={**os.environ, "PYTHONPATH": ""},
        capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    refused = json.loads(said.stdout.splitlines()[-1])
    assert len(refused) == len(CHANGES) >= 25
    assert all("its identity is" in text or re.search(str(CHANGES[what][1]), text) for what, text in refused.items())
    says(package, threshold=0.1)
    with pytest.raises(RefitError, match=r"(?s)before it was ready.*its identity is"), running(command, env=env):
        pass


# Each change is made to the package inside the Bento, which must then not load it; what was said, as JSON.
IN_A_BENTO = """
import json, os, shutil, sys
from pathlib import Path

os.environ["REFIT_PACKAGE"] = ""
import deploy.service as service
from deploy.baked import PACKAGE
from tasks.errors import RefitError

package, whole, found = Path(sys.argv[1]), Path(sys.argv[1] + "-whole"), {}
assert Path(service.__file__).is_relative_to(package.parent) and PACKAGE
sys.path.append(sys.argv[2])
import importlib.util
spec = importlib.util.spec_from_file_location("changes", sys.argv[2] + "/tests/tasks/bundle/changes.py")
changes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(changes)
package.rename(whole)
for what, (change, _) in changes.CHANGES.items():
    shutil.copytree(whole, package)
    change(package)
    try:
        service.load()
    except RefitError as error:
        found[what] = str(error)
    assert service.app.state.served is None, what
    shutil.rmtree(package)
    shutil.rmtree(package.with_name("elsewhere"), ignore_errors=True)
    package.with_name("elsewhere").unlink(missing_ok=True)
whole.rename(package)
os.environ["REFIT_SHA256"] = "0" * 64
try:
    service.load()
except RefitError as error:
    assert "REFIT_SHA256 asks for 0000" in str(error)
os.environ["REFIT_SHA256"] = ""
service.load()
assert service.app.state.served.bundle.identity == PACKAGE
print(json.dumps(found))
"""


def test_check(packages: dict[str, Path]) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    found = check(packages[TIMED])
    assert found["rows"] == 20
    assert found["refused"] > 5
    assert found["seconds"] < 30
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_check_of_an_ensemble_of_matrix_products(tmp_path: Path) -> None:
    """Bits of linear and network models must survive the way from the stage's process to the service's."""
    root = project(tmp_path, "multiclass", ("mlp", "logistic"), (2.0, 1.0))
    subprocess.run([sys.executable, "-m", "tasks.package"], cwd=root, check=True, capture_output=True)
    assert check(root / "data" / "package")["rows"] == 20


def test_check_finds_an_answer_that_differs(packages: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packages[TIMED], tmp_path / "package"))
    golden = read_json(copy / "golden.json")
    golden["rows"][3]["scores"][1] += 2**-52
    write_json(copy / "golden.json", golden)
    manifest = read_json(copy / "bundle.json")
    write_manifest(copy, Manifest.of_json(manifest))
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
    with running(command) as address:
        for _ in range(30):
            assert ask(address, "/predict", json.dumps(row).encode())[0] == 200
        assert "refit_rows_total 30.0" in ask(address, "/metrics")[1]


def test_workers_answer_with_one_package_though_its_folder_holds_another_one_later(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    """A worker that starts again loads what the service was started with."""
    folder = Path(shutil.copytree(packages[TIMED], tmp_path / "package"))
    identity = sha256(folder / "bundle.json")

    def command(port: int) -> list[str]:
        return [*serving(folder, "1", identity)(port), "--workers", "2", "--stale", "refuse", "--stale-after", "20d"]

    row, *_, late, latest = read_json(folder / "golden.json")["rows"]  # 12 and 90 days after what is known
    with running(command) as address:
        port = address.rpartition(":")[2]
        service = next(p for p in psutil.Process().children() if port in p.cmdline())
        says(folder, threshold=0.9)
        workers = [p for p in service.children() if "spawn_main" in " ".join(p.cmdline())]
        assert len(workers) == 2
        for process in workers:
            process.kill()
        for _ in range(600):  # whoever answers now has started again
            with suppress(OSError):
                if ask(address, "/readyz")[0] == 200:
                    break
            psutil.wait_procs([service], timeout=0.1)
        for _ in range(20):
            assert ask(address, "/readyz")[1]["package"] == identity
            found = ask(address, "/predict", json.dumps(row["input"]).encode())[1]
            assert (found["threshold"], found["probability"]) == (0.4, row["scores"][1])
        statuses = [ask(address, "/predict", json.dumps(one["input"]).encode())[0] for one in (late, latest)]
        assert statuses == [200, 503]
        assert 'refit_history_age_seconds{table="orders"}' in ask(address, "/metrics")[1]


def test_a_package_is_served_only_as_the_one_that_is_named(packages: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packages[TIMED], tmp_path / "package"))
    command = serving(folder, "1", sha256(folder / "bundle.json"))
    says(folder, threshold=0.1)
    with (
        pytest.raises(RefitError, match=r"(?s)ended with code 1 before it was ready.*error: .*its identity is"),
        running(command),
    ):
        pass
    env = {**os.environ, "REFIT_PACKAGE": str(folder), "REFIT_SHA256": ""}
    direct = [sys.executable, "-c", "import deploy.service as service; service.load()"]
    done = subprocess.run(direct, env=env, capture_output=True, text=True)
    assert "REFIT_SHA256: not set, so that nobody says which package" in done.stderr
    done = subprocess.run([sys.executable, "-m", "deploy.serve"], env=env, capture_output=True, text=True)
    assert (done.returncode, "error: --sha256: needed" in done.stderr) == (1, True)


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
    finally:
        try:
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "Traceback" not in said
