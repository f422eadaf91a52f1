"""Scans for leaks that declarations hide: columns that know the target, were filled in later, or cross the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from tasks.engine.asof import prediction_times
from tasks.engine.facts import MISSING, Events, micros, series
from tasks.engine.plan import Plan
from tasks.giveaways import FEWEST, sample
from tasks.giveaways import giveaways as alone
from tasks.kinds import MANY, NUMBER, TWO, usual_kind

LOOKED_AT = 6000  # rows on which single features are measured
CLOSER = 0.5  # scatter of labels about a feature, as a share of what chance makes at least
LATER = 0.8  # share of a feature that labels of later rows explain
SHARED = 0.02  # share of test rows with a twin in training


@dataclass(frozen=True)
class Finding:
    """One suspected leak: its kind, the feature or column, and why."""

    kind: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"leak ({self.kind}): {self.where}: {self.why}"


def giveaways(features: pd.DataFrame, target: np.ndarray, rng: np.random.Generator) -> list[Finding]:
    """Features that alone tell the target, as :mod:`tasks.giveaways` measures it."""
    known = target[~np.isnan(target)]
    levels, counts = np.unique(known, return_counts=True)
    if len(levels) < 2:
        return []
    classes = len(levels) <= 20 and counts.min() >= FEWEST
    kind = usual_kind(NUMBER if not classes else TWO if len(levels) == 2 else MANY)
    rows = sample(target, kind, LOOKED_AT, int(rng.integers(2**31)))
    suspected = alone(features.iloc[rows].reset_index(drop=True), target[rows], kind)
    return [Finding("target", g.feature, f"{g.said}; was it known at the time?") for g in suspected]


def filled_later(features: pd.DataFrame, target: np.ndarray) -> list[Finding]:
    """Features that vary in labelled rows and are constant, or missing, in rows whose label is not there yet."""
    labelled = ~np.isnan(target)
    if min(labelled.sum(), (~labelled).sum()) < FEWEST:
        return []
    findings = []
    for name in features.columns:
        known, waiting = features[name][labelled], features[name][~labelled]
        if known.nunique(dropna=False) < 2 or waiting.nunique(dropna=False) != 1:
            continue
        value = waiting.iloc[:1].tolist()[0]  # a plain number, which is written as one
        usual = known.isna().mean() if pd.isna(value) else (known == value).mean()
        if usual < 0.5:
            says = "missing" if pd.isna(value) else f"always {value!r}"
            why = f"it is {says} in rows without a label and mostly not in rows with one: filled in with the label?"
            findings.append(Finding("after label", str(name), why))
    return findings


def declared_times(tables: Mapping[str, pd.DataFrame], plan: Plan, rows: pd.DataFrame) -> list[Finding]:
    """Rows that hold moments later than the time at which they are declared known; labels known before they are asked for."""
    findings = []
    for name, spec in plan.tables.items():
        if name not in tables or spec.event_time is None:
            continue
        row = Events(spec, tables[name])
        for column, kind in spec.columns.items():
            if (
                kind != "datetime"
                or column not in tables[name].columns
                or (name == plan.table and column not in spec.outcome)
            ):
                continue
            facts = row.later(spec.later.get(column))
            there = (facts.known != MISSING) & (facts.event != MISSING)
            moment = micros(series(tables[name], column, name), column, name)
            late = there & (moment != MISSING) & (moment > facts.known)
            if late.mean() > 0.001:
                known = spec.later.get(column) or spec.known_at or spec.event_time
                why = (
                    f"in {int(late.sum())} rows it is later than {known.column}, when the row is declared known, "
                    f"for instance in row {int(np.flatnonzero(late)[0])}"
                )
                findings.append(Finding("declared time", f"{name}.{column}", why))
    own = plan.tables[plan.table]
    if own.event_time is not None and own.outcome:
        facts, t = _labels(plan, rows), prediction_times(plan, rows)
        there = (facts.known != MISSING) & (t != MISSING)
        early = there & (facts.known < t)
        if there.any() and early.sum() > 0.01 * there.sum():
            why = f"{int(early.sum())} rows are asked after their own outcome was known, so there is nothing to predict"
            findings.append(Finding("prediction time", f"{own.name}.{plan.time.column if plan.time else ''}", why))
    return findings


def _labels(plan: Plan, rows: pd.DataFrame) -> Events:
    """The problem's rows as facts that are known when their labels are."""
    own = plan.tables[plan.table]
    return Events(own, rows).later(own.later.get(plan.target.column) if plan.target else None)


def encoded_targets(features: pd.DataFrame, target: np.ndarray) -> list[Finding]:
    """Numbers that follow the labels of the rows that share them closer than chance allows: they have seen these labels.

    Let m rows share one value. Whatever was known before, the mean of their labels scatters about its expectation with
    variance σ²/m, where σ² is the variance of labels of like rows. A mean that was taken over these very labels does not.
    With G groups, the sum of m·(mean − line)²/σ² over the groups is about χ² with G − 2 degrees of freedom, or larger.
    """
    known = ~np.isnan(target)
    y = target[known]
    classes = [v for v, n in zip(*np.unique(y, return_counts=True), strict=True) if n >= FEWEST][:20]
    findings = []
    for name in features.columns:
        if features[name].dtype != np.float64:
            continue
        z = features[name].to_numpy()[known]
        for labels in (
            [y] if len(np.unique(y)) > 20 else [(y == v).astype(float) for v in classes[-1:] + classes[:-1][:3]]
        ):
            ratio, groups = _scatter(z, labels)
            if ratio < CLOSER:
                why = (
                    f"the labels of rows that share a value lie {1 / max(ratio, 0.01):.0f} times closer to it than chance "
                    f"allows ({groups} groups): it was computed from these labels"
                )
                findings.append(Finding("encoded target", str(name), why))
                break
    return findings


def _scatter(z: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """Scatter of the groups' means about a line, in units of what chance makes at least (1.0 where that cannot be said)."""
    there = ~np.isnan(z)
    z, y = z[there], y[there]
    values, codes, m = np.unique(z, return_inverse=True, return_counts=True)
    fit = (m >= 2)[codes]
    if (m >= 2).sum() < 30 or fit.sum() < max(200, 0.3 * len(z)):
        return 1.0, 0
    mean = np.bincount(codes, y) / m
    use = m >= 2
    within = float(((y - mean[codes])[fit] ** 2).sum() / (m[use] - 1).sum())
    values = values / (
        np.abs(values).max() or 1.0
    )  # the line is the same in any unit, and squares of huge values are none
    values = values - values[use].mean()
    values = values / (np.abs(values).max() or 1.0)
    slope, level = np.polyfit(values[use], mean[use], 1, w=np.sqrt(m[use]))
    about = float((m[use] * (mean[use] - level - slope * values[use]) ** 2).sum())
    spread = float((m[use] * (mean[use] - np.average(mean[use], weights=m[use])) ** 2).sum())
    groups = int(use.sum())
    if np.isin(y, (0.0, 1.0)).all():  # within groups that have one label only nothing scatters: take the mean rate
        rate = np.clip(level + slope * values[use], 0.01, 0.99)
        within = float(np.average(rate * (1 - rate), weights=m[use]))
        sure = min(groups - 2, int(y[fit].sum()), int((1 - y[fit]).sum()))
    else:
        sure = groups - 2
    if within <= 0 or sure < 20 or spread < 0.8 * (groups - 1) * within:  # means as even as these are no one's rates
        return 1.0, groups
    from scipy.stats import chi2

    ratio = about / (groups - 2) / within
    return (ratio, groups) if ratio < CLOSER and chi2.cdf(ratio * sure, sure) < 1e-5 else (1.0, groups)


def later_labels(
    plan: Plan, rows: pd.DataFrame, features: pd.DataFrame, target: np.ndarray, keys: Sequence[str]
) -> list[Finding]:
    """Numbers that later rows' labels explain, and earlier ones do not: aggregates over the future.

    For each key (and for none) the rows stand in the order of their prediction time. The labels of the rows that follow
    (one by one, and as means over the next rows and spans) are held against those of the rows before and the row's own.
    """
    t = prediction_times(plan, rows)
    ok = np.flatnonzero((t != MISSING) & ~np.isnan(target))
    names = [n for n in features.columns if features[n].dtype == np.float64 and features[n].isna().mean() < 0.5]
    if len(ok) < 10 * FEWEST or not names:
        return []
    C = features[names].to_numpy()[ok]
    C = np.where(np.isnan(C), np.nanmean(C, axis=0), C)
    y, t = target[ok], t[ok]
    findings: dict[str, Finding] = {}
    for key in (None, *keys):
        codes = np.zeros(len(ok), np.int64) if key is None else pd.factorize(rows[key].iloc[ok])[0]
        if key is not None and not 2 <= codes.max() + 1 <= len(ok) / 3:
            continue
        order = np.lexsort((t, codes))
        before, after, use = _around(codes[order], t[order], y[order])
        if use.sum() < 10 * FEWEST:
            continue
        own, c = y[order][use, None], C[order][use]
        c = c - c.mean(axis=0)
        size = np.maximum((c**2).sum(axis=0), 1e-300)
        past, later = _explained(c, np.hstack([own, before[use]])), _explained(c, np.hstack([own, after[use]]))
        both = _explained(c, np.hstack([own, before[use], after[use]]))
        for i, name in enumerate(names):
            p, f, b = past[i] / size[i], later[i] / size[i], both[i] / size[i]
            if b >= LATER and b - p >= 0.25 and f - p >= 0.25 and name not in findings:
                whose = f"rows with the same {key}" if key else "rows"
                why = (
                    f"labels of later {whose} explain {b:.0%} of it, its own and earlier ones {p:.0%}: an aggregate over "
                    "the future?"
                )
                findings[name] = Finding("future labels", name, why)
    return list(findings.values())


def _around(codes: np.ndarray, t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What lies before and after each row of its key: ``(n, columns)`` each, and which rows have both."""
    n = len(y)
    start = np.searchsorted(codes, codes, side="left")
    end = np.searchsorted(codes, codes, side="right")
    at, total = np.arange(n), np.concatenate([[0.0], np.cumsum(y)])
    use = (at > start) & (at < end - 1)

    def mean(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        many = high - low
        return np.where(many > 0, (total[high] - total[low]) / np.maximum(many, 1), y.mean())

    before, after = [], []
    for k in (1, 2, 3):  # single neighbours
        before.append(np.where(at - k >= start, y[np.maximum(at - k, 0)], y.mean()))
        after.append(np.where(at + k < end, y[np.minimum(at + k, n - 1)], y.mean()))
    for k in (2, 3, 5, 7, 10, 14, 30, n):  # means of the next ones
        before.append(mean(np.maximum(at - k, start), at))
        after.append(mean(np.minimum(at + 1, end), np.minimum(at + 1 + min(k, n), end)))
    for days in (1, 7, 30):
        span = days * 86_400_000_000
        low, high = _within(codes, t, span)
        before.append(mean(np.minimum(low, at), at))
        after.append(mean(np.minimum(at + 1, end), np.maximum(high, np.minimum(at + 1, end))))
    return np.column_stack(before), np.column_stack(after), use


def _within(codes: np.ndarray, t: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
    """First position at most ``span`` µs before each row, and the end of those at most ``span`` after, in its key."""
    low, high = np.zeros(len(t), np.int64), np.zeros(len(t), np.int64)
    edges = np.append(np.flatnonzero(np.diff(codes, prepend=codes[0] - 1)), len(codes))
    for a, b in pairwise(edges):
        part = t[a:b]
        low[a:b] = a + np.searchsorted(part, part - span, side="left")
        high[a:b] = a + np.searchsorted(part, part + span, side="right")
    return low, high


def _explained(c: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Sum of squares of each column of ``c`` (centred) that the columns of ``X`` explain."""
    X = X - X.mean(axis=0)
    scale = X.std(axis=0)
    X = X / np.where(scale > 1e-9 * scale.max(initial=0.0), scale, np.inf)  # a constant one is nothing but rounding
    both = X.T @ c
    return (both * (np.linalg.pinv(X.T @ X, rcond=1e-10, hermitian=True) @ both)).sum(axis=0)


def overlaps(plan: Plan, rows: pd.DataFrame, split: np.ndarray, target: np.ndarray) -> list[Finding]:
    """Rows of test that are in training too: by key, or as copies; and training labels known only after test begins."""
    findings: list[Finding] = []
    own = plan.tables[plan.table]
    train, test = rows[split == "train"], rows[split == "test"]
    if not len(train) or not len(test):
        return findings
    if own.key:
        key = list(own.key)
        shared = pd.MultiIndex.from_frame(test[key]).isin(pd.MultiIndex.from_frame(train[key]))
        if shared.any():
            why = f"{int(shared.sum())} test rows have the key of a training row, for instance row {test.index[shared][0]}"
            findings.append(Finding("overlap", f"{own.name}.{'+'.join(key)}", why))
    columns = [c for c, kind in own.columns.items() if c not in own.key and kind != "ignore" and c in rows.columns]
    if len(columns) >= 2:
        both = pd.util.hash_pandas_object(rows[columns].assign(__y=target), index=False).to_numpy()
        twins = np.isin(both[split == "test"], both[split == "train"])
        if twins.sum() >= 5 and twins.mean() > SHARED:
            why = f"{int(twins.sum())} of {len(test)} test rows are copies of training rows, label included"
            findings.append(Finding("overlap", own.name, why))
    if plan.time is not None:
        t = prediction_times(plan, rows)
        first = t[(split == "test") & (t != MISSING)].min(initial=np.iinfo(np.int64).max)
        known = _labels(plan, rows).known if own.event_time else np.full(len(rows), MISSING)
        late = (split == "train") & ((t >= first) | ((known >= first) & (known != MISSING) & bool(own.outcome)))
        if late.any():
            why = f"{int(late.sum())} training rows, or their labels, are not older than the first test row"
            findings.append(Finding("overlap", f"{own.name}.{plan.time.column}", why))
    return findings
