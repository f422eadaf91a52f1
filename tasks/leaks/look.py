"""The look itself: pure functions of tables, features and labels, each on a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from tasks.artifacts import Leaks, Suspicion
from tasks.artifacts.columns import ROW, SPLIT, TARGET
from tasks.engine import Plan, leak_scans
from tasks.engine.asof import prediction_times
from tasks.engine.compute import compute
from tasks.engine.facts import HOUR, MISSING, micros
from tasks.engine.foresight import aggregates_ahead
from tasks.engine.prove import change_the_future, keys_of
from tasks.engine.recipes import DatePart, LookedUp, OwnColumn, Transform
from tasks.giveaways import Fold, giveaways, halves, sample
from tasks.kinds import find_kind
from tasks.leaks.columns import columns_of
from tasks.stored import Frame, in_memory

TRAIN, VALID = 4000, 2000  # rows on which single features are measured
LABELS = 12_000  # rows on which labels of other rows are held against features
SLICE = 12_000  # rows of the problem table, and of each other table with times, whose future is changed
POISONED = 300
PAIRS = 15
WORDS = {
    "copy": "repeats the target",
    "noisy copy": "repeats the target with some noise",
    "coarse copy": "repeats the target in coarser steps",
    "own values": "has values that only one class has",
    "after label": "seems to be filled in with the label",
    "encoded target": "was computed from the labels that it is to predict",
    "future labels": "follows the labels of later rows",
    "future aggregate": "was computed from what came later",
    "future": "changes when only the future changes",
    "declared time": "is later than the time at which it is declared known",
    "prediction time": "comes after the outcome was known",
}
LIMITS = (
    "A column computed elsewhere from what came later cannot be told from an honest one where it says little: only what "
    "repeats the labels, or follows them closer than chance, is found.",
    "Two weak columns that give the target away only together are not found.",
    "A column that says beforehand what is planned, such as the number of payments to come, or a limit that is always "
    "reached, equals an aggregate over times to come and is honest: accept it.",
    "A leak that is weaker than the other features, and no exact copy, may pass for one of them.",
)


def look(plan: Plan, tables: Mapping[str, pd.DataFrame], made: Frame, kind: str, seed: int) -> Leaks:
    """What looks as if it gave the target away. ``made`` is ``features.parquet``; rows of test take no part, only their times do."""
    rows = tables[plan.table].take(made[ROW].to_numpy()).reset_index(drop=True)
    split, y = made[SPLIT], made[TARGET].to_numpy(np.float64)
    y = np.where(split.isin(["train", "valid"]), y, np.nan)
    features = made[[f.name for f in plan.features]]
    found: list[Suspicion] = []
    checked = []

    labelled = find_kind(kind).targeted
    folds: list[Fold] = []
    if labelled:
        part, folds = measured_on(y, split, kind, plan.time is not None, seed)
    del split
    if folds:
        X = pd.concat([features.iloc[part].reset_index(drop=True), spans(plan, rows.iloc[part])], axis=1)
        sources = {n: columns_of(n, plan) if n in features else _pair(n, plan) for n in X.columns}
        found += [
            _suspicion(sources[g.feature], g.feature, g.kind, g.strength, g.said, g.certain)
            for g in giveaways(X, y[part], kind, folds, seed)
        ]
        checked.append(
            f"what each of {X.shape[1]} features tells alone, on {len(part):,} rows, against all weaker ones"
        )
    findings: list[leak_scans.Finding] = []
    if plan.time is not None:
        findings, compared = aggregates_ahead(tables, plan, rows, features, seed)
        checked.append(f"columns that equal another one's aggregate over times to come, {compared:,} comparisons")
    if labelled:
        findings += against_labels(plan, rows, features, y, checked)
    if plan.time is not None:
        findings += poisoned(plan, tables, seed)
        checked.append(f"features of {POISONED} rows with the future made random")
        findings += [
            f for f in leak_scans.declared_times(tables, plan, rows)
            if f.kind == "prediction time" or f.where.startswith(f"{plan.table}.")
        ]  # fmt: skip
        checked.append("moments inside rows against the time at which they are declared known")
    for f in findings:
        found.append(_suspicion(columns_of(f.where.removeprefix(f"{plan.table}."), plan), f.where, f.kind, None, f.why))
    limits = list(LIMITS) if labelled else [f"Kind {kind!r} has no target, so nothing was held against labels."]
    return Leaks(suspicions=one_each(found), checked=checked, limits=limits)


def against_labels(
    plan: Plan, rows: pd.DataFrame, features: Frame, y: np.ndarray, checked: list[str]
) -> list[leak_scans.Finding]:
    """Features that know whether there is a label, or lie closer to labels than chance allows; what was looked at goes into
    ``checked``.
    """
    label = label_of(plan, rows)
    few = np.concatenate([np.flatnonzero(labelled)[-TRAIN:] for labelled in (np.isnan(label), ~np.isnan(label))])
    findings = leak_scans.filled_later(features.iloc[few], label[few])
    checked.append("features that are filled in only where the label is there")

    some = _newest(np.flatnonzero(~np.isnan(y)), plan, rows, LABELS)
    near = (OwnColumn, LookedUp, Transform)
    own = [f.name for f in plan.features if isinstance(f.recipe, near) and f.kind == "numeric"]
    numbers = features[own].iloc[some].reset_index(drop=True)
    findings += leak_scans.encoded_targets(numbers, y[some])
    checked.append(f"labels that lie closer to a feature than chance allows, on {len(some):,} rows")
    if plan.time is not None and own:
        at = rows.iloc[some].reset_index(drop=True)
        findings += leak_scans.later_labels(plan, at, numbers, y[some], keys_of(plan, at))
        checked.append("labels of later rows against those of earlier ones")
    return findings


def measured_on(y: np.ndarray, split: pd.Series, kind: str, timed: bool, seed: int) -> tuple[np.ndarray, list[Fold]]:
    """Which rows to take, and the folds among them: fitted on training rows and measured on validation rows.

    Where there are few validation rows, each half of both measures what the other half teaches.
    """
    parts = []
    for name, most in (("train", TRAIN), ("valid", VALID)):
        rows = np.flatnonzero(split == name)
        parts.append(rows[sample(y[rows], kind, most, seed)])
    part = np.concatenate(parts)
    if not len(parts[0]) or not len(parts[1]):
        return part, []
    enough = 500 if timed else 1000
    if len(parts[1]) >= enough and (
        not find_kind(kind).output.classes or np.unique(y[parts[1]], return_counts=True)[1].min() >= 100
    ):
        fit = np.arange(len(parts[0]))
        return part, [(fit, len(fit) + np.arange(len(parts[1])))]
    return part, halves(~np.isnan(y[part]), seed)


def spans(plan: Plan, rows: pd.DataFrame) -> pd.DataFrame:
    """Hours between the date columns that the plan reads (and the prediction time): a date can tell by its distance."""
    read = [f.recipe.column for f in plan.features if isinstance(f.recipe, DatePart)]
    read = list(dict.fromkeys([*([plan.time.column] if plan.time else []), *read]))
    out = {}
    for a, b in list(combinations(read, 2))[:PAIRS]:
        one, two = (micros(rows[c], c, plan.table) for c in (a, b))
        out[f"{b} - {a}"] = np.where((one == MISSING) | (two == MISSING), np.nan, (two - one) / HOUR)
    return pd.DataFrame(out, index=range(len(rows)))


def _pair(name: str, plan: Plan) -> list[str]:
    later, _, earlier = name.partition(" - ")
    return [later] if plan.time and earlier == plan.time.column else [later, earlier]


def label_of(plan: Plan, rows: pd.DataFrame) -> np.ndarray:
    """0 where the row has a label, NaN where it has none: a row that waits for other reasons has one."""
    assert plan.target
    return np.where(rows[plan.target.name].isna(), np.nan, 0.0)


def _newest(known: np.ndarray, plan: Plan, rows: pd.DataFrame, most: int) -> np.ndarray:
    """The newest of these rows (without times the first), in order: neighbours stay neighbours."""
    if plan.time is None or len(known) <= most:
        return known[:most]
    t = prediction_times(plan, rows)[known]
    return np.sort(known[np.argsort(t, kind="stable")[-most:]])


def poisoned(plan: Plan, tables: Mapping[str, pd.DataFrame], seed: int) -> list[leak_scans.Finding]:
    """:func:`tasks.engine.prove.change_the_future` over a slice of each table, at one moment."""
    cut = {name: sliced(plan, name, frame) for name, frame in tables.items()}
    rng = np.random.default_rng(seed)
    return change_the_future(cut, plan, cut[plan.table], compute, 1, POISONED, rng)


def sliced(plan: Plan, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A run of :data:`SLICE` rows of a table with times, its newest but a tenth; a table without times whole."""
    spec = plan.tables[name]
    when = plan.time if name == plan.table else spec.event_time
    if when is None or len(frame) <= SLICE:
        return in_memory(frame)
    t = micros(frame[when.column], when.column, name)
    order = np.argsort(t, kind="stable")
    end = len(order) - len(order) // 10 if name == plan.table else len(order)
    return frame.iloc[np.sort(order[max(end - SLICE, 0) : end])].reset_index(drop=True)


def _suspicion(
    columns: list[str], feature: str, kind: str, strength: float | None, said: str, certain: bool = False
) -> Suspicion:
    return Suspicion(
        column=columns[0], columns=columns, feature=feature, kind=kind, strength=strength, certain=certain,
        said=f"{WORDS.get(kind, kind)}: {said}",
    )  # fmt: skip


def one_each(found: Iterable[Suspicion]) -> list[Suspicion]:
    """One suspicion for each column, the strongest; a feature made of columns that are suspected themselves is left out."""
    kept: dict[str, Suspicion] = {}
    for s in sorted(found, key=lambda s: (len(s.columns), -(s.strength or 0.0), s.column)):
        if not any(c in kept for c in s.columns):
            kept[s.column] = s
    return sorted(kept.values(), key=lambda s: (-(s.strength or 0.0), s.column))
