"""``python -m tasks.report``: one self-contained page about the run, from whatever the stages left."""

from __future__ import annotations

from tasks import params, stage
from tasks.artifacts import (
    Best,
    Candidate,
    Choice,
    Confusion,
    Curves,
    Drift,
    Explanation,
    Failed,
    Leaks,
    Learning,
    LeftOut,
    Manifest,
    Metrics,
    NotableRows,
    Receipt,
    Slices,
    Summary,
    Timing,
    Trials,
    Validation,
    Verdict,
)
from tasks.artifacts.columns import SPLIT, TARGET, TIME
from tasks.artifacts.folders import (
    DRIFT,
    EVALUATION,
    FEATURE_TABLE,
    FEATURES,
    LEAKS,
    MODELS,
    PACKAGE,
    PLAN,
    REPORTS,
    TUNING,
    VALIDATED,
    VERDICT,
)
from tasks.files import optional_json, optional_sha256, read_table, replacing_dir, write_text
from tasks.params import Params
from tasks.report.about_data import periods
from tasks.report.found import FamilyFiles, ProblemAbout, RunFiles
from tasks.report.page import build


def collect(settings: Params) -> RunFiles:
    """Everything the page is made of."""
    problem, dag = settings.problem, params.at_start("dvc.yaml")
    times = None
    if FEATURE_TABLE.is_file():
        rows = read_table(FEATURE_TABLE, [TIME, SPLIT, TARGET])
        times = periods(rows[TIME], rows[SPLIT], rows[TARGET])
    stages = None
    if dag.is_file():
        from ruamel.yaml import YAML

        stages = YAML(typ="safe").load(dag.read_text(encoding="utf-8"))
    return RunFiles(
        problem=ProblemAbout(problem.name, problem.kind, problem.target.name),
        alpha=settings.promotion.alpha,
        validated=Validation.find(VALIDATED),
        features=Summary.find(FEATURES),
        periods=times,
        leaks=Leaks.find(LEAKS),
        families={family: of_family(family) for family in settings.models},
        plan=optional_json(PLAN),
        choice=Choice.find(EVALUATION),
        metrics=Metrics.find(EVALUATION),
        curves=Curves.find(EVALUATION),
        confusion=Confusion.find(EVALUATION),
        slices=Slices.find(EVALUATION),
        rows=NotableRows.find(EVALUATION),
        explain=Explanation.find(EVALUATION),
        learning=Learning.find(EVALUATION),
        left_out=LeftOut.find(EVALUATION),
        verdict=Verdict.find(VERDICT),
        drift=Drift.find(DRIFT),
        receipt=Receipt.find(PACKAGE),
        bundle=Manifest.find(PACKAGE),
        identity=optional_sha256(PACKAGE / Manifest.NAME),
        dag=stages,
    )


def of_family(family: str) -> FamilyFiles:
    """What tuning and training left of a family."""
    tuned, trained = TUNING / family, MODELS / family
    trials = Trials.find(tuned)
    return FamilyFiles(
        candidate=Candidate.find(trained),
        best=Best.find(tuned),
        trials=trials.trials if trials else [],
        timing=Timing.find(trained) or Timing(),
        failed=Failed.find(trained),
    )


def main() -> None:
    """The stage: the page; writes ``data/reports``."""
    html = build(collect(params.load()), stage.log)
    with replacing_dir(REPORTS) as folder:
        write_text(folder / "report.html", html)
    stage.log(f"{REPORTS}/report.html: {len(html.encode()) / 1000:.0f} kB")


if __name__ == "__main__":
    stage.run(main)
