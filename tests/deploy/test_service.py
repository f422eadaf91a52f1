"""The same assertions on the served and on the built service, and the check before promotion."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement

from deploy.build import build, requirements
from deploy.check import check, compare, refuse
from deploy.launch import ask, free_port, running, serving
from tasks.bundle.manifest import write_manifest
from tasks.errors import RefitError
from tasks.files import read_json, write_json
from tests.tasks.package.projects import TIMED, project

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


BARE = """
import json, sys
from importlib.metadata import packages_distributions

package, allowed = sys.argv[1], set(json.loads(sys.argv[2]))
absent = {m for m, dists in packages_distributions().items() if not allowed & {d.lower() for d in dists}}
assert {"mlflow", "duckdb", "optuna"} <= absent


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent - {"tasks", "deploy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import deploy.service as service
served = service.Served(service.Bundle.load(package), "1")
rows = json.load(open(package + "/golden.json"))["rows"]
print(json.dumps(served.predict(json.dumps(rows[0]["input"]).encode())))
"""


@pytest.mark.parametrize("kind", ["regression", TIMED])
def test_a_bento_names_every_package_that_serving_needs(packages: dict[str, Path], kind: str) -> None:
    """Where nothing is installed but what it names, and what that needs, the package answers."""
    allowed = json.dumps(sorted(_closure(requirements(packages[kind]))))
    command = [sys.executable, "-c", BARE, str(packages[kind]), allowed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == "1"


def _closure(names: list[str]) -> set[str]:
    """Distributions that pip would install for these, in lower case."""
    found: set[str] = set()
    waiting = [name.lower() for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        with suppress(PackageNotFoundError):
            for text in requires(name) or []:
                wanted = Requirement(text)
                if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                    waiting.append(wanted.name.lower())
    return found | {name.replace("-", "_") for name in found} | {name.replace("_", "-") for name in found}


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
