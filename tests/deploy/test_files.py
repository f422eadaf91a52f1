"""The files for containers and monitoring are valid, and name what the service has."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

import deploy
from deploy.app import ServiceMetrics, build_app

FOLDER = Path(deploy.__file__).parent
PATHS = {route.path for route in build_app(ServiceMetrics(CollectorRegistry())).routes}  # type: ignore[attr-defined]


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.y*ml")), ids=lambda p: p.name)
def test_yaml_is_valid(path: Path) -> None:
    assert all(isinstance(document, dict) for document in documents(str(path.relative_to(FOLDER))))


def test_kubernetes_probes_paths_that_exist() -> None:
    deployment, service = documents("kubernetes.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in PATHS
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] in PATHS


def test_compose_publishes_on_loopback_only_and_mounts_what_exists() -> None:
    (compose,) = documents("compose.yaml")
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for volume in service.get("volumes", []):
            assert (FOLDER / volume.split(":")[0]).is_file()
        assert ":latest" not in service["image"]


def test_prometheus_scrapes_the_service() -> None:
    (prometheus,) = documents("prometheus.yml")
    assert prometheus["scrape_configs"][0]["metrics_path"] in PATHS


def test_dashboard_shows_metrics_that_exist() -> None:
    registry = CollectorRegistry()
    metrics = ServiceMetrics(registry)
    metrics.count("/predict", 0.0, Counter(["1"]))
    offered = set(re.findall(r"^(refit_\w+)", generate_latest(registry).decode(), re.M))
    dashboard = json.loads((FOLDER / "grafana" / "refit.json").read_text(encoding="utf-8"))
    shown = set(re.findall(r"refit_\w+", json.dumps(dashboard["panels"])))
    assert shown
    assert shown <= offered
