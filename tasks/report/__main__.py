"""``python -m tasks.report``: one self-contained page about the run, and what DVC shows of it, from whatever the stages left."""

from __future__ import annotations

from pathlib import Path

from tasks import params, stage
from tasks.artifacts import (
    Best,
    Candidate,
    ChampionFile,
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
    Past,
    Receipt,
    Slices,
    Summary,
    Timing,
    Trials,
    Validation,
    Verdict,
)
from tasks.artifacts.columns import KNOWN, SPLIT, TARGET, TIME
from tasks.artifacts.folders import (
    CHAMPION,
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
from tasks.files import optional_json, optional_sha256, read_table, replacing_dir, write_json, write_text
from tasks.params import Params
from tasks.report.about_data import periods
from tasks.report.coming import awaited
from tasks.report.costs import of_run, prices_of
from tasks.report.for_dvc import figures, plots
from tasks.report.found import ChampionFiles, FamilyFiles, ProblemAbout, RowNames, RunFiles
from tasks.report.names import row_names
from tasks.report.page import build


def collect(settings: Params) -> RunFiles:
    """Everything the page is made of."""
    problem, dag = settings.problem, params.at_start("dvc.yaml")
    validated = Validation.find(VALIDATED)
    notable, explained = NotableRows.find(EVALUATION), Explanation.find(EVALUATION)
    shown = [row.row for row in (*notable.worst, *notable.least_certain)] if notable else []
    shown += [row.row for row in explained.rows] if explained else []
    times = waiting = None
    if FEATURE_TABLE.is_file():
        rows = read_table(FEATURE_TABLE, [TIME, KNOWN, SPLIT, TARGET])
        times = periods(rows[TIME], rows[SPLIT], rows[TARGET])
        waiting = awaited(rows, validated.as_of if validated else None)
    stages = None
    if dag.is_file():
        from ruamel.yaml import YAML

        stages = YAML(typ="safe").load(dag.read_text(encoding="utf-8"))
    return RunFiles(
        problem=ProblemAbout(problem.name, problem.kind, problem.target.name),
        alpha=settings.promotion.alpha,
        validated=validated,
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
        rows=notable,
        explain=explained,
        learning=Learning.find(EVALUATION),
        left_out=LeftOut.find(EVALUATION),
        verdict=Verdict.find(VERDICT),
        drift=Drift.find(DRIFT),
        receipt=Receipt.find(PACKAGE),
        bundle=Manifest.find(PACKAGE),
        identity=optional_sha256(PACKAGE / Manifest.NAME),
        dag=stages,
        made_from=rows_in(PACKAGE),
        approval=settings.promotion.approval,
        champion=of_champion(),
        past=Past.find(CHAMPION),
        costs=of_run(Path(), prices_of(settings)),
        awaited=waiting,
        names=of_rows(settings, shown),
    )


def of_champion() -> ChampionFiles | None:
    """What the champion's package says of itself; None where there is no champion."""
    named, package = ChampionFile.find(CHAMPION), CHAMPION / "package"
    if named is None:
        return None
    plan = optional_json(package / PLAN.name)
    return ChampionFiles(named.version, Manifest.find(package), Receipt.find(package), plan, rows_in(package))


def rows_in(package: Path) -> int | None:
    """How many rows a package was made from; None where it does not say."""
    file = package / "rows.parquet"
    if not file.is_file():
        return None
    from pyarrow.parquet import read_metadata

    return int(read_metadata(file).num_rows)


def of_rows(settings: Params, shown: list[int]) -> RowNames:
    """What the rows at these places are called, by the key of the problem's table."""
    name = settings.problem.table
    table, file = settings.data.tables.get(name), VALIDATED / f"{name}.parquet"
    if table is None or not table.key or not file.is_file():
        return RowNames([])
    return row_names(read_table(file, list(table.key)), shown)


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
    """The stage: the page, metrics and plots; writes ``data/reports``."""
    files = collect(params.load())
    html = build(files, stage.log)
    with replacing_dir(REPORTS) as folder:
        write_text(folder / "report.html", html)
        figures(files).write(folder)
        for name, points in plots(files).items():
            write_json(folder / "plots" / f"{name}.json", points)
    stage.log(f"{REPORTS}/report.html: {len(html.encode()) / 1000:.0f} kB")


if __name__ == "__main__":
    stage.run(main)
