"""120 windowed features of the flights: this engine against DuckDB's RANGE windows and against featuretools.

``python -m tests.bench.features [--quick]``. The last line is one JSON object: ``seconds`` (this engine, warm, the
median of five), ``ratio_duckdb`` (DuckDB's time for the same features of the same rows in the same run, over ours),
``ratio_featuretools`` (its time per row and feature over ours, on as many rows as ``featuretools`` says; null with
``why`` where its environment can neither be found nor built, or it fails) and ``peak_mb`` (this process's largest
resident memory before the others run).
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tests.bench._flights import emit, history_plan, tables

QUICK_ROWS = 60_000
SECONDS = 60  # featuretools gets this long


def duckdb_seconds(plan_names: tuple[str, ...], flights: pd.DataFrame, ours: pd.DataFrame) -> float:
    """Time of the same features as RANGE frames, all in one query; its results are compared with ours."""
    import duckdb

    columns: list[str] = []
    hours = {"3h": 3, "1d": 24, "7d": 168, "28d": 672}
    windows = {}
    for by in ("carrier", "origin", "dest", "tailnum", "origin+carrier", "origin+dest"):
        for text, length in hours.items():
            frame = f"w{len(windows)}"
            windows[frame] = (
                f"{frame} AS (PARTITION BY {by.replace('+', ', ')} ORDER BY moment "
                f"RANGE BETWEEN INTERVAL {length} HOUR PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING)"
            )
            columns += [
                f'count(event) OVER {frame} AS "{by}.count({text})"',
                f'avg(arr_delay) OVER {frame} AS "{by}.mean(arr_delay, {text})"',
                f'stddev_samp(arr_delay) OVER {frame} AS "{by}.std(arr_delay, {text})"',
                f'max(arr_delay) OVER {frame} AS "{by}.max(arr_delay, {text})"',
                f'avg(late) OVER {frame} AS "{by}.mean(late, {text})"',
            ]
    assert len(columns) == len(plan_names) == 120
    events = flights.loc[
        flights["arrived_at"].notna(), ["carrier", "origin", "dest", "tailnum", "arrived_at", "arr_delay", "late"]
    ].rename(columns={"arrived_at": "moment"})
    events["event"] = 1
    asked = flights[["carrier", "origin", "dest", "tailnum"]].copy()
    asked["moment"] = flights["sched_dep_at"] - pd.Timedelta("2h")
    asked["place"] = np.arange(len(asked))
    both = pd.concat([events, asked], ignore_index=True)  # DuckDB reads this frame by its name
    con = duckdb.connect()
    con.execute(f"SET threads = {os.cpu_count()}")
    con.register("both_tables", both)
    con.execute("CREATE TABLE facts AS SELECT * FROM both_tables")
    query = (
        f"CREATE TABLE result AS SELECT * FROM (SELECT place, {', '.join(columns)} FROM facts "
        f"WINDOW {', '.join(windows.values())}) WHERE place IS NOT NULL"
    )
    began = time.perf_counter()
    con.execute(query)
    seconds = time.perf_counter() - began
    theirs = con.execute("SELECT * FROM result ORDER BY place").df()
    keyed = (
        flights["tailnum"].notna().to_numpy()
    )  # SQL puts rows without a key into one partition; here they match nothing
    for name in plan_names:
        x, y = ours[name].to_numpy()[keyed], theirs[name].to_numpy(dtype=float)[keyed]
        if not np.allclose(x, y, rtol=1e-6, atol=1e-6, equal_nan=True):
            raise AssertionError(f"{name}: DuckDB finds something else")
    return seconds


def featuretools_seconds(flights: pd.DataFrame, seconds: float) -> tuple[float | None, str]:
    """Seconds per row and feature of featuretools with cut-off times, in an environment of its own; or why not."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refit" / "featuretools"
    python = home / "bin" / "python"
    try:
        if not (home / "ready").exists():
            print("building an environment for featuretools (once) ...", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, timeout=120)
            wanted = ["featuretools==1.31.0", "pandas<3", "setuptools<81", "pyarrow"]
            command = [str(python), "-m", "pip", "install", "-q", *wanted]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            (home / "ready").touch()
        data = home / "flights.parquet"
        flights.to_parquet(data)
        script = Path(__file__).with_name("_featuretools_run.py")
        done = subprocess.run(
            [str(python), str(script), str(data), str(seconds)],
            check=True, capture_output=True, text=True, timeout=10 * seconds + 120,
        )  # fmt: skip
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return found["seconds"] / found["rows"] / found["features"], f"{found['rows']} rows in {found['seconds']:.0f} s"
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        detail = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        return None, (detail.strip().splitlines() or ["unknown"])[-1][:200]


def main(quick: bool) -> None:
    all_tables = tables()
    flights = all_tables["flights"]
    if quick:
        flights = flights.sort_values("sched_dep_at", kind="stable").head(QUICK_ROWS).reset_index(drop=True)
    plan = history_plan()
    taken = []
    for _ in range(6):  # the first warms up
        began = time.perf_counter()
        ours = plan.compute({"flights": flights}, flights)
        taken.append(time.perf_counter() - began)
        print(f"{len(plan.features)} features of {len(flights):,} flights: {taken[-1]:.2f} s", flush=True)
    seconds = statistics.median(taken[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    theirs = duckdb_seconds(plan.names, flights, ours)
    print(f"DuckDB: {theirs:.1f} s", flush=True)
    each, note = featuretools_seconds(flights, 10 if quick else SECONDS)
    mine = seconds / len(flights) / len(plan.features)
    emit(
        {
            "seconds": round(seconds, 3),
            "seconds_duckdb": round(theirs, 1),
            "ratio_duckdb": round(theirs / seconds, 1),
            "ratio_featuretools": None if each is None else round(each / mine),
            **({"why": note} if each is None else {"featuretools": note}),
            "peak_mb": round(peak),
            "rows": len(flights),
            "features": len(plan.features),
        }
    )


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
