"""One row at a time, as the service answers it: the bits of the pipeline, and how long it takes.

``python -m tests.bench.online [--quick]``. A package of the flights (146 features, the stages run for real) is served by
``deploy.serve``, as `refit serve` does; flights of the test month are asked one after another on one connection. Its
history is the package's own, to the end of the data: a running service takes in no events. Compared to the last bit: each
answer with the score that the model gives to the features of the stage ``features`` (``differing_answers``), the 146
features that the service's own path computes with those of the stage, and, on made-up orders with ties, missing values,
late events, unseen keys and moments around a change to summer time, one row at a time with a whole batch (both
``differing_bits``; NaN equals NaN).

The last line is one JSON object: these counts, ``requests`` and ``rows`` compared, ``p50_ms`` and ``p99_ms`` of a request
from the client's side, when each flight was asked before, and ``first_p50_ms``, when it was not; and of a request's parts
in a process of its own: ``engine_p50_ms``, ``engine_p99_ms`` (the features) and ``model_p50_ms`` (the score).
"""

from __future__ import annotations

import tasks.stage  # isort: skip  # noqa: F401  (threads and telemetry, before the heavy imports)

import gc
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.online import start
from tasks.params import parse
from tests.bench._flights import emit
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
    """Bits that differ, and rows compared, in one world: in one batch, and one row at a time."""
    columns = {
        "amount": ["count", "sum", "mean", "std", "min", "max", "median", "q90", "first", "last", "trend"],
        "paid": ["mean", "entropy", "count_since"],
        "shop": ["n_unique", "mode", "share(b)", "last"],
    }
    plan = derive(parse(tree(["2h", "1d", "all", "last 3"], columns)))
    world = hard_world(rows, seed)
    state = start(plan, world)
    records = world["orders"].to_dict("records")
    single = pd.DataFrame([state.compute_row(r) for r in records], columns=list(plan.names))
    return differing_bits(compute(plan, world, world["orders"]), single), len(records)


def served(requests: int, quick: bool) -> dict[str, Any]:
    """Flights of the test month, asked of a running service and of the package as it loads it."""
    from deploy.launch import running, serving
    from tasks.bundle import Bundle
    from tasks.bundle.rows import from_json, to_json
    from tasks.files import read_table
    from tasks.stored import Stored
    from tests.bench._package import made

    with tempfile.TemporaryDirectory(prefix="refit-online-") as folder:
        root = Path(folder)
        package = made(root, quick)
        bundle = Bundle.load(package).start()
        features = read_table(root / "data" / "features" / "features.parquet")
        in_test = np.flatnonzero((features["__split__"] == "test").to_numpy())
        asked = np.sort(np.random.default_rng(0).choice(in_test, min(requests, len(in_test)), replace=False))
        expected = features.iloc[asked][list(bundle.plan.names)].reset_index(drop=True)
        del features
        fields = bundle.schema.fields
        whole = Stored(root / "data" / "validated" / f"{bundle.plan.table}.parquet")
        rows = whole[[f.name for f in fields]].iloc[asked].to_dict("records")
        bodies = [to_json(row, fields) for row in rows]
        with running(serving(package, "1"), env={"OMP_NUM_THREADS": "1"}) as address:
            answers, first_ms, request_ms = asked_of(address, [json.dumps(body).encode() for body in bodies])
        read = [from_json(body, fields) for body in bodies]
        gc.collect()
        gc.freeze()  # as the service does
        timed(bundle.compute_row, read)
        computed, engine_ms = timed(bundle.compute_row, read)
        scored, model_ms = timed(lambda one: bundle.predict_features([one])[0], computed)
        scores = [bundle.predict(expected.iloc[[i]])[0][-1] for i in range(len(expected))]
        found = pd.DataFrame(computed, columns=list(bundle.plan.names))
    return {
        "requests": len(answers),
        "features": found.shape[1],
        "differing_answers": sum(
            bool(a != s or b.scores[-1] != s) for a, b, s in zip(answers, scored, scores, strict=True)
        ),
        "differing_bits": differing_bits(expected, found),
        "p50_ms": round(float(np.percentile(request_ms, 50)), 3),
        "p99_ms": round(float(np.percentile(request_ms, 99)), 3),
        "first_p50_ms": round(float(np.percentile(first_ms, 50)), 3),
        "engine_p50_ms": round(float(np.percentile(engine_ms, 50)), 3),
        "engine_p99_ms": round(float(np.percentile(engine_ms, 99)), 3),
        "model_p50_ms": round(float(np.percentile(model_ms, 50)), 3),
    }


def asked_of(address: str, bodies: list[bytes]) -> tuple[list[float], np.ndarray, np.ndarray]:
    """The probability of each answer, and milliseconds of each request when asked first and once more, on one connection."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)

    def ask(body: bytes) -> bytes:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return said

    _, first = timed(ask, bodies)  # sums over a key's history are made when it is first asked for
    said, ms = timed(ask, bodies)
    connection.close()
    return [json.loads(one)["probability"] for one in said], first, ms


def timed(what: Callable[[Any], Any], each: list[Any]) -> tuple[list[Any], np.ndarray]:
    """What comes of each, and how many milliseconds it takes."""
    found, taken = [], np.empty(len(each))
    for i, one in enumerate(each):
        began = time.perf_counter()
        found.append(what(one))
        taken[i] = (time.perf_counter() - began) * 1e3
    return found, taken


def main(quick: bool) -> None:
    found = served(500 if quick else 5_000, quick)
    print(f"a running service: {found}", flush=True)
    worlds = 3
    each = (6_000 if quick else 200_000) // worlds + 1
    rows = 0
    with ProcessPoolExecutor(min(worlds, os.cpu_count() or 1), get_context("spawn")) as pool:
        for bits, count in pool.map(compare, [each] * worlds, range(worlds)):
            found["differing_bits"], rows = found["differing_bits"] + bits, rows + count
            print(f"{rows:,} rows: {found['differing_bits']} differing bits", flush=True)
    emit({**found, "rows": rows, "history": "the package's own"})


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
