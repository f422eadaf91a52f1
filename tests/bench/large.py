"""A table of millions of flights through the whole DAG: the most memory that each stage takes.

``python -m tests.bench.large [--quick] [--rows 3000000] [--gb 1] [--csv] [--dense] [--project FOLDER]``. The flights of
2013 are tiled into a longer history (each copy 364 days earlier, with the weather of its time), or with ``--dense`` into
the same year with more airlines and planes. The project has the features of ``params.yaml`` and XGBoost, which alone of
the families trains from disk, and ``training.memory_gb`` as given. Each stage runs as DVC runs it, in a process of its
own, whose largest resident set is taken. ``validate again`` (not with ``--quick``) holds the tables against what was
accepted the first time, as every run after a promotion does.

The last line is one JSON object: ``rows``, ``limit_mb``, ``peak_mb`` by stage, ``cpu_seconds`` by stage, ``over``: the
stages above 1.15 times the limit. ``--rows 10000000 --gb 8`` is the full size; ``--quick`` a million rows
and a third of the trees.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks.files import read_json, write_json, write_text
from tests.bench._flights import ROOT, emit

AGAIN = "validate again"
STAGES = ("ingest", "validate", AGAIN, "features", "leaks", "tune xgboost", "train xgboost", "evaluate", "package", "compare",
          "drift", "report")  # fmt: skip
SLACK = 1.15
YEAR_OF_WEEKS = 364  # days: weekdays stay


def write_project(root: Path, rows: int, gb: float, csv: bool, dense: bool, rounds: int) -> None:
    """``params.yaml`` and the sources of a project with so many flights."""
    from ruamel.yaml import YAML

    root.mkdir(parents=True, exist_ok=True)
    count = _write_flights(root, rows, csv, dense)
    tree = YAML().load(ROOT / "params.yaml")
    tables = tree["data"]["tables"]
    tables["flights"]["source"] = "flights.csv" if csv else "flights.parquet"
    if not dense:
        _write_weather(root, count)
        tables["weather"]["source"] = "weather.parquet"
    tree["models"] = {"xgboost": {"trials": 1, "params": {"rounds": rounds}}}
    tree["training"]["memory_gb"] = gb
    (root / "data").mkdir(exist_ok=True)
    for suite in (ROOT / "data" / "expectations").glob("*.json"):
        write_text(root / "data" / "expectations" / suite.name, suite.read_text())
    YAML().dump(tree, root / "params.yaml")


def _write_flights(root: Path, rows: int, csv: bool, dense: bool) -> int:
    """``flights.parquet`` or ``flights.csv``, the oldest first; returns how many copies of the year it has."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.bench._flights import params, tables

    year = tables()["flights"].drop(columns=params().problem.target.name).sort_values("sched_dep_at", kind="stable")
    copies, writer = -(-rows // len(year)), None
    path = root / ("flights.csv" if csv else "flights.parquet")
    path.unlink(missing_ok=True)
    for copy in range(copies):
        tile = year.tail(rows - (copies - 1) * len(year)) if copy == 0 else year  # the first year may be a part of one
        back = pd.Timedelta(days=0 if dense else YEAR_OF_WEEKS * (copies - 1 - copy))
        tile = tile.assign(
            flight_id=tile["flight_id"] + copy * len(year),
            sched_dep_at=tile["sched_dep_at"] - back,
            arrived_at=tile["arrived_at"] - back,
        )
        if dense and copy:
            tile = tile.assign(**{name: tile[name] + f"#{copy}" for name in ("carrier", "tailnum")})
        if csv:
            tile.to_csv(path, mode="a", header=copy == 0, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
            continue
        table = pa.Table.from_pandas(tile, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()
    return copies


def _write_weather(root: Path, copies: int) -> None:
    import pandas as pd

    from tests.bench._flights import tables

    year = tables()["weather"]
    backs = [pd.Timedelta(days=YEAR_OF_WEEKS * copy) for copy in range(copies)]
    whole = pd.concat([year.assign(time_hour=year["time_hour"] - back) for back in backs])
    whole.drop_duplicates(["origin", "time_hour"]).to_parquet(root / "weather.parquet", index=False)


def run(root: Path, stage: str) -> tuple[float, float]:
    """One stage in a process of its own: its peak in MB, and seconds of processors."""
    if stage == AGAIN:
        for path in (root / "data" / "validated" / "accepted").glob("*.json"):
            write_json(
                root / "data" / "expectations" / "accepted" / path.name, {**read_json(path), "of": {"version": 1}}
            )
    name, *family = stage.removesuffix(" again").split()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-m", f"tasks.{name}", *family], cwd=root, env=env)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{stage} ended with {child.returncode}")
    return used.ru_maxrss * 1024 / 1e6, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--csv", action="store_true", help="the flights as one CSV file, not Parquet")
    parser.add_argument("--dense", action="store_true", help="all in one year, so that valid and test rows grow too")
    parser.add_argument("--project", type=Path, help="where to make the project, or where an earlier call made it")
    parser.add_argument("--stages", nargs="*")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = given.rows or (1_000_000 if given.quick else 3_000_000)
    if given.make:
        return write_project(given.project, rows, given.gb, given.csv, given.dense, 10 if given.quick else 30)
    with tempfile.TemporaryDirectory(prefix="refit-large-") as folder:
        root = given.project or Path(folder)
        if not (root / "params.yaml").exists():  # in another process, for a child's peak counts what its parent held
            asked = [*sys.argv[1:], *([] if given.project else ["--project", str(root)])]
            subprocess.run([sys.executable, "-m", "tests.bench.large", "--make", *asked], check=True)
        peak: dict[str, Any] = {}
        seconds: dict[str, Any] = {}
        for stage in given.stages or [stage for stage in STAGES if stage != AGAIN or not given.quick]:
            most, took = run(root, stage)
            name = stage if stage == AGAIN else stage.split()[0]
            peak[name], seconds[name] = round(most), round(took, 1)
            print(f"{stage}: {most:.0f} MB, {took:.0f} s of processors", flush=True)
    limit = 1000 * given.gb
    over = {name: mb for name, mb in peak.items() if mb > SLACK * limit}
    emit({"rows": rows, "limit_mb": round(limit), "peak_mb": peak, "cpu_seconds": seconds, "over": sorted(over)})


if __name__ == "__main__":
    main()
