"""Packages of every kind, made once, and one served in process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from deploy.app import Metrics, Served, build_app
from tasks.bundle import Bundle
from tests.samples import KINDS
from tests.tasks.package.projects import TIMED, package, project

with warnings.catch_warnings():  # Starlette would rather have httpx2, which the other components do not use yet
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package each of binary, multiclass and regression, and one with time."""
    root = tmp_path_factory.mktemp("packages")
    made = {kind: package(project(root / kind, kind)) for kind in KINDS}
    return {**made, TIMED: package(project(root / TIMED, TIMED))}


def in_process(path: Path, version: str = "7") -> TestClient:
    """The application around a package; an exception in it is a 500, as it would be when served."""
    app = build_app(Metrics(CollectorRegistry()))
    app.state.served = Served(Bundle.load(path), version)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="session")
def client(packages: dict[str, Path]) -> Iterator[TestClient]:
    """The package with time, in process."""
    with in_process(packages[TIMED]) as it:
        yield it
