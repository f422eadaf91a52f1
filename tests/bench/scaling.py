"""How time and memory grow with the flights: 1, 3, 10 and 30 times, tiled with shifted keys.

``python -m tests.bench.scaling [--quick]``. Each size is computed from Parquet files by key partitions with bounded
memory, in a process of its own. The last line is one JSON object: ``sizes`` (events, seconds, peak_mb for each),
``exponent`` (of time over n·log n between the smallest and the largest; at most about 1 means no faster growth) and
``peak_mb`` of the largest.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench._flights import emit, history_plan, tables

MEMORY_MB = 2048


def write_tiles(copies: int, path: Path) -> None:
    """The flights ``copies`` times over, each copy with keys of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flights = tables()["flights"][
        ["flight_id", "sched_dep_at", "carrier", "origin", "dest", "tailnum", "arr_delay", "late", "arrived_at"]
    ]
    writer = None
    for copy in range(copies):
        tile = flights.assign(
            flight_id=flights["flight_id"] + copy * len(flights),
            **{c: flights[c] + f"#{copy}" for c in ("carrier", "origin", "dest", "tailnum")},
        )
        table = pa.Table.from_pandas(tile, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def one(path: Path) -> None:
    """Compute all pieces of one size; print seconds, rows and peak memory."""
    from tasks.engine.pieces import pieces

    plan = history_plan()
    began, rows = time.perf_counter(), 0
    for piece in pieces(plan, {"flights": path}, MEMORY_MB):
        rows += len(piece)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"events": rows, "seconds": round(time.perf_counter() - began, 1), "peak_mb": round(peak)}))


def main(quick: bool) -> None:
    sizes = []
    with tempfile.TemporaryDirectory(prefix="refit-scaling-") as folder:
        for copies in (1, 3) if quick else (1, 3, 10, 30):
            path = Path(folder) / f"flights{copies}.parquet"
            write_tiles(copies, path)
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.scaling", "--one", str(path)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            sizes.append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"{copies}x: {sizes[-1]}", flush=True)
            path.unlink()
    first, last = sizes[0], sizes[-1]
    cost = [s["seconds"] / (s["events"] * math.log2(s["events"])) for s in (first, last)]
    growth = math.log(last["seconds"] / first["seconds"]) / math.log(
        last["events"] * math.log2(last["events"]) / (first["events"] * math.log2(first["events"]))
    )
    emit(
        {
            "sizes": sizes,
            "exponent": round(growth, 3),
            "cost_ratio": round(cost[1] / cost[0], 3),
            "peak_mb": last["peak_mb"],
        }
    )


if __name__ == "__main__":
    if "--one" in sys.argv:
        one(Path(sys.argv[sys.argv.index("--one") + 1]))
    else:
        main("--quick" in sys.argv[1:])
