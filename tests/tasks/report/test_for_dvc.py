"""What DVC shows of a run: the figures, and points whose columns are those that ``dvc.yaml`` names."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

from tasks.artifacts import Confusion, Curves, PrecisionRecall, Reliability, Roc, RunMetrics, Trial, Verdict
from tasks.report.for_dvc import LONGEST, PLOTS, figures, plots
from tasks.report.found import FamilyFiles, ProblemAbout, RunFiles
from tests.tasks.report.runs import ROOT

DAG: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")
PROBLEM = ProblemAbout("p", "binary", "y")


def trial(number: int, value: float | None, state: str = "complete") -> Trial:
    return Trial(number=number, params={}, value=value, state=state, intermediate={})


def test_a_run_that_came_to_nothing_has_no_figures_and_every_plot() -> None:
    assert figures(RunFiles(PROBLEM)).to_dict() == {}
    assert plots(RunFiles(PROBLEM)) == {name: [] for name in PLOTS}


def test_dvc_names_every_file_and_no_other() -> None:
    assert DAG["metrics"] == [f"data/reports/{RunMetrics.NAME}"]
    assert [next(iter(plot)) for plot in DAG["plots"]] == [f"data/reports/plots/{name}.json" for name in PLOTS]


def test_the_axes_of_dvc_are_columns_of_the_points() -> None:
    curves = Curves(
        roc=Roc(fpr=[0.0, 1.0], tpr=[0.0, 1.0], threshold=[1.0, 0.0]),
        precision_recall=PrecisionRecall(recall=[1.0], precision=[0.5], threshold=[0.0], prevalence=0.5),
        calibration=Reliability(predicted=[0.2], observed=[0.3], low=[0.1], high=[0.4], rows=[9]),
    )
    confusion = Confusion(classes=["no", "yes"], counts=[[5, 0], [2, 3]])
    families = {"ridge": FamilyFiles(trials=[trial(0, 0.5), trial(1, 0.6), trial(2, None), trial(3, 0.7, "pruned")])}
    points = plots(RunFiles(PROBLEM, curves=curves, confusion=confusion, families=families))
    axes = {next(iter(plot)).split("/")[-1].removesuffix(".json"): next(iter(plot.values())) for plot in DAG["plots"]}
    drawn = {name for name, rows in points.items() if rows}
    assert drawn == {"roc", "precision_recall", "calibration", "confusion", "trials"}
    assert all({axes[name]["x"], axes[name]["y"]} <= set(points[name][0]) for name in drawn)
    assert points["roc"] == [{"fpr": 0.0, "tpr": 0.0}, {"fpr": 1.0, "tpr": 1.0}]
    assert points["confusion"] == [
        {"truth_and_decision": "no, decided no", "rows": 5},
        {"truth_and_decision": "yes, decided yes", "rows": 3},
        {"truth_and_decision": "yes, decided no", "rows": 2},
    ]
    assert [(row["trial"], row["value"]) for row in points["trials"]] == [(1, 0.5), (2, 0.6)]


def test_of_many_classes_the_largest_cells_are_drawn() -> None:
    names = [str(k) for k in range(40)]
    counts = [[100 - k if k == j else 0 for j in range(40)] for k in range(40)]
    points = plots(RunFiles(PROBLEM, confusion=Confusion(classes=names, counts=counts)))["confusion"]
    assert [row["rows"] for row in points] == list(range(100, 100 - LONGEST, -1))


def test_the_comparison_is_in_the_figures() -> None:
    verdict = Verdict.model_validate(
        {
            "verdict": "keep",
            "sentence": "Keep.",
            "champion": {"version": "3", "package_sha256": "a", "family": "ridge"},
            "evidence": {"champion": 0.8, "challenger": 0.8, "difference": -0.0},
        }
    )
    said = figures(RunFiles(PROBLEM, verdict=verdict)).to_dict()
    assert said["against"] == {"champion": 0.8, "challenger": 0.8, "difference": 0.0, "version": "3"}
    assert str(said["against"]["difference"]) == "0.0"
    assert said["verdict"] == "keep"
