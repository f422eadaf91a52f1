"""The champion's metric from run to run, each time on the rows that were newest then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.artifacts import Measured, Past, Verdict
from tasks.metrics import higher_is_better
from tasks.report.blocks import Chart
from tasks.report.charts import Axis, Series, dated, xy
from tasks.report.numbers import day, number, title


@dataclass(frozen=True)
class TrendPoint:
    """What one run measured.

    Attributes
    ----------
    as_of : ISO, or None. model : in service after the run, in words, and its ``value``.
    other : value of the model that it was compared with, if any. promoted : whether the run made it champion.
    """

    as_of: str | None
    model: str
    value: float
    other: float | None
    promoted: bool
    rows: int | None


def point(measured: Measured, promoted: bool, version: str | None) -> TrendPoint | None:
    """Of one run; None where it measured nothing that belongs here, or left no champion."""
    value, other = (measured.challenger, measured.champion)[:: 1 if promoted else -1]
    if value is None:
        return None
    return TrendPoint(
        measured.as_of, f"version {version}" if version else "new model", value, other, promoted, measured.rows
    )


def of_history(past: Past | None, metric: str) -> list[TrendPoint]:
    """A point for each decision that measured this metric."""
    points = [
        point(d.measured, d.action == "promote", d.champion)
        for d in (past.decisions if past else [])
        if d.measured.metric == metric
    ]
    return [p for p in points if p]


def of_run(verdict: Verdict, as_of: str | None, takes_over: bool) -> TrendPoint | None:
    """The point of the run that the page is about."""
    found = verdict.evidence
    measured = Measured(
        as_of=as_of, metric=found.metric, rows=verdict.n, challenger=found.challenger, champion=found.champion
    )
    champion = verdict.champion.version if verdict.champion else None
    return point(measured, takes_over, None if takes_over else champion)


def chart(points: Sequence[TrendPoint], metric: str) -> Chart | None:
    """The line of the champion's values, and what each run compared it with; None of fewer than two runs."""
    if len(points) < 2:
        return None
    times = [datetime.fromisoformat(p.as_of) for p in points if p.as_of]
    timed = len(times) == len(points) and times == sorted(set(times))
    at = [(one - times[0]).total_seconds() / 86400 for one in times] if timed else list(range(1, len(points) + 1))
    axis = dated("data up to", at, times) if timed else Axis("run", whole=True)

    def tip(p: TrendPoint, value: float, who: str) -> str:
        on = f" on {number(p.rows)} rows" if p.rows else ""
        return f"{day(p.as_of) + ': ' if p.as_of else ''}{who}, {title(metric)} {number(value)}{on}"

    line = Series(
        "in service", at, [p.value for p in points], 1, "line+points", [tip(p, p.value, p.model) for p in points]
    )
    series = [line]
    for name, colour, promoted in (("replaced", 0, True), ("not promoted", 2, False)):
        there = [
            (x, p, p.other) for x, p in zip(at, points, strict=True) if p.other is not None and p.promoted == promoted
        ]
        if there:
            tips = [tip(p, v, "the champion that it replaced" if promoted else "the challenger") for _, p, v in there]
            series.append(Series(name, [x for x, _, _ in there], [v for _, _, v in there], colour, "points", tips))
    svg = xy(f"{title(metric)} by run", axis, Axis(title(metric)), series, height=206)
    which = "Higher" if higher_is_better(metric) else "Lower"
    said = f"{which} is better. Each run measures on the rows that were newest then, so a rise or fall may lie in the rows."
    return Chart(f"{title(metric)} from run to run", svg, said)
