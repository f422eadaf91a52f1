"""Drift, simulated and on the flights: alarms of undisturbed years, and planted shifts found within two weeks.

``python -m tests.bench.drift [--quick]``; ``python -m tests.bench.drift --flights`` for the real months (docs/drift.md).
The last line is one JSON object:

``alarms_per_year``  of an undisturbed project, the whole table: the larger of weekly looks and of daily ones over overlapping
                     weeks. An alarm is a check of a column that had none in the week before
``detected``         share of planted shifts that a weekly look finds within two weeks, as they begin with a week; ``any_day``:
                     as they begin on any day of it; ``daily``: by daily looks
``by``               the same by kind of shift, and alarms by length of history and by check
``rival``            Evidently's default drift preset on the same values, on the stated part of them

Projects have 10 to 100 columns, at least 1,000 rows a week and 30 to 130 weeks of history before the year that is looked
at. Weeks differ by 0.05 standard deviations. Columns are normal, lognormal, heavy-tailed, counts, mostly zero, or
categories of 2 to 5,000 levels (equally likely or as Zipf), with missing values or without; one in five has a season where
there is a year of history, one in twenty is carried by whole days whose level wanders, as weather is. Shifts are planted
from some day on in ordinary columns: a mean moved by 0.3 standard deviations (by the underlying normal variable, so that
the shape stays), that variable's standard deviation times 1.5, a new category in 5%, 20% missing, values times 1,000 in 2% of the rows.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import tasks.stage  # noqa: F401  (threads, before numpy loads)

import numpy as np  # isort: skip
import pandas as pd
from scipy.special import ndtri

from tasks.ordinary.checks import LENGTHS, look
from tasks.ordinary.record import Column, column

WEEKS, DAYS = 52, 7
ORDINARY, SHIFT = 0.05, 0.3
HISTORIES = (30, 52, 78, 110, 130)
SHAPES = ("normal", "lognormal", "count", "zeros", "heavy")
PLANTED = {"numeric": ("mean", "spread", "missing", "unit"), "categorical": ("category", "missing")}
SHARE = {"category": 0.05, "missing": 0.2, "unit": 0.02}
SHIFTED = 4  # columns of a project in which shifts are planted
RIVAL = {"levels": 100, "columns": 12, "weeks": 13, "reference": 5000}


@dataclass
class Source:
    """Where a column's values come from: rows a day, and what is done to an underlying normal variable."""

    rng: np.random.Generator
    rows: int
    shape: str
    missing: float
    season: float
    carried: bool
    edges: np.ndarray | None

    @property
    def kind(self) -> str:
        return "numeric" if self.edges is None else "categorical"

    @classmethod
    def drawn(cls, rng: np.random.Generator, rows: int, weeks: int) -> Source:
        edges = None
        if rng.random() < 0.3:
            levels = int(np.exp(rng.uniform(np.log(2), np.log(5000))))
            share = np.ones(levels) if rng.random() < 0.3 else np.arange(1.0, levels + 1) ** -rng.uniform(0.5, 1.3)
            share = rng.permutation(share / share.sum())
            edges = ndtri(np.clip(np.cumsum(share)[:-1], 1e-12, 1 - 1e-12)).astype(np.float32)
        odd = rng.random()
        season = rng.uniform(0.3, 1.0) if odd < 0.2 and weeks >= WEEKS else 0.0
        return cls(
            rng, rows, str(rng.choice(SHAPES)), float(rng.choice([0, 0, 0.001, 0.05])), season, odd > 0.95, edges
        )

    def underlying(self, first: int, days: int) -> np.ndarray:
        """The normal variable, (days, rows), of days that begin with a week."""
        level = np.repeat(self.rng.normal(0, ORDINARY, -(-days // DAYS)), DAYS)[:days]
        level = level + self.season * np.sin(2 * np.pi * (first + np.arange(days)) / 365.25)
        if self.carried:
            steps = self.rng.normal(0, 0.5 * np.sqrt(1 - 0.8**2), days)
            wander = np.zeros(days)
            for i in range(1, days):
                wander[i] = 0.8 * wander[i - 1] + steps[i]
            level = level + wander
        z = self.rng.standard_normal((days, self.rows), dtype=np.float32)
        z += level.astype(np.float32)[:, None]
        return z

    def values(self, z: np.ndarray) -> np.ndarray:
        if self.edges is not None:
            return np.searchsorted(self.edges, z).astype(float)  # the level's number
        if self.shape == "lognormal":
            x = np.exp(z)
        elif self.shape == "count":
            x = np.floor(np.exp(0.7 * z + 1))
        elif self.shape == "zeros":
            x = np.where(z > 0.8, np.exp(z), 0)
        elif self.shape == "heavy":
            x = z * np.exp(0.8 * np.abs(z))
        else:
            x = 50 + 10 * z
        if self.missing:
            x = np.where(self.rng.random(x.shape, dtype=np.float32) < self.missing, np.nan, x)
        return x

    def lift(self) -> float:
        """By how much the normal variable moves where the column's mean moves by 0.3 of its standard deviations."""
        z, whole = ndtri((np.arange(20_000) + 0.5) / 20_000), self.missing
        self.missing = 0.0
        usual, low, high = self.values(z), 0.0, 4.0
        for _ in range(20):
            middle = (low + high) / 2
            below = self.values(z + middle).mean() - usual.mean() < SHIFT * usual.std()
            low, high = (middle, high) if below else (low, middle)
        self.missing = whole
        return high

    def planted(self, kind: str, start: int) -> np.ndarray:
        """Five weeks of which the days from ``start`` on are shifted."""
        z = self.underlying(0, 5 * DAYS)
        if kind == "mean":
            z[start:] += np.float32(self.lift())
        if kind == "spread":
            z[start:] *= np.float32(1.5)
        x = self.values(z)
        hit = self.rng.random(x.shape, dtype=np.float32) < SHARE.get(kind, 0.0)
        hit[:start] = False
        new = {"category": 1e6, "missing": np.nan}.get(kind, x * 1000 if kind == "unit" else x)
        return np.where(hit, new, x)


def summed(record: Column, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by day and cell, and by day and unseen level: of all windows' counts these are the summands."""
    codes, size = record.cells.codes(x.ravel()).reshape(x.shape), record.cells.count
    counts = np.bincount((codes + np.arange(len(x))[:, None] * size).ravel(), minlength=len(x) * size).reshape(
        len(x), size
    )
    if record.cells.kind == "numeric":
        return counts, np.zeros((len(x), 1), dtype=np.int64)
    day, at = np.nonzero(codes == 1)
    level, names = pd.factorize(x[day, at])
    size = max(len(names), 1)
    return counts, np.bincount(day * size + level, minlength=len(x) * size).reshape(len(x), size)


def windows(counts: np.ndarray, ends: np.ndarray, days: int) -> np.ndarray:
    total = np.vstack([np.zeros((1, counts.shape[1]), dtype=counts.dtype), counts.cumsum(0)])
    return total[ends] - total[ends - days]


def alarms(record: Column, x: np.ndarray, columns: int, ends: np.ndarray) -> dict[str, np.ndarray]:
    """Alarms of one column by check, at looks that end after so many days of ``x``; bool (looks,)."""
    counts, unseen = summed(record, x)
    out: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(ends), dtype=bool))
    for length in LENGTHS:
        at = np.flatnonzero(ends >= length * DAYS)
        now = windows(counts, ends[at], length * DAYS)
        largest = windows(unseen, ends[at], length * DAYS).max(1)
        found = look(record, now, largest, length, ends[at] / DAYS, WEEKS)
        for kind, alarm in zip(found.kinds, found.alarms(columns).T, strict=True):
            out[kind][at] |= alarm
    return out


def new(alarm: np.ndarray, quiet: int) -> int:
    """Alarms at looks that have none among the ``quiet`` looks before."""
    at = np.flatnonzero(alarm)
    return int((np.diff(np.concatenate([[-quiet - 1], at])) > quiet).sum())


def project(seed: int, rival: bool) -> dict[str, Any]:
    """One project: alarms by check of its undisturbed year, and which planted shifts were found."""
    rng = np.random.default_rng(seed)
    columns, rows, weeks = (
        int(rng.integers(10, 101)),
        int(rng.choice([143, 143, 200, 300])),
        HISTORIES[seed % len(HISTORIES)],
    )
    weekly, daily = (np.arange(DAYS, WEEKS * DAYS + 1, step) for step in (DAYS, 1))
    out: dict[str, Any] = {
        "weeks": weeks,
        "weekly": defaultdict(int),
        "daily": defaultdict(int),
        "found": [],
        "rival": [],
    }
    for _ in range(columns):
        source = Source.drawn(rng, rows, weeks)
        x = source.values(source.underlying(0, (weeks + WEEKS) * DAYS))
        past, year = x[: weeks * DAYS], x[weeks * DAYS :]
        record = column("x", source.kind, pd.Series(past.ravel()), np.repeat(np.arange(weeks * DAYS), rows), weeks)
        for kind, alarm in alarms(record, year, columns, daily).items():
            out["daily"][kind] += new(alarm, DAYS)
            out["weekly"][kind] += new(alarm[weekly - DAYS], 1)
        shifted = []
        if not source.season and not source.carried and sum(f[0] == "mean" for f in out["found"]) < SHIFTED:
            for kind in PLANTED[source.kind]:
                begin = DAYS + int(rng.integers(0, DAYS))
                y, z = source.planted(kind, DAYS), source.planted(kind, begin)
                hits = []
                for values, start, step in ((y, DAYS, DAYS), (z, begin, DAYS), (z, begin, 1)):
                    ends = np.array([e for e in range(DAYS, 5 * DAYS + 1, step) if start < e <= start + 2 * DAYS])
                    hits.append(any(a.any() for a in alarms(record, values, columns, ends).values()))
                out["found"].append((kind, *hits))
                shifted.append((kind, y[2 * DAYS : 3 * DAYS].ravel()))
        few = source.edges is None or len(source.edges) < RIVAL["levels"]
        if rival and few and len(out["rival"]) < RIVAL["columns"]:
            out["rival"].append(
                (source.kind, rng.choice(past.ravel(), RIVAL["reference"], replace=False), year, shifted)
            )
    if rival:
        out["rival"] = preset(out["rival"])
    return out


def preset(held: list[tuple[str, np.ndarray, np.ndarray, list[tuple[str, np.ndarray]]]]) -> dict[str, Any]:
    """Evidently's default preset: columns newly called drifted a year (13 weekly looks, times four), and shifts found."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    kinds = {str(i): kind for i, (kind, *_) in enumerate(held)}

    def drifted(reference: dict[str, np.ndarray], current: dict[str, np.ndarray]) -> set[str]:
        names = list(current)
        of = DataDefinition(
            numerical_columns=[n for n in names if kinds[n] == "numeric"],
            categorical_columns=[n for n in names if kinds[n] != "numeric"],
        )

        def data(values: dict[str, np.ndarray]) -> Any:
            made = {
                n: pd.Series(values[n]) if kinds[n] == "numeric" else pd.Series(values[n]).astype(str) for n in names
            }
            return Dataset.from_pandas(pd.DataFrame(made), of)

        found = Report([DataDriftPreset()]).run(data(current), data(reference)).dict()["metrics"]
        out = set()
        for metric in found:
            about = metric["config"]
            if "column" in about:
                small = "p_value" in about["method"] or about["method"] in ("ks", "chisquare", "z")
                out |= {about["column"]} if (metric["value"] < about["threshold"]) == small else set()
        return out

    reference = {str(i): then for i, (_, then, *_) in enumerate(held)}
    before: set[str] = set()
    count = 0
    for week in range(RIVAL["weeks"]):
        now = {str(i): year[week * DAYS : (week + 1) * DAYS].ravel() for i, (_, _, year, _) in enumerate(held)}
        flagged = drifted(reference, now)
        count += len(flagged - before)
        before = flagged
    found = []
    for i, (_, _, _, shifted) in enumerate(held):
        found += [(kind, bool(drifted({str(i): reference[str(i)]}, {str(i): values}))) for kind, values in shifted]
    return {"alarms": count * WEEKS / RIVAL["weeks"], "found": found}


def main(quick: bool) -> None:
    projects, rivals = (25, 1) if quick else (200, 8)
    weekly, daily, by_history = defaultdict(float), defaultdict(float), defaultdict(list)
    found, other, calls = defaultdict(list), defaultdict(list), []
    for seed in range(projects):
        done = project(seed, seed < rivals)
        for total, of in ((weekly, done["weekly"]), (daily, done["daily"])):
            for kind, count in of.items():
                total[kind] += count / projects
        by_history[done["weeks"]].append([sum(done[how].values()) for how in ("weekly", "daily")])
        for kind, *hits in done["found"]:
            found[kind].append(hits)
        if done["rival"]:
            calls.append(done["rival"]["alarms"])
            for kind, hit in done["rival"]["found"]:
                other[kind].append(hit)
        if (seed + 1) % 10 == 0:
            so_far = {kind: np.round(np.mean(hits, axis=0), 3).tolist() for kind, hits in sorted(found.items())}
            print(f"{seed + 1} projects: {sum(weekly.values()) * projects / (seed + 1):.3f} alarms a year by weekly looks, "
                  f"{sum(daily.values()) * projects / (seed + 1):.3f} by daily ones; found {so_far}", flush=True)  # fmt: skip
    every = np.array([hits for each in found.values() for hits in each])
    names = ("weekly", "any_day", "daily")
    result = {
        "projects": projects,
        "alarms_per_year": round(max(sum(weekly.values()), sum(daily.values())), 4),
        "detected": round(float(every[:, 0].mean()), 4),
        "any_day": round(float(every[:, 1].mean()), 4),
        "daily": round(float(every[:, 2].mean()), 4),
        "by": {
            "shift": {
                kind: dict(zip(names, np.mean(hits, axis=0).round(4).tolist(), strict=True)) | {"planted": len(hits)}
                for kind, hits in sorted(found.items())
            },
            "alarms": {"weekly": _rounded(weekly), "daily": _rounded(daily)},
            "history_weeks": {
                weeks: dict(zip(("weekly", "daily"), np.mean(counts, axis=0).round(4).tolist(), strict=True))
                for weeks, counts in sorted(by_history.items())
            },
        },
        "rival": {
            "what": "Evidently's default preset",
            "subset": f"{rivals} projects, {RIVAL['columns']} columns each (fewer than {RIVAL['levels']} levels), weekly looks of {RIVAL['weeks']} weeks times four",
            "alarms_per_year": round(float(np.mean(calls)), 2),
            "detected": round(float(np.mean([hit for hits in other.values() for hit in hits])), 4),
            "by": {kind: round(float(np.mean(hits)), 4) for kind, hits in sorted(other.items())},
        },
    }
    print(json.dumps(result))


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {kind: round(value, 4) for kind, value in sorted(values.items()) if value}


if __name__ == "__main__":
    if "--flights" in sys.argv:
        from tests.bench._flights_drift import months

        months()
    else:
        main("--quick" in sys.argv)
