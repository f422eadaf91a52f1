"""The section on how good the chosen model is: its measures and curves."""

from __future__ import annotations

from markupsafe import Markup

from tasks.artifacts import ChoiceMetrics, Curves, Metrics, Picture, PrecisionRecall, Reliability, Residuals, Roc
from tasks.report.blocks import Block, Cell, Chart, Charts, Section, Table
from tasks.report.charts import Axis, Series, histogram, share, xy
from tasks.report.numbers import DASH, meaning, number, percent, title


def curves(target: str, metrics: Metrics | None, found: Curves | None) -> Section:
    """Measures with intervals, and those of the curves that the kind of problem brings."""
    lead = "The chosen model on the test rows, which no candidate has seen."
    blocks: list[Block] = [_metrics_table(metrics.choice)] if metrics else []
    charts: list[Chart] = []
    if found:
        charts = [*_classification(found), *_regression(found.residuals, target), *map(_own, found.own)]
    if charts:
        blocks.append(Charts(charts))
    missing = "" if charts else "the curves are not in data/evaluation."
    return Section("quality", "How good it is", lead, blocks, missing)


def _own(one: Picture) -> Chart:
    """A picture that a kind brings itself: points with labels."""
    (x, xs), (y, ys) = one.x, one.y
    return Chart(one.title, xy(one.title, Axis(x), Axis(y), [Series("", xs, ys, 1, "points")]), one.caption)


def _metrics_table(measured: ChoiceMetrics) -> Table:
    test, valid = measured.test, measured.valid
    rows = []
    for name in dict.fromkeys([*test, *valid]):
        one, other = test.get(name), valid.get(name)
        if one is None and other is None:
            continue
        bounds = measured.test_interval.get(name)
        rows.append(
            [
                Cell(title(name)),
                Cell(number(one, 4), sort=one),
                Cell(f"{number(bounds[0], 4)} to {number(bounds[1], 4)}" if bounds else DASH),
                Cell(number(other, 4), sort=other),
                Cell(Markup('<span class="soft">{}</span>').format(meaning(name))),
            ]
        )
    whole = ", whole days at a time" if measured.drawn == "days" else ""
    columns = [
        ("Measure", "text", ""),
        ("Test", "number", ""),
        ("95% interval", "number", f"bootstrap over the test rows{whole}"),
        ("Validation", "number", ""),
        ("What it says", "text wide", ""),
    ]
    return Table(
        columns,
        rows,
        "A test value much worse than its validation value means that the choice was fitted to the validation rows, or that "
        "the test rows are of another kind, as newer rows can be.",
    )


def _classification(found: Curves) -> list[Chart]:
    """ROC, precision–recall and calibration: of one class, or by class (of six at most)."""
    names = [""] if isinstance(found.roc, Roc) else list(found.roc)[:6]
    rocs = {"": found.roc} if isinstance(found.roc, Roc) else found.roc
    recalls = {"": found.precision_recall} if isinstance(found.precision_recall, PrecisionRecall) else found.precision_recall  # fmt: skip
    reliable = {"": found.calibration} if isinstance(found.calibration, Reliability) else found.calibration
    charts = []
    roc, pr, cal = [], [], []
    for colour, name in enumerate(names, 1):
        of = name + ": " if name else ""
        if r := rocs.get(name):
            tips = [
                f"{of}at threshold {number(t)}, {percent(y)} of the positives and {percent(x)} of the negatives are flagged"
                for x, y, t in zip(r.fpr, r.tpr, r.threshold, strict=True)
            ]
            roc.append(Series(name, r.fpr, r.tpr, colour, "line", tips))
        if p := recalls.get(name):
            tips = [
                f"{of}at threshold {number(t)}, {percent(y)} of the flagged are positive, {percent(x)} of the positives are flagged"
                for x, y, t in zip(p.recall, p.precision, p.threshold, strict=True)
            ]
            pr.append(Series(name, p.recall, p.precision, colour, "line", tips))
        if c := reliable.get(name):
            tips = [
                f"{of}said {percent(x)}, happened {percent(y)} ({n:,} rows)"
                for x, y, n in zip(c.predicted, c.observed, c.rows, strict=True)
            ]
            cal.append(Series(name, c.predicted, c.observed, colour, "line+points", tips, c.low, c.high))
    if roc:
        svg = xy(
            "ROC curve",
            share("false positive rate (share of negatives)"),
            share("true positive rate (share of positives)"),
            roc,
            diagonal=True,
        )
        charts.append(
            Chart(
                "ROC curve", svg, "How many positives are found for how many false alarms. The dotted line is guessing."
            )
        )
    if pr:
        series = list(pr)
        if isinstance(found.precision_recall, PrecisionRecall):
            prevalence = found.precision_recall.prevalence
            series[0] = Series("model", *(getattr(pr[0], k) for k in ("x", "y", "colour", "style", "labels")))
            series.append(Series("guessing", [0, 1], [prevalence] * 2, 0, "dashed"))
        svg = xy(
            "Precision–recall curve",
            share("recall (share of positives found)"),
            share("precision (share of flagged)"),
            series,
        )
        charts.append(
            Chart("Precision and recall", svg, "What share of the flagged rows is right, as more positives are found.")
        )
    if cal:
        svg = xy(
            "Calibration",
            share("probability given (mean of a tenth of the rows)"),
            share("share that happened"),
            cal,
            diagonal=True,
        )
        charts.append(
            Chart(
                "Calibration",
                svg,
                "On the dotted line, of the rows given 30% exactly 30% turn out positive."
                + (" A band is a 95% interval." if any(len(one.low) for one in cal) else "")
                + _slopes({name: reliable[name] for name in names if name in reliable}),
            )
        )
    return charts


def _slopes(each: dict[str, Reliability]) -> str:
    """The calibration slope of each curve with its interval, in a sentence."""
    told = []
    for name, part in each.items():
        if slope := part.slope:
            told.append(f"{name + ' ' if name else ''}{slope[0]:.2f} ({slope[1]:.2f} to {slope[2]:.2f})")
    if not told:
        return ""
    return (
        f" Calibration slope (95% interval): {', '.join(told)}; 1 is right, above it probabilities are not extreme enough,"
        " below it too extreme."
    )


def _regression(r: Residuals | None, target: str) -> list[Chart]:
    if r is None:
        return []
    charts = []
    tips = [
        f"predicted {number(p)}, truth {number(p + e)}, off by {number(e)}"
        for p, e in zip(r.predicted, r.residual, strict=True)
    ]
    truth = [p + e for p, e in zip(r.predicted, r.residual, strict=True)]
    both = [*truth, *r.predicted]
    low, high = min(both), max(both)
    svg = xy(
        "Truth against prediction",
        Axis(f"predicted {target}", low, high),
        Axis(f"true {target}", low, high),
        [Series("", r.predicted, truth, 1, "points", tips)],
        diagonal=True,
    )
    charts.append(Chart("Truth against prediction", svg, "On the dotted line the prediction is exact."))
    svg = xy(
        "Residuals",
        Axis(f"predicted {target}"),
        Axis(f"truth minus prediction ({target})"),
        [
            Series("", r.predicted, r.residual, 1, "points", tips),
            Series("", [min(r.predicted), max(r.predicted)], [0, 0], 0, "dashed"),
        ],
        legend=False,
    )
    charts.append(
        Chart(
            "Residuals",
            svg,
            "Points that lie around nought everywhere mean that no size of prediction is off by and large.",
        )
    )
    svg = histogram(
        "Distribution of the residuals",
        Axis(f"truth minus prediction ({target})"),
        Axis("rows"),
        r.histogram.edges,
        [("residuals", r.histogram.counts, 1)],
    )
    charts.append(Chart("Size of the errors", svg))
    svg = xy(
        "Normal quantiles",
        Axis("normal quantile (standard deviations)"),
        Axis(f"residual ({target})"),
        [Series("", r.qq.normal, r.qq.residual, 1, "points")],
    )
    said = "A straight line where they are; ends that bend away mean more large errors than a normal distribution has."
    charts.append(Chart("Are the errors normal?", svg, said))
    return charts
