"""The service against the pipeline: flights of the whole year, asked of a package that was made at the end of October.

``python -m tests.bench.parity [--quick] [--rows 2000]``. The stages ingest, validate, features and package run for real; an
XGBoost is fitted on some of the training rows. Then rows drawn from all of 2013 are sent to the service over HTTP.
The last line is one JSON object:

``rows`` sent; ``answered``, the share of those from ``answers_from`` to ``known_until`` that were answered (must be 1);
``differing``, answers that have not the bits which the pipeline gives from the same facts (0); ``unwarned``, rows outside that were
neither refused nor warned of (0); ``warned_within`` (0). ``rival_differing`` is the share of the rows within that a package
answers otherwise which keeps history for the newest rows alone, as packages did before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)

# isort: split
import numpy as np
import pandas as pd
import psutil

from deploy.launch import running, serving
from tasks.bundle import Bundle
from tasks.bundle.horizon import parse
from tasks.bundle.rows import to_json
from tasks.engine.asof import prediction_times
from tasks.engine.online import start
from tasks.files import read_json, read_table
from tasks.package.golden import NEWEST, start_of_test
from tasks.package.history import keep, known, needs
from tests.bench._flights import emit
from tests.bench._package import made


def ask(address: str, rows: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    """Status and answer of each row, one request a row."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    found = []
    for row in rows:
        connection.request("POST", "/predict", json.dumps(row), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found.append((answer.status, json.loads(answer.read())))
    connection.close()
    return found


def before(bundle: Bundle, validated: dict[str, pd.DataFrame], features: pd.DataFrame, as_of: int) -> Any:
    """The state of a package as it was made before: history for the newest rows, among which its golden ones were."""
    newest = features.loc[features["__split__"].isin(["test", "pending"]), "__time__"].nlargest(NEWEST)
    since = parse(newest.min().isoformat())
    tables = {}
    for name, need in needs(bundle.plan).items():
        facts = known(validated[name], bundle.plan, name, as_of)
        tables[name] = keep(facts, bundle.plan, name, need, since).frame
        print(f"history of {name} before: {len(tables[name]):,} rows", flush=True)
    return start(bundle.plan, tables)


def same(bundle: Bundle, found: dict[str, Any], scores: np.ndarray) -> bool:
    return bool(found["probability"] == scores[1] and found["decision"] == bundle.label(bundle.decide(scores[None])[0]))


def measure(root: Path, count: int, quick: bool) -> dict[str, Any]:
    path = made(root, quick)
    bundle = Bundle.load(path)
    rss = psutil.Process().memory_info().rss
    bundle.start()
    grown = (psutil.Process().memory_info().rss - rss) / 1e6
    size = sum(p.stat().st_size for p in (path / "history").iterdir()) / 1e6
    print(f"history: {size:.1f} MB in the package, about {grown:.0f} MB in memory", flush=True)

    raw = read_table(root / "data" / "raw" / "flights.parquet")
    fields = bundle.schema.fields
    names = [field.name for field in fields]
    whole = raw[raw[[f.name for f in fields if not f.nullable]].notna().all(axis=1)]
    rows = whole.iloc[np.sort(np.random.default_rng(1).choice(len(whole), count, replace=False))].reset_index(drop=True)
    times = prediction_times(bundle.plan, rows)
    start, end = bundle.horizon.answers_from, min(bundle.horizon.known_until.values())
    assert start is not None
    validated = {name: read_table(root / "data" / "validated" / f"{name}.parquet") for name in needs(bundle.plan)}
    batch = bundle.compute(rows, validated)
    scores = bundle.predict(batch)
    with running(serving(path, "1"), timeout=120) as address:
        answers = ask(address, [to_json(row, fields) for row in rows[names].to_dict("records")])

    within = (times >= start) & (times <= end)
    given = [i for i, (status, _) in enumerate(answers) if status == 200]
    warned = [status == 200 and any("known until" in w for w in found["warnings"]) for status, found in answers]
    refused = [status == 422 and "answers_from" in json.dumps(found) for status, found in answers]
    differing = [i for i in given if times[i] >= start and not same(bundle, answers[i][1], scores[i])]
    outside = [i for i in range(count) if not within[i]]
    features = read_table(root / "data" / "features" / "features.parquet", ["__split__", "__time__"])
    assert start == start_of_test(features)
    as_of = parse(read_json(root / "data" / "validated" / "summary.json")["as_of"])
    old = before(bundle, validated, features, as_of)
    inside = np.flatnonzero(within)
    as_before = pd.DataFrame([old.compute_row(r) for r in rows.iloc[inside].to_dict("records")])
    rival = bundle.predict(as_before[list(batch.columns)])
    return {
        "rows": count,
        "within": int(within.sum()),
        "answered": float(np.isin(inside, given).mean()),
        "differing": len(differing),
        "unwarned": sum(not (refused[i] if times[i] < start else warned[i]) for i in outside),
        "warned_within": sum(warned[i] for i in inside),
        "refused": sum(refused),
        "warned": sum(warned),
        "history_mb": round(size, 2),
        "rival_differing": round(float((rival[:, 1] != scores[inside, 1]).mean()), 4),
        "rival_other_decisions": round(float((bundle.decide(rival) != bundle.decide(scores[inside])).mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=2_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refit-parity-") as folder:
        emit(measure(Path(folder), given.rows, given.quick))


if __name__ == "__main__":
    main()
