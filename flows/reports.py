"""``refit report``: where the newest run's page is, or a page that compares registered versions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flows.versions import known
from tasks.artifacts import Artifact, Choice, Metrics, Receipt, Verdict
from tasks.errors import RefitError
from tasks.files import write_text
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import Registered, Registry

if TYPE_CHECKING:
    from tasks.report.compare_runs import ComparedRun

File = TypeVar("File", bound=Artifact)
PAGE = ".refit/reports/compare.html"  # not in data/reports, which is a stage's output and DVC's


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
    wide = max(len(run.name) for run in runs)
    for run in runs:
        value = run.metrics.get(run.metric)
        measured = f"{run.metric} {value:.5g}" if value is not None else f"{run.metric} not measured"
        yield f"{run.name:<{wide}}  {run.family}, {measured} on {run.rows:,} test rows, verdict {run.verdict}"
    yield os.path.relpath(root / PAGE)


def recorded(registry: Registry, version: Registered) -> ComparedRun:
    """What a version's run recorded."""
    from tasks.report.compare_runs import ComparedRun

    with tempfile.TemporaryDirectory(prefix="refit-report-") as name:
        folder = Path(name)

        def read(of: type[File], where: str) -> File:
            return of.read(registry.artifact(version.run_id, f"{where}/{of.NAME}", folder).parent)

        choice, metrics = read(Choice, "evaluation"), read(Metrics, "evaluation")
        verdict, receipt = read(Verdict, "verdict"), read(Receipt, "package")
    return ComparedRun(
        name=f"Version {version.version}",
        metric=choice.metric,
        metrics=metrics.choice.test,
        intervals=metrics.choice.test_interval,
        family=choice.family,
        as_of=receipt.as_of,
        verdict=verdict.verdict,
        rows=metrics.rows["test"],
        params=dict(leaves(receipt.params)),
    )


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
