"""What history is worth: test AUC of late flights in October 2013 with the windowed features and without.

``python -m tests.bench.value [--quick]``. XGBoost trained on flights of January to August (and labels known by the end
of August), tested on October. The last line is one JSON object: ``auc_with``, ``auc_without``, ``auc_gain``.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.recipes import Aggregate, Transform
from tests.bench._flights import emit, params, tables


def auc(features: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray, rounds: int) -> float:
    import xgboost
    from sklearn.metrics import roc_auc_score

    plain = features.rename(columns=lambda name: name.replace("[", "(").replace("]", ")"))  # XGBoost refuses brackets
    for name in plain.columns:
        if plain[name].dtype != np.float64:
            plain[name] = plain[name].astype("category")
    model = xgboost.XGBClassifier(
        n_estimators=rounds, max_depth=6, learning_rate=0.05, subsample=0.8, colsample_bytree=0.5, min_child_weight=20,
        tree_method="hist", enable_categorical=True, n_jobs=2, random_state=0,
    )  # fmt: skip
    model.fit(plain[train], y[train])
    return float(roc_auc_score(y[test], model.predict_proba(plain[test])[:, 1]))


def main(quick: bool) -> None:
    found = tables()
    flights = found["flights"]
    plan = derive(params())
    features = compute(plan, found, flights)
    history = {f.name for f in plan.features if isinstance(f.recipe, Aggregate)}
    transformed = {f.name for f in plan.features if isinstance(f.recipe, Transform)}
    without = [c for c in features.columns if c not in history | transformed]
    time, known, y = flights["sched_dep_at"], flights["arrived_at"], flights["late"].to_numpy()
    train = ((time < "2013-09-01") & (known < "2013-09-01")).to_numpy() & ~np.isnan(y)
    test = ((time >= "2013-10-01") & (time < "2013-11-01")).to_numpy() & ~np.isnan(y)
    if quick:
        train &= np.random.default_rng(0).random(len(y)) < 0.3
    rounds = 120 if quick else 300
    with_history = auc(features, y, train, test, rounds)
    plain = auc(features[without], y, train, test, rounds)
    emit(
        {
            "auc_with": round(with_history, 4),
            "auc_without": round(plain, 4),
            "auc_gain": round(with_history - plain, 4),
            "train": int(train.sum()),
            "test": int(test.sum()),
        }
    )


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
