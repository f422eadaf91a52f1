"""Are `auto`'s probabilities calibrated by default? On six binary tables, on rows that it has not seen.

``python -m tests.bench.calibration [--quick] [--seconds 10] [--splits 20] [--tables NAME ...] [--out FILE]``. Each split
draws at most 2,500 rows to fit on and tests on at most 5,000 others. The same bag of fold models is asked three ways:
as it is (``none``), with the default calibration (``auto``), and with the default as it would be without the correction
for the mean of the folds (``folds``); a rival is scikit-learn's ``CalibratedClassifierCV`` (sigmoid, five folds) around
its histogram boosting (``rival``; ``bare``: the same boosting without it). ``slope`` is the median over splits of the
coefficient of a logistic regression of what happened on the log-odds said: 1 is right, more is underconfident. The last
line is one JSON object: ``within`` (tables whose median slope with ``auto`` lies within 0.9 and 1.1), ``slope_off`` (the
largest distance of such a median from 1), ``auc_changed`` (the largest), and the medians and means ``by_table``.
``--out`` is written after each split, and read where it is there already, so that a run can go on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tasks.fitting.rows import with_scores
from tasks.fitting.setup import Setup
from tasks.metrics import measure
from tasks.metrics.recalibration import recalibration
from tasks.process import threads
from tasks.train.tuned import calibrate_bag
from tasks.tune.auto import search_families
from tasks.tune.bags import cross
from tasks.tune.objective import Objective
from tasks.tune.search import Budget
from tests.bench._tables import UNSEEN, load
from tests.bench.quality import unseen

TABLES = ("breast_cancer", "fair", "flights", "credit_data", "mlc_churn", "Caravan")
FITTED, TESTED = 2_500, 5_000  # rows of a split, at most
FOLDS = 5
WAYS = ("none", "auto", "folds", "bare", "rival")


def of_split(X: pd.DataFrame, y: np.ndarray, number: int, seconds: float) -> dict[str, Any]:
    """One split: by way of asking, what is measured on the rows that were not fitted on."""
    order = np.random.default_rng([number, 7]).permutation(len(y))
    count = min(FITTED, 6 * len(y) // 10)
    at, out = np.sort(order[:count]), np.sort(order[count : count + TESTED])
    known, truth = X.iloc[at].reset_index(drop=True), y[at]
    new, happened = X.iloc[out].reset_index(drop=True), y[out]
    scores = auto(known, truth, new, seconds, number)
    scores |= boosting(known, truth, new, number)
    return {"positives": int(min(truth.sum(), len(truth) - truth.sum()))} | {
        way: {
            "slope": (recalibration(happened, s[:, 1])["slope"] or [float("nan")])[0],
            **{m: float(measure(m, happened, s, "binary")) for m in ("log_loss", "brier", "roc_auc")},
        }
        for way, s in scores.items()
    }


def auto(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, seconds: float, seed: int) -> dict[str, np.ndarray]:
    """What the stages ``tune`` and ``train`` do with these rows; more time where it does not suffice for all folds."""
    kinds = {str(c): "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    bags = cross(X, y, "binary", FOLDS, 1, seed)
    one = Objective("auto", Setup("binary", 2, kinds, seed=seed), "roc_auc", bags.folds)
    found = None
    with tempfile.TemporaryDirectory() as name:
        while found is None or found.folds is None:
            with suppress(RefitError):
                found = search_families(
                    one, Budget(10_000, seconds, threads(), threads()), "auto",
                    folder=Path(name), bags=bags,
                )  # fmt: skip
            seconds *= 2
        assert found.model is not None
        model = found.model
    scores = {"none": model.predict(new)}
    leading = pd.DataFrame({"__row__": found.at, "__target__": y, "__fold_0__": found.folds[:, 0]})
    held = with_scores(leading, found.scores)
    calibrate_bag(model, X, held.drop(columns="__fold_0__"), "auto", seed)
    scores["folds"] = model.predict(new)
    calibrate_bag(model, X, held, "auto", seed)
    return scores | {"auto": model.predict(new)}


def boosting(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, seed: int) -> dict[str, np.ndarray]:
    """scikit-learn's histogram boosting, bare and calibrated."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier

    both = pd.concat([X, new], ignore_index=True)
    for column in both:
        if both[column].dtype.kind not in "if":
            both[column] = pd.factorize(both[column])[0].astype(float)
    numbers = both.to_numpy(float)
    known, asked = numbers[: len(X)], numbers[len(X) :]
    model = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=300, early_stopping=True, random_state=seed)
    return {
        "bare": model.fit(known, y).predict_proba(asked),
        "rival": CalibratedClassifierCV(model, method="sigmoid", cv=5).fit(known, y).predict_proba(asked),
    }


def summary(done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Medians of slopes, and means of the rest, by table and way."""
    by_table: dict[str, Any] = {}
    for name, splits in done.items():
        every = list(splits.values())
        by_table[name] = {"splits": len(every), "rarer": int(np.median([s["positives"] for s in every]))}
        for way in WAYS:
            slopes = np.array([s[way]["slope"] for s in every])
            by_table[name][way] = {
                # no finite slope: the scores part the classes without error, as if it were infinite
                "slope": round(float(np.median(np.nan_to_num(slopes, nan=np.inf))), 3),
                **{m: round(float(np.mean([s[way][m] for s in every])), 5) for m in ("log_loss", "brier", "roc_auc")},
            }
        gains = np.array([s["none"]["log_loss"] - s["auto"]["log_loss"] for s in every])
        by_table[name]["log_loss_gain"] = [
            round(float(gains.mean()), 5), round(float(gains.std() / np.sqrt(len(gains))), 5)
        ]  # fmt: skip
    off = [abs(t["auto"]["slope"] - 1.0) for t in by_table.values()]
    changed = [abs(s["none"]["roc_auc"] - s["auto"]["roc_auc"]) for splits in done.values() for s in splits.values()]
    return {
        "within": sum(d <= 0.1 for d in off),
        "tables": len(off),
        "slope_off": round(max(off), 3),
        "auc_changed": max(changed),
        "by_table": by_table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--environments", type=Path, default=Path(".refit/bench"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    names, splits = (["fair", "flights"], 4) if args.quick else (args.tables, args.splits)
    wanted = [n for n in names if n in UNSEEN]
    at = unseen(wanted, args.environments) if wanted else None
    done: dict[str, dict[str, Any]] = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for number in range(splits):
        for name in names:
            if str(number) in done.setdefault(name, {}):
                continue
            X, y, _ = load(name, folder=at)
            begun = time.monotonic()
            done[name][str(number)] = found = of_split(X, y, number, args.seconds)
            told = ", ".join(f"{way} {found[way]['slope']:.3f}" for way in WAYS)
            print(f"{name} {number}: {told} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
            if args.out:
                args.out.write_text(json.dumps(done))
    print(json.dumps(summary({name: done[name] for name in names})))


if __name__ == "__main__":
    main()
