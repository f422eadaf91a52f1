"""Columns that know what comes later, one for each kind, and honest ones that look a little like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

DAY = 86_400
Make = Callable[[pd.DataFrame, np.random.Generator], Any]


def by(o: pd.DataFrame, column: str, how: Any, key: Any = "who") -> pd.Series:
    return o.groupby(key)[column].transform(how)


def month(o: pd.DataFrame) -> pd.Series:
    return o["at"].dt.year * 12 + o["at"].dt.month


def ahead(o: pd.DataFrame, column: str, rows: int, how: str, key: str = "who") -> pd.Series:
    """An aggregate of the next rows of the same key, the row itself left out."""
    back = o[::-1].groupby(key)[column]
    return back.transform(lambda s: getattr(s.shift(1).rolling(rows), how)())[::-1]


def in_days(o: pd.DataFrame, column: str, days: int) -> np.ndarray:
    """Sum of a column over the days after each row, of the same key."""
    out, t = np.zeros(len(o)), o["at"].dt.tz_localize(None).to_numpy()
    for places in o.groupby("who").indices.values():
        at, total = t[places], np.concatenate([[0], np.cumsum(o[column].to_numpy()[places])])
        high = np.searchsorted(at, at + np.timedelta64(days, "D"), side="right")
        out[places] = total[high] - total[np.arange(len(places)) + 1]
    return out


def hours(o: pd.DataFrame, later: pd.Series, unit: float) -> pd.Series:
    return (later - o["at"]).dt.total_seconds() / unit


# The column's name, how it is made, and what has to be said of it.
PLANTED: dict[str, tuple[Make, str]] = {
    "largest": (lambda o, r: by(o, "size", "max"), "the largest size over all rows of the same who over its whole life"),
    "smallest": (lambda o, r: by(o, "size", "min"), "the smallest size over all rows of the same who"),
    "total": (lambda o, r: by(o, "size", "sum").astype(np.float32), "the sum of size over all rows of the same who"),
    "mean": (lambda o, r: by(o, "size", "mean").round(2), "the mean of size over all rows of the same who"),
    "middle": (lambda o, r: by(o, "mood", "median"), "the median of mood over all rows of the same who"),
    "spread": (lambda o, r: by(o, "mood", "std"), "the standard deviation of mood over all rows of the same who"),
    "orders": (lambda o, r: by(o, "size", "size").astype(float), "the number of all rows of the same who"),
    "shops": (lambda o, r: by(o, "shop", "nunique").astype(float), "the number of different shop over all rows"),
    "final": (lambda o, r: by(o, "mood", "last"), "the last mood over all rows of the same who"),
    "last_shop": (lambda o, r: by(o, "shop", "last"), "the last shop over all rows of the same who"),
    "last_seen": (lambda o, r: by(o, "at", "last"), "the largest at over all rows of the same who"),
    "ever_late": (lambda o, r: by(o, "late", "sum"), "the sum of is_late over all rows of the same who"),
    "month_mean": (lambda o, r: o.groupby(["who", month(o)])["size"].transform("mean"), "the mean of size over all rows of the same who in the same month"),
    "day_total": (lambda o, r: o.groupby(o["at"].dt.floor("D"))["size"].transform("sum"), "the sum of size over all rows of the table in the same day"),
    "year_count": (lambda o, r: o.groupby(["who", o["at"].dt.year])["size"].transform("size").astype(float), "the number of all rows of the same who in the same year"),
    "next_size": (lambda o, r: o.groupby("who")["size"].shift(-1), "the value of size in the next row of the same who"),
    "next_shop": (lambda o, r: o.groupby("who")["shop"].shift(-1), "the value of shop in the next row of the same who"),
    "next_late": (lambda o, r: o.groupby("shop")["late"].shift(-1).fillna(0.0), "the value of late in the next row of the same shop"),
    "next_three": (lambda o, r: ahead(o, "size", 3, "mean").round(3), "the mean of size over the next 3 rows of the same who"),
    "next_most": (lambda o, r: ahead(o, "size", 5, "max"), "the largest size over the next 5 rows of the same who"),
    "coming_week": (lambda o, r: in_days(o, "size", 30), "the sum of size over the next 30 days of the same who"),
    "centred": (lambda o, r: by(o, "mood", lambda s: s.rolling(5, center=True).mean()), "the mean of mood over 5 rows of the same who, its own in the middle"),
    "left": (lambda o, r: o[::-1].groupby("who")["size"].cumsum()[::-1], "the sum of size over its own and all later rows of the same who"),
    "own_rate": (lambda o, r: by(o, "late", lambda s: s.expanding().mean()), "the mean of late over all rows of the same who up to its own"),
    "own_three": (lambda o, r: by(o, "late", lambda s: s.rolling(3).sum()), "the sum of late over the last 3 rows of the same who, its own included"),
    "waits": (lambda o, r: hours(o, o.groupby("who")["at"].shift(-1), DAY), "the days until the next row of the same who"),
    "stays": (lambda o, r: np.floor(hours(o, by(o, "at", "last"), DAY)), "the days until the last row of the same who"),
}  # fmt: skip


def of_key(o: pd.DataFrame, values: np.ndarray, key: str = "who") -> np.ndarray:
    """One value for each key, drawn in advance."""
    return values[pd.factorize(o[key])[0]]


HONEST: dict[str, Make] = {
    "born": lambda o, r: of_key(o, r.integers(1940, 2005, 400).astype(float)),
    "town": lambda o, r: of_key(o, np.array([f"s{k}" for k in r.integers(0, 12, 400)], dtype=object)),
    "children": lambda o, r: of_key(o, r.integers(0, 5, 400).astype(float)),
    "member": lambda o, r: of_key(o, (r.random(400) < 0.97).astype(float)),
    "few": lambda o, r: of_key(o, r.integers(1, 4, 400).astype(float)),
    "price": lambda o, r: r.integers(5, 30, 40).astype(float)[pd.factorize(month(o))[0]],
    "most_so_far": lambda o, r: by(o, "size", lambda s: s.shift(1).cummax()),
    "most_and_own": lambda o, r: by(o, "size", "cummax"),
    "mean_so_far": lambda o, r: by(o, "size", lambda s: s.shift(1).expanding().mean()),
    "rate_so_far": lambda o, r: by(o, "late", lambda s: s.shift(1).expanding().mean()),
    "before": lambda o, r: o.groupby("who")["size"].shift(1),
    "two_before": lambda o, r: o.groupby("who")["mood"].shift(2),
    "late_before": lambda o, r: o.groupby("who")["late"].shift(1),
    "number": lambda o, r: o.groupby("who").cumcount() + 1.0,
    "running": lambda o, r: o.groupby("who")["size"].cumsum(),
    "last_three": lambda o, r: by(o, "size", lambda s: s.rolling(3).mean()),
    "change": lambda o, r: o.groupby("who")["size"].diff(),
    "first_size": lambda o, r: by(o, "size", "first"),
    "first_shop": lambda o, r: by(o, "shop", "first"),
    "first_seen": lambda o, r: by(o, "at", "min"),
    "since": lambda o, r: -hours(o, o.groupby("who")["at"].shift(1), DAY),
    "age": lambda o, r: -hours(o, by(o, "at", "first"), DAY),
    "weekday": lambda o, r: o["at"].dt.weekday.astype(float),
    "month_days": lambda o, r: o["at"].dt.days_in_month.astype(float),
    "flag": lambda o, r: (r.random(len(o)) < 0.1).astype(float),
    "stars": lambda o, r: r.integers(1, 6, len(o)).astype(float),
    "constant": lambda o, r: np.ones(len(o)),
    "sizes": lambda o, r: np.round(o["size"] * 1.19, 2),
    "state": lambda o, r: np.cumsum(r.normal(size=len(o))).round(),
    # The next row's `started` is this row's `ended`, and how much fits in is reached now and then, or always.
    "ended": lambda o, r: o["ended"],
    "room": lambda o, r: o["room"],
    "load": lambda o, r: o["load"],
}


def orders(n: int = 2500, keys: int = 110, seed: int = 0) -> pd.DataFrame:
    """Orders of people in 12 shops over two years, in order of time."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2023-03-01", tz="UTC")
    at = np.sort(rng.choice(700 * DAY, n, replace=False))
    when = pd.Series((start + pd.to_timedelta(at, unit="s")).astype("datetime64[us, UTC]"))
    who = pd.Series([f"w{k}" for k in rng.integers(0, keys, n)], dtype="str")
    o = pd.DataFrame(
        {
            "id": np.arange(float(n)), "at": when, "who": who,
            "shop": pd.Series([f"s{k}" for k in rng.integers(0, 12, n)], dtype="str"),
            "size": rng.lognormal(3, 0.6, n), "mood": rng.normal(size=n), "late": (rng.random(n) < 0.3).astype(float),
            "told": (when + pd.to_timedelta(rng.integers(1, 48, n), unit="h")).astype("datetime64[us, UTC]"),
        }
    )  # fmt: skip
    o["ended"] = pd.Series([f"s{k}" for k in rng.integers(0, 12, n)], dtype="str")
    o["started"] = o.groupby("who")["ended"].shift(1).fillna("s0")
    o["room"] = of_key(o, rng.choice([50.0, 80.0, 120.0, 180.0, 240.0], max(400, keys)))
    o["load"] = np.minimum(o["room"], rng.integers(20, 300, n))
    return o


def table(made: dict[str, Make], n: int = 2500, keys: int = 110, seed: int = 0) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:  # fmt: skip
    """Parameters and tables with these columns, as :func:`tests.bench.leaks.timed` gives them."""
    o, rng = orders(n, keys, seed), np.random.default_rng([seed, 1])
    for name, make in made.items():
        values = make(o, rng)
        o[name] = values if isinstance(values, pd.Series) else pd.Series(values)
        if o[name].dtype == object:
            o[name] = o[name].astype("str")
        elif pd.api.types.is_datetime64_any_dtype(o[name]):
            o[name] = o[name].astype("datetime64[us, UTC]")
    kinds = dict.fromkeys(o, "numeric")
    kinds |= {c: "categorical" for c in o if isinstance(o[c].dtype, pd.StringDtype)}
    kinds |= {c: "datetime" for c in o if isinstance(o[c].dtype, pd.DatetimeTZDtype)}
    o = o.astype({c: "float64" for c, kind in kinds.items() if kind == "numeric"})
    own = {
        "source": "o.csv", "key": ["id"], "event_time": "at", "known_at": "told", "outcome": ["late", "told"],
        "columns": kinds,
    }  # fmt: skip
    read = [c for c in ("size", "mood", *made) if kinds[c] != "datetime"]
    moments = {c: ["hour"] for c in made if kinds[c] == "datetime"}
    spec = {
        "problem": {
            "name": "t", "kind": "binary", "table": "orders", "prediction_time": "at - 1s",
            "target": {"column": "late", "above": 0.5, "name": "is_late"},
        },
        "data": {"tables": {"orders": own}},
        "features": {
            "columns": read,
            **({"dates": moments} if moments else {}),
            "history": [{"table": "orders", "by": ["who", "shop"], "windows": ["30d"], "columns": {"late": ["mean"]}}],
        },
        "split": {"kind": "time", "test": "40d", "valid": "60d"},
        "models": {"logistic": {}},
    }  # fmt: skip
    return spec, {"orders": o.assign(is_late=o["late"])}
