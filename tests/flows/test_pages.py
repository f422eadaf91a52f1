"""What Prefect's UI shows of a run in Markdown: rules by hand. A real server is asked in test_weeks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows import pages
from flows.standing import Standing
from tasks.artifacts import (
    BaselineMetrics,
    ChoiceMetrics,
    Drift,
    DriftAlarm,
    DriftReference,
    DriftWindow,
    Evidence,
    Explanation,
    FeatureAbout,
    GuardrailResult,
    Metrics,
    ShapError,
    SliceResult,
    Slices,
    Summary,
    Verdict,
)
from tasks.params import parse
from tests.flows.project import PARAMS

TOY = parse(YAML(typ="safe").load(PARAMS))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project after a run, with what of it is shown."""
    for page in (pages.REPORT, pages.DRIFT):
        (tmp_path / page).parent.mkdir(parents=True)
        (tmp_path / page).write_text("<html>")
    return tmp_path


def weak(where: str, p: float, direction: str = "worse") -> SliceResult:
    return SliceResult(
        rows=1204, share=0.1, metric=0.61234, predicted=0.2, observed=0.4, loss=0.5, loss_elsewhere=0.3, skill=0.1,
        skill_elsewhere=0.2, where={"origin": where, "hour": "< 9"}, direction=direction, p_holm=p,
    )  # fmt: skip


def measured(root: Path) -> None:
    evaluation = root / "data" / "evaluation"
    interval = {"roc_auc": [0.68, 0.7341], "log_loss": None}
    test = {"roc_auc": 0.71234, "log_loss": 0.5, "f1": None}
    Metrics(
        metric="roc_auc",
        candidates={},
        choice=ChoiceMetrics(family="xgboost", valid={}, test=test, test_interval=interval),
        baseline=BaselineMetrics(name="most frequent", valid={}, test={"roc_auc": 0.5}),
        rows={"test": 100},
    ).write(evaluation)
    Explanation(
        method="shap", explainer="", unit="", rows_explained=1, base=[0.0], space="", error=ShapError(kind="exact"),
        importance={"b": 1.0, "a|x": 3.0} | {f"rest{i}": 0.0 for i in range(20)}, summary=[], rows=[],
        partial_dependence=[], surface=None,
    ).write(evaluation)  # fmt: skip
    parts = [weak("EWR", 0.01), weak("JFK", 0.05), weak("LGA", 0.01, "better")]
    Slices(metric="roc_auc", classes=[], declared=[], weak=parts).write(evaluation)
    Summary(
        kind="binary", target="y", classes=["0", "1"], rows={}, boundaries={}, plan="",
        features=[FeatureAbout(name="a|x", kind="numeric", description="a, or x | y")],
    ).write(root / "data" / "features")  # fmt: skip


def test_the_report_says_first_what_the_page_begins_with(root: Path) -> None:
    measured(root)
    text = pages.report(root, TOY, "3")
    assert text is not None
    assert text.startswith("# toy: the report of version 3\n\n")
    assert f"```\n{root / pages.REPORT}\n```" in text, "a browser follows no link to a file; this can be copied"
    assert "file:" not in text
    lines = text.splitlines()
    assert "xgboost: ROC AUC 0.7123 (0.68 to 0.7341) on the test rows, and 0.5 without a model." in lines
    assert [line for line in lines if line.endswith("% |")][:3] == [
        r"| a, or x \| y | 75% |",
        "| b | 25% |",
        "| rest0 | 0% |",
    ]
    assert sum(line.endswith("% |") for line in lines) == pages.STRONGEST
    assert [line for line in lines if "origin" in line] == ["| origin EWR, hour < 9 | 1,204 | 0.6123 |"]


def test_every_metric_stands_beside_what_needs_no_model(root: Path) -> None:
    measured(root)
    metrics = Metrics.find(root / "data" / "evaluation")
    judged = {"metric": "ROC AUC", "rows": "judged", "beside": "champion"}
    nothing = Verdict(verdict="keep", sentence="", rule="", evidence=Evidence())
    own = [
        {"metric": "ROC AUC", "rows": "test", "this run": "0.7123 (0.68 to 0.7341)", "beside": "no model", "its value": "0.5"},
        {"metric": "Log loss", "rows": "test", "this run": "0.5", "beside": "no model", "its value": ""},
    ]  # fmt: skip
    assert pages.figures(nothing, metrics) == [one | {"difference": ""} for one in own], "F1 has no value"
    evidence = Evidence(metric="roc_auc", challenger=0.7, champion=0.69, difference=0.01, interval=(-0.002, 0.03))
    (first,) = pages.figures(Verdict(verdict="keep", sentence="", rule="", evidence=evidence), None)
    assert first == judged | {"this run": "0.7", "its value": "0.69", "difference": "0.01 (-0.002 to 0.03)"}


@pytest.mark.parametrize(("waiting", "word"), [(False, "promote"), (True, "waits for approval")])
def test_the_verdict_is_told_with_what_it_rests_on(root: Path, waiting: bool, word: str) -> None:
    drifted(0).write(root / "data" / "drift")
    checks = [GuardrailResult(name="slices", limit=0.1, found=0.2, passed=False, said="it lost | here")]
    made = Verdict(
        verdict="promote", sentence="", rule="", n=1234, warnings=["Rows move\ntogether."], guardrails=checks
    )
    standing = Standing("4", "3" if waiting else "4", "Promote: it is better.", waiting)
    told, comes = pages.verdict(root, TOY, None, standing, made).split("\n\n## What happens next\n\n")
    assert all(line.startswith("- ") for line in comes.splitlines())
    assert told.splitlines() == [
        f"# toy: {word}", "", "Promote: it is better.", "", "- **This run**: version 4",
        f"- **Champion now**: version {standing.champion}", "- **Rows judged**: 1,234", "- **Drift**: What was found.",
        "", "## Guardrails", "", "- **slices**: does not hold: it lost | here", "", "## Warnings", "", "- Rows move together.",
    ]  # fmt: skip


def test_what_was_not_measured_is_left_out(root: Path) -> None:
    text = pages.report(root, TOY, None)
    assert text is not None
    assert text.startswith("# toy: the report\n\n")
    assert "##" not in text
    (root / pages.REPORT).unlink()
    assert pages.report(root, TOY, None) is None


def drifted(count: int) -> Drift:
    alarms = [DriftAlarm(column=f"c{i}", kinds=["mean"], said=f"its mean rose by {i}") for i in range(count)]
    return Drift(
        state="drifted" if count else "stable", drifted=bool(count), share=0.5, drift_share=0.5, alarms=alarms,
        sentence="What was found.", columns=[], prediction=None,
        window=DriftWindow(rule="7d", since="2026-11-20T00:00:00Z", until="2026-11-27T05:00:00Z", rows=1500),
        reference=DriftReference(version="2", package="", of="training"),
    )  # fmt: skip


@pytest.mark.parametrize(("count", "listed", "more"), [(0, 0, None), (3, 3, None), (20, 20, None), (23, 20, "3")])
def test_the_columns_that_drifted_are_listed(root: Path, count: int, listed: int, more: str | None) -> None:
    drifted(count).write(root / "data" / "drift")
    text = pages.drift(root, TOY, "3")
    assert text is not None
    assert text.startswith(f"# toy: {'drift' if count else 'no drift'}\n\nWhat was found.\n")
    assert "- **Rows looked at**: 1,500, 2026-11-20 00:00 to 2026-11-27 05:00\n" in text
    assert "- **Held against**: version 2\n" in text
    assert re.findall(r"^- \*\*(c\d+)\*\*: its mean rose by \d+$", text, re.M) == [f"c{i}" for i in range(listed)]
    assert (re.findall(r"and (\d+) more columns", text) or [None])[0] == more
    assert f"```\n{root / pages.DRIFT}\n```" in text


def test_where_nothing_was_judged_there_is_no_page_of_drift(root: Path) -> None:
    assert pages.drift(root, TOY, "3") is None
    unjudged = drifted(0)
    Drift(**{**unjudged.model_dump(by_alias=True), "state": "no_rows", "drifted": None}).write(root / "data" / "drift")
    assert pages.drift(root, TOY, "3") is None


def test_where_mlflow_is_a_server_the_page_is_linked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def link(self: object, *what: str) -> str:
        asked.append((what[0], what[1], what[2]))
        return "https://mlflow.example/#/x"

    monkeypatch.setattr("tasks.registry.tracking.Registry.link", link)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    drifted(1).write(root / "data" / "drift")
    for text in (pages.report(root, TOY, "3"), pages.drift(root, TOY, "3")):
        assert text is not None
        assert "[The whole page](https://mlflow.example/#/x)" in text
    assert asked == [("toy", "3", "reports/report.html"), ("toy", "3", "drift/drift.html")]
    text = pages.report(root, TOY, None)
    assert text is not None
    assert "in MLflow" not in text, "a run that registered no version recorded no page"
