"""120 windowed features of the flights from file to file: the stage ``features`` beside the strongest rivals found.

``python -m tests.bench.features [--quick]``. Every side reads the same Parquet file of the year's 336,776 flights and
writes its features to another (zstd), each in a process of its own, start-up included; ours is ``python -m tasks.features``,
which also reads ``params.yaml``, splits, encodes the target and names what is silent. The sides take turns; figures are
medians. The rivals are told in ``_features_rivals.py``: Temporian, Polars (prefix sums with ``join_asof``, of its four ways
the fastest), DuckDB (prefix sums with ASOF joins, which express 96 of the 120 features: against those 96 of ours), and
featuretools with cut-off times on as many rows as a few seconds allow. What each computes is compared with ours.

The last line is one JSON object: ``seconds`` (ours), ``ratio_temporian``, ``ratio_polars``, ``ratio_duckdb`` (their time
over ours), ``ratio_featuretools`` (per row and feature), each null with a reason in ``why`` where its environment can
neither be found nor built; ``values_equal`` (all of them, within 1e-6 and, for their rounding, 1e-4 minutes); ``cpu`` the
same ratios in processor time, ``compute`` the same from arrays in memory to arrays, by the clock and, as ``compute_cpu``,
in processor time; ``sides`` the figures themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

from tests.bench._flights import ROOT, emit, measured

PINS = {
    "temporian": ["temporian==0.9.0", "numpy<2", "pandas<2.2", "pyarrow==17.0.0"],
    "polars": ["polars==2.1.0"],
    "featuretools": ["featuretools==1.31.0", "pandas<3", "setuptools<81", "pyarrow"],
}
ALL, SUMS = "all", "sums"  # projects of ours: with all features, and with the 96 that prefix sums express
ROWS = 336_776
SECONDS = 15  # for featuretools


def environment(system: str) -> Path:
    """The Python that runs a rival: this one for DuckDB, else one of an environment that is made once."""
    if system not in PINS:
        return Path(sys.executable)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refit" / "rivals" / system
    ready = home / "ready"
    if not (ready.is_file() and ready.read_text() == repr(PINS[system])):
        print(f"building an environment for {system} (once) ...", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, timeout=120)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", *PINS[system]]
        subprocess.run(pip, check=True, capture_output=True, timeout=600)
        ready.write_text(repr(PINS[system]))
    return home / "bin" / "python"


def make(folder: Path) -> None:
    """Two projects of the validated flights, of all features and of those without maxima."""
    from tasks.files import write_table
    from tests.bench._flights import history_project, tables

    for project, primitives in ((ALL, ["mean", "std", "max"]), (SUMS, ["mean", "std"])):
        history_project(folder / project, primitives)
        write_table(folder / project / "data" / "validated" / "flights.parquet", tables()["flights"])


def compute(project: Path) -> None:
    """The engine alone, in a fresh process as the rivals': from a frame in memory to a frame."""
    import tasks.stage  # noqa: F401
    from tasks import memory, params
    from tasks.engine.compute import compute as computed
    from tasks.engine.derive import derive
    from tasks.files import read_table

    plan = derive(params.load(project / "params.yaml"))
    flights = read_table(project / "data" / "validated" / "flights.parquet")
    memory.keep_freed()  # as the stage does
    began, used = time.perf_counter(), time.process_time()
    computed(plan, {"flights": flights}, flights)
    print(json.dumps({"compute": {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}}))


def different(ours: Path, theirs: Path) -> list[str]:
    """The features of a rival's file that are not ours: by place where it has some rows only."""
    import numpy as np
    import pandas as pd

    found = pd.read_parquet(theirs)
    mine = pd.read_parquet(ours, columns=[str(c) for c in found if c != "place"])
    if "place" in found:
        mine = mine.iloc[found["place"]]
    return [
        str(name)
        for name in mine
        if not np.allclose(mine[name], found[name].to_numpy(float), rtol=1e-6, atol=1e-4, equal_nan=True)
    ]


def main(quick: bool) -> None:
    rounds = 1 if quick else 5
    here, paths = [sys.executable, "-m"], {"PYTHONPATH": str(ROOT)}
    script = str(Path(__file__).with_name("_features_rivals.py"))
    runs: dict[str, list[dict[str, Any]]] = {}
    why: dict[str, str] = {}
    for system in PINS:
        try:
            environment(system)
        except (OSError, subprocess.SubprocessError) as error:
            why[system] = str(getattr(error, "stderr", None) or error)[-300:]
    with tempfile.TemporaryDirectory(prefix="refit-features-") as name:
        folder = Path(name)
        make_apart = [*here, "tests.bench.features", "--make", name]  # for a child's peak counts what its parent held
        subprocess.run(make_apart, check=True, cwd=ROOT)
        flights = folder / ALL / "data" / "validated" / "flights.parquet"

        def run(side: str) -> dict[str, Any]:
            if side in (ALL, SUMS):
                alone = [*here, "tests.bench.features", "--compute", str(folder / side)]
                return measured([*here, "tasks.features"], folder / side, **paths) | {
                    "compute": measured(alone, folder, **paths)["compute"]
                }
            out = str(folder / f"{side}.parquet")
            return measured([str(environment(side)), script, side, str(flights), out, str(SECONDS)], folder)

        sides = [ALL, *(s for s in ("temporian", "polars") if s not in why)]
        turns = [[*sides, *([SUMS, "duckdb"] if number < 3 else [])] for number in range(rounds)]
        last = [] if "featuretools" in why else ["featuretools"]
        for side in [*chain.from_iterable(turns), *last]:
            runs.setdefault(side, []).append(run(side))
            took = runs[side][-1]
            print(f"{side}: {took['seconds']:.1f} s, {took['cpu_seconds']:.1f} of processors", flush=True)
        made = folder / ALL / "data" / "features" / "features.parquet"
        wrong = {s: different(made, folder / f"{s}.parquet") for s in runs if s not in (ALL, SUMS)}
    for system, names in wrong.items():
        if names:
            print(f"{system} finds something else: {names[:5]}", flush=True)

    def middle(side: str, measure: str, part: str | None = None) -> float:
        return statistics.median((run[part] if part else run)[measure] for run in runs[side])

    def ratio(system: str, measure: str, part: str | None = None) -> float | None:
        ours = SUMS if system == "duckdb" else ALL
        return round(middle(system, measure, part) / middle(ours, measure, part), 2) if system in runs else None

    def figures(side: str) -> dict[str, Any]:
        found = {m: round(middle(side, m), 2) for m in ("seconds", "cpu_seconds", "peak_mb")}
        if "compute" in runs[side][0]:
            found["compute"] = {m: round(middle(side, m, "compute"), 2) for m in ("seconds", "cpu_seconds")}
        return found | {"runs": len(runs[side])} | runs[side][0].get("versions", {})

    rivals = ("temporian", "polars", "duckdb")
    slow = runs.get("featuretools", [{}])[0]
    one = middle(ALL, "seconds") / ROWS
    emit(
        {
            "seconds": round(middle(ALL, "seconds"), 2),
            **{f"ratio_{s}": ratio(s, "seconds") for s in rivals},
            "ratio_featuretools": round(slow["compute_seconds"] / slow["rows"] / one) if slow else None,
            "values_equal": not any(wrong.values()),
            "cpu": {s: ratio(s, "cpu_seconds") for s in rivals},
            "compute": {s: ratio(s, "seconds", "compute") for s in rivals},
            "compute_cpu": {s: ratio(s, "cpu_seconds", "compute") for s in rivals},
            "rows": ROWS,
            "rows_featuretools": slow.get("rows"),
            "sides": {side: figures(side) for side in runs},
            **({"why": why} if why else {}),
        }
    )


if __name__ == "__main__":
    if "--make" in sys.argv:
        make(Path(sys.argv[-1]))
    elif "--compute" in sys.argv:
        compute(Path(sys.argv[-1]))
    else:
        main("--quick" in sys.argv[1:])
