"""Several runs side by side: one table and one chart per metric, as a page that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.errors import RefitError
from tasks.metrics import higher_is_better
from tasks.report.about_models import value_of
from tasks.report.blocks import Cell, Chart, Charts, Facts, Section, Table, text
from tasks.report.charts import Axis, Series, xy
from tasks.report.marks import Bar, intervals
from tasks.report.numbers import DASH, day, meaning, number, plain, title
from tasks.report.page import render
from tasks.report.verdict import WORDS

CHARTS = 6


def compare_runs(runs: Sequence[dict[str, Any]]) -> str:
    """A page that compares runs, in the order given.

    Parameters
    ----------
    runs
        One dictionary per run: ``name`` (shown; must differ), ``metrics`` (``{metric: value}`` on the test rows), and where
        known ``metric`` (the one the problem goes by), ``intervals`` (``{metric: [low, high]}``), ``family``, ``as_of``,
        ``version``, ``verdict`` (promote, keep, inconclusive), ``rows`` (test rows), ``params`` (``{name: value}``).

    Raises
    ------
    RefitError
        If there are no runs, two have the same name, or no metric is measured in any of them.
    """
    if not runs:
        raise RefitError("refit report: no run to compare. Name at least one, or run `refit run` first.")
    names = [str(run["name"]) for run in runs]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise RefitError(f"refit report: two runs are called {twice!r}; give each run another name.")
    metrics = [
        m
        for m in dict.fromkeys(m for r in runs for m in r.get("metrics", {}))
        if any(_value(r, m) is not None for r in runs)
    ]
    if not metrics:
        raise RefitError("refit report: none of the runs has a metric; run `refit run` until it has evaluated.")
    main = next((r["metric"] for r in runs if r.get("metric") in metrics), metrics[0])
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
    value = _value(runs[best], main)
    page = {
        "title": f"{len(runs)} runs compared",
        "name": "Refit",
        "about": [f"{len(runs)} runs"],
        "tone": "keep",
        "word": "Comparison",
        "sentence": f"{names[best]} has the best {title(main)} of {len(runs)} {'run' if len(runs) == 1 else 'runs'}: {number(value, 4)}.",
        "why": [],
        "blocks": [
            Facts(
                [
                    (title(main), number(value, 4), meaning(main)),
                    ("Run", names[best], plain(str(runs[best].get("family") or ""))),
                ]
            )
        ],
        "sections": sections,
        "footer": "Made by Refit. This page holds everything it shows; it needs no network and no server.",
    }
    return render("page.html", page=page)


def best_of(runs: Sequence[dict[str, Any]], metric: str) -> int:
    """Position of the run with the best value; the first of equals.

    >>> best_of([{"metrics": {"rmse": 3.0}}, {"metrics": {"rmse": 2.0}}, {"metrics": {}}], "rmse")
    1
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    measured = [(i, v) for i, r in enumerate(runs) if (v := _value(r, metric)) is not None]
    return max(measured, key=lambda pair: (sign * pair[1], -pair[0]))[0]


def _value(run: dict[str, Any], metric: str) -> float | None:
    return value_of((run.get("metrics") or {}).get(metric))


def _table(runs: Sequence[dict[str, Any]], metrics: list[str], best: int) -> Table:
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
        note = f"version {run['version']}" if run.get("version") is not None else ""
        word = run.get("verdict")
        row = [
            Cell(str(run["name"]), note=note),
            Cell(day(run.get("as_of")), sort=run.get("as_of") or ""),
            text(plain(run["family"]) if run.get("family") else None),
            text(WORDS.get(word, word) if word else None),
            Cell(number(run.get("rows")), sort=run.get("rows")),
        ]
        for metric in metrics:
            value = _value(run, metric)
            pair = (run.get("intervals") or {}).get(metric)
            note = f"{number(pair[0])} to {number(pair[1])}" if pair else ""
            row.append(Cell(number(value, 4), sort="" if value is None else value, note=note))
        rows.append(row)
    return Table(columns, rows, marked=[best])


def _charts(runs: Sequence[dict[str, Any]], metrics: list[str]) -> list[Chart]:
    """Few runs: a dot with its interval each. Many runs: a line over the runs."""
    charts = []
    for metric in metrics[:CHARTS]:
        there = [(i, r, v) for i, r in enumerate(runs) if (v := _value(r, metric)) is not None]
        pairs = [(r.get("intervals") or {}).get(metric) or (None, None) for _, r, _ in there]
        if len(there) <= 12:
            bars = [Bar(str(r["name"]), v, 1, *pair) for (_, r, v), pair in zip(there, pairs, strict=True)]
            svg = intervals(title(metric), Axis(title(metric)), bars)
        else:
            tips = [f"{r['name']}: {number(v, 4)}" for _, r, v in there]
            known = [(p[0], p[1]) for p in pairs if p[0] is not None and p[1] is not None]
            low, high = ([p[k] for p in known] if len(known) == len(there) else [] for k in (0, 1))
            line = Series("", [i + 1 for i, _, _ in there], [v for _, _, v in there], 1, "line+points", tips, low, high)
            svg = xy(title(metric), Axis("run", whole=True), Axis(title(metric)), [line])
        charts.append(Chart(title(metric), svg, meaning(metric)))
    return charts


def _changed(runs: Sequence[dict[str, Any]]) -> Table | None:
    """Parameters whose values differ, a column per run."""
    keys = list(dict.fromkeys(k for r in runs for k in r.get("params") or {}))
    said = {k: [str((r.get("params") or {}).get(k, DASH)) for r in runs] for k in keys}
    rows = [[Cell(k), *(Cell(v) for v in values)] for k, values in said.items() if len(set(values)) > 1]
    if not rows:
        return None
    return Table([("Parameter", "text", ""), *((str(r["name"]), "text", "") for r in runs)], rows)
