"""How the stage ``features`` grows with the flights: 1, 3, 10 and 30 times the year, under ``training.memory_gb: 1``.

``python -m tests.bench.scaling [--quick] [--full]``. The year's flights are tiled, each copy with keys of its own, as
``data/validated`` of a project with the 120 windowed features. Each size is ``python -m tasks.features`` in a process of
its own, from Parquet to Parquet, start-up included; the limit has it compute key by key from disk. ``--quick`` ends with
3 times, ``--full`` goes on to 30 (10.1 million flights). The last line is one JSON object: ``sizes`` (events, seconds by
the clock and of processors, peak_mb of each), ``exponent`` (of time over n·log n between the smallest and the largest; at
most about 1 means no faster growth), ``exponent_cpu`` (the same in processor time), ``cost_ratio`` and ``peak_mb`` of the
largest.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.files import read_json
from tests.bench._flights import ROOT, emit, measured

MEMORY_GB = 1


def write_tiles(copies: int, path: Path) -> None:
    """The flights ``copies`` times over, each copy with keys of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.bench._flights import tables

    flights, writer = tables()["flights"], None
    for copy in range(copies):
        tile = flights.assign(
            flight_id=flights["flight_id"] + copy * len(flights),
            **{c: flights[c] + f"#{copy}" for c in ("carrier", "origin", "dest", "tailnum")},
        )
        table = pa.Table.from_pandas(tile, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def make(root: Path, copies: int) -> None:
    from tests.bench._flights import history_project

    history_project(root, memory_gb=MEMORY_GB)
    write_tiles(copies, root / "data" / "validated" / "flights.parquet")


def main(quick: bool, full: bool) -> None:
    sizes = []
    scratch = ROOT / ".refit"  # on a disk, where /tmp may be memory
    scratch.mkdir(exist_ok=True)
    for copies in (1, 3) if quick else (1, 3, 10, 30) if full else (1, 3, 10):
        with tempfile.TemporaryDirectory(prefix="refit-scaling-", dir=scratch) as folder:
            made = [sys.executable, "-m", "tests.bench.scaling", "--make", folder, str(copies)]
            subprocess.run(made, check=True, cwd=ROOT)  # in another process, for a child's peak counts its parent's
            took = measured([sys.executable, "-m", "tasks.features"], Path(folder), PYTHONPATH=str(ROOT))
            rows = sum(read_json(Path(folder) / "data" / "features" / "summary.json")["rows"].values())
        sizes.append({"events": rows, **{m: round(took[m], 1) for m in ("seconds", "cpu_seconds", "peak_mb")}})
        print(f"{copies}x: {sizes[-1]}", flush=True)
    first, last = sizes[0], sizes[-1]
    work = [s["events"] * math.log2(s["events"]) for s in (first, last)]

    def exponent(measure: str) -> float:
        return math.log(last[measure] / first[measure]) / math.log(work[1] / work[0])

    emit(
        {
            "sizes": sizes,
            "exponent": round(exponent("seconds"), 3),
            "exponent_cpu": round(exponent("cpu_seconds"), 3),
            "cost_ratio": round(last["seconds"] / first["seconds"] / (work[1] / work[0]), 3),
            "peak_mb": last["peak_mb"],
            "limit_mb": 1000 * MEMORY_GB,
        }
    )


if __name__ == "__main__":
    if "--make" in sys.argv:
        make(Path(sys.argv[-2]), int(sys.argv[-1]))
    else:
        main("--quick" in sys.argv, "--full" in sys.argv)
