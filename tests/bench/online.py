"""Batch against one row at a time against history that is updated as events arrive.

``python -m tests.bench.online [--quick]``. The last line is one JSON object: ``differing_bits`` (over all features and
all three ways; NaN equals NaN), ``rows`` compared, and ``p50_ms`` and ``p99_ms`` of one row with the flights' full plan,
history warm.

Correctness is checked on made-up orders with ties, missing values, moments around a change to summer time, late-arriving
events out of turn, unseen keys and empty history; speed on the flights.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd

from tasks.engine import Plan
from tasks.params import parse
from tests.bench._flights import emit, params, tables
from tests.tasks.engine.worlds import tree

SUMMER = pd.Timestamp("2024-03-31 01:00", tz="UTC")  # clocks in Europe go forward


def hard_world(n: int, seed: int) -> dict[str, pd.DataFrame]:
    """Orders around a clock change: quarter-hour ties, missing values and keys, late facts, keys seen once or never."""
    rng = np.random.default_rng(seed)
    hours = rng.integers(-300 * 4, 300 * 4, n) / 4
    local = (SUMMER + pd.to_timedelta(pd.Series(hours), unit="h")).dt.tz_convert("Europe/Berlin")
    happened = local.dt.tz_convert("UTC").astype("datetime64[us, UTC]")  # there and back over the clock change
    delay = pd.to_timedelta(rng.choice([0, 0, 0, 0.25, 2, 2.25, 30], n), unit="h")

    def holes(values: np.ndarray, share: float = 0.05) -> np.ndarray:
        result = values.astype(object)
        result[rng.random(n) < share] = np.nan
        return result

    frequent = np.array([f"k{i}" for i in range(400)])[rng.integers(0, 400, n)]
    rare = np.array([f"once{i}" for i in range(n)])
    who = np.where(rng.random(n) < 0.03, rare, frequent)
    asked = happened - pd.to_timedelta(rng.choice([0, 0.25, 1, 5, -1], n), unit="h")
    orders = pd.DataFrame(
        {
            "id": rng.permutation(n).astype(float),
            "asked": asked.astype("datetime64[us, UTC]").where(rng.random(n) > 0.01),
            "happened": happened.where(rng.random(n) > 0.02),
            "known": (happened + delay).astype("datetime64[us, UTC]"),
            "who": pd.Series(holes(who, 0.02), dtype="str"),
            "where": holes(rng.integers(0, 3, n), 0.02).astype(float),
            "amount": holes(np.round(rng.normal(0, 50, n), 2)).astype(float),
            "paid": holes(rng.integers(0, 2, n)).astype(float),
            "shop": pd.Series(holes(rng.choice(["a", "b", "c", "d"], n)), dtype="str"),
            "y": rng.integers(0, 2, n).astype(float),
        }
    )
    m = n // 20
    since = SUMMER + pd.to_timedelta(rng.integers(-300 * 4, 300 * 4, m) / 4, unit="h")
    prices = pd.DataFrame(
        {
            "pid": np.arange(m, dtype=float),
            "who": pd.Series(frequent[:m], dtype="str"),
            "since": pd.Series(since).astype("datetime64[us, UTC]"),
            "told": pd.Series(since + pd.to_timedelta(rng.choice([0, 0, 3], m), unit="h")).astype(
                "datetime64[us, UTC]"
            ),
            "price": rng.normal(0, 1, m),
            "label": pd.Series(rng.choice(["lo", "hi"], m), dtype="str"),
        }
    )
    people = pd.DataFrame({"who": pd.Series([f"k{i}" for i in range(0, 400, 2)], dtype="str"), "age": 30.0})
    return {"orders": orders, "prices": prices, "people": people}


def differing_bits(a: pd.DataFrame, b: pd.DataFrame) -> int:
    count = 0
    for name in a.columns:
        if a[name].dtype == np.float64:
            x, y = a[name].to_numpy(), b[name].to_numpy(dtype=np.float64)
            both = np.isnan(x) & np.isnan(y)
            wrong = np.bitwise_xor(x.copy().view(np.uint64), y.copy().view(np.uint64))[~both]
            count += int(np.bitwise_count(wrong).sum())
        else:
            x, y = (f[name].astype("str").fillna("\0").to_numpy() for f in (a, b))
            count += 64 * int((x != y).sum())
    return count


def compare(rows: int, seed: int) -> tuple[int, int]:
    """Bits that differ, and rows compared, in one world: in one batch, one row at a time, and updated online."""
    columns = {
        "amount": ["count", "sum", "mean", "std", "min", "max", "median", "q90", "first", "last", "trend"],
        "paid": ["mean", "entropy", "count_since"],
        "shop": ["n_unique", "mode", "share(b)", "last"],
    }
    plan = Plan.derive(parse(tree(["2h", "1d", "all", "last 3"], columns)))
    world = hard_world(rows, seed)
    orders = world["orders"]
    batch = plan.compute(world, orders)
    records = orders.to_dict("records")
    state = plan.start(world)
    single = pd.DataFrame([plan.compute_row(r, state) for r in records], columns=list(plan.names))
    bad = differing_bits(batch, single)
    state = plan.start({name: t.iloc[: len(t) // 2] for name, t in world.items()})
    for name, table in world.items():
        later = np.random.default_rng(seed).permutation(np.arange(len(table) // 2, len(table)))
        for part in np.array_split(later, 50):
            state.update(name, table.iloc[part])
    updated = pd.DataFrame([plan.compute_row(r, state) for r in records], columns=list(plan.names))
    return bad + differing_bits(batch, updated), len(orders)


def latency(rows: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds of one flight with the full plan, history warm."""
    plan = Plan.derive(params())
    found = tables()
    state = plan.start(found)
    flights = found["flights"]
    chosen = np.random.default_rng(0).choice(len(flights), rows, replace=False)
    records = flights.iloc[chosen].to_dict("records")
    for record in records:
        plan.compute_row(record, state)
    gc.collect()
    gc.freeze()
    taken = []
    for record in records:
        began = time.perf_counter()
        plan.compute_row(record, state)
        taken.append(time.perf_counter() - began)
    p50, p99 = np.percentile(np.array(taken) * 1000, [50, 99])
    return float(p50), float(p99)


def main(quick: bool) -> None:
    p50, p99 = latency(2_000 if quick else 10_000)
    print(f"one flight, full plan: p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)
    worlds = 3
    each = (6_000 if quick else 200_000) // worlds + 1
    bad, rows = 0, 0
    with ProcessPoolExecutor(min(worlds, os.cpu_count() or 1), get_context("spawn")) as pool:
        for found, count in pool.map(compare, [each] * worlds, range(worlds)):
            bad, rows = bad + found, rows + count
            print(f"{rows:,} rows: {bad} differing bits", flush=True)
    emit({"differing_bits": bad, "rows": rows, "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)})


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
