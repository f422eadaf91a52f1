"""Packages of every kind, made once, and one served in process."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from deploy.app import Served, ServiceMetrics, build_app
from deploy.limits import limits_of
from deploy.timely import Timely
from tasks.bundle import Bundle
from tasks.files import sha256
from tests.projects import ROOT
from tests.samples import KINDS
from tests.shared import shared
from tests.tasks.package.projects import TIMED, package, project

with warnings.catch_warnings():  # Starlette would rather have httpx2, which the other components do not use yet
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package each of binary, multiclass and regression, and one with time."""
    kinds = (*KINDS, TIMED)
    root = shared(tmp_path_factory, "packages", lambda folder: [package(project(folder / k, k)) for k in kinds])
    return {kind: root / kind / "data" / "package" for kind in kinds}


@pytest.fixture(scope="session")
def deployed(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose registry has two versions, and in ``bentos`` the Bento of the first; ``data/package`` is the second.

    Whoever changes something takes a copy.
    """

    def make(folder: Path) -> None:
        from tasks.registry.tracking import Registry

        root = project(folder / "project", TIMED, ("logistic",))
        registry = Registry(root)
        for made in (packages[TIMED], package(root)):
            registry.register("orders-late", made, registry.restored("orders-late", sha256(made / "bundle.json")))
        env = {**os.environ, "BENTOML_HOME": str(folder), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "deploy.build", "--version", "1"]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "built orders-late:1 in " in done.stdout

    return shared(tmp_path_factory, "deployed", make)


@pytest.fixture(scope="session")
def bento(deployed: Path) -> Path:
    """The Bento of the package with time."""
    return deployed / "bentos" / "orders-late" / "1"


def in_process(path: Path, version: str = "7", env: Mapping[str, str] | None = None) -> TestClient:
    """The application around a package; an exception in it is a 500, as it would be when served."""
    limits = limits_of(env or {})
    app = build_app(ServiceMetrics(CollectorRegistry()), limits)
    bundle = Bundle.to_serve(path)
    app.state.served = Served(bundle, version, Timely.of(bundle, env or {}), limits)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="session")
def client(packages: dict[str, Path]) -> Iterator[TestClient]:
    """The package with time, in process."""
    with in_process(packages[TIMED]) as it:
        yield it
