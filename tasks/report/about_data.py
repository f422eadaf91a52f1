"""Sections on what went in: rows, splits, features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
from markupsafe import Markup

from tasks.artifacts import Explanation, RowCounts, RuleResult, Summary, Validation
from tasks.kinds import find_kind
from tasks.report.blocks import Block, Cell, Chart, Charts, Facts, Prose, Section, Table, text
from tasks.report.charts import Axis, Series, dated, histogram, xy
from tasks.report.found import FamilyFiles, Json, Periods
from tasks.report.numbers import DASH, day, moment, number, percent, plain

SPLITS = {
    "train": (1, "candidates are fitted on these rows"),
    "valid": (3, "parameters, family and threshold are chosen on these rows"),
    "test": (2, "measured once, seen by no candidate"),
    "pending": (0, "label not known yet"),
}


RULES = 250  # shown


def data(validated: Validation | None, features: Summary | None, by_time: Periods | None) -> Section:
    """Rows accepted and quarantined (with reasons), the moment that counts, and the splits."""
    blocks: list[Block] = []
    missing = as_of = ""
    if validated:
        tables = validated.tables.values()
        read, accepted, refused = (sum(getattr(t, k) for t in tables) for k in ("input", "accepted", "quarantined"))
        facts = [
            ("Rows read", number(read), f"in {len(tables)} {'table' if len(tables) == 1 else 'tables'}"),
            ("Accepted", number(accepted), "kept for this run"),
            ("Quarantined", number(refused), f"{percent(refused / read if read else None, 2)} of what was read"),
        ]
        if validated.as_of:
            late = sum(t.not_yet_known for t in tables)
            facts.append(("As of", day(validated.as_of), f"{number(late)} rows were not known yet"))
            as_of = f" The run sees only what was known on {moment(validated.as_of)}."
        blocks += [Facts(facts), _tables(validated.tables), *_rules(validated)]
    else:
        missing = "the validation summary is not there."
    if features:
        blocks += _splits(features, by_time)
    return Section(
        "data",
        "Data",
        f"What was read, what was refused and why, and how the rows were divided.{as_of}",
        blocks,
        missing,
    )


def _tables(tables: dict[str, RowCounts]) -> Table:
    rows = []
    for name, table in tables.items():
        reasons = sorted(table.reasons.items(), key=lambda kv: (-kv[1], kv[0]))
        said = "; ".join(f"{reason}: {number(count)}" for reason, count in reasons[:6])
        said += f"; and {len(reasons) - 6} more reasons" if len(reasons) > 6 else ""
        counts = (table.input, table.accepted, table.not_yet_known, table.quarantined)
        rows.append([text(name), *(Cell(number(c), sort=c) for c in counts), Cell(said or "none")])
    columns = [
        ("Table", "text", ""),
        ("Read", "number", "rows in the source"),
        ("Accepted", "number", "rows that keep the contract"),
        ("Not yet known", "number", "rows that lay in the future of this run"),
        ("Quarantined", "number", "rows moved to data/quarantine"),
        ("Reasons for quarantine", "text wide", "rows per broken rule"),
    ]
    return Table(columns, rows, "Rows per table. Accepted, not yet known and quarantined rows add up to what was read.")


def _rules(validated: Validation) -> list[Prose | Table]:
    """What the tables were held against, and what came: the difference from what was accepted with the champion."""
    of = [one for one in validated.baseline.values() if one and (one.by or one.version)]
    held = [f for f in validated.expectations if f.scope]
    if not of:
        return [
            Prose(
                "There was no champion to hold these tables against: rows were judged one by one, and whole tables only by "
                "the suites in data/expectations, or by themselves."
            )
        ]
    whose = sorted({f"by {one.by}: {one.reason}" if one.by else f"with version {one.version}" for one in of})
    first: dict[tuple[str, ...], RuleResult] = {}
    for one in held:  # the newest window of each part comes first
        first.setdefault((one.table, one.about, str(one.check), one.expectation), one)
    shown = sorted(first.values(), key=lambda f: f.success)[:RULES]
    rows = [
        [
            text(f.table), text(f.scope), text(f.about), text(f.check), Cell(f.was or DASH),
            text(f.expected), text(f.found), Cell("kept" if f.success else "told only"),
        ]
        for f in shown
    ]  # fmt: skip
    columns = [
        ("Table", "text", ""),
        ("Rows", "text", "which rows were held against it"),
        ("About", "text", ""),
        ("Rule", "text", ""),
        ("Accepted before", "text", "what it was, from the lowest to the highest window"),
        ("Allowed", "text", ""),
        ("This run", "text", ""),
        ("Verdict", "text", ""),
    ]
    said = (
        f"{len(held):,} rules of Great Expectations held these tables against what was accepted {'; '.join(whose)}. "
        "Each rule is shown for the newest rows that it is about."
    )
    return [Table(columns, rows, said)]


def _splits(features: Summary, periods: Periods | None) -> list[Facts | Charts]:
    rows = features.rows
    total = sum(rows.values())
    facts = [
        (plain(k), number(rows[k]), f"{percent(rows[k] / total if total else None)}; {SPLITS[k][1]}")
        for k in SPLITS
        if rows.get(k)
    ]
    blocks: list[Facts | Charts] = [Facts(facts)]
    if periods:
        blocks.append(Charts(_over_time(features, periods)))
    return blocks


def _over_time(features: Summary, periods: Periods) -> list[Chart]:
    """Rows per period by split, and the target's mean per period."""
    edges, unit = periods.edges, periods.unit
    at = list(range(len(edges)))
    begins = [datetime.fromisoformat(edge) for edge in edges]
    axis = replace(dated(f"prediction time, by {unit}", at, begins), low=0, high=len(edges) - 1)
    groups = [(plain(k), periods.rows[k], SPLITS[k][0]) for k in SPLITS if any(periods.rows.get(k, ()))]
    named = [day(e) for e in edges]
    svg = histogram("Rows by time", axis, Axis("rows", low=0), at, groups, named)
    by_time = isinstance(features.boundaries.get("test"), str)
    said = (
        "Each split lies after the one before it, so nothing is learnt from the future." if by_time
        else "The rows were split at random: training rows are as new as test rows, so the test does not show what time does."
    )  # fmt: skip
    charts = [Chart("Rows by time", svg, said)]
    known = [
        (i + 0.5, v, n) for i, (v, n) in enumerate(zip(periods.target, periods.labelled, strict=True)) if v is not None
    ]
    told = find_kind(features.kind).mean_target(features.target, features.classes)
    if known and told is not None:
        label, share = told
        tips = [
            f"from {named[int(i)]}: {percent(v) if share else number(v)} ({n:,} labelled rows)" for i, v, n in known
        ]
        line = Series("", [i for i, _, _ in known], [v for _, v, _ in known], 1, "line+points", tips)
        svg = xy("Target by time", axis, Axis(label, low=0 if share else None, percent=share), [line])
        charts.append(
            Chart(
                "Target by time", svg, "A target that moves from season to season is why a model has to be kept fresh."
            )
        )
    return charts


def periods(times: pd.Series, splits: pd.Series, target: pd.Series) -> Periods | None:
    """Rows by split, and the target's mean, per day, week or 30 days, whichever gives at most 60 periods.

    ``times`` UTC with NaT, ``splits`` names, ``target`` float64 with NaN; all (n,). None without times.
    """
    there = times.notna()
    if not there.any() or times[there].nunique() < 2:
        return None
    start = times[there].min().normalize()
    length = (times[there].max() - start).days + 1
    unit, days = next(
        ((u, d) for u, d in (("day", 1), ("week", 7), ("30 days", 30)) if length / d <= 60), ("year", 365)
    )
    at = ((times[there] - start).dt.days // days).to_numpy()
    count = int(at.max()) + 1
    rows = {name: np.bincount(at[(splits[there] == name).to_numpy()], minlength=count).tolist() for name in SPLITS}
    y = target[there].to_numpy(float)
    known = np.isfinite(y)
    labelled = np.bincount(at[known], minlength=count)
    sums = np.bincount(at[known], weights=y[known], minlength=count)
    mean = [float(s / n) if n else None for s, n in zip(sums, labelled, strict=True)]
    edges = [(start + pd.Timedelta(days * i, "D")).isoformat() for i in range(count + 1)]
    return Periods(unit, edges, rows, mean, labelled.tolist())


def features_section(
    summary: Summary | None,
    plan: Json | None,
    explain: Explanation | None,
    families: Mapping[str, FamilyFiles],
) -> Section:
    """How many features of which kind, which matter, which no model got and why, and what each is."""
    timed = bool((plan or {}).get("time"))
    lead = "What the models look at." + (
        " A feature of a row uses only what was known before the row's prediction time." if timed else ""
    )
    if not summary:
        return Section("features", "Features", lead, missing="the feature summary is not there.")
    features = summary.features
    kinds = Counter(feature.kind for feature in features)
    weight = explain.importance if explain else {}
    facts = [("Features", number(len(features)), "in the plan that training and serving share")]
    facts += [(plain(kind), number(n), "features") for kind, n in sorted(kinds.items(), key=lambda kv: -kv[1])]
    dropped = {
        name: why for files in families.values() if files.candidate for name, why in files.candidate.dropped.items()
    }
    if dropped:
        facts.append(("Left out", number(len(dropped)), "features that no model gets"))
    blocks: list[Block] = [Facts(facts)]
    missing = ""
    top = sorted(weight.items(), key=lambda kv: (-kv[1], kv[0]))
    if top:
        most = top[0][1] or 1.0
        rows = [
            [
                text(i),
                Cell(Markup("<code>{}</code>").format(name), sort=name),
                Cell(number(v), sort=v, bar=max(v, 0) / most, note=_doubt(explain, name)),
            ]
            for i, (name, v) in enumerate(top[:15], 1)
        ]
        how = explain.method if explain else ""
        blocks.append(
            Table(
                [
                    ("", "number", ""),
                    ("Feature", "text", ""),
                    ("Importance", "number", f"{how}; ± two standard errors"),
                ],
                rows,
                f"The features that move the chosen model's answers most ({how}); ± is what other rows would change.",
            )
        )
    else:
        missing = "which features matter (there is no explanation of the chosen model in data/evaluation)."
    if dropped:
        rows = [[Cell(Markup("<code>{}</code>").format(name), sort=name), text(why)] for name, why in dropped.items()]
        columns = [("Feature", "text", ""), ("Why", "text wide", "judged on the training rows")]
        blocks.append(
            Table(columns, rows, "Features that no model gets.", search="Search them" if len(rows) > 14 else "")
        )
    listed = []
    for feature in features:
        name = feature.name
        about = feature.description or DASH
        row = [Cell(Markup("<code>{}</code>").format(name), sort=name), text(feature.kind), text(about)]
        if weight:
            row.append(Cell(number(weight[name]) if name in weight else DASH, sort=weight.get(name, -1)))
        listed.append(row)
    columns = [("Feature", "text", ""), ("Kind", "text", ""), ("What it is", "text wide", "")]
    columns += [("Importance", "number", "")] if weight else []
    blocks.append(Table(columns, listed, "All features, in the order of the plan.", search="Search the features"))
    if summary.plan:
        blocks.append(Prose(Markup("Plan <code>{}</code>").format(summary.plan[:16]), quiet=True))
    return Section("features", "Features", lead, blocks, missing)


def _doubt(explain: Explanation | None, name: str) -> str:
    """Two standard errors of a feature's importance, over the rows that were explained."""
    error = explain.importance_error.get(name) if explain else None
    return "" if error is None else f"± {2 * error:.2g}"
