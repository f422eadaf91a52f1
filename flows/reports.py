"""``refit report``: where the newest run's page is, a page that compares registered versions, or one over all runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flows.versions import known
from tasks.artifacts import Artifact, Choice, Confusion, Metrics, Receipt, Verdict
from tasks.errors import RefitError
from tasks.files import write_text
from tasks.registry.history import DecisionHistory, current_champion
from tasks.registry.tracking import Registered, Registry

if TYPE_CHECKING:
    from tasks.params import Params
    from tasks.report.compare_runs import ComparedRun
    from tasks.report.costs import Prices

File = TypeVar("File", bound=Artifact)
PAGE, ALL = ".refit/reports/compare.html", ".refit/reports/all.html"  # not in data/reports, a stage's output and DVC's


def newest(root: Path) -> str:
    """Path of the newest run's report, from the working directory."""
    path = root / "data" / "reports" / "report.html"
    if not path.exists():
        raise RefitError(f"{path}: no report yet. Run `refit run` to make one.")
    return os.path.relpath(path)


def compare(root: Path, params: Params, versions: list[str]) -> Iterator[str]:
    """Write the page about the named versions; yields a line about each, then the page's path.

    Raises :class:`RefitError` before anything is written if a version is not in the registry, is named twice, or its
    run's files are gone.
    """
    from tasks.report.compare_runs import compare_runs
    from tasks.report.costs import prices_of

    registry, model = Registry(root), params.problem.name
    past = DecisionHistory(root).decisions(model)
    champion = current_champion(past)
    now = champion.package_sha256 if champion else None
    prices = prices_of(params)
    runs = [recorded(registry, known(registry, model, version, past), now, prices) for version in versions]
    write_text(root / PAGE, compare_runs(runs, model, prices.unit if prices else ""))
    wide = max(len(run.name) for run in runs)
    for run in runs:
        value = run.metrics.get(run.metric)
        measured = f"{run.metric} {value:.5g}" if value is not None else f"{run.metric} not measured"
        now_it = ", champion now" if run.champion else ""
        yield f"{run.name:<{wide}}  {run.family}, {measured} on {run.rows:,} test rows, verdict {run.verdict}{now_it}"
    yield os.path.relpath(root / PAGE)


def everything(root: Path, params: Params) -> Iterator[str]:
    """Write the page over all runs and decisions; yields a line about them, then the page's path.

    Raises :class:`RefitError` where nothing was run yet.
    """
    from datetime import UTC, datetime

    from flows.ahead import ahead
    from flows.all_runs import all_runs
    from tasks.report.numbers import counted

    registry, model = Registry(root), params.problem.name
    past, runs = DecisionHistory(root).decisions(model), registry.tracked(model)
    if not past and not runs:
        raise RefitError(f"{model}: no run and no decision yet. Run `refit run` to make the first.")
    champion = current_champion(past)
    coming = ahead(root, params, champion.champion if champion else None)
    write_text(root / ALL, all_runs(model, past, runs, datetime.now(UTC), coming, params.evaluation.cost_unit))
    now = f"champion: version {champion.champion}" if champion else "no champion"
    yield f"{counted(len(runs), 'run')}, {counted(len(past), 'decision')}; {now}"
    yield os.path.relpath(root / ALL)


def recorded(registry: Registry, version: Registered, champion: str | None, prices: Prices | None) -> ComparedRun:
    """What a version's run recorded; ``champion`` is the package that is champion now, ``prices`` are those of errors."""
    from tasks.report.changes import leaves
    from tasks.report.compare_runs import ComparedRun, rows_of
    from tasks.report.costs import by_row

    with tempfile.TemporaryDirectory(prefix="refit-report-") as name:
        folder = Path(name)

        def read(of: type[File], where: str) -> File:
            return of.read(registry.artifact(version.run_id, f"{where}/{of.NAME}", folder).parent)

        choice, metrics = read(Choice, "evaluation"), read(Metrics, "evaluation")
        priced = prices is not None and registry.has(version.run_id, f"evaluation/{Confusion.NAME}")
        confusion = read(Confusion, "evaluation") if priced else None
        verdict, receipt = read(Verdict, "verdict"), read(Receipt, registry.place(version))
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
        rows_of=rows_of(receipt),
        champion=version.package_sha256 == champion,
        cost=by_row(confusion, prices) if confusion and prices else None,
    )
