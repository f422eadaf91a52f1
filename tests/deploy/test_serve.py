"""`refit serve` passes on what ``serving`` of ``params.yaml`` says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.limits import limits_of
from flows.cli import serve
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
    "OMP_NUM_THREADS",
)


def test_every_key_of_serving_reaches_the_server_or_its_workers(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself is left out: what it does with each is shown where it runs."""
    package = packages[TIMED]
    tree = YAML().load(package.parent.parent / "params.yaml")
    tree["serving"] = OWN | {"stale": "refuse", "stale_after": "5d", "limits": LIMITS}
    YAML().dump(tree, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    for name in (*TOLD, "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.delenv(name, raising=False)
    seen: list[Any] = []
    monkeypatch.setattr("deploy.leave.run", lambda *given: seen.append((given, dict(os.environ))))
    serve(package=shutil.copytree(package, tmp_path / "package"), sha256=sha256(package / "bundle.json"))
    ((_, *given), env) = seen[0]
    assert given == list(OWN.values())
    assert (env["REFIT_STALE"], env["REFIT_STALE_AFTER"]) == ("refuse", "5d")
    assert limits_of(env).model_dump() == LIMITS
