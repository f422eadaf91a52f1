"""The section on what the verdict rests on: both models on the same rows, and every test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.artifacts import Choice, Evidence, Figures, GuardrailResult, Metrics, TestFigure, Verdict
from tasks.metrics import higher_is_better
from tasks.metrics.intervals import wilson
from tasks.report.blocks import Block, Cell, Chart, Charts, Facts, Prose, Section, Table
from tasks.report.charts import Axis
from tasks.report.marks import Bar, bars, intervals
from tasks.report.numbers import number, p_value, percent, plain, title

SAID = {"p_better": "one-sided p", "p_worse": "p of being worse", "auc": "areas", "se": "standard error"}


def evidence(verdict: Verdict | None, choice: Choice | None, metrics: Metrics | None) -> Section:
    """What the verdict rests on: both models and their difference, the tests, guardrails, and how the rule counts."""
    lead = "The numbers behind the verdict: both models on the same rows, and every test that was made."
    if verdict is None:
        return Section("evidence", "Evidence", lead, missing="the comparison with the champion has not been run.")
    blocks: list[Block] = [Facts(items)] if (items := _facts(verdict, choice, metrics)) else []
    if charts := _charts(verdict.evidence, verdict.n) or _against_no_model(choice, metrics):
        blocks.append(Charts(charts))
    blocks += [t for t in (_tests(verdict.tests), _guardrails(verdict.guardrails), _needed(verdict.evidence)) if t.rows]
    blocks += [Prose(said) for said in (*verdict.why, *verdict.warnings)]
    return Section("evidence", "Evidence", lead, blocks)


def _facts(verdict: Verdict, choice: Choice | None, metrics: Metrics | None) -> list[tuple[str, str, str]]:
    items: list[tuple[str, str, str]] = []
    evidence = verdict.evidence
    if evidence.difference is not None:
        shares, metric = evidence.metric == "accuracy", evidence.metric
        say = percent if shares else number
        spread = _between(evidence.interval, say)
        name = "Challenger ahead by" if shares else f"{title(metric)} against the champion's"
        better = "" if shares else f"; {'above' if higher_is_better(metric) else 'below'} 0 the challenger is better"
        said = f"95% interval {spread}{better}" if spread else ""
        items.append((name, say(evidence.difference, 2 if shares else 3), said))
    if choice:
        bounds = metrics.choice.test_interval.get(choice.metric) if metrics else None
        spread = f"95% interval {_between(bounds, number)}; " if bounds else ""
        items.append((f"Test {title(choice.metric)}", number(choice.test), f"{spread}without a model {number(choice.baseline)}"))  # fmt: skip
        items.append(("Challenger", plain(choice.family), "chosen on the validation rows"))
    if verdict.n is not None:
        who = "rows that neither model has seen" if verdict.champion else "rows that the model has not seen"
        items.append(("Compared on", number(verdict.n), who))
    if verdict.champion:
        items.append(("Champion", f"version {verdict.champion.version}", plain(verdict.champion.family)))
    return items


def _between(pair: Sequence[float] | None, say: Callable[[float], str]) -> str:
    return f"{say(pair[0])} to {say(pair[1])}" if pair else ""


def _charts(evidence: Evidence, n: int | None) -> list[Chart]:
    """Both models side by side, their difference, and the rows on which they differ."""
    charts = []
    table, metric = evidence.table, evidence.metric
    shares = metric == "accuracy"
    if evidence.challenger is not None and evidence.champion is not None:
        rows = []
        alone = (table.challenger_alone, table.champion_alone) if table else (0, 0)
        values = (evidence.challenger, evidence.champion)
        for colour, who, value, own in zip((1, 0), ("challenger", "champion"), values, alone, strict=True):
            low, high = wilson((table.both_right + own) / n, n) if shares and table and n else (None, None)
            rows.append(Bar(plain(who), value, colour, low, high))
        said = "Each with its own 95% interval." if shares else ""
        svg = intervals("Both models", Axis(f"{title(metric)} on the compared rows"), rows)
        charts.append(Chart("Both models on the same rows", svg, said))
    pair = evidence.interval
    if evidence.difference is not None and pair:
        row = Bar("Difference", evidence.difference, 1, pair[0], pair[1])
        svg = intervals(
            "Difference",
            Axis(f"{title(metric)}: challenger minus champion", percent=shares),
            [row],
            zero=0.0,
        )
        said = (
            "The interval lies wholly on one side of nought."
            if pair[0] * pair[1] > 0
            else "The interval holds nought: chance alone could explain the difference."
        )
        charts.append(Chart("How far apart", svg, said))
    if table:
        rows = [
            Bar("Challenger alone", table.challenger_alone, 1),
            Bar("Champion alone", table.champion_alone, 0),
        ]
        said = f"On {number(table.both_right)} rows both are right, on {number(table.both_wrong)} both are wrong; only these rows tell them apart."
        charts.append(Chart("Right where the other is wrong", bars("Discordant rows", Axis("rows"), rows), said))
    return charts


def _against_no_model(choice: Choice | None, metrics: Metrics | None) -> list[Chart]:
    """The first model beside the answer that needs no model."""
    if choice is None or choice.baseline is None:
        return []
    low, high = (metrics.choice.test_interval.get(choice.metric) if metrics else None) or (None, None)
    rows = [Bar("Challenger", choice.test, 1, low, high), Bar("No model", choice.baseline, 0)]
    svg = intervals("Challenger and no model", Axis(f"{title(choice.metric)} on the test rows"), rows)
    return [Chart("Against no model", svg, "The line is the 95% interval." if low is not None else "")]


def _tests(tests: dict[str, Figures]) -> Table:
    """Every test of the comparison: its statistic, p-value and what else it says."""
    rows = []
    for name, test in tests.items():
        kept = {k: v for k, v in test.items() if k not in ("p", "statistic", "name", "z", "why", "variant")}
        said = "; ".join(f"{SAID.get(k, k.replace('_', ' '))} {_value(k, v)}" for k, v in kept.items() if _short(v))
        said += ("; " if said and test.get("why") else "") + str(test.get("why") or "")
        statistic, p = _figure(test.get("statistic")), _figure(test.get("p"))
        title = Cell(str(test.get("name") or plain(name)))
        rows.append([title, Cell(number(statistic), sort=statistic), Cell(p_value(p), sort=p), Cell(said)])
    return Table(
        [("Test", "text", ""), ("Statistic", "number", ""), ("p", "number", ""), ("Details", "text wide", "")], rows
    )


def _figure(value: TestFigure) -> float | None:
    return value if isinstance(value, int | float) else None


def _short(value: TestFigure) -> bool:
    return value is not None and not (isinstance(value, list) and len(value) > 3)


def _value(key: str, value: TestFigure) -> str:
    if key.startswith("p_"):
        return p_value(_figure(value))
    if isinstance(value, list):
        return " to ".join(map(number, value))
    return number(value) if isinstance(value, float) else str(value)


def _guardrails(guardrails: list[GuardrailResult]) -> Table:
    """What had to hold besides: each guardrail with its limit and what was found."""
    rows = []
    for e in guardrails:
        said = Cell("holds", tone="good") if e.passed else Cell("fails", tone="bad")
        rows.append([Cell(plain(e.name)), Cell(number(e.found)), Cell(number(e.limit)), said, Cell(e.said)])
    columns = [
        ("Guardrail", "text", ""),
        ("Found", "number", ""),
        ("Limit", "number", ""),
        ("", "text", ""),
        ("", "text", ""),
    ]
    return Table(columns, rows)


def _needed(evidence: Evidence) -> Table:
    """How many labelled rows it takes to see a difference of a given size."""
    found, metric = evidence.rows_needed, evidence.metric
    share = metric == "accuracy" or not higher_is_better(metric)  # points, or a share of the champion's loss
    rows = [
        [Cell(percent(float(d), 1) if share else d, sort=float(d)), Cell(number(n), sort=n)] for d, n in found.items()
    ]
    return Table(
        [
            ("To see a difference of", "text", f"in {title(metric)}"),
            ("labelled rows needed", "number", "with a power of 80%"),
        ],
        rows,
    )
