"""What ``history: auto`` is worth by its windows: none, 1d/7d/28d whatever the table, and the table's own rhythm.

``python -m tests.bench.rhythm [--quick]``. Sea temperatures by month (El Niño 3, 1950-2010), investments of eleven firms
by year (Grunfeld), CO2 by week, all from statsmodels, and a made-up panel of customers who pay by month; without
``--quick`` also the late flights of the bundled example. Each is cut by time: the last quarter tests, the quarter before
validates, and the family (ridge or logistic, or XGBoost, with their defaults) is the one that does better on the
validation rows. The last line is one JSON object: by set the windows found, and the test metric without history, with
days (nothing dropped), and with the rhythm's windows; ``worse`` counts the sets on which the last is more than 2% worse
than no history.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)
from tasks.engine.auto import Windows, any_windows
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.rhythm import windows_of
from tasks.features.silent import silent
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.metrics import higher_is_better, measure
from tasks.models import fit_family
from tasks.params import Params, parse
from tests.bench._flights import emit

DAYS = ("1d", "7d", "28d")
Set = tuple[Params, dict[str, pd.DataFrame], str]


def dated(frame: pd.DataFrame, kind: str, known: str, columns: dict[str, Any]) -> Set:
    """A table with ``at``, the target ``y`` and ``columns``, as a problem that asks at ``at``."""
    frame = frame.sort_values("at", kind="stable", ignore_index=True).assign(id=np.arange(float(len(frame))))
    frame["at"] = pd.to_datetime(frame["at"], utc=True).astype("datetime64[us, UTC]")
    for column, declared in columns.items():
        if declared == "categorical":
            frame[column] = frame[column].astype("str")
    spec = {
        "problem": {"name": "rhythm", "kind": kind, "table": "t", "target": "y", "prediction_time": "at"},
        "data": {
            "tables": {
                "t": {
                    "source": "x", "key": ["id"], "event_time": "at", "known_at": f"at + {known}", "outcome": ["y"],
                    "columns": {"id": "numeric", "at": "datetime", "y": "numeric", **columns},
                }
            }
        },
        "features": {"columns": list(columns), "history": "auto"},
        "models": {"ridge" if kind == "regression" else "logistic": {}},
    }  # fmt: skip
    if kind == "binary":
        spec["data"]["tables"]["t"]["columns"]["y"] = "boolean"
    return parse(spec), {"t": frame}, "y"


def sea() -> Set:
    from statsmodels.datasets import elnino

    wide = elnino.load_pandas().data
    long = wide.melt("YEAR", var_name="month", value_name="y")
    long["at"] = pd.to_datetime(long["YEAR"].astype(int).astype(str) + long["month"], format="%Y%b")
    return dated(long.assign(place="3"), "regression", "28d", {"month": "categorical", "place": "categorical"})


def firms() -> Set:
    from statsmodels.datasets import grunfeld

    frame = grunfeld.load_pandas().data.rename(columns={"invest": "y"})
    frame["at"] = pd.to_datetime(frame["year"].astype(int).astype(str))
    return dated(frame, "regression", "300d", {"firm": "categorical", "value": "numeric", "capital": "numeric"})


def carbon() -> Set:
    from statsmodels.datasets import co2

    frame = co2.load_pandas().data["co2"].dropna().rename("y").rename_axis("at").reset_index()
    frame["month"] = frame["at"].dt.month.astype(str)
    return dated(frame.assign(place="loa"), "regression", "6d", {"month": "categorical", "place": "categorical"})


def customers(count: int = 250, months: int = 30) -> Set:
    """Will the bill of this month be paid late? Each customer has a habit, and moods that last some months."""
    rng = np.random.default_rng(0)
    habit, mood = rng.normal(-1.2, 1.2, count), np.zeros(count)
    rows = []
    for at in pd.date_range("2021-01-01", periods=months, freq="MS"):
        mood = 0.7 * mood + rng.normal(0, 0.8, count)
        late = rng.random(count) < 1 / (1 + np.exp(-(habit + mood)))
        amount = rng.gamma(2, 50, count)
        rows.append(pd.DataFrame({"at": at, "customer": np.arange(count), "amount": amount, "y": late.astype(float)}))
    frame = pd.concat(rows).assign(at=lambda f: f["at"] + pd.to_timedelta(rng.integers(0, 4, len(f)), unit="D"))
    return dated(frame, "binary", "25d", {"customer": "categorical", "amount": "numeric"})


def flights() -> Set:
    from tests.bench._flights import params, tables

    found = params()
    auto = {"history": "auto", "lookups": "auto", "transforms": {}, "polynomial": None}
    tables_ = tables()
    own = tables_["flights"]
    chosen = own["sched_dep_at"] < "2013-11-01"
    return (
        found.model_copy(update={"features": found.features.model_copy(update=auto)}),
        {**tables_, "flights": own[chosen].reset_index(drop=True)},
        found.problem.target.name,
    )


def measured(made: Set, windows: Windows | None, drop: bool = True) -> float:
    """The metric on the newest quarter of the rows; ``windows`` None: without history."""
    params, tables, target = made
    if windows is None:
        params = params.model_copy(update={"features": params.features.model_copy(update={"history": ()})})
    plan = derive(params, windows)
    rows = tables[plan.table]
    time, y, kind = rows[plan.time.column], rows[target].to_numpy(float), params.problem.kind  # type: ignore[union-attr]
    known = ~np.isnan(y)
    first, second = time[known].quantile([0.5, 0.75])
    parts = {
        "train": known & (time < first).to_numpy(),
        "valid": known & ((time >= first) & (time < second)).to_numpy(),
        "test": known & (time >= second).to_numpy(),
    }
    if parts["train"].sum() > 50_000:
        parts["train"] &= np.random.default_rng(0).random(len(y)) < 50_000 / parts["train"].sum()
    X = compute(plan, tables, rows)
    kinds = {f.name: f.kind for f in plan.features}
    dropped = silent(X, kinds, parts["train"]) if drop else {}
    kept = [c for c in X if c not in dropped]
    data = {k: (X.loc[at, kept].reset_index(drop=True), y[at]) for k, at in parts.items()}
    metric = params.problem.metric
    found = []
    for family in ("ridge" if kind == "regression" else "logistic", "xgboost"):
        model = fit_family(family, {}, Fold(*data["train"], *data["valid"]), Setup(kind, classes=2 * (kind == "binary"), columns={c: kinds[c] for c in kept}))  # fmt: skip
        values = [float(measure(metric, data[k][1], model.predict(data[k][0]), kind)) for k in ("valid", "test")]
        found.append((values[0] if higher_is_better(metric) else -values[0], values[1]))
    return max(found)[1]


def main(quick: bool) -> None:
    sets = {"sea by month": sea, "firms by year": firms, "co2 by week": carbon, "customers by month": customers}
    if not quick:
        sets["flights"] = flights
    result: dict[str, Any] = {}
    worse = 0
    for name, make in sets.items():
        made = make()
        params = made[0]
        windows = windows_of(made[0], made[1])
        without = measured(made, None)
        days = measured(made, dict.fromkeys(any_windows(params), DAYS), drop=False)
        rhythm = measured(made, windows)
        metric = params.problem.metric
        loss = (without - rhythm) if higher_is_better(metric) else (rhythm - without)
        worse += loss > 0.02 * abs(without)
        said = {f"{table} by {'+'.join(by)}": " ".join(spans) for (table, by), spans in windows.items()}
        result[name] = {
            "metric": metric, "without": round(without, 4), "days": round(days, 4), "rhythm": round(rhythm, 4),
            "windows": said,
        }  # fmt: skip
        print(name, result[name], flush=True)
    emit({"worse": worse, "sets": result})


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
