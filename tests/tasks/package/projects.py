"""Small real projects up to the package stage: data validated, features computed, families fitted, one chosen."""

from __future__ import annotations

import contextlib
import os
import runpy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from tasks import params
from tasks.artifacts import Validation
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.files import write_json, write_table
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.models import fit_family, save_model
from tests.samples import sample_frame, summary

TIMED = "orders"  # the project with time, history and lookups
SIZES = {"binary": 2, "multiclass": 3, "regression": 0}


def plain(kind: str) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Parameters and tables of a problem without time, on a table bundled with scikit-learn."""
    frame, target = sample_frame(kind)
    if kind != "regression":
        frame[target] = frame[target].astype(str)
    columns: dict[str, Any] = dict.fromkeys(frame.columns, "numeric")
    columns |= {"band": {"kind": "categorical", "allowed": ["high", "low"]}}
    columns[target] = {"kind": "numeric" if kind == "regression" else "categorical", "nullable": False}
    tree = {
        "problem": {"name": f"sample-{kind}", "kind": kind, "table": "rows", "target": target},
        "data": {"tables": {"rows": {"source": "rows.csv", "columns": columns}}},
        "models": {"logistic": {}},
    }
    return tree, {"rows": frame}


def timed(rows: int = 1500, seed: int = 0) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Parameters and tables of a problem with time: will an order arrive late, told by its shop's past orders?"""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2024-01-01", tz="UTC")
    placed = start + pd.to_timedelta(np.sort(rng.integers(0, 60 * 86400, rows)), unit="s")
    shop = rng.choice([f"s{i}" for i in range(8)], rows)
    weight = rng.gamma(2, 2, rows).round(3)
    hours = rng.gamma(3, 8, rows) + weight + (shop == "s3") * 12
    orders = pd.DataFrame(
        {
            "order": np.arange(rows, dtype=float),
            "placed_at": pd.Series(placed).dt.as_unit("us"),
            "shop": pd.Series(shop, dtype="str"),
            "weight": np.where(rng.random(rows) < 0.05, np.nan, weight),
            "gift": rng.random(rows) < 0.2,
            "delay": hours.round(2),
            "arrived_at": pd.Series(placed + pd.to_timedelta((hours * 3600).astype(int), unit="s")).dt.as_unit("us"),
        }
    )
    as_of = orders["placed_at"].max()
    unknown = orders["arrived_at"] > as_of
    orders.loc[unknown, "delay"] = np.nan
    orders.loc[unknown, "arrived_at"] = pd.NaT
    orders["late"] = np.where(unknown, np.nan, (orders["delay"] > 30).astype(float))
    shops = pd.DataFrame({"shop": pd.Series([f"s{i}" for i in range(8)], dtype="str"), "size": rng.random(8) * 10})
    tree = {
        "problem": {
            "name": "orders-late", "kind": "binary", "table": "orders", "prediction_time": "placed_at - 1h",
            "target": {"name": "late", "column": "delay", "above": 30},
        },
        "data": {
            "tables": {
                "orders": {
                    "source": "orders.csv", "key": ["order"], "event_time": "placed_at", "known_at": "arrived_at",
                    "outcome": ["delay", "arrived_at"],
                    "columns": {
                        "order": {"kind": "numeric", "nullable": False},
                        "placed_at": {"kind": "datetime", "nullable": False},
                        "shop": {"kind": "categorical", "nullable": False},
                        "weight": {"kind": "numeric", "min": 0, "max": 100},
                        "gift": {"kind": "boolean", "nullable": False},
                        "delay": "numeric", "arrived_at": "datetime",
                    },
                },
                "shops": {
                    "source": "shops.csv", "key": ["shop"],
                    "columns": {"shop": {"kind": "categorical", "nullable": False}, "size": "numeric"},
                },
            }
        },
        "features": {
            "columns": ["shop", "weight", "gift"],
            "lookups": [{"table": "shops", "on": "shop", "columns": ["size"]}],
            "history": [{"table": "orders", "by": ["shop"], "windows": ["3d", "7d"],
                         "columns": {"delay": ["mean", "max"], "late": ["mean"]}}],
        },
        "split": {"kind": "time", "test": "10d", "valid": "10d"},
        "models": {"logistic": {}},
    }  # fmt: skip
    return tree, {"orders": orders, "shops": shops}


def project(
    root: Path, kind: str, families: tuple[str, ...] = ("xgboost",), weights: tuple[float, ...] = (1.0,)
) -> Path:
    """Write everything that the package stage reads; returns ``root``. ``kind`` is a kind of problem or :data:`TIMED`."""
    tree, tables = timed() if kind == TIMED else plain(kind)
    tree["models"] = {name: {} for name in families}
    root.mkdir(parents=True, exist_ok=True)
    YAML().dump(tree, root / "params.yaml")
    given = params.load(root / "params.yaml")
    data, problem = root / "data", given.problem
    for name, table in tables.items():
        write_table(data / "validated" / f"{name}.parquet", table)
    Validation(as_of=None, tables={}, expectations=[], baseline={}).write(data / "validated")

    plan = derive(given)
    rows = tables[problem.table]
    X = compute(plan, tables, rows)
    label = rows[problem.target.name]
    classes = [] if problem.kind == "regression" else ["0", "1"] if kind == TIMED else sorted(label.dropna().unique())
    if problem.kind == "regression" or kind == TIMED:
        y = label.to_numpy(float)
    else:
        y = label.map({c: i for i, c in enumerate(classes)}).to_numpy(float)
    n = len(rows)
    if kind == TIMED:
        moment = rows["placed_at"] - pd.Timedelta("1h")
        split = np.where(np.arange(n) < n * 0.6, "train", np.where(np.arange(n) < n * 0.8, "valid", "test"))
        known = rows["arrived_at"]
    else:
        moment = known = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us, UTC]")
        split = np.random.default_rng(1).choice(["train", "valid", "test"], n, p=[0.6, 0.2, 0.2])
    split = np.where(np.isnan(y), "pending", split)
    front = pd.DataFrame(
        {"__row__": np.arange(n), "__time__": moment, "__known__": known, "__split__": split, "__target__": y}
    )
    write_table(data / "features" / "features.parquet", pd.concat([front, X], axis=1))
    write_json(data / "features" / "plan.json", plan.to_dict())
    features = [{"name": f.name, "kind": f.kind, "description": f.description} for f in plan.features]
    about = {"kind": problem.kind, "target": problem.target.name, "classes": classes, "features": features}
    counts = {name: int((split == name).sum()) for name in ("train", "valid", "test", "pending")}
    summary(**about, rows=counts, plan=plan.hash).write(data / "features")

    train, valid = split == "train", split == "valid"
    kinds = {f.name: f.kind for f in plan.features}
    for family in families:
        model = fit_family(
            family,
            {},
            Fold(X[train], y[train], X[valid], y[valid]),
            Setup(problem.kind, classes=len(classes), columns=kinds),
        )
        save_model(model, data / "models" / family / "model")
    write_json(
        data / "evaluation" / "choice.json",
        {
            "family": families[0] if len(families) == 1 else "voting", "members": list(families),
            "weights": list(weights), "threshold": 0.4 if problem.kind == "binary" else None,
            "metric": problem.metric, "valid": 0.0, "test": 0.0, "baseline": 0.0, "reason": "a test",
        },
    )  # fmt: skip
    return root


def package(root: Path) -> Path:
    """Run the package stage in a project; returns the package."""
    with contextlib.chdir(root), patch.dict(os.environ):  # the stage sets its number of threads
        runpy.run_module("tasks.package", run_name="__main__")
    return root / "data" / "package"
