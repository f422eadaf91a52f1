"""Read features and candidates, choose the challenger, measure it, and write ``data/evaluation``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.evaluate.candidates import SPLITS, Candidate, score_columns, scores_of, splits_of
from tasks.evaluate.choice import baseline_scores, choose, describe, threshold_of
from tasks.evaluate.curves import confusion, curves
from tasks.evaluate.rows import notable
from tasks.evaluate.slices import Rows, declared, weak
from tasks.files import read_json, read_table, replacing_dir, write_json, write_table
from tasks.metrics import measurer, metric_names, report
from tasks.metrics.intervals import bootstrap_intervals
from tasks.params import load

DATA = Path("data")


def main() -> None:
    params = load()
    problem = params.problem
    summary = read_json(DATA / "features" / "summary.json")
    features = read_table(DATA / "features" / "features.parquet")
    kind, classes = problem.kind, list(summary["classes"])
    names = [f["name"] for f in summary["features"]]
    splits = splits_of(features, kind, classes)
    columns = score_columns(kind, classes)
    candidates = []
    for family in params.models:
        folder = DATA / "models" / family
        scores = scores_of(family, read_table(folder / "predictions.parquet"), splits, columns)
        candidates.append(Candidate(family, scores, read_json(folder / "candidate.json")))
    best, values = choose(candidates, splits, params)
    threshold = threshold_of(best.scores["valid"], splits["valid"].y, params)
    cut = 0.5 if threshold is None else threshold
    for family, value in values.items():
        stage.log(f"{family}: {problem.metric} {value['valid']:.4f} on validation rows, {value['test']:.4f} on test rows")

    y_train = features.loc[features["__split__"] == "train", "__target__"].to_numpy(dtype=float)
    constant = {name: baseline_scores(y_train, kind, len(classes), len(split.y)) for name, split in splits.items()}
    metrics = measure_all(candidates, best, splits, constant, params, cut)
    choice = describe(best, values, params, threshold, metrics["baseline"]["test"][problem.metric])
    stage.log(choice["reason"])

    parts = {name: features[features["__split__"] == name].reset_index(drop=True) for name in SPLITS}
    seen = {name: Rows(parts[name][names], splits[name].y, best.scores[name]) for name in SPLITS}
    test = splits["test"]
    slices = {
        "loss": "squared error of the prediction" if kind == "regression" else "squared error of the probabilities",
        "metric": problem.metric,
        "declared": declared(seen["valid"], seen["test"], list(params.evaluation.slices), problem.metric, kind, cut),
        "weak": weak(seen["valid"], seen["test"], names, problem.metric, kind, cut),
    }
    with replacing_dir(DATA / "evaluation") as out:
        write_json(out / "choice.json", choice)
        write_json(out / "metrics.json", metrics)
        write_table(out / "predictions.parquet", predictions(best, splits, columns))
        write_json(out / "curves.json", curves(test.y, best.scores["test"], kind, classes, params.training.cost))
        if kind != "regression":
            write_json(out / "confusion.json", confusion(test.y, best.scores["test"], classes, threshold))
        write_json(out / "slices.json", slices)
        write_json(out / "rows.json", notable(parts["test"][names], test.rows, test.y, best.scores["test"], classes))
    stage.log(f"test rows: {len(test.y):,}; {problem.metric} {choice['test']:.4f}, without a model {choice['baseline']}")


def measure_all(
    candidates: list[Candidate],
    best: Candidate,
    splits: dict[str, Any],
    constant: dict[str, np.ndarray],
    params: Any,
    cut: float,
) -> dict[str, Any]:
    """``metrics.json``: every metric of every candidate, the choice with intervals, and the baseline."""
    kind = params.problem.kind
    out: dict[str, Any] = {"metric": params.problem.metric, "candidates": {}}
    for one in candidates:
        threshold = threshold_of(one.scores["valid"], splits["valid"].y, params)
        own = 0.5 if threshold is None else threshold
        out["candidates"][one.family] = {
            "threshold": threshold,
            **{name: report(split.y, one.scores[name], kind, own) for name, split in splits.items()},
        }
    test = splits["test"]
    measurers = {m: measurer(m, kind, test.y, best.scores["test"], cut) for m in metric_names(kind)}
    intervals = bootstrap_intervals(measurers, len(test.y), seed=params.seed)
    out["choice"] = {
        "family": best.family,
        **{name: report(split.y, best.scores[name], kind, cut) for name, split in splits.items()},
        "test_interval": {m: None if pair is None else list(pair) for m, pair in intervals.items()},
        "level": 0.95,
    }
    out["baseline"] = {
        "name": "mean of the training rows" if kind == "regression" else "class shares of the training rows",
        **{name: report(split.y, constant[name], kind, 0.5) for name, split in splits.items()},
    }
    out["rows"] = {name: len(split.y) for name, split in splits.items()}
    return out


def predictions(best: Candidate, splits: dict[str, Any], columns: list[str]) -> pd.DataFrame:
    """``predictions.parquet``: the choice's scores and the truth, validation rows first."""
    parts = []
    for name, split in splits.items():
        part = pd.DataFrame({"__row__": split.rows, "__split__": name, "__target__": split.y})
        scores = best.scores[name].reshape(len(split.y), -1)
        parts.append(pd.concat([part, pd.DataFrame(scores, columns=columns)], axis=1))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    stage.run(main)
