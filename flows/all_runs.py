"""All runs of a model on one page: who was champion when, every decision, the trend of the metric, and drift."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup, escape

from tasks.artifacts import Measured
from tasks.registry.history import Decision, current_champion
from tasks.registry.tracking import TrackedRun
from tasks.report import trend
from tasks.report.blocks import Block, Cell, Chart, Charts, Head, Page, Panel, Panels, Section, Steps, Table, text
from tasks.report.charts import Axis, Series, dated, xy
from tasks.report.costs import Prices
from tasks.report.marks import InOffice, timeline
from tasks.report.numbers import DASH, counted, day, number, plain, title
from tasks.report.page import render

DONE = {"promote": "promoted", "keep": "not promoted", "rollback": "brought back", "adopt": "taken over"}
SHOWN = 12  # champions in the picture


def all_runs(
    model: str,
    decisions: Sequence[Decision],
    runs: Sequence[TrackedRun],
    now: datetime,
    coming: Sequence[str] = (),
    unit: str = "",
) -> str:
    """The page; ``decisions`` and ``runs`` oldest first, ``now`` ends the time of the present champion.

    ``coming``: sentences on what happens next, commands between backticks. ``unit``: of what errors cost.
    """
    champion = current_champion(list(decisions))
    if champion is not None:
        headline = f"Version {champion.champion} is the champion, since {day(champion.at)}."
        said = f"It was {DONE[champion.action]} by {champion.by}: {champion.reason}"
    else:
        headline, said = "There is no champion.", ""
    drawn = [_trend(decisions), _champions(decisions, now)]
    panels = [Panel(name, [Charts([one])]) for name, one in zip(("The trend", "Champions"), drawn, strict=True) if one]
    left, right = panels[:1], panels[1:]
    if coming:
        right = [Panel("What happens next", [Steps([_marked(line) for line in coming])]), *right]
    blocks: list[Block] = [Panels(left, right)] if left or right else []
    about = [("Runs", number(len(runs))), ("Decisions", _tally(decisions)), ("Drift", _drift_said(runs))]
    top = Head("All runs", "keep" if champion else "none", headline, said, about, blocks)
    sections = [_decided(decisions, unit), _measured(runs), _drift(runs)]
    return render(Page(f"{model}: all runs", model, [counted(len(runs), "run")], top, sections, first="Overview"))


def _tally(decisions: Sequence[Decision]) -> str:
    """
    >>> _tally([])
    'none'
    """
    count = Counter(d.action for d in decisions)
    return ", ".join(f"{number(n)} × {DONE[action]}" for action, n in count.items()) or "none"


def _of(decision: Decision) -> Measured:
    return Measured.model_validate(decision.evidence.get("measured", {}))


def _trend(decisions: Sequence[Decision]) -> Chart | None:
    """The metric that was judged by last, from run to run."""
    measured = [(d, _of(d)) for d in decisions]
    metric = next((m.metric for _, m in reversed(measured) if m.metric), "")
    points = [trend.point(m, d.action == "promote", d.champion) for d, m in measured if m.metric == metric and metric]
    return trend.chart([p for p in points if p], metric)


def _champions(decisions: Sequence[Decision], now: datetime) -> Chart | None:
    """A bar for each time in office."""
    changes = [d for d in decisions if d.action != "keep"]
    ends = [*(datetime.fromisoformat(d.at) for d in changes[1:]), now]
    held = [
        (d, datetime.fromisoformat(d.at), end) for d, end in zip(changes, ends, strict=False) if d.champion is not None
    ]
    if not held:
        return None
    held = held[-SHOWN:]
    begin = held[0][1]

    def at(moment: datetime) -> float:
        return max((moment - begin).total_seconds() / 86400, 0.0)

    spans = [
        InOffice(
            f"version {d.champion}",
            at(start),
            at(end),
            1 if end is now or end == now else 0,
            f"version {d.champion}, {DONE[d.action]} by {d.by}: {day(d.at)} to {'now' if end == now else day(end.isoformat())}",
        )
        for d, start, end in held
    ]
    moments = sorted({start for _, start, _ in held} | {now})
    axis = dated("time of the decision", [at(m) for m in moments], moments)
    said = "Who was in service when; the coloured one is in service now."
    return Chart("Time in office", timeline("Champions over time", axis, spans), said)


def _marked(line: str) -> Markup:
    """
    >>> _marked("`refit run` makes <it>")
    Markup('<code>refit run</code> makes &lt;it&gt;')
    """
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(line))))


def _decided(decisions: Sequence[Decision], unit: str) -> Section:
    """Every decision, the newest first."""
    lead = "Every decision about the model, the newest first: by a run's verdict, or by a person."
    if not decisions:
        return Section("decisions", "Decisions", lead, missing="nothing was decided yet.")
    rows, priced = [], any(_of(d).challenger_cost is not None for d in decisions)
    for d in reversed(decisions):
        measured = _of(d)
        tone = {"promote": "good", "rollback": "warn"}.get(d.action, "")
        rows.append(
            [
                Cell(day(d.at), sort=d.at, note=f"{d.at[11:16]} UTC"),
                Cell(f"Version {d.version} {DONE[d.action]}", tone=tone, sort=d.number, note=f"by {d.by}"),
                Cell(d.reason),
                Cell(day(measured.as_of), sort=measured.as_of or ""),
                Cell(
                    number(measured.challenger),
                    note=title(measured.metric) if measured.metric else "",
                    sort=measured.challenger,
                ),
                Cell(number(measured.champion), sort=measured.champion),
                *([_spent(measured, unit)] if priced else []),
            ]
        )
    columns = [
        ("Decided", "text", ""),
        ("Decision", "text", ""),
        ("Why", "text wide", ""),
        ("Data up to", "text", ""),
        ("New model", "number", "on the compared rows"),
        ("Champion", "number", "on the same rows"),
        *([("Errors cost", "number", "by compared row, the new model's")] if priced else []),
    ]
    return Section("decisions", "Decisions", lead, [Table(columns, rows, search="Search the decisions")])


def _spent(measured: Measured, unit: str) -> Cell:
    mine, other = measured.challenger_cost, measured.champion_cost
    if mine is None:
        return Cell(DASH)
    say = Prices(0, 0, unit).say
    return Cell(f"{say(mine)} a row", sort=mine, note=f"the champion’s {say(other)}" if other is not None else "")


def _measured(runs: Sequence[TrackedRun]) -> Section:
    lead = "Every run that MLflow has, the newest first, on its own test rows: those of other runs are other rows."
    if not runs:
        return Section("runs", "Runs", lead, missing="MLflow has no run of this model.")
    rows = [
        [
            Cell(day(run.at), sort=run.at, note=f"{run.at[11:16]} UTC"),
            Cell(day(run.as_of), sort=run.as_of or ""),
            Cell(", ".join(run.versions) or DASH),
            text(plain(run.family)),
            Cell(number(run.test), note=title(run.metric), sort=run.test),
            Cell(_drift_of(run), tone="warn" if run.drifted else ""),
        ]
        for run in reversed(runs)
    ]
    columns = [
        ("Recorded", "text", ""),
        ("Data up to", "text", ""),
        ("Version", "text", "that it registered; a run that makes a known package registers none"),
        ("Family", "text", ""),
        ("Test", "number", "of the chosen model"),
        ("Drift", "text", ""),
    ]
    return Section("runs", "Runs", lead, [Table(columns, rows)])


def _drift_of(run: TrackedRun) -> str:
    if run.drifted is None:
        return "not judged"
    columns = counted(run.drifted_columns or 0, "column")
    return (
        f"drifted ({columns})" if run.drifted else "stable" if not run.drifted_columns else f"stable ({columns} moved)"
    )


def _drift_said(runs: Sequence[TrackedRun]) -> str:
    judged = [run for run in runs if run.drifted is not None]
    if not judged:
        return "not judged in any run"
    return f"in {number(sum(bool(run.drifted) for run in judged))} of {counted(len(judged), 'run')} that judged it"


def _drift(runs: Sequence[TrackedRun]) -> Section:
    """Columns that had drifted, run by run, and what was said of each run that drifted."""
    lead = "How many columns of the newest rows had drifted in each run, held against the champion of that day."
    judged = [run for run in runs if run.drifted is not None]
    if not judged:
        return Section("drift", "Drift", lead, missing="no run judged drift.")
    blocks: list[Block] = []
    if len(judged) > 1:
        moments = [datetime.fromisoformat(run.as_of) for run in judged if run.as_of]
        timed = len(moments) == len(judged) and all(a < b for a, b in pairwise(moments))
        at = [(m - moments[0]).total_seconds() / 86400 for m in moments] if timed else list(range(1, len(judged) + 1))
        axis = dated("data up to", at, moments) if timed else Axis("run", whole=True)
        counts = [run.drifted_columns or 0 for run in judged]
        line = Series("columns", at, counts, 0, "line")
        whole = [(x, n, run) for x, n, run in zip(at, counts, judged, strict=True)]
        series = [line]
        for name, colour, drifted in (("stable", 1, False), ("the whole table drifted", 2, True)):
            there = [(x, n, f"{day(run.as_of)}: {_drift_of(run)}") for x, n, run in whole if run.drifted is drifted]
            if there:
                series.append(
                    Series(
                        name,
                        [x for x, _, _ in there],
                        [n for _, n, _ in there],
                        colour,
                        "points",
                        [t for _, _, t in there],
                    )
                )
        svg = xy("Drifted columns by run", axis, Axis("drifted columns", 0, max(*counts, 4), whole=True), series)
        blocks.append(Charts([Chart("Drifted columns", svg)]))
    said = [run for run in reversed(judged) if run.drifted and run.drift]
    if said:
        rows = [
            [Cell(day(run.as_of), sort=run.as_of or ""), Cell(", ".join(run.versions) or DASH), Cell(run.drift)]
            for run in said
        ]
        columns = [("Data up to", "text", ""), ("Version", "text", ""), ("What was said", "text wide", "")]
        blocks.append(Table(columns, rows, "Runs in which the table as a whole had drifted."))
    return Section("drift", "Drift", lead, blocks, "" if blocks else "one run alone shows no course.")
