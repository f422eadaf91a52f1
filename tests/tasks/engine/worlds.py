"""Small made-up worlds for property tests: orders with late facts, ties and missing values, and a plan over them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine import Plan
from tasks.engine.derive import derive
from tasks.params import Params, parse

START = pd.Timestamp("2024-03-30 20:00", tz="UTC")
PRIMITIVES = {
    "amount": ["count", "sum", "mean", "std", "min", "max", "median", "q10", "quantile(0.9)", "first", "last",
               "n_unique", "mode", "trend", "time_since_last", "count_since"],
    "paid": ["mean", "entropy", "count_since", "mode"],
    "shop": ["n_unique", "mode", "entropy", "share(b)", "first", "last", "count"],
}  # fmt: skip
WINDOWS = ["2h", "1d", "all", "last 1", "last 3"]


def tree(windows: list[str] = WINDOWS, columns: dict[str, list[str]] = PRIMITIVES, **changes: Any) -> dict[str, Any]:
    kinds = {
        "id": "numeric", "asked": "datetime", "happened": "datetime", "known": "datetime", "who": "categorical",
        "where": "numeric", "amount": "numeric", "paid": "boolean", "shop": "categorical", "y": "boolean",
    }  # fmt: skip
    base: dict[str, Any] = {
        "problem": {"name": "w", "kind": "binary", "table": "orders", "target": "y", "prediction_time": "asked"},
        "data": {
            "tables": {
                "orders": {
                    "source": "x", "key": ["id"], "event_time": "happened", "known_at": "known", "columns": kinds,
                    "outcome": ["happened", "known", "amount", "paid", "shop", "y"],
                },
                "prices": {
                    "source": "x", "key": ["pid"], "event_time": "since", "known_at": "told",
                    "columns": {"pid": "numeric", "who": "categorical", "since": "datetime", "told": "datetime",
                                "price": "numeric", "label": "categorical"},
                },
                "people": {"source": "x", "key": ["who"], "columns": {"who": "categorical", "age": "numeric"}},
            }
        },
        "features": {
            "columns": ["who", "where"],
            "lookups": [
                {"table": "prices", "on": "who", "columns": ["price", "label"], "within": "5h"},
                {"table": "people", "on": "who", "columns": ["age"]},
            ],
            "history": [{"table": "orders", "by": ["who", ["who", "where"]], "windows": windows, "columns": columns}],
        },
        "models": {"logistic": {}},
    }  # fmt: skip
    base["features"] |= changes
    return base


@cache
def plan_by_column(told: bool = False) -> Plan:
    """The plan over tables some of whose columns become known after their row. ``told``: prices have a moment of their own."""
    spec = tree()
    orders, prices = spec["data"]["tables"]["orders"], spec["data"]["tables"]["prices"]
    orders["columns"]["checked"] = "datetime"
    orders["known_at"] = {"*": "known", "amount, paid": "checked", "shop": "happened + 1d"}
    prices["known_at"] = {"label": "since + 3h", **({"*": "told"} if told else {})}
    return derive(parse(spec))


def world_by_column(seed: int, n: int = 40, late: bool = True) -> dict[str, pd.DataFrame]:
    """:func:`world`, with the moment at which orders were checked: before they were known, after it, or never."""
    tables, rng = world(seed, n, late), np.random.default_rng([seed, 1])
    orders = tables["orders"]
    delay = pd.to_timedelta(pd.Series(rng.choice([-1, 0, 0.25, 2, 30, np.nan], n)), unit="h")
    return {**tables, "orders": orders.assign(checked=(orders["known"] + delay).astype("datetime64[us, UTC]"))}


@cache
def params() -> Params:
    return parse(tree())


@cache
def plan() -> Plan:
    return derive(params())


def moments(hours: Any) -> pd.Series:
    """Hours after START (quarter hours make ties) as UTC moments; NaN as NaT."""
    return (START + pd.to_timedelta(pd.Series(hours, dtype=float), unit="h")).astype("datetime64[us, UTC]")


def world(seed: int, n: int = 40, late: bool = True, decimals: bool = True) -> dict[str, pd.DataFrame]:
    """Orders, prices and people. With ``late``, facts are known up to hours after they happened, out of turn."""
    rng = np.random.default_rng(seed)

    def some_missing(values: np.ndarray, share: float = 0.1) -> np.ndarray:
        values = values.astype(object)
        values[rng.random(len(values)) < share] = np.nan
        return values

    happened = rng.integers(0, 200, n) / 4
    delay = rng.choice([0, 0, 0.25, 1, 2, 2.25, 30], n) if late else np.zeros(n)
    amount = np.round(rng.normal(0, 50, n), 2) if decimals else rng.integers(-20, 20, n).astype(float)
    orders = pd.DataFrame(
        {
            "id": rng.permutation(n).astype(float),
            "asked": moments(some_missing(happened - rng.choice([0, 0.25, 1, 5, -1], n), 0.05)),
            "happened": moments(some_missing(happened, 0.05)),
            "known": moments(happened + delay),
            "who": pd.Series(some_missing(rng.choice(["ann", "bob", "cy"], n)), dtype="str"),
            "where": some_missing(rng.integers(0, 2, n)).astype(float),
            "amount": some_missing(amount).astype(float),
            "paid": some_missing(rng.integers(0, 2, n)).astype(float),
            "shop": pd.Series(some_missing(rng.choice(["a", "b", "c"], n)), dtype="str"),
            "y": rng.integers(0, 2, n).astype(float),
        }
    )
    orders["happened"] = orders["happened"].where(orders["known"].notna())
    m = n // 2
    since = rng.integers(0, 200, m) / 4
    prices = pd.DataFrame(
        {
            "pid": np.arange(m, dtype=float),
            "who": pd.Series(some_missing(rng.choice(["ann", "bob"], m)), dtype="str"),
            "since": moments(since),
            "told": moments(since + (rng.choice([0, 0, 3], m) if late else 0)),
            "price": some_missing(rng.normal(0, 1, m)).astype(float),
            "label": pd.Series(some_missing(rng.choice(["lo", "hi"], m)), dtype="str"),
        }
    )
    people = pd.DataFrame({"who": pd.Series(["ann", "bob", "dee"], dtype="str"), "age": [30.0, np.nan, 50.0]})
    return {"orders": orders, "prices": prices, "people": people}


def assert_same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Equal to the last bit, NaN equal to NaN."""
    assert list(a.columns) == list(b.columns)
    for name in a.columns:
        x, y = a[name].to_numpy(), b[name].to_numpy()
        if a[name].dtype == np.float64:
            assert y.dtype == np.float64, name
            differ = (x.copy().view(np.int64) != y.copy().view(np.int64)) & ~(np.isnan(x) & np.isnan(y))
        else:
            differ = (a[name].fillna("~").to_numpy() != b[name].fillna("~").to_numpy()).astype(bool)
        assert not differ.any(), f"{name}: rows {np.flatnonzero(differ)[:5]}: {x[differ][:5]} against {y[differ][:5]}"
