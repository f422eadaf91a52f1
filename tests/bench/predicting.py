"""`refit predict` of a million flights: rows a second and memory, against one program that does all in memory.

``python -m tests.bench.predicting [--quick] [--rows 1000000] [--project FOLDER]``. A package is made as for
``tests.bench.parity``, with windowed features of every flight. The flights of 2013, over and over, are written as a CSV
file and answered from the project's tables, each way in a process of its own. The rival reads the file with pandas,
computes the features of all rows at once with the same engine, asks the model once and writes with pandas.

The last line is one JSON object: ``rows``, ``rows_per_second``, ``peak_mb``, ``peak_mb_of_a_quarter`` (the same file's
first quarter: what does not grow is bounded), ``differing`` (answers to test rows that have not the pipeline's bits; 0),
``rival_rows_per_second``, ``rival_peak_mb``, ``rival_differing``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)

# isort: split
import numpy as np
import pandas as pd

from tasks.bundle import Bundle
from tasks.files import read_table
from tests.bench._flights import emit
from tests.bench._package import made


def write_rows(root: Path, count: int, path: Path) -> None:
    """The flights of the whole year in no order, over and over, as they would be exported: text, with the key."""
    fields = [f.name for f in Bundle.load(root / "data" / "package").schema.fields]
    raw = read_table(root / "data" / "raw" / "flights.parquet", list(dict.fromkeys(["flight_id", *fields])))
    text = raw.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    header, body = text.split("\n", 1)
    lines = body.splitlines(keepends=True)
    np.random.default_rng(0).shuffle(lines)
    with path.open("w") as out:
        out.write(header + "\n")
        for start in range(0, count, len(lines)):
            out.writelines(lines[: count - start])


def ours(root: Path, source: Path, out: Path) -> int:
    from deploy.predict import predict
    from flows.predict import horizon_of, tables_of

    bundle = Bundle.load(root / "data" / "package")
    tables = tables_of(root, bundle)
    assert tables is not None
    return predict(bundle, "1", source, out, tables, horizon_of(bundle, tables)).rows


def rival(root: Path, source: Path, out: Path) -> int:
    bundle = Bundle.load(root / "data" / "package")
    kinds = {f.name: f.kind for f in bundle.schema.fields}
    times = [name for name, kind in kinds.items() if kind == "datetime"]
    types = {name: "str" if kind == "categorical" else "float64" for name, kind in kinds.items() if name not in times}
    rows = pd.read_csv(source, dtype=types, parse_dates=times, float_precision="round_trip", engine="c")
    for name in times:
        rows[name] = rows[name].dt.as_unit("us")
    tables = {p.stem: read_table(p) for p in (root / "data" / "validated").glob("*.parquet")}
    scores = bundle.predict(bundle.compute(rows, tables))
    labels = np.array(bundle.classes, dtype=object)[bundle.decide(scores).astype(int)]
    answers = pd.DataFrame({"flight_id": rows["flight_id"], "probability": scores[:, 1], "decision": labels})
    answers.assign(model=bundle.name, version="1").to_csv(out, index=False)
    return len(rows)


def one(way: str, root: Path, source: Path, out: Path) -> None:
    """One way in this process: seconds and peak memory."""
    began = time.perf_counter()
    rows = {"ours": ours, "rival": rival}[way](root, source, out)
    seconds = time.perf_counter() - began
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024  # of this program alone
    print(json.dumps({"rows": rows, "seconds": round(seconds, 1), "peak_mb": round(peak)}))


def measured(way: str, root: Path, source: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.predicting", "--one", way, str(root), str(source), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(way, found, flush=True)
    return found


def differing(root: Path, out: Path) -> int:
    """Answers to test rows, however often they are asked, that differ from the pipeline's own scores."""
    features = read_table(root / "data" / "features" / "features.parquet")
    test = features[features["__split__"] == "test"]
    flights = read_table(root / "data" / "validated" / "flights.parquet", ["flight_id"])["flight_id"]
    wanted = pd.Series(Bundle.load(root / "data" / "package").predict(test)[:, 1], flights.to_numpy()[test["__row__"]])
    answers = pd.read_csv(out, usecols=["flight_id", "probability"], float_precision="round_trip")
    answers = answers[answers["flight_id"].isin(wanted.index)]
    assert len(answers) > 100
    return int((answers["probability"].to_numpy() != wanted[answers["flight_id"]].to_numpy()).sum())


def measure(root: Path, count: int, quick: bool) -> dict[str, Any]:
    if not (root / "data" / "package").is_dir():
        made(root, quick)
    with tempfile.TemporaryDirectory(prefix="refit-predicting-") as folder:
        source, quarter, out, other = (Path(folder) / name for name in ("rows.csv", "quarter.csv", "a.csv", "b.csv"))
        write_rows(root, count, source)
        write_rows(root, count // 4, quarter)
        few = measured("ours", root, quarter, out)
        mine = measured("ours", root, source, out)
        theirs = measured("rival", root, source, other)
        return {
            "rows": mine["rows"],
            "rows_per_second": round(mine["rows"] / mine["seconds"]),
            "peak_mb": mine["peak_mb"],
            "peak_mb_of_a_quarter": few["peak_mb"],
            "differing": differing(root, out),
            "rival": "pandas, the same engine and the model, all rows at once",
            "rival_rows_per_second": round(theirs["rows"] / theirs["seconds"]),
            "rival_peak_mb": theirs["peak_mb"],
            "rival_differing": differing(root, other),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--project", type=Path, help="where to make the project, or where an earlier call made it")
    given = parser.parse_args()
    count = given.rows or (200_000 if given.quick else 1_000_000)
    with tempfile.TemporaryDirectory(prefix="refit-predicting-") as folder:
        root = given.project or Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        emit(measure(root, count, given.quick))


if __name__ == "__main__":
    if "--one" in sys.argv:
        at = sys.argv.index("--one")
        one(sys.argv[at + 1], *map(Path, sys.argv[at + 2 : at + 5]))
    else:
        main()
