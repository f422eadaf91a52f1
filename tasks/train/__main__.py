"""`python -m tasks.train FAMILY`: fit a family with the parameters found, and predict valid and test rows."""

from __future__ import annotations

from tasks import stage  # isort: skip

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks import memory
from tasks.artifacts import Balance, Best, Candidate, Selection, Timing, Trials, given, turns_of
from tasks.artifacts.columns import ROW, SPLIT
from tasks.artifacts.folders import MODELS, TUNING
from tasks.errors import RefitError
from tasks.files import replacing_dir, write_table
from tasks.fitting.base import Compress, Fitted, Log
from tasks.fitting.rows import read_rows, with_scores
from tasks.fitting.space import Settings
from tasks.metrics import higher_is_better, measure, report
from tasks.models import Model, check_kind, load_model, save_model
from tasks.models.costs import latency
from tasks.models.large import Trained, fit_large
from tasks.models.model import resolved
from tasks.params import Params, load
from tasks.train.balance import fit_better
from tasks.train.limits import fit_within
from tasks.train.tuned import take_tuned
from tasks.train.whole import scored

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def predictions(row: np.ndarray, split: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Scores of the valid and test rows: their number, split and the score columns."""
    return with_scores(pd.DataFrame({ROW: row, SPLIT: pd.Series(split, dtype="str")}), scores)


def winner(folder: Path, best: Best) -> Fitted | None:
    """What a population of tuning has trained (``folder``), where it was trained on all training rows."""
    if "turns" not in best.params or best.left_out:
        return None
    return load_model(folder / "model").fitted


def fit_whole(name: str, own: Settings, features: list[str], params: Params, fitted: Fitted | None = None) -> Trained:
    """Fit on the whole table, in memory; ``fitted`` is kept instead, where tuning has trained it on these rows."""
    rows = read_rows().only(features)
    if params.training.memory_gb is not None and not memory.from_disk(resolved(name, own)[0], "turns" in own):
        count = int(np.isin(rows.split, ("train", "valid")).sum())
        memory.check_fit(name, count, len(features), memory.allowed(params.training.memory_gb))
    y_valid = rows.y[rows.split == "valid"]
    count = int((rows.split == "train").sum())
    if fitted is not None:
        stage.log(
            f"{name}: kept as the population trained it, with the weights and {len(turns_of(own))} turns of its winner"
        )
    elif "turns" in own:
        stage.log(f"{name}: taking the winner's {len(turns_of(own))} turns of its schedule again, on {count:,} rows")
    else:
        stage.log(f"{name}: fitting {count:,} rows x {rows.frame.shape[1]} features with {own}")
    training, metric = params.training, params.problem.metric
    compression: Compress | None = None
    if (asked := training.compression) and name in (asked.families or [name]):
        compression = Compress(
            asked.prune, asked.quantise, asked.tolerance,
            measure=lambda scores: measure(metric, y_valid, scores, rows.kind), higher=higher_is_better(metric),
        )  # fmt: skip
    model, balance = fit_better(name, own, rows, params, stage.log, fitted, compression)
    return replace(scored(model, rows), balance=balance)


def spark_session() -> SparkSession:
    """The session that the features are made in."""
    from tasks.engine.spark import session

    return session()


def latency_of(model: Model, features: list[str], best: Best, log: Log) -> dict[str, float]:
    """For :class:`Timing`: the last fit's milliseconds a row, where they are a goal; a limit that they exceed is told."""
    cost = best.goals.rule.costs.get("latency_ms") if best.goals else None
    if cost is None:
        return {}
    most, found = cost.at_most, latency(model, read_rows().only(features).frame.iloc[np.arange(1)])
    if most is not None and found > most:
        log(
            f"{model.family}: fitted on all rows it takes {found:.3g} ms a row, and tuning.goals allows {most:g}; a limit of "
            "promotion.guardrails.latency_ms keeps such a package out"
        )
    return {"latency_ms": found}


def main() -> None:
    """The stage, of the family that the command names."""
    if len(sys.argv) != 2:
        raise RefitError("usage: python -m tasks.train FAMILY")
    name = sys.argv[1]
    params = load()
    check_kind(name, params.problem.kind)
    tuned = TUNING / name
    best, chosen = Best.read(tuned), Selection.read(tuned)

    def fit(own: Settings) -> Trained:
        return (
            take_tuned(tuned, chosen.kept, params, stage.log)
            or fit_large(name, own, chosen.kept, params, stage.log, spark_session)
            or fit_whole(name, own, chosen.kept, params, winner(tuned, best))
        )

    kept = fit_within(best, Trials.read(tuned).trials if best.goals else [], fit, stage.log)
    found, model = kept.found, kept.found.model
    timing = latency_of(model, chosen.kept, best, stage.log)
    metrics = report(found.y_valid, found.valid, params.problem.kind)
    balance = found.balance
    if params.training.imbalance == "class_weight":
        balance = Balance(asked="class_weight", used="class_weight", metric=params.problem.metric)
    with replacing_dir(MODELS / name) as folder:
        save_model(model, folder / "model")
        write_table(folder / "predictions.parquet", predictions(found.row, found.split, found.scores))
        Candidate(
            family=name,
            params=kept.params,
            metric=params.problem.metric,
            valid=metrics,
            features=chosen.kept,
            dropped=chosen.dropped,
            notes=model.notes,
            history=model.history,
            **given(imbalance=balance, goals=kept.goals),
            compression=model.forms,
        ).write(folder)
        for form in model.forms:
            if form.why:
                stage.log(f"{name}: no form {form.variant!r}: {form.why}")
            elif form.used:
                stage.log(f"{name}: kept the form {form.variant!r} of {form.memory_kb:.0f} kB in memory")
        if timing or model.row_ms:
            Timing(**given(**timing, row_ms=model.row_ms)).write(folder)
    value = metrics[params.problem.metric]
    stage.log(f"{name}: {params.problem.metric} on validation rows {value if value is None else round(value, 4)}")


if __name__ == "__main__":
    stage.run(main)
