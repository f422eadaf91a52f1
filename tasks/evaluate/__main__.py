"""Read features and candidates, choose the challenger, measure it, and write ``data/evaluation``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.evaluate.candidates import SPLITS, Candidate, Split, ensemble_of, scores_of, splits_of
from tasks.evaluate.choice import all_together, by_goals, choose, describe, threshold_of
from tasks.evaluate.diagnosis import diagnose, histories, validation_curves
from tasks.evaluate.explain import explain
from tasks.evaluate.learning import figure, learning_curve, on_training_rows
from tasks.evaluate.pages import Pages
from tasks.evaluate.rows import notable
from tasks.evaluate.slices import Rows, declared, weak
from tasks.files import failure_of, read_json, read_table, replacing_dir, write_json, write_table
from tasks.fitting.calibration import Calibration
from tasks.kinds import find_kind, score_columns
from tasks.metrics import measurer, metric_names, report
from tasks.metrics.curves import confusion
from tasks.metrics.intervals import bootstrap_intervals, days
from tasks.models import load_model
from tasks.models.model import resolved
from tasks.params import Params, load
from tasks.stored import Stored

DATA = Path("data")


def main() -> None:
    params = load()
    problem = params.problem
    summary = read_json(DATA / "features" / "summary.json")
    features: Any = Stored(DATA / "features" / "features.parquet")
    kind, classes = problem.kind, list(summary["classes"])
    asked = find_kind(kind)
    kinds = {f["name"]: f["kind"] for f in summary["features"]}
    names = list(kinds)
    splits = splits_of(features, kind, classes)
    candidates = read_candidates(params, splits, classes)
    best, values = choose(candidates, splits, params)
    goals = {c.family: tuned["goals"] for c in candidates if (tuned := best_of(c.family)).get("goals")}
    why_chosen = ""
    if len(candidates) > 1 and len(goals) == len(candidates):
        best, why_chosen = by_goals(candidates, values, goals, problem.metric)
    threshold = threshold_of(best.scores["valid"], splits["valid"].y, params)
    cut = 0.5 if threshold is None else threshold
    for family, value in values.items():
        stage.log(
            f"{family}: {problem.metric} {value['valid']:.4f} on validation rows, {value['test']:.4f} on test rows"
        )

    parts = {name: features[features["__split__"] == name].reset_index(drop=True) for name in ("train", *SPLITS)}
    y_train = parts["train"]["__target__"].to_numpy(dtype=float)
    constant = {name: asked.constant(y_train, len(classes), len(split.y)) for name, split in splits.items()}
    metrics = measure_all(candidates, best, splits, constant, params, cut, days(parts["test"]["__time__"]))
    metrics["all_together"] = all_together(candidates, best, splits["test"], kind, cut)
    choice = describe(best, values, params, threshold, metrics["baseline"]["test"][problem.metric], why_chosen)
    stage.log(choice["reason"])

    seen = {name: Rows(parts[name][names], splits[name].y, best.scores[name]) for name in SPLITS}
    test, scores = splits["test"], best.scores["test"]
    unknown = [c for c in params.evaluation.slices if c not in kinds]
    if unknown:
        raise RefitError(f"evaluation.slices: {some(unknown)} are not features.{nearest(unknown[0], names)}")
    pages = Pages(stage.log)

    def by_slices() -> dict[str, Any]:
        named = list(params.evaluation.slices)
        return {
            "metric": problem.metric,
            "classes": classes,
            "declared": declared(seen["valid"], seen["test"], named, problem.metric, kind, cut),
            "weak": weak(seen["valid"], seen["test"], names, problem.metric, kind, cut),
        }

    def why() -> dict[str, Any]:
        at = {int(row): i for i, row in enumerate(test.rows)}
        chosen = list(dict.fromkeys(at[e["row"]] for group in (errors or {}).values() for e in group[:5]))
        return explain(
            models, choice["weights"], parts["test"][names], test.rows, parts["train"][names], chosen, kind,
            params.seed, Calibration.of(choice.get("calibration")),
        )  # fmt: skip

    errors = pages.add("rows", lambda: notable(parts["test"][names], test.rows, test.y, scores, classes))
    pages.add("curves", lambda: asked.curves(test.y, scores, classes, params.training.cost))
    pages.add("slices", by_slices)
    if asked.output.classes:
        pages.add("confusion", lambda: confusion(test.y, asked.decide(scores, threshold), classes))
    if params.evaluation.explain:
        models = [load_model(DATA / "models" / member / "model") for member in choice["members"]]
        pages.add("learning", lambda: learn(models, choice, candidates, parts, kinds, metrics, params, cut))
        pages.add("explain", why)
    with replacing_dir(DATA / "evaluation") as out:
        write_json(out / "choice.json", choice)
        write_json(out / "metrics.json", metrics)
        write_table(out / "predictions.parquet", predictions(best, splits))
        for name, page in pages.made.items():
            write_json(out / f"{name}.json", page)
        if pages.left_out:
            write_json(out / "left_out.json", pages.left_out)
    without = choice["baseline"]
    said = f", without a model {without:.4f}" if without is not None else ""
    stage.log(f"test rows: {len(test.y):,}; {problem.metric} {choice['test']:.4f}{said}")


def best_of(family: str) -> dict[str, Any]:
    """What tuning chose for a candidate; nothing of an ensemble, which was not tuned."""
    path = DATA / "tuning" / family / "best.json"
    return read_json(path) if path.exists() else {}


def read_candidates(params: Params, splits: dict[str, Split], classes: list[str]) -> list[Candidate]:
    """The families' candidates, and their ensemble where one is asked for and is better on validation rows."""
    out, lost = [], []
    for family in params.models:
        folder = DATA / "models" / family
        if (failed := failure_of(folder)) is not None:
            lost.append(f"{family}: failed in {failed['stage']} and is left out: {failed['why']}")
            stage.log(lost[-1])
            continue
        scores = scores_of(family, read_table(folder / "predictions.parquet"), splits, classes, params.problem.kind)
        out.append(Candidate(family, scores, read_json(folder / "candidate.json")))
    if not out:
        raise RefitError(f"models: no family could be fitted. {' '.join(lost)}")
    if not params.training.ensembles:
        return out
    mix = ensemble_of(out, splits, params)
    if mix is None:
        stage.log("no ensemble is better on the validation rows than the best family alone")
        return out
    return [*out, mix]


def learn(models: list[Any], choice: dict[str, Any], candidates: list[Candidate], parts: dict[str, pd.DataFrame],
          kinds: dict[str, str], metrics: dict[str, Any], params: Params, cut: float) -> dict[str, Any]:  # fmt: skip
    """``learning.json``: loss curves and validation curves of all families, the learning curve and the diagnosis."""
    problem, names = params.problem, list(kinds)
    metric, kind = problem.metric, problem.kind
    rows = {name: (part[names], part["__target__"].to_numpy(dtype=float)) for name, part in parts.items()}
    by_time = params.split.kind == "time"
    times = {name: part["__time__"] if by_time else None for name, part in parts.items()}
    weights = np.asarray(choice["weights"]) / sum(choice["weights"])
    leading = int(np.argmax(weights))
    family = choice["members"][leading]
    about = next(c for c in candidates if c.family == family)
    classes = about.scores["valid"].shape[1] if find_kind(kind).output.classes else 0
    own = about.info["params"]
    if about.info.get("imbalance", {}).get("used") == "none":
        own = own | {"imbalance": "none"}  # it was better on the real rows, and so is refitted on them
    alike = family != "auto"  # its folds are made in another way than a refit, and no point of its curve
    fixed = Calibration.of(choice.get("calibration"))
    used = {f: kinds[f] for f in about.info.get("features", names)}
    small = {name: (rows[name][0][list(used)], rows[name][1]) for name in ("train", "valid")}
    curve = learning_curve(
        family, own, small["train"], small["valid"], params, classes, used, about.scores["valid"] if alike else None, cut,
        (parts["train"]["__time__"], parts["valid"]["__time__"]) if by_time else None,
    )  # fmt: skip
    base = metrics["baseline"]["valid"][metric]
    chosen = next(c for c in candidates if c.family == choice["family"])
    figures = {
        "train": on_training_rows(
            models, weights, *rows["train"], metric, kind, cut, params.seed, times["train"], fixed
        )
    }
    figures |= {n: figure(metric, kind, rows[n][1], chosen.scores[n], cut, params.seed, times[n]) for n in SPLITS}
    said = None
    if base is not None and all(np.isfinite([f.value, f.error]).all() for f in figures.values()):
        said = diagnose(
            metric, figures["train"], figures["valid"], figures["test"], base, curve, len(rows["train"][1]), by_time
        )
        for line in said["said"]:
            stage.log(line)
    trials = {f: DATA / "tuning" / f / "trials.json" for f in params.models}
    return {
        "diagnosis": said,
        "learning_curve": {
            "family": family,
            "fitted": resolved(family, own)[0],
            "metric": metric,
            "points": curve,
            "rows": len(rows["train"][1]),
            "newest": by_time,
        },
        "loss": {c.family: histories(c.info) for c in candidates if c.family in params.models},
        "validation_curves": {f: validation_curves(read_json(p)) for f, p in trials.items() if p.exists()},
    }


def measure_all(
    candidates: list[Candidate],
    best: Candidate,
    splits: dict[str, Split],
    constant: dict[str, np.ndarray],
    params: Params,
    cut: float,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """``metrics.json``: every metric of every candidate, the choice with intervals, and the baseline.

    ``groups`` are the days of the test rows where they have moments: rows of one day go well or badly together.
    """
    kind = params.problem.kind
    out: dict[str, Any] = {"metric": params.problem.metric, "candidates": {}}
    for one in candidates:
        threshold = threshold_of(one.scores["valid"], splits["valid"].y, params)
        out["candidates"][one.family] = {
            "threshold": threshold,
            **{name: report(split.y, one.scores[name], kind, threshold) for name, split in splits.items()},
        }
    test = splits["test"]
    measurers = {m: measurer(m, kind, test.y, best.scores["test"], cut) for m in metric_names(kind)}
    intervals = bootstrap_intervals(measurers, len(test.y), seed=params.seed, groups=groups)
    out["choice"] = {
        "family": best.family,
        **{name: report(split.y, best.scores[name], kind, cut) for name, split in splits.items()},
        "test_interval": {m: None if pair is None else list(pair) for m, pair in intervals.items()},
        "level": 0.95,
        "drawn": "rows" if groups is None else "days",
    }
    out["baseline"] = {
        "name": find_kind(kind).constant_name,
        **{name: report(split.y, constant[name], kind, 0.5) for name, split in splits.items()},
    }
    out["rows"] = {name: len(split.y) for name, split in splits.items()}
    return out


def predictions(best: Candidate, splits: dict[str, Split]) -> pd.DataFrame:
    """``predictions.parquet``: the choice's scores and the truth, validation rows first."""
    parts = []
    for name, split in splits.items():
        part = pd.DataFrame({"__row__": split.rows, "__split__": name, "__target__": split.y})
        scores = best.scores[name]
        told = pd.DataFrame(scores.reshape(len(split.y), -1), columns=score_columns(scores))
        parts.append(pd.concat([part, told], axis=1))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    stage.run(main)
