"""Three small projects that use much of what there is, one of each kind of problem, each with a champion to compare with."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from tasks.files import read_json, sha256, write_json
from tests.tasks.report.runs import stage

ROWS, DAYS = 1400, 84
SETTINGS: dict[str, dict[str, Any]] = {
    "logistic": {"C": 0.01},
    "ridge": {"alpha": 3.0},
    "tree": {"max_depth": 5, "min_samples_leaf": 20},
}
CARRIERS = ["air", "road", "ship"]


def tables(seed: int = 3) -> dict[str, pd.DataFrame]:
    """Orders with what became of them, customers, their visits, and a price that changes: as files hold them."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2024-01-01")
    placed = start + pd.to_timedelta(np.sort(rng.integers(0, DAYS * 86400, ROWS)), unit="s")
    customer, shop = rng.integers(0, 60, ROWS), rng.choice(["north", "south", "east", "west", "sea"], ROWS)
    weight = rng.gamma(2, 2, ROWS).round(3)
    spent = rng.gamma(2, 10, 60).round(2)
    hours = rng.gamma(3, 5, ROWS) + weight + (shop == "sea") * 10 + (np.asarray(placed.dayofweek) > 4) * 6
    arrived = placed + pd.to_timedelta((hours * 3600).astype(int), unit="s")
    notes = np.array(["fragile glass", "leave at the door", "call first", "glass, call first", ""])
    band = np.where(hours < 16, "soon", np.where(hours < 28, "in time", "late"))
    orders = pd.DataFrame(
        {
            "order": np.arange(ROWS), "placed_at": placed, "shop": shop, "customer": customer,
            "weight": np.where(rng.random(ROWS) < 0.05, np.nan, weight), "gift": rng.random(ROWS) < 0.2,
            "note": notes[rng.integers(0, 5, ROWS)], "carrier": rng.choice(CARRIERS, ROWS, p=[0.2, 0.5, 0.3]),
            "delay": hours.round(2), "arrived_at": arrived, "band": band,
        }
    )  # fmt: skip
    orders.loc[[5, 600], "weight"] = 1000.0  # more than is allowed
    orders = pd.concat([orders, orders.iloc[[70]]], ignore_index=True)  # a key that stands twice
    customers = pd.DataFrame({"customer": np.arange(60), "spent": spent, "city": rng.choice(list("abc"), 60)})
    seen = start + pd.to_timedelta(np.sort(rng.integers(0, DAYS * 86400, 2000)), unit="s")
    visits = pd.DataFrame({"customer": rng.integers(0, 60, 2000), "seen_at": seen, "pages": rng.poisson(4, 2000),
                           "page": rng.choice(["home", "shop", "help"], 2000)})  # fmt: skip
    days = pd.date_range(start, periods=DAYS, freq="D")
    prices = pd.DataFrame(
        {"carrier": np.repeat(CARRIERS, DAYS), "day": np.tile(days, 3), "price": rng.normal(10, 2, 3 * DAYS)}
    )
    return {"orders": orders, "customers": customers, "visits": visits, "prices": prices}


def _tree(name: str) -> dict[str, Any]:
    return {
        "seed": 7,
        "problem": {"name": f"figures-{name}", "table": "orders", "prediction_time": "placed_at"},
        "data": {
            "as_of": "2024-03-23",
            "tables": {
                "orders": {
                    "source": "orders.csv", "key": ["order"], "event_time": "arrived_at", "known_at": "arrived_at",
                    "outcome": ["delay", "arrived_at", "band"],
                    "columns": {
                        "order": {"kind": "numeric", "nullable": False}, "placed_at": {"kind": "datetime", "nullable": False},
                        "shop": {"kind": "categorical", "allowed": ["north", "south", "east", "west", "sea"]},
                        "customer": {"kind": "numeric", "nullable": False}, "weight": {"kind": "numeric", "max": 100},
                        "gift": "boolean", "note": "text", "carrier": "categorical", "delay": "numeric",
                        "arrived_at": "datetime", "band": "categorical",
                    },
                },
                "customers": {"source": "customers.csv", "key": ["customer"],
                              "columns": {"customer": "numeric", "spent": "numeric", "city": "categorical"}},
                "visits": {"source": "visits.csv", "event_time": "seen_at", "known_at": "seen_at + 1h",
                           "columns": {"customer": "numeric", "seen_at": "datetime", "pages": "numeric", "page": "categorical"}},
                "prices": {"source": "prices.csv", "key": ["carrier", "day"], "event_time": "day", "known_at": "day",
                           "columns": {"carrier": "categorical", "day": "datetime", "price": "numeric"}},
            },
        },
        "monitoring": {"window": "7d"},
    }  # fmt: skip


def binary() -> dict[str, Any]:
    """Late or not: time, history of many kinds, an ensemble, costs, slices and guardrails."""
    tree = _tree("binary")
    tree["problem"] |= {
        "kind": "binary",
        "target": {"name": "late", "column": "delay", "above": 24},
        "metric": "roc_auc",
    }
    tree["features"] = {
        "columns": ["shop", "weight", "gift", "carrier"],
        "dates": {"placed_at": ["weekday", "hour"]},
        "lookups": [{"table": "customers", "on": "customer", "columns": ["spent", "city"]},
                    {"table": "prices", "on": "carrier", "within": "3d", "columns": ["price"]}],
        "history": [
            {"table": "orders", "by": ["shop", ["shop", "carrier"]], "windows": ["3d", "last 5", "all"], "count": True,
             "columns": {"delay": ["mean", "std", "max", "trend"], "late": ["mean"], "carrier": ["n_unique", "mode", "entropy"]}},
            {"table": "visits", "by": ["customer"], "windows": ["7d"], "columns": {"pages": ["sum", "median", "last"]}},
        ],
        "transforms": {"rush": "`shop.mean(delay, 3d)` - `shop.mean(delay, all)`"},
        "polynomial": {"columns": ["weight", "prices.price"], "degree": 2},
    }  # fmt: skip
    tree["split"] = {"kind": "time", "test": "14d", "valid": "14d"}
    tree["models"] = {"logistic": {}, "tree": {}}
    tree["training"] = {"threshold": "cost", "cost": [1, 4], "ensembles": ["greedy"]}
    tree["evaluation"] = {"slices": ["shop", "carrier"]}
    tree["promotion"] = {
        "guardrails": {"slice_drop": 0.05, "slices": ["shop"], "calibration": 0.05},
        "cluster": ["day"],
    }
    return tree


def regression() -> dict[str, Any]:
    """How many hours: the plain test of one run, with a margin."""
    tree = _tree("regression")
    tree["problem"] |= {"kind": "regression", "target": "delay", "metric": "mae", "prediction_time": "placed_at + 30m"}
    tree["features"] = {
        "columns": ["shop", "weight", "gift"],
        "lookups": [{"table": "customers", "on": "customer", "columns": ["city"]}],
        "history": [{"table": "orders", "by": ["shop"], "windows": ["7d", "last 3"], "columns": {"delay": ["mean", "min"], "weight": ["sum"]}}],
        "encode": {"scale": "robust", "categories": "target"},
    }  # fmt: skip
    tree["split"] = {"kind": "time", "test": 0.25, "valid": 0.2}
    tree["models"] = {"ridge": {}, "tree": {}}
    tree["promotion"] = {"rule": "non_inferiority", "margin": 0.05, "control": "each_run"}
    return tree


def multiclass() -> dict[str, Any]:
    """Soon, in time or late, without regard to time: parts by customer, text, probabilities."""
    tree = _tree("multiclass")
    tree["problem"] = {
        "name": "figures-multiclass",
        "table": "orders",
        "kind": "multiclass",
        "target": "band",
        "metric": "log_loss",
    }
    for name in ("visits", "prices", "customers"):
        del tree["data"]["tables"][name]
    orders = tree["data"]["tables"]["orders"]
    for key in ("event_time", "known_at", "outcome"):
        del orders[key]
    orders["columns"] |= dict.fromkeys(["delay", "arrived_at", "placed_at"], "ignore")
    tree["data"]["as_of"] = None
    tree["features"] = {"columns": ["shop", "weight", "gift", "note"], "encode": {"words": 6}}
    tree["split"] = {"kind": "random", "test": 0.25, "valid": 0.25, "salt": "7", "by": ["customer"]}
    tree["models"] = {"logistic": {}, "naive_bayes": {}}
    tree["training"] = {"calibration": "temperature"}
    tree["evaluation"] = {"slices": ["shop"]}
    tree["promotion"] = {"error": "fdr"}
    return tree


PROJECTS: dict[str, Callable[[], dict[str, Any]]] = {
    "binary": binary,
    "regression": regression,
    "multiclass": multiclass,
}


def finish(root: Path, name: str) -> Path:
    """Every stage of the project, with the other family as the champion that it is compared with; returns ``root``."""
    tree = PROJECTS[name]()
    root.mkdir(parents=True, exist_ok=True)
    YAML().dump(tree, root / "params.yaml")
    for table, frame in tables().items():
        if table in tree["data"]["tables"]:
            frame.to_csv(root / f"{table}.csv", index=False)
    with patch.dict(os.environ), contextlib.chdir(root):  # a stage sets its number of threads
        for one in ("ingest", "validate", "features", "leaks"):
            stage(root, one)
        for family in tree["models"]:
            _tuned(root, family)
            stage(root, "train", family)
        stage(root, "evaluate")
        _crown_the_other(root, list(tree["models"]))
        for one in ("package", "compare", "drift"):
            stage(root, one)
    return root


def _tuned(root: Path, family: str) -> None:
    """What a search would have found: it starts processes, and has tests of its own."""
    folder, summary = root / "data/tuning" / family, read_json(root / "data/features/summary.json")
    silent = summary.get("silent", {})
    kept = [one["name"] for one in summary["features"] if one["name"] not in silent]
    write_json(folder / "selection.json", {"kept": kept, "dropped": silent})
    best = {"family": family, "params": SETTINGS.get(family, {}), "value": 0.0, "metric": "none", "trials": 0,
            "importance": {}, "left_out": 0}  # fmt: skip
    write_json(folder / "best.json", best)


def _crown_the_other(root: Path, families: list[str]) -> None:
    """Package the family that was not chosen as the champion."""
    file = root / "data/evaluation/choice.json"
    chosen = read_json(file)
    other = next(name for name in families if name not in chosen["members"][:1])
    write_json(file, chosen | {"family": other, "members": [other], "weights": [1.0]})
    stage(root, "package")
    write_json(file, chosen)
    shutil.move(root / "data/package", root / "data/champion/package")
    identity = sha256(root / "data/champion/package/bundle.json")
    write_json(
        root / "data/champion/champion.json",
        {"version": "1", "name": "figures", "package_sha256": identity, "since": 1},
    )
