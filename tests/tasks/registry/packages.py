"""Small packages and a registry with versions of them, without running a pipeline."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.artifacts import Golden, Manifest, Schema
from tasks.artifacts.package import SchemaField
from tasks.bundle.manifest import write_manifest
from tasks.registry.tracking import Registered, Registry

MODEL = "toy"


def make_package(folder: Path, content: str) -> Path:
    """A whole package (hashes and all) whose identity depends on ``content``; it holds no model."""
    (folder / "accepted").mkdir(parents=True)
    for name in ("plan.json", "receipt.json"):
        (folder / name).write_text(json.dumps({"made of": content}))
    Schema(table="t", fields=[SchemaField(name="x", kind="numeric", nullable=True)]).write(folder)
    Golden(rows=[]).write(folder)
    (folder / "accepted" / "t.json").write_text(json.dumps({"made of": content}))
    (folder / "reference.parquet").write_bytes(content.encode())
    about = {"name": MODEL, "kind": "binary", "classes": ["0", "1"], "threshold": 0.5, "family": "logistic"}
    write_manifest(folder, Manifest(**about, members=["logistic"], weights=[1.0], metrics={}))
    return folder


def make_versions(root: Path, n: int) -> list[Registered]:
    """Register ``n`` different packages in the project's registry."""
    registry = Registry(root)
    experiment = registry.experiment(MODEL)
    made = []
    for i in range(1, n + 1):
        run = registry.client.create_run(experiment).info.run_id
        made.append(registry.register(MODEL, make_package(root / "made" / str(i), f"package {i}"), run))
        registry.client.set_terminated(run)
    return made
