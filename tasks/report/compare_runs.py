"""Several runs side by side: one table and one chart per metric, as a page that needs nothing from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.artifacts import Receipt, Word
from tasks.errors import RefitError
from tasks.metrics import higher_is_better
from tasks.report.blocks import Cell, Chart, Charts, Head, Page, Section, Table, text
from tasks.report.charts import Axis, Series, xy
from tasks.report.costs import Prices
from tasks.report.marks import Bar, intervals
from tasks.report.numbers import DASH, day, meaning, number, plain, title
from tasks.report.page import render
from tasks.report.summary import WORDS

CHARTS = 6


@dataclass(frozen=True)
class ComparedRun:
    """One run on the page.

    Attributes
    ----------
    name : shown; must differ from the others'.
    metrics : values on the test rows, with their ``intervals``; ``metric`` is the one that the problem goes by.
    rows : how many test rows; ``rows_of`` is equal of runs with the same ones. params : values by dotted path.
    champion : whether it is the champion now. cost : of its errors, by test row.
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
    rows_of: str = ""
    champion: bool = False
    cost: float | None = None


def compare_runs(runs: Sequence[ComparedRun], model: str = "Refit", unit: str = "") -> str:
    """A page that compares runs of a model, in the order given; ``unit``: of what errors cost.

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
    best, said = crowned(runs, main)
    sections = [
        Section(
            "runs",
            "Runs",
            "In the order given; the champion is marked. Below a value is its 95% interval.",
            [_table(runs, metrics, main, best, unit)],
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
    champion = next((run.name for run in runs if run.champion), None)
    headline = f"{champion} is the champion." if champion else "None of these is the champion."
    many = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    top = Head("Comparison", "keep" if champion else "none", headline, said)
    return render(Page(f"{len(runs)} runs compared", model, [f"{many} compared by {title(main)}"], top, sections))


def crowned(runs: Sequence[ComparedRun], metric: str) -> tuple[int | None, str]:
    """Position of the run that is shown to be best, and why it is or why none is.

    None is on different test rows, nor where its interval overlaps with another's.

    >>> def run(name, value, low, high, rows="same"):
    ...     return ComparedRun(name, {"rmse": value}, "rmse", {"rmse": [low, high]}, rows=9, rows_of=rows)
    >>> crowned([run("a", 3.0, 2.8, 3.2), run("b", 2.0, 1.9, 2.1)], "rmse")
    (1, "b has the best RMSE, 2.000, on the same 9 test rows, and its interval lies apart from the others'.")
    >>> crowned([run("a", 3.0, 2.8, 3.2), run("b", 2.0, 1.9, 2.9)], "rmse")[0]
    >>> crowned([run("a", 3.0, 2.8, 3.2), run("b", 2.0, 1.9, 2.1, "others")], "rmse")[0]
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    measured = [(i, r, v) for i, r in enumerate(runs) if (v := r.metrics.get(metric)) is not None]
    if len(measured) < 2:
        return None, "Only one of them was measured." if measured and len(runs) > 1 else ""
    if len({r.rows_of for _, r, _ in measured}) > 1 or not measured[0][1].rows_of:
        return None, (
            f"They were measured on different test rows, so their values of {title(metric)} do not say which model is better. "
            "A run compares its model with the champion on the same rows: see the verdicts."
        )
    best, run, value = max(measured, key=lambda one: (sign * one[2], -one[0]))
    mine, others = run.intervals.get(metric), [r.intervals.get(metric) for i, r, _ in measured if i != best]
    apart = mine and all(o and (mine[0] > o[1] if sign > 0 else mine[1] < o[0]) for o in others)
    rows = f"the same {number(run.rows)} test rows" if run.rows else "the same test rows"
    if not apart:
        return (
            None,
            f"On {rows} their intervals of {title(metric)} overlap, so this page cannot tell which model is better.",
        )
    return best, (
        f"{run.name} has the best {title(metric)}, {number(value, 4)}, on {rows}, and its interval lies apart from the others'."
    )


def rows_of(receipt: Receipt) -> str:
    """What tells one run's test rows from another's: the tables, what is predicted from when, and the split.

    Empty where the receipt does not say. Other tables may have changed without changing these rows; then they count as
    other ones, too.
    """
    tables = {
        path: digest
        for path, digest in receipt.data.items()
        if path.startswith("validated/") and path.endswith(".parquet")
    }
    if not tables:
        return ""
    problem = receipt.params.get("problem")
    about = (
        {k: v for k, v in problem.items() if k in ("table", "target", "prediction_time")}
        if isinstance(problem, dict)
        else None
    )
    return json.dumps([receipt.as_of, receipt.seed, tables, about, receipt.params.get("split")], sort_keys=True)


def _table(runs: Sequence[ComparedRun], metrics: list[str], main: str, best: int | None, unit: str) -> Table:
    columns = [
        ("Run", "text", ""),
        ("As of", "text", ""),
        ("Family", "text", ""),
        ("Verdict", "text", ""),
        ("Test rows", "number", ""),
    ]
    priced = any(run.cost is not None for run in runs)
    columns += [("Errors cost", "number", "by test row, at the prices of params.yaml")] if priced else []
    columns += [(title(m), "number", meaning(m)) for m in metrics]
    say, rows = Prices(0, 0, unit).say, []
    for at, run in enumerate(runs):
        row = [
            Cell(run.name, note="champion" if run.champion else ""),
            Cell(day(run.as_of), sort=run.as_of or ""),
            text(plain(run.family) if run.family else None),
            text(WORDS[run.verdict] if run.verdict else None),
            Cell(number(run.rows), sort=run.rows),
        ]
        row += [Cell(DASH if run.cost is None else f"{say(run.cost)} a row", sort=run.cost)] if priced else []
        for metric in metrics:
            value = run.metrics.get(metric)
            pair = run.intervals.get(metric)
            note = f"{number(pair[0])} to {number(pair[1])}" if pair else ""
            note += "; the best" if at == best and metric == main else ""
            row.append(Cell(number(value, 4), sort="" if value is None else value, note=note))
        rows.append(row)
    return Table(columns, rows, marked=[i for i, run in enumerate(runs) if run.champion])


def _charts(runs: Sequence[ComparedRun], metrics: list[str]) -> list[Chart]:
    """Few runs: a dot with its interval each. Many runs: a line over the runs."""
    charts = []
    for metric in metrics[:CHARTS]:
        there = [(i, r, v) for i, r in enumerate(runs) if (v := r.metrics.get(metric)) is not None]
        pairs = [r.intervals.get(metric) or (None, None) for _, r, _ in there]
        if len(there) <= 12:
            bars = [Bar(r.name, v, 1 if r.champion else 0, *pair) for (_, r, v), pair in zip(there, pairs, strict=True)]
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
