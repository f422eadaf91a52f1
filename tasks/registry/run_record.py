"""What MLflow is told of a run and of its version: names, tags, figures, data sets and a description, from the run's files.

Figures are named ``place/metric``, by which MLflow groups its charts; the same figure has the same name in every run, so that
runs can be compared there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.artifacts import Candidate, Choice, Drift, Manifest, Metrics, RawManifest, Verdict
from tasks.artifacts.folders import DRIFT, EVALUATION, PACKAGE, RAW, VERDICT
from tasks.files import sha256
from tasks.registry.history import minute

MOST = 5000  # characters of a tag


@dataclass(frozen=True)
class DataSet:
    """A table that a run was made from: its SHA-256, where it comes from as declared, rows and columns."""

    name: str
    sha256: str
    source: object
    rows: int
    columns: list[str]


@dataclass(frozen=True)
class RunRecord:
    """What a run leaves, as MLflow shows it. ``description`` is Markdown."""

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    figures: dict[str, float]
    data: list[DataSet]
    description: str


def record(root: Path, model: str, as_of: str | None) -> RunRecord:
    """The record of what lies in ``root/data``; what is not there is left out."""
    choice, metrics = Choice.read(root / EVALUATION), Metrics.read(root / EVALUATION)
    verdict, drift = Verdict.find(root / VERDICT), Drift.find(root / DRIFT)
    day = (as_of or "")[:10]
    figures = {"threshold": choice.threshold} if choice.threshold is not None else {}
    figures |= {f"valid/{choice.metric}": choice.valid, f"test/{choice.metric}": choice.test}
    for place in ("valid", "test"):
        figures |= _numbers(place, getattr(metrics.choice, place))
    figures |= _numbers("without a model", metrics.baseline.test)
    figures |= {f"rows/{split}": float(n) for split, n in metrics.rows.items()}
    tags: dict[str, str] = {}
    if verdict is not None:
        tags |= {"verdict": verdict.verdict, "sentence": verdict.sentence[:MOST]}
        figures |= _compared(verdict)
    if drift is not None:
        figures |= _drifted(drift)
        if drift.sentence:
            tags["drift"] = drift.sentence[:MOST]
    word = verdict.verdict if verdict is not None else ""
    return RunRecord(
        name=" ".join(part for part in (model, day, word) if part),
        tags=tags,
        params={"family": choice.family, "metric": choice.metric, "as_of": as_of or ""},
        figures=figures,
        data=_data(root),
        description=_described(root, choice, verdict, drift, as_of),
    )


def of_family(candidate: Candidate, metrics: Metrics) -> tuple[dict[str, str], dict[str, float]]:
    """Parameters and figures of one family."""
    figures = _numbers("valid", candidate.valid)
    if (measured := metrics.candidates.get(candidate.family)) is not None:
        figures |= _numbers("valid", measured.valid) | _numbers("test", measured.test)
        figures |= {} if measured.threshold is None else {"threshold": measured.threshold}
    params = {"family": candidate.family} | {name: str(value)[:500] for name, value in candidate.params.items()}
    return params, figures


def curves(history: Mapping[str, object]) -> Iterator[tuple[str, list[float]]]:
    """The loss curves of a candidate's history."""
    for name, curve in history.items():
        if isinstance(curve, list) and curve and all(isinstance(value, int | float) for value in curve):
            yield name, curve


def _compared(verdict: Verdict) -> dict[str, float]:
    evidence = verdict.evidence
    figures = {"challenger": evidence.challenger, "champion": evidence.champion, "difference": evidence.difference}
    if evidence.interval is not None:
        figures |= {"difference from": evidence.interval[0], "difference to": evidence.interval[1]}
    figures |= {"p better": evidence.p_better, "p worse": evidence.p_worse}
    figures["rows"] = None if verdict.n is None else float(verdict.n)
    return {f"compared/{name}": value for name, value in figures.items() if value is not None}


def _drifted(drift: Drift) -> dict[str, float]:
    if drift.drifted is None:
        return {}
    figures = {"drifted": drift.drifted, "columns": sum(bool(column.drifted) for column in drift.columns)}
    figures["answers"] = bool(drift.prediction and drift.prediction.drifted)
    return {f"drift/{name}": float(value) for name, value in figures.items()}


def _data(root: Path) -> list[DataSet]:
    raw = RawManifest.find(root / RAW)
    tables = raw.tables if raw is not None else {}
    return [DataSet(name, t.sha256, t.source, t.rows, t.columns) for name, t in tables.items()]


def _described(root: Path, choice: Choice, verdict: Verdict | None, drift: Drift | None, as_of: str | None) -> str:
    """A page in a few lines: what was decided, what the model is, and what it stands on."""
    lines = []
    if verdict is not None:
        lines += [verdict.sentence, ""]
    lines.append(f"- model: {choice.family}; {choice.metric} {choice.test:.4g} on the test rows" + _without(choice))
    if choice.reason:
        lines.append(f"- why this one: {choice.reason}")
    if as_of:
        lines.append(f"- made from what was known at {minute(as_of)}")
    if drift is not None and drift.sentence:
        lines.append(f"- drift: {drift.sentence}")
    if (root / PACKAGE / Manifest.NAME).is_file():
        lines.append(f"- package: `{sha256(root / PACKAGE / Manifest.NAME)}`")
    lines += ["", "The report is `reports/report.html` among the run's artifacts."]
    return "\n".join(lines)


def _without(choice: Choice) -> str:
    return f", {choice.baseline:.4g} without a model" if choice.baseline is not None else ""


def _numbers(place: str, values: Mapping[str, float | None]) -> dict[str, float]:
    """Figures by ``place/metric``; what could not be measured is left out."""
    return {f"{place}/{name}": float(value) for name, value in values.items() if value is not None}
