"""``refit report``: where the newest run's page is, or a page that compares registered versions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.versions import known
from tasks.errors import RefitError
from tasks.files import read_json, write_text
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import Registered, Registry

PAGE = ".refit/reports/compare.html"  # not in data/reports, which is a stage's output and DVC's
PARTS = {  # files that every tracked run recorded
    "choice": "evaluation/choice.json",
    "metrics": "evaluation/metrics.json",
    "verdict": "verdict/verdict.json",
    "receipt": "package/receipt.json",
}


def newest(root: Path) -> str:
    """Path of the newest run's report, from the working directory."""
    path = root / "data" / "reports" / "report.html"
    if not path.exists():
        raise RefitError(f"{path}: no report yet. Run `refit run` to make one.")
    return os.path.relpath(path)


def compare(root: Path, model: str, versions: list[str]) -> Iterator[str]:
    """Write the page about the named versions; yields a line about each, then the page's path.

    Raises :class:`RefitError` before anything is written if a version is not in the registry, is named twice, or its
    run's files are gone.
    """
    from tasks.report.compare_runs import compare_runs

    registry = Registry(root)
    past = DecisionHistory(root).decisions(model)
    runs = [recorded(registry, known(registry, model, version, past)) for version in versions]
    html = compare_runs(runs)
    write_text(root / PAGE, html)
    wide = max(len(run["name"]) for run in runs)
    for run in runs:
        value = run["metrics"].get(run["metric"])
        measured = f"{run['metric']} {value:.5g}" if value is not None else f"{run['metric']} not measured"
        yield f"{run['name']:<{wide}}  {run['family']}, {measured} on {run['rows']:,} test rows, verdict {run['verdict']}"
    yield os.path.relpath(root / PAGE)


def recorded(registry: Registry, version: Registered) -> dict[str, Any]:
    """What a version's run recorded, in the form that :func:`tasks.report.compare_runs.compare_runs` takes."""
    with tempfile.TemporaryDirectory(prefix="refit-report-") as folder:
        files = {part: read_json(registry.artifact(version.run_id, name, Path(folder))) for part, name in PARTS.items()}
    choice, metrics, receipt = files["choice"], files["metrics"], files["receipt"]
    return {
        "name": f"Version {version.version}",
        "metric": choice["metric"],
        "metrics": metrics["choice"]["test"],
        "intervals": metrics["choice"]["test_interval"],
        "family": choice["family"],
        "as_of": receipt["as_of"],
        "verdict": files["verdict"]["verdict"],
        "rows": metrics["rows"]["test"],
        "params": dict(leaves(receipt["params"])),
    }


def leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Values of a JSON tree by dotted path; an empty mapping is a value, so that a family without settings is seen.

    >>> dict(leaves({"seed": 1, "models": {"mlp": {}, "tree": {"trials": 3}}}))
    {'seed': 1, 'models.mlp': {}, 'models.tree.trials': 3}
    """
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree
