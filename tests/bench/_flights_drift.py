"""The flights' months against a champion's reference: what alarms, and what moves no more than it often does."""

from __future__ import annotations

import json
import time as clock
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts import DriftOfColumn
from tasks.drift.columns import entry
from tasks.drift.evidently_measures import measure
from tasks.drift.window import thin
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.ordinary.record import PREDICTION, WEEK, Record, make
from tests.bench._flights import params, tables

SAMPLE = 5000
EVERY = 6  # of the flights, in order of time: still 1,000 a week


def months() -> None:
    """Two tables in Markdown, then one JSON object.

    The champion of the main project (known rows up to September, answers held against October's) looks at the months from
    October on; then a champion made anew before each month looks at that month. Looks are weekly, over the newest week and the newest two.
    """
    began = clock.perf_counter()
    found = params()
    plan = derive(found)
    flights = tables()["flights"]
    X = compute(plan, tables(), flights)
    time = moments(flights, found.problem.prediction_time)
    order = np.argsort(time.to_numpy(), kind="stable")[::EVERY]
    X, time, y = (
        X.iloc[order].reset_index(drop=True),
        time.iloc[order].reset_index(drop=True),
        flights["late"].to_numpy(float)[order],
    )
    kinds = {f.name: f.kind for f in plan.features}
    print(f"{len(X):,} flights, {len(kinds)} features: {clock.perf_counter() - began:.0f} s", flush=True)
    october = pd.Timestamp("2013-10-01", tz="UTC")
    scores = predicted(X, y, time, kinds, october)
    known = (time < october).to_numpy()
    held_out = ((time >= october) & (time < pd.Timestamp("2013-10-25", tz="UTC"))).to_numpy()
    print(f"answers: {clock.perf_counter() - began:.0f} s", flush=True)
    record = make(X[known], kinds, time[known].reset_index(drop=True), WEEK)
    answers = make(scores[held_out].to_frame(), {PREDICTION: "numeric"}, time[held_out].reset_index(drop=True), WEEK)
    alike = make(scores[known].to_frame(), {PREDICTION: "numeric"}, time[known].reset_index(drop=True), WEEK)
    answers = Record(
        {PREDICTION: _with(answers.columns[PREDICTION], alike.columns[PREDICTION].alike)}, answers.length, answers.end
    )
    out: dict[str, Any] = {"champion": [], "each_month": []}
    for month in range(1, 13):
        first = pd.Timestamp(2013, month, 1, tz="UTC")
        sides = [(record, X)]
        if month >= 10:
            sides.append((answers, scores.to_frame()))
        if month >= 10:
            out["champion"].append(told(month, looks(sides, X[known], scores[held_out], time, first, month >= 10)))
        if month > 1:
            before = (time < first).to_numpy()
            own = make(X[before], kinds, time[before].reset_index(drop=True), WEEK)
            out["each_month"].append(told(month, looks([(own, X)], X[before], scores, time, first, True)))
        print(f"{month} of 12 months: {clock.perf_counter() - began:.0f} s", flush=True)
    for name, title in (
        ("champion", "the main project's champion"),
        ("each_month", "a champion made before each month"),
    ):
        print(
            f"\n{title}\n\n| month | past windows | alarms (looks of the month) | moved, and no more than it often does |\n|---|---|---|---|"
        )
        for row in out[name]:
            alarms = "; ".join(f"`{c}` {said} ({n})" for c, (said, n) in row["alarms"].items()) or "none"
            varies = ", ".join(f"`{c}`" for c in row["varies"][:6]) + (
                f" and {len(row['varies']) - 6} more" if len(row["varies"]) > 6 else ""
            )
            print(f"| {row['month']} | {row['past_windows']} | {alarms} | {varies or 'nothing'} |")
    print(json.dumps(out))


def moments(flights: pd.DataFrame, rule: Any) -> pd.Series:
    return (flights["sched_dep_at"] - pd.Timedelta(hours=2)).reset_index(drop=True)


def predicted(X: pd.DataFrame, y: np.ndarray, time: pd.Series, kinds: dict[str, str], until: pd.Timestamp) -> pd.Series:
    """Scores of all flights by a model of the flights before ``until``: a sample of 20,000."""
    from tasks.fitting.base import Fold
    from tasks.fitting.setup import Setup
    from tasks.models import fit_family

    rng = np.random.default_rng(0)
    fit = np.flatnonzero((time < until - pd.Timedelta(days=30)).to_numpy() & ~np.isnan(y))
    valid = np.flatnonzero(((time >= until - pd.Timedelta(days=30)) & (time < until)).to_numpy() & ~np.isnan(y))
    fit, valid = (np.sort(rng.choice(at, size, replace=False)) for at, size in ((fit, 20_000), (valid, 4_000)))
    model = fit_family(
        "xgboost",
        {"learning_rate": 0.3, "max_depth": 4},
        Fold(X.iloc[fit], y[fit], X.iloc[valid], y[valid]),
        Setup("binary", classes=2, columns=kinds),
    )
    return pd.Series(model.predict(X)[:, 1], name=PREDICTION)


def looks(sides: list[tuple[Record, pd.DataFrame]], rows: pd.DataFrame, scores: pd.Series, time: pd.Series,
          first: pd.Timestamp, after: bool) -> list[list[dict[str, Any]]]:  # fmt: skip
    """Entries of the looks that end in the month of ``first``, every seventh day of it."""
    out = []
    sample = thin(rows, 0, SAMPLE)
    count = sum(len(record.columns) for record, _ in sides)
    last = min(first + pd.offsets.MonthEnd(1) + pd.Timedelta(days=1), time.max() + pd.Timedelta(seconds=1))
    end = first + WEEK
    while end <= last:
        entries = []
        for record, frame in sides:
            spans = [frame[((time >= end - k * WEEK) & (time < end)).to_numpy()] for k in (1, 2)]
            usable = (
                2
                if record.end is not None
                and (end - 2 * WEEK > record.end or not after)
                and len(spans[1]) > len(spans[0])
                else 1
            )
            for name, column in record.columns.items():
                left = scores if name == PREDICTION else sample[name]
                ends = (end - record.end) / WEEK if record.end is not None else None
                windows = [s[name] for s in spans[:usable]]
                measured = [measure({name: (column, one)})[name] for one in windows]
                entries.append(entry(column, left, windows, count, 1, ends, 52, measured))
        out.append(entries)
        end += WEEK
    return out


def told(month: int, entries: list[list[DriftOfColumn]]) -> dict[str, Any]:
    alarms: dict[str, tuple[str, int]] = {}
    varies: dict[str, int] = {}
    for look in entries:
        for e in look:
            if e.drifted:
                said, n = alarms.get(e.column, (e.said, 0))
                alarms[e.column] = (said, n + 1)
            elif e.state in ("varies", "seasonal"):
                varies[e.column] = varies.get(e.column, 0) + 1
    order = sorted(varies, key=lambda c: (-varies[c], c))
    past = max(e.past_windows for e in entries[0] if e.column != PREDICTION)
    name = pd.Timestamp(2013, month, 1).strftime("%B")
    return {
        "month": name,
        "past_windows": past,
        "looks": len(entries),
        "columns": len(entries[0]),
        "alarms": alarms,
        "varies": order,
    }


def _with(column: Any, alike: float) -> Any:
    from dataclasses import replace

    return replace(column, alike=max(column.alike, alike))
