"""What ``dvc metrics`` and ``dvc plots`` show of a run: the figures that people compare, and rows of points to draw.

``dvc.yaml`` names the files and their axes. Each file of :data:`PLOTS` is always written, so that DVC never misses one: it
is an empty list where the kind of problem has no such picture, or the run did not make it.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from tasks.artifacts import AgainstChampion, PrecisionRecall, Reliability, Residuals, Roc, RunMetrics
from tasks.report.found import RunFiles

Points = list[dict[str, JsonValue]]
LONGEST = 30  # bars that one can still read


def figures(files: RunFiles) -> RunMetrics:
    """The run in few numbers; what it did not come to is left out."""
    choice, measured, verdict, drift = files.choice, files.metrics, files.verdict, files.drift
    said: dict[str, object] = {}
    if verdict is not None:
        said["verdict"] = verdict.verdict
    if choice is not None:
        said |= {"family": choice.family, "metric": choice.metric, "valid": choice.valid}
        said |= {} if choice.baseline is None else {"without_model": choice.baseline}
    if measured is not None:
        said["test"] = {name: value for name, value in measured.choice.test.items() if value is not None}
    if verdict is not None and verdict.champion is not None:
        about = verdict.evidence
        numbers = {
            "champion": about.champion,
            "challenger": about.challenger,
            "difference": None if about.difference is None else about.difference + 0.0,  # DVC would print -0
            "version": verdict.champion.version,
        }
        said["against"] = AgainstChampion.model_validate({k: v for k, v in numbers.items() if v is not None})
    if drift is not None:
        said["drift"] = drift.state
    return RunMetrics.model_validate(said)


def plots(files: RunFiles) -> dict[str, Points]:
    """Points by the name of each plot."""
    return {name: points(files) for name, points in PLOTS.items()}


def _columns(**values: list[float]) -> Points:
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _roc(files: RunFiles) -> Points:
    curve = files.curves.roc if files.curves else None
    return _columns(fpr=curve.fpr, tpr=curve.tpr) if isinstance(curve, Roc) else []


def _precision_recall(files: RunFiles) -> Points:
    curve = files.curves.precision_recall if files.curves else None
    return _columns(recall=curve.recall, precision=curve.precision) if isinstance(curve, PrecisionRecall) else []


def _calibration(files: RunFiles) -> Points:
    curve = files.curves.calibration if files.curves else None
    return _columns(predicted=curve.predicted, observed=curve.observed) if isinstance(curve, Reliability) else []


def _residuals(files: RunFiles) -> Points:
    points = files.curves.residuals if files.curves else None
    return _columns(predicted=points.predicted, residual=points.residual) if isinstance(points, Residuals) else []


def _confusion(files: RunFiles) -> Points:
    """A bar a cell, so that two runs stand side by side; DVC's own matrix counts rows of the file, one a test row."""
    if files.confusion is None:
        return []
    names = files.confusion.classes
    cells = (
        (truth, said, count)
        for truth, counts in zip(names, files.confusion.counts, strict=True)
        for said, count in zip(names, counts, strict=True)
        if count
    )
    most = sorted(cells, key=lambda cell: -cell[2])[:LONGEST]
    return [{"truth_and_decision": f"{truth}, decided {said}", "rows": count} for truth, said, count in most]


def _importance(files: RunFiles) -> Points:
    found = files.explain.importance if files.explain else {}
    first = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:LONGEST]
    return [{"feature": name, "importance": value} for name, value in first]


def _trials(files: RunFiles) -> Points:
    """One family after another in one count, for a line: DVC's points would be drawn on an axis from 0, all at one height."""
    done = [
        (family, trial.value)
        for family, left in files.families.items()
        for trial in left.trials
        if trial.value is not None and trial.state == "complete"
    ]
    return [{"trial": at, "value": value, "family": family} for at, (family, value) in enumerate(done, 1)]


PLOTS: dict[str, Callable[[RunFiles], Points]] = {
    "roc": _roc,
    "precision_recall": _precision_recall,
    "calibration": _calibration,
    "residuals": _residuals,
    "confusion": _confusion,
    "importance": _importance,
    "trials": _trials,
}
