"""`refit serve` passes on what ``serving`` of ``params.yaml`` says."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.limits import limits_of
from deploy.serve import pinned
from deploy.serve import serve as server
from flows.cli import serve
from tasks.errors import RefitError
from tasks.files import sha256
from tests.tasks.package.projects import TIMED

OWN = {"host": "0.0.0.0", "port": 4123, "workers": 2, "linger": 3, "grace": 7}
LIMITS = {"row_mb": 2, "batch_mb": 3, "batch_rows": 9, "patience": 4}
TOLD = (
    "REFIT_SHA256",
    "REFIT_VERSION",
    "REFIT_PACKAGE",
    "REFIT_STALE",
    "REFIT_STALE_AFTER",
    "REFIT_LIMITS",
    "REFIT_JOURNAL",
    "OMP_NUM_THREADS",
)


def test_every_key_of_serving_reaches_the_server_or_its_workers(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server itself is left out: what it does with each is shown where it runs."""
    package = packages[TIMED]
    tree = YAML().load(package.parent.parent / "params.yaml")
    tree["serving"] = OWN | {"stale": "refuse", "stale_after": "5d", "limits": LIMITS}
    YAML().dump(tree, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    for name in (*TOLD, "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(name, "")  # so that what is set here is gone afterwards
        monkeypatch.delenv(name)
    seen: list[Any] = []
    monkeypatch.setattr("deploy.shutdown.run", lambda *given: seen.append((given, dict(os.environ))))
    serve(package=shutil.copytree(package, tmp_path / "package"), sha256=sha256(package / "bundle.json"))
    ((_, *given), env) = seen[0]
    assert given == [*OWN.values(), "orders-late, version unregistered"]
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        serve(package=tmp_path / "package", port=taken.getsockname()[1], sha256=sha256(package / "bundle.json"))
    assert "another program listens there" in capsys.readouterr().err
    serve(package=tmp_path / "package", port=0, sha256=sha256(package / "bundle.json"))
    assert [given[2] for given, _ in seen] == [4123, 0], "a port that is taken is told before the package is loaded"
    assert (env["REFIT_STALE"], env["REFIT_STALE_AFTER"]) == ("refuse", "5d")
    assert limits_of(env).model_dump() == LIMITS
    assert env["REFIT_JOURNAL"] == str(tmp_path / ".refit" / "journal.db")
    assert Path(env["REFIT_JOURNAL"]).is_file(), "one that cannot be used is told before the package is loaded"
    tree["serving"]["journal"] = False
    YAML().dump(tree, tmp_path / "params.yaml")
    serve(package=tmp_path / "package", port=0, sha256=sha256(package / "bundle.json"))
    assert seen[-1][1]["REFIT_JOURNAL"] == ""


@pytest.mark.parametrize(("workers", "here", "copied"), [(1, True, False), (2, False, True), (3, False, True)])
def test_one_worker_loads_the_package_before_it_serves_and_several_load_a_copy(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch, workers: int, here: bool, copied: bool
) -> None:
    package = packages[TIMED]
    for name in (*TOLD, "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    said: list[Any] = []
    loading = SimpleNamespace(load=lambda: said.append("loaded"))
    monkeypatch.setitem(sys.modules, "deploy.service", loading)  # BentoML takes seconds to be imported

    def run(*given: Any) -> None:
        said.append(given)
        assert ("PROMETHEUS_MULTIPROC_DIR" in os.environ) == copied
        served = Path(os.environ["REFIT_PACKAGE"])
        assert (served != package.resolve()) == copied
        assert sha256(served / "bundle.json") == os.environ["REFIT_SHA256"]

    monkeypatch.setattr("deploy.shutdown.run", run)
    digest = sha256(package / "bundle.json")
    server(package, "7", "127.0.0.1", 4000, workers, sha256=digest, linger=1.0, grace=2.0)
    assert said == ["loaded"] * here + [
        ("deploy.serve:asgi", "127.0.0.1", 4000, workers, 1.0, 2.0, "orders-late, version 7")
    ]
    assert (os.environ["REFIT_VERSION"], os.environ["OMP_NUM_THREADS"], os.environ["REFIT_STALE"]) == ("7", "1", "warn")


def test_where_no_copy_can_be_kept_the_package_itself_is_served(
    packages: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = packages[TIMED]
    digest = sha256(package / "bundle.json")
    assert pinned(package, digest, tmp_path / "copy") == tmp_path / "copy"
    assert capsys.readouterr().out == ""
    (tmp_path / "file").touch()
    assert pinned(package, digest, tmp_path / "file" / "copy") == package
    assert "no copy could be kept for workers that start later" in capsys.readouterr().out
    for to in (tmp_path / "second", tmp_path / "file" / "copy"):
        with pytest.raises(RefitError, match="its identity is"):
            pinned(package, "0" * 64, to)
