"""Read features and candidates, choose the challenger, measure it, and write ``data/evaluation``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tasks.artifacts import (
    BaselineMetrics,
    Best,
    Candidate,
    CandidateMetrics,
    Choice,
    ChoiceMetrics,
    Confusion,
    Curves,
    Explanation,
    Failed,
    Learning,
    LearningCurve,
    Metrics,
    NotableRows,
    Slices,
    Summary,
    Trials,
)
from tasks.artifacts.folders import TUNING
from tasks.errors import RefitError, nearest, some
from tasks.evaluate.candidates import SPLITS, Contestant, Split, ensemble_of, scores_of, splits_of
from tasks.evaluate.choice import all_together, by_goals, choose, describe, threshold_of
from tasks.evaluate.diagnosis import diagnose, histories, validation_curves
from tasks.evaluate.explain import explain
from tasks.evaluate.learning import Gauge, figure, learning_curve, on_training_rows
from tasks.evaluate.pages import Pages
from tasks.evaluate.rows import notable
from tasks.evaluate.slices import Rows, declared, weak
from tasks.files import read_table, replacing_dir, write_table
from tasks.fitting.base import Fold
from tasks.fitting.calibration import Calibration
from tasks.fitting.rows import with_scores
from tasks.fitting.setup import Setup
from tasks.kinds import find_kind
from tasks.metrics import measurer, report
from tasks.metrics.curves import confusion
from tasks.metrics.intervals import bootstrap_intervals, days
from tasks.models import load_model
from tasks.models.mixture import Mixture
from tasks.models.model import resolved
from tasks.params import Params, load
from tasks.stored import Stored

DATA = Path("data")


def main() -> None:
    """The stage: the choice among the candidates, and what it is worth; writes ``data/evaluation``."""
    params = load()
    problem = params.problem
    summary = Summary.read(DATA / "features")
    features = Stored(DATA / "features" / "features.parquet")
    kind, classes = problem.kind, summary.classes
    asked = find_kind(kind)
    kinds = summary.kinds
    names = list(kinds)
    splits = splits_of(features, kind, classes)
    candidates = read_candidates(params, splits, classes)
    best, values = choose(candidates, splits, params)
    tuned = {c.family: Best.find(TUNING / c.family) for c in candidates}  # none of an ensemble, which was not tuned
    goals = {family: best.goals for family, best in tuned.items() if best and best.goals}
    why_chosen = ""
    if len(candidates) > 1 and len(goals) == len(candidates):
        best, why_chosen = by_goals(candidates, values, goals, problem.metric)
    threshold = threshold_of(best.scores["valid"], splits["valid"].y, params)
    for family, value in values.items():
        stage.log(
            f"{family}: {problem.metric} {value['valid']:.4f} on validation rows, {value['test']:.4f} on test rows"
        )

    stored = {name: features[features["__split__"] == name].reset_index(drop=True) for name in ("train", *SPLITS)}
    parts = cast("dict[str, pd.DataFrame]", stored)  # what is asked of them here, they answer as frames in memory do
    y_train = parts["train"]["__target__"].to_numpy(dtype=float)
    constant = {name: asked.constant(y_train, len(classes), len(split.y)) for name, split in splits.items()}
    metrics = measure_all(candidates, best, splits, constant, params, threshold, days(parts["test"]["__time__"]))
    choice = describe(best, values, params, threshold, metrics.baseline.test[problem.metric], why_chosen)
    stage.log(choice.reason)

    seen = {name: Rows(parts[name][names], splits[name].y, best.scores[name]) for name in SPLITS}
    test, scores = splits["test"], best.scores["test"]
    unknown = [c for c in params.evaluation.slices if c not in kinds]
    if unknown:
        raise RefitError(f"evaluation.slices: {some(unknown)} are not features.{nearest(unknown[0], names)}")
    pages = Pages(stage.log)

    def by_slices() -> Slices:
        named = list(params.evaluation.slices)
        return Slices(
            metric=problem.metric,
            classes=classes,
            declared=declared(seen["valid"], seen["test"], named, problem.metric, kind, threshold),
            weak=weak(seen["valid"], seen["test"], names, problem.metric, kind, threshold),
        )

    def why() -> Explanation:
        at = {int(row): i for i, row in enumerate(test.rows)}
        worth = [] if errors is None else [*errors.worst[:5], *errors.least_certain[:5]]
        chosen = list(dict.fromkeys(at[one.row] for one in worth))
        X, background = parts["test"][names], parts["train"][names]
        return explain(mixture, X, test.rows, background, chosen, kind, params.seed)

    loss = None if asked.targeted else asked.row_loss(test.y, scores)
    errors = pages.add(
        NotableRows, lambda: notable(parts["test"][names], test.rows, test.y, scores, classes, loss=loss)
    )
    pages.add(Curves, lambda: asked.curves(test.y, scores, classes, params.training.cost))
    if asked.targeted:
        pages.add(Slices, by_slices)
    else:
        pages.leave_out(Slices, f"a part is judged by its truth, and kind {kind!r} has no target")
    if asked.output.classes:
        pages.add(Confusion, lambda: confusion(test.y, asked.decide(scores, threshold), classes))
    if params.evaluation.explain:
        models = [load_model(DATA / "models" / member / "model") for member in choice.members]
        mixture = Mixture.of(models, choice.weights, Calibration.of(choice.calibration))
        pages.add(Learning, lambda: learn(mixture, choice, candidates, parts, kinds, metrics, params, threshold))
        pages.add(Explanation, why)
    with replacing_dir(DATA / "evaluation") as out:
        choice.write(out)
        metrics.write(out)
        write_table(out / "predictions.parquet", predictions(best, splits))
        for page in pages.made:
            page.write(out)
        if pages.left_out.model_fields_set:
            pages.left_out.write(out)
    without = choice.baseline
    said = f", without a model {without:.4f}" if without is not None else ""
    stage.log(f"test rows: {len(test.y):,}; {problem.metric} {choice.test:.4f}{said}")


def read_candidates(params: Params, splits: dict[str, Split], classes: list[str]) -> list[Contestant]:
    """The families' candidates, and their ensemble where one is asked for and is better on validation rows."""
    out, lost = [], []
    for family in params.models:
        folder = DATA / "models" / family
        if (failed := Failed.find(folder)) is not None:
            lost.append(f"{family}: failed in {failed.stage} and is left out: {failed.why}")
            stage.log(lost[-1])
            continue
        scores = scores_of(family, read_table(folder / "predictions.parquet"), splits, classes, params.problem.kind)
        out.append(Contestant(family, scores, Candidate.read(folder)))
    if not out:
        raise RefitError(f"models: no family could be fitted. {' '.join(lost)}")
    if not params.training.ensembles:
        return out
    mix = ensemble_of(out, splits, params)
    if mix is None:
        stage.log("no ensemble is better on the validation rows than the best family alone")
        return out
    return [*out, mix]


def learn(mixture: Mixture, choice: Choice, candidates: list[Contestant], parts: dict[str, pd.DataFrame],
          kinds: dict[str, str], metrics: Metrics, params: Params, threshold: float | None) -> Learning:  # fmt: skip
    """``learning.json``: loss curves and validation curves of all families, the learning curve and the diagnosis."""
    problem, names = params.problem, list(kinds)
    metric, kind = problem.metric, problem.kind
    rows = {name: (part[names], part["__target__"].to_numpy(dtype=float)) for name, part in parts.items()}
    by_time = params.split.kind == "time"
    times = {name: part["__time__"] if by_time else None for name, part in parts.items()}
    family = choice.members[int(np.argmax(mixture.weights))]
    about = next(c for c in candidates if c.family == family)
    classes = about.scores["valid"].shape[1] if find_kind(kind).output.classes else 0
    fitted = about.fitted
    assert fitted is not None  # a member of a mix is no mix
    own = fitted.params
    if fitted.imbalance is not None and fitted.imbalance.used == "none":
        own = own | {"imbalance": "none"}  # it was better on the real rows, and so is refitted on them
    alike = family != "auto"  # its folds are made in another way than a refit, and no point of its curve
    by = Gauge(metric, kind, threshold, params.seed)
    used = {f: kinds[f] for f in fitted.features}
    (X, y), (X_valid, y_valid) = rows["train"], rows["valid"]
    curve = learning_curve(
        family, own, Fold(X[list(used)], y, X_valid[list(used)], y_valid),
        Setup.of(params, kind, classes, used), by, about.scores["valid"] if alike else None,
        (parts["train"]["__time__"], parts["valid"]["__time__"]) if by_time else None,
    )  # fmt: skip
    base = metrics.baseline.valid[metric]
    chosen = next(c for c in candidates if c.family == choice.family)
    figures = {"train": on_training_rows(mixture, *rows["train"], by, times["train"])}
    figures |= {n: figure(by, rows[n][1], chosen.scores[n], times[n]) for n in SPLITS}
    said = None
    if base is not None and all(np.isfinite([f.value, f.error]).all() for f in figures.values()):
        said = diagnose(
            metric, figures["train"], figures["valid"], figures["test"], base, curve, len(rows["train"][1]), by_time
        )
        for line in said.said:
            stage.log(line)
    trials = {f: Trials.find(TUNING / f) for f in params.models}
    return Learning(
        diagnosis=said,
        learning_curve=LearningCurve(
            family=family,
            fitted=resolved(family, own)[0],
            metric=metric,
            points=curve,
            rows=len(rows["train"][1]),
            newest=by_time,
        ),
        loss={c.family: histories(c.fitted) for c in candidates if c.fitted},
        validation_curves={f: validation_curves(found.trials) for f, found in trials.items() if found},
    )


def measure_all(
    candidates: list[Contestant],
    best: Contestant,
    splits: dict[str, Split],
    constant: dict[str, np.ndarray],
    params: Params,
    threshold: float | None,
    groups: np.ndarray | None,
) -> Metrics:
    """``metrics.json``: every metric of every candidate, the choice with intervals, and the baseline.

    ``groups`` are the days of the test rows where they have moments: rows of one day go well or badly together.
    """
    kind = params.problem.kind
    each = {}
    for one in candidates:
        own = threshold_of(one.scores["valid"], splits["valid"].y, params)
        values = {name: report(split.y, one.scores[name], kind, own) for name, split in splits.items()}
        each[one.family] = CandidateMetrics(threshold=own, **values)
    test = splits["test"]
    measurers = {m: measurer(m, kind, test.y, best.scores["test"], threshold) for m in find_kind(kind).metrics}
    intervals = bootstrap_intervals(measurers, len(test.y), seed=params.seed, groups=groups)
    return Metrics(
        metric=params.problem.metric,
        candidates=each,
        choice=ChoiceMetrics(
            family=best.family,
            **{name: report(split.y, best.scores[name], kind, threshold) for name, split in splits.items()},
            test_interval={m: None if pair is None else list(pair) for m, pair in intervals.items()},
            level=0.95,
            drawn="rows" if groups is None else "days",
        ),
        baseline=BaselineMetrics(
            name=find_kind(kind).constant_name,
            **{name: report(split.y, constant[name], kind) for name, split in splits.items()},
        ),
        rows={name: len(split.y) for name, split in splits.items()},
        all_together=all_together(candidates, best, test, kind, threshold),
    )


def predictions(best: Contestant, splits: dict[str, Split]) -> pd.DataFrame:
    """``predictions.parquet``: the choice's scores and the truth, validation rows first."""
    parts = []
    for name, split in splits.items():
        part = pd.DataFrame({"__row__": split.rows, "__split__": name, "__target__": split.y})
        parts.append(with_scores(part, best.scores[name]))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    stage.run(main)
