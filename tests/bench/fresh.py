"""What it is worth that the service learns: November's flights, by a history frozen at October's end and by one that is told.

``python -m tests.bench.fresh [--quick] [--rows 10000]``. A package is made as of the end of October (:mod:`tests.bench._package`)
and served by two processes with a journal. Then November passes: each landing and each weather observation is told when it
became known, and between them flights drawn at random are asked about over HTTP, as much as two hours before they leave. The last line is one JSON object:

``auc_frozen``, the ROC AUC of the same rows answered by the package's own history; ``auc_live``, of the service's answers; their
``gain``, and its ``ratio`` to what the pipeline would answer with everything recomputed in batch (``auc_batch``, the strongest
rival: 1 is all there is to gain); ``differing``, answers whose features have not the bits of that computation (must be 0);
``rows``, ``events``; ``events_per_second`` of the service's own time for them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from deploy.events import EventReader
from deploy.launch import running, serving
from deploy.rows import Problems
from tasks.bundle import Bundle
from tasks.bundle.rows import to_json
from tasks.engine.asof import prediction_times
from tasks.engine.facts import MISSING, Events
from tasks.files import read_table
from tasks.journal import Journal
from tasks.journal.digest import digest
from tests.bench._flights import emit
from tests.bench._package import made

FROM, TO = "2013-11-01", "2013-12-01"
ROWS, QUICK = 10_000, 1_000
MOST = 500  # events of one request


def facts(bundle: Bundle, root: Path) -> tuple[dict[str, pd.DataFrame], list[tuple[int, str, dict[str, object]]]]:
    """Every table as the pipeline would have it in December, and what became known in November, in order."""
    assert bundle.events is not None
    since, until = (pd.Timestamp(day, tz="UTC").value // 1000 for day in (FROM, TO))
    tables: dict[str, pd.DataFrame] = {}
    told: list[tuple[int, str, dict[str, object]]] = []
    for name, table in bundle.plan.tables.items():
        frame = read_table(root / "data" / "raw" / f"{name}.parquet")
        reader = EventReader(name, bundle.events[name])
        fields = list(bundle.events[name].row.fields)
        if table.event_time is None:
            tables[name] = read_table(root / "data" / "validated" / f"{name}.parquet")
            continue
        known = Events(table, frame).known
        counts = (known != MISSING) & (known < until)
        frame, known = frame[counts].reset_index(drop=True), known[counts]
        accepted = np.ones(len(frame), bool)
        for i, row in enumerate(frame.to_dict("records")):
            if known[i] < since:
                continue
            body = to_json({str(k): v for k, v in row.items()}, fields)
            try:
                accepted[i] = reader.event(body, None, "given").refused is None
            except Problems:
                accepted[i] = False
            if accepted[i]:
                told.append((int(known[i]), name, dict(body)))
        old = read_table(root / "data" / "validated" / f"{name}.parquet")
        new = frame[accepted & (known >= since)]
        target = bundle.plan.target
        if name == bundle.plan.table and target is not None and target.above is not None:
            value = new[target.column]
            new = new.assign(**{target.name: (value > target.above).astype(float).where(value.notna())})
        past = Events(table, old).known
        tables[name] = pd.concat([old[(past != MISSING) & (past < since)], new], ignore_index=True)
    return tables, sorted(told, key=lambda one: one[0])


def pass_november(
    address: str, asked: Sequence[tuple[int, dict[str, Any]]], told: list[tuple[int, str, dict[str, object]]]
) -> tuple[list[Any], int, float]:
    """The answers to rows by their moment, each after all that was known by then; events, and the seconds they took."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)

    def post(path: str, body: object) -> Any:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        assert answer.status == 200, found
        return found

    answers, at, spent = [], 0, 0.0
    for moment, row in asked:
        due = []
        while at < len(told) and told[at][0] <= moment:
            due.append({"table": told[at][1], "row": told[at][2], "known": "given"})
            at += 1
        began = time.perf_counter()
        for start in range(0, len(due), MOST):
            post("/events", due[start : start + MOST])
        spent += time.perf_counter() - began
        answers.append(post("/predict", row))
    connection.close()
    return answers, at, spent


def measure(root: Path, count: int, quick: bool) -> dict[str, Any]:
    path = made(root, quick)
    bundle = Bundle.load(path).start()
    tables, told = facts(bundle, root)
    raw = read_table(root / "data" / "raw" / "flights.parquet")
    fields = bundle.schema.fields
    whole = raw[raw[[f.name for f in fields if not f.nullable]].notna().all(axis=1)]
    times = prediction_times(bundle.plan, whole)
    since, until = (pd.Timestamp(day, tz="UTC").value // 1000 for day in (FROM, TO))
    value = whole[bundle.plan.target.column].to_numpy(float) if bundle.plan.target else np.zeros(0)
    november = np.flatnonzero((times >= since) & (times < until) & ~np.isnan(value))
    chosen = np.sort(np.random.default_rng(1).choice(november, min(count, len(november)), replace=False))
    chosen = chosen[np.argsort(times[chosen], kind="stable")]
    rows, moments = whole.iloc[chosen].reset_index(drop=True), times[chosen]
    assert bundle.plan.target is not None
    assert bundle.plan.target.above is not None
    late = value[chosen] > bundle.plan.target.above
    names = [field.name for field in fields]
    asked = [to_json(row, fields) for row in rows[names].to_dict("records")]  # type: ignore[arg-type]

    batch = bundle.compute(rows, tables)
    frozen = bundle.predict(
        pd.DataFrame([bundle.compute_row(row) for row in rows.to_dict("records")])[list(batch.columns)]
    )  # type: ignore[arg-type]
    where = root / "journal.db"

    def two(port: int) -> list[str]:
        return [*serving(path, "1")(port), "--workers", "2"]

    with running(two, timeout=120, env={"REFIT_JOURNAL": str(where)}) as address:
        answers, events, spent = pass_november(address, list(zip(moments.tolist(), asked, strict=True)), told)
    wanted = [digest(dict(zip(batch.columns, row, strict=True))) for row in batch.itertuples(index=False, name=None)]
    with Journal(where) as journal:
        kept = {p.id: p.features for p in journal.predictions()}
    different = [i for i, answer in enumerate(answers) if kept[answer["id"]] != wanted[i]]
    print(f"first differences: {different[:5]}", file=sys.stderr)
    live = np.array([answer["probability"] for answer in answers])
    auc = {"frozen": frozen[:, 1], "live": live, "batch": bundle.predict(batch)[:, 1]}
    found = {f"auc_{name}": round(float(roc_auc_score(late, scores)), 4) for name, scores in auc.items()}
    return {
        **found,
        "gain": round(found["auc_live"] - found["auc_frozen"], 4),
        "ratio": round(found["auc_live"] / found["auc_batch"], 4),
        "rows": len(rows),
        "events": events,
        "differing": len(different),
        "events_per_second": round(events / spent, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refit-fresh-") as folder:
        emit(measure(Path(folder), given.rows or (QUICK if given.quick else ROWS), given.quick))


if __name__ == "__main__":
    main()
