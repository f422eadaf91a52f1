"""Several runs side by side: one table and one chart per metric, as a page that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.artifacts import Word
from tasks.errors import RefitError
from tasks.metrics import higher_is_better
from tasks.report.blocks import Cell, Chart, Charts, Facts, Head, Page, Section, Table, text
from tasks.report.charts import Axis, Series, xy
from tasks.report.marks import Bar, intervals
from tasks.report.numbers import DASH, day, meaning, number, plain, title
from tasks.report.page import render
from tasks.report.verdict import WORDS

CHARTS = 6


@dataclass(frozen=True)
class ComparedRun:
    """One run on the page.

    Attributes
    ----------
    name : shown; must differ from the others'.
    metrics : values on the test rows, with their ``intervals``; ``metric`` is the one that the problem goes by.
    rows : test rows. params : values by dotted path.
    """

    name: str
    metrics: Mapping[str, float | None]
    metric: str = ""
    intervals: Mapping[str, Sequence[float] | None] = field(default_factory=dict)
    family: str = ""
    as_of: str | None = None
    verdict: Word | None = None
    rows: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)


def compare_runs(runs: Sequence[ComparedRun]) -> str:
    """A page that compares runs, in the order given.

    Raises
    ------
    RefitError
        If there are no runs, two have the same name, or no metric is measured in any of them.
    """
    if not runs:
        raise RefitError("refit report: no run to compare. Name at least one, or run `refit run` first.")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise RefitError(f"refit report: two runs are called {twice!r}; give each run another name.")
    every = dict.fromkeys(m for r in runs for m in r.metrics)
    metrics = [m for m in every if any(r.metrics.get(m) is not None for r in runs)]
    if not metrics:
        raise RefitError("refit report: none of the runs has a metric; run `refit run` until it has evaluated.")
    main = next((r.metric for r in runs if r.metric in metrics), metrics[0])
    metrics.sort(key=lambda m: m != main)
    best = best_of(runs, main)
    sections = [
        Section(
            "runs",
            "Runs",
            "In the order given; the best value of the main measure is marked.",
            [_table(runs, metrics, best)],
        ),
        Section(
            "charts",
            "Measures",
            "Values on each run's own test rows. Runs of other moments have other rows: a difference between them is not only the model's.",
            [Charts(_charts(runs, metrics))],
        ),
    ]
    changed = _changed(runs)
    if changed:
        sections.append(
            Section("parameters", "What differs", "Parameters that are not the same in all runs.", [changed])
        )
    value = number(runs[best].metrics[main], 4)
    many = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    sentence = f"{names[best]} has the best {title(main)} of {many}: {value}."
    facts = Facts([(title(main), value, meaning(main)), ("Run", names[best], plain(runs[best].family))])
    top = Head("Comparison", "keep", sentence, blocks=[facts])
    return render(Page(f"{len(runs)} runs compared", "Refit", [f"{len(runs)} runs"], top, sections))


def best_of(runs: Sequence[ComparedRun], metric: str) -> int:
    """Position of the run with the best value; the first of equals.

    >>> best_of([ComparedRun("a", {"rmse": 3.0}), ComparedRun("b", {"rmse": 2.0}), ComparedRun("c", {})], "rmse")
    1
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    measured = [(i, v) for i, r in enumerate(runs) if (v := r.metrics.get(metric)) is not None]
    return max(measured, key=lambda pair: (sign * pair[1], -pair[0]))[0]


def _table(runs: Sequence[ComparedRun], metrics: list[str], best: int) -> Table:
    columns = [
        ("Run", "text", ""),
        ("As of", "text", ""),
        ("Family", "text", ""),
        ("Verdict", "text", ""),
        ("Test rows", "number", ""),
    ]
    columns += [(title(m), "number", meaning(m)) for m in metrics]
    rows = []
    for run in runs:
        row = [
            Cell(run.name),
            Cell(day(run.as_of), sort=run.as_of or ""),
            text(plain(run.family) if run.family else None),
            text(WORDS[run.verdict] if run.verdict else None),
            Cell(number(run.rows), sort=run.rows),
        ]
        for metric in metrics:
            value = run.metrics.get(metric)
            pair = run.intervals.get(metric)
            note = f"{number(pair[0])} to {number(pair[1])}" if pair else ""
            row.append(Cell(number(value, 4), sort="" if value is None else value, note=note))
        rows.append(row)
    return Table(columns, rows, marked=[best])


def _charts(runs: Sequence[ComparedRun], metrics: list[str]) -> list[Chart]:
    """Few runs: a dot with its interval each. Many runs: a line over the runs."""
    charts = []
    for metric in metrics[:CHARTS]:
        there = [(i, r, v) for i, r in enumerate(runs) if (v := r.metrics.get(metric)) is not None]
        pairs = [r.intervals.get(metric) or (None, None) for _, r, _ in there]
        if len(there) <= 12:
            bars = [Bar(r.name, v, 1, *pair) for (_, r, v), pair in zip(there, pairs, strict=True)]
            svg = intervals(title(metric), Axis(title(metric)), bars)
        else:
            tips = [f"{r.name}: {number(v, 4)}" for _, r, v in there]
            known = [(p[0], p[1]) for p in pairs if p[0] is not None and p[1] is not None]
            low, high = ([p[k] for p in known] if len(known) == len(there) else [] for k in (0, 1))
            line = Series("", [i + 1 for i, _, _ in there], [v for _, _, v in there], 1, "line+points", tips, low, high)
            svg = xy(title(metric), Axis("run", whole=True), Axis(title(metric)), [line])
        charts.append(Chart(title(metric), svg, meaning(metric)))
    return charts


def _changed(runs: Sequence[ComparedRun]) -> Table | None:
    """Parameters whose values differ, a column per run."""
    keys = list(dict.fromkeys(k for r in runs for k in r.params))
    said = {k: [str(r.params.get(k, DASH)) for r in runs] for k in keys}
    rows = [[Cell(k), *(Cell(v) for v in values)] for k, values in said.items() if len(set(values)) > 1]
    if not rows:
        return None
    return Table([("Parameter", "text", ""), *((r.name, "text", "") for r in runs)], rows)
