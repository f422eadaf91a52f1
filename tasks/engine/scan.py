"""Scans for leaks that declarations hide: columns that know the target, were filled in later, or cross the splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.engine.compute import prediction_times
from tasks.engine.facts import MISSING, Facts, micros, series
from tasks.engine.plan import Plan

KNOWS = 0.99  # area under the ROC curve from which one feature alone is taken to be the target in disguise
FEWEST = 20  # rows of each class (or of each side) below which nothing is concluded
BINS = 20
SHARED = 0.02  # share of test rows with a twin in training
ENCODED = 0.98  # correlation of a table's column with the key's mean target


@dataclass(frozen=True)
class Finding:
    """One suspected leak: its kind, the feature or column, and why."""

    kind: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"leak ({self.kind}): {self.where}: {self.why}"


def giveaways(features: pd.DataFrame, target: np.ndarray, rng: np.random.Generator) -> list[Finding]:
    """Features that alone tell the target almost perfectly, in rows they were not fitted on."""
    labelled = ~np.isnan(target)
    y = target[labelled]
    levels, counts = np.unique(y, return_counts=True)
    classes = len(levels) <= 20 and counts.min() >= FEWEST if len(levels) else False
    if len(levels) < 2 or (not classes and len(y) < 5 * FEWEST):
        return []
    found = []
    fold = rng.integers(0, 2, len(y))
    for name in features.columns:
        score = knows(features[name][labelled], y, fold, levels if classes else None)
        if score >= KNOWS:
            what = f"area under the ROC curve {score:.3f}" if classes else f"R² {score:.3f}"
            found.append(Finding("target", str(name), f"alone it tells the target ({what}); was it known at the time?"))
    return found


def knows(column: pd.Series, y: np.ndarray, fold: np.ndarray, levels: np.ndarray | None) -> float:
    """How well bins of a column (missing is one) tell the target in the other half: the lowest AUC of any class, or R²."""
    codes = _bins(column)
    if codes.max(initial=0) == 0:
        return 0.0
    if levels is None:
        guess = _held_out(codes, y, fold)
        return float(1 - np.mean((y - guess) ** 2) / max(np.var(y), 1e-300))
    return min(_auc(_held_out(codes, (y == level).astype(float), fold), y == level) for level in levels)


def _bins(column: pd.Series) -> np.ndarray:
    if column.dtype != np.float64:
        codes = pd.factorize(column)[0]
        counts = np.bincount(codes + 1)
        return np.where(counts[codes + 1] >= 5, codes + 1, 0)
    values = column.to_numpy()
    there = ~np.isnan(values)
    if not there.any():
        return np.zeros(len(values), np.int64)
    levels = np.unique(values[there])
    if len(levels) <= 4 * BINS:
        edges = levels
    else:
        edges = np.unique(np.quantile(values[there], np.linspace(0, 1, 10 * BINS + 1)))
    return np.where(there, np.searchsorted(edges, values, side="right") + 1, 0)


def _held_out(codes: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Mean target of each bin as the other half of the rows has it."""
    guess = np.empty(len(y))
    for half in (0, 1):
        fit, use = fold != half, fold == half
        size = codes.max() + 1
        total, count = np.bincount(codes[fit], y[fit], size), np.bincount(codes[fit], minlength=size)
        prior = y[fit].mean() if fit.any() else 0.0
        guess[use] = ((total + 0.1 * prior) / (count + 0.1))[codes[use]]
    return guess


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    rank = pd.Series(score).rank().to_numpy()
    n = int(positive.sum())
    return float((rank[positive].sum() - n * (n + 1) / 2) / max(n * (len(score) - n), 1))


def filled_later(features: pd.DataFrame, target: np.ndarray) -> list[Finding]:
    """Features that vary in labelled rows and are constant, or missing, in rows whose label is not there yet."""
    labelled = ~np.isnan(target)
    if min(labelled.sum(), (~labelled).sum()) < FEWEST:
        return []
    found = []
    for name in features.columns:
        known, waiting = features[name][labelled], features[name][~labelled]
        if known.nunique(dropna=False) < 2 or waiting.nunique(dropna=False) != 1:
            continue
        value = waiting.iloc[0]
        usual = known.isna().mean() if pd.isna(value) else (known == value).mean()
        if usual < 0.5:
            says = "missing" if pd.isna(value) else f"always {value!r}"
            why = f"it is {says} in rows without a label and mostly not in rows with one: filled in with the label?"
            found.append(Finding("after label", str(name), why))
    return found


def declared_times(tables: Mapping[str, pd.DataFrame], plan: Plan, rows: pd.DataFrame) -> list[Finding]:
    """Rows that hold moments later than the time at which they are declared known; labels known before they are asked for."""
    found = []
    for name, spec in plan.tables.items():
        if name not in tables or spec.event_time is None:
            continue
        facts = Facts(spec, tables[name])
        there = (facts.known != MISSING) & (facts.event != MISSING)
        for column, kind in spec.columns.items():
            if (
                kind != "datetime"
                or column not in tables[name].columns
                or (name == plan.table and column not in spec.outcome)
            ):
                continue
            moment = micros(series(tables[name], column, name), column, name)
            late = there & (moment != MISSING) & (moment > facts.known)
            if late.mean() > 0.001:
                known = spec.known_at or spec.event_time
                why = (
                    f"in {int(late.sum())} rows it is later than {known.column}, when the row is declared known, "
                    f"for instance in row {int(np.flatnonzero(late)[0])}"
                )
                found.append(Finding("declared time", f"{name}.{column}", why))
    own = plan.tables[plan.table]
    if own.event_time is not None and own.outcome:
        facts, t = Facts(own, rows), prediction_times(plan, rows)
        there = (facts.known != MISSING) & (t != MISSING)
        early = there & (facts.known < t)
        if there.any() and early.sum() > 0.01 * there.sum():
            why = f"{int(early.sum())} rows are asked after their own outcome was known, so there is nothing to predict"
            found.append(Finding("prediction time", f"{own.name}.{plan.time.column if plan.time else ''}", why))
    return found


def encoded_targets(
    plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame, target: np.ndarray
) -> list[Finding]:
    """Columns of tables without times that are the mean target of their key: learned from all rows, test rows too."""
    found = []
    for feature in plan.features:
        make = feature.make
        if make["op"] != "lookup" or feature.kind != "numeric" or plan.tables[make["table"]].event_time is not None:
            continue
        mine, theirs = list(make["on"]), list(make["on"].values())
        means = rows[mine].assign(__y=target).dropna().groupby(mine)["__y"].agg(["mean", "count"])
        means = means[means["count"] >= 5].reset_index()
        both = means.merge(tables[make["table"]][[*theirs, make["column"]]], left_on=mine, right_on=theirs)
        if len(both) >= FEWEST // 2 and both[make["column"]].nunique() > 2 and both["mean"].nunique() > 2:
            r = float(both["mean"].corr(both[make["column"]], method="spearman"))
            if abs(r) >= ENCODED:
                why = f"it follows its key's mean target over all rows (rank correlation {r:.3f})"
                found.append(Finding("encoded target", feature.name, why))
    return found


def overlaps(plan: Plan, rows: pd.DataFrame, split: np.ndarray, target: np.ndarray) -> list[Finding]:
    """Rows of test that are in training too: by key, or as copies; and training labels known only after test begins."""
    found: list[Finding] = []
    own = plan.tables[plan.table]
    train, test = rows[split == "train"], rows[split == "test"]
    if not len(train) or not len(test):
        return found
    if own.key:
        key = list(own.key)
        shared = pd.MultiIndex.from_frame(test[key]).isin(pd.MultiIndex.from_frame(train[key]))
        if shared.any():
            why = f"{int(shared.sum())} test rows have the key of a training row, for instance row {test.index[shared][0]}"
            found.append(Finding("overlap", f"{own.name}.{'+'.join(key)}", why))
    columns = [c for c, kind in own.columns.items() if c not in own.key and kind != "ignore" and c in rows.columns]
    if len(columns) >= 2:
        both = pd.util.hash_pandas_object(rows[columns].assign(__y=target), index=False).to_numpy()
        twins = np.isin(both[split == "test"], both[split == "train"])
        if twins.sum() >= 5 and twins.mean() > SHARED:
            why = f"{int(twins.sum())} of {len(test)} test rows are copies of training rows, label included"
            found.append(Finding("overlap", own.name, why))
    if plan.time is not None:
        t = prediction_times(plan, rows)
        first = t[(split == "test") & (t != MISSING)].min(initial=np.iinfo(np.int64).max)
        known = Facts(own, rows).known if own.event_time else np.full(len(rows), MISSING)
        late = (split == "train") & ((t >= first) | ((known >= first) & (known != MISSING) & bool(own.outcome)))
        if late.any():
            why = f"{int(late.sum())} training rows, or their labels, are not older than the first test row"
            found.append(Finding("overlap", f"{own.name}.{plan.time.column}", why))
    return found
