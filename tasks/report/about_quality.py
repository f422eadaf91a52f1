"""The section on how good the chosen model is: its measures and curves."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from tasks.report.about_models import value_of
from tasks.report.blocks import Cell, Chart, Charts, Section, Table
from tasks.report.charts import Axis, Series, histogram, share, xy
from tasks.report.numbers import DASH, meaning, number, percent, title


def curves(target: str, metrics: dict[str, Any] | None, found: dict[str, Any] | None) -> Section:
    """Measures with intervals, and those of the curves that the kind of problem brings."""
    lead = "The chosen model on the test rows, which no candidate has seen."
    blocks: list[Any] = []
    measured = (metrics or {}).get("choice") or {}
    if measured:
        blocks.append(_metrics_table(measured))
    charts: list[Chart] = []
    if found:
        charts = [*_classification(found), *_regression(found, target), *_own(found.get("own") or [])]
    if charts:
        blocks.append(Charts(charts))
    missing = "" if charts else "the curves are not in data/evaluation."
    return Section("quality", "How good it is", lead, blocks, missing)


def _own(pictures: list[dict[str, Any]]) -> list[Chart]:
    """Pictures that a kind brings itself: points with labels."""
    charts = []
    for one in pictures:
        (x, xs), (y, ys) = one["x"], one["y"]
        svg = xy(one["title"], Axis(x), Axis(y), [Series("", xs, ys, 1, "points")])
        charts.append(Chart(one["title"], svg, one["caption"]))
    return charts


def _metrics_table(measured: dict[str, Any]) -> Table:
    test, valid = measured.get("test", {}), measured.get("valid", {})
    rows = []
    for name in dict.fromkeys([*test, *valid]):
        if value_of(test.get(name)) is None and value_of(valid.get(name)) is None:
            continue
        bounds = (measured.get("test_interval") or {}).get(name)
        rows.append(
            [
                Cell(title(name)),
                Cell(number(value_of(test.get(name)), 4), sort=value_of(test.get(name))),
                Cell(f"{number(bounds[0], 4)} to {number(bounds[1], 4)}" if bounds else DASH),
                Cell(number(value_of(valid.get(name)), 4), sort=value_of(valid.get(name))),
                Cell(Markup('<span class="soft">{}</span>').format(meaning(name))),
            ]
        )
    whole = ", whole days at a time" if measured.get("drawn") == "days" else ""
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


def _classification(found: dict[str, Any]) -> list[Chart]:
    """ROC, precision–recall and calibration: of one class, or by class (of six at most)."""
    alone = "fpr" in (found.get("roc") or {})
    each = {"": found} if alone else {
        name: {k: found[k][name] for k in ("roc", "precision_recall", "calibration") if name in (found.get(k) or {})}
        for name in list(found.get("roc") or {})[:6]
    }  # fmt: skip
    charts = []
    roc, pr, cal = [], [], []
    for colour, (name, part) in enumerate(each.items(), 1):
        if "roc" in part:
            r = part["roc"]
            at = r.get("threshold") or r.get("thresholds") or [None] * len(r["fpr"])
            tips = [
                f"{name + ': ' if name else ''}at threshold {number(t)}, {percent(y)} of the positives and {percent(x)} of the negatives are flagged"
                for x, y, t in zip(r["fpr"], r["tpr"], at, strict=True)
            ]
            roc.append(Series(name, r["fpr"], r["tpr"], colour, "line", tips))
        if "precision_recall" in part:
            p = part["precision_recall"]
            at = p.get("threshold") or [None] * len(p["recall"])
            tips = [
                f"{name + ': ' if name else ''}at threshold {number(t)}, {percent(y)} of the flagged are positive, {percent(x)} of the positives are flagged"
                for x, y, t in zip(p["recall"], p["precision"], at, strict=True)
            ]
            pr.append(Series(name, p["recall"], p["precision"], colour, "line", tips))
        if "calibration" in part:
            c = part["calibration"]
            tips = [
                f"{name + ': ' if name else ''}said {percent(x)}, happened {percent(y)} ({n:,} rows)"
                for x, y, n in zip(c["predicted"], c["observed"], c["rows"], strict=True)
            ]
            cal.append(
                Series(
                    name,
                    c["predicted"],
                    c["observed"],
                    colour,
                    "line+points",
                    tips,
                    c.get("low", ()),
                    c.get("high", ()),
                )
            )
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
        prevalence = (found.get("precision_recall") or {}).get("prevalence") if alone else None
        series = list(pr)
        if prevalence is not None:
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
                + _slopes(each),
            )
        )
    return charts


def _slopes(each: dict[str, dict[str, Any]]) -> str:
    """The calibration slope of each curve with its interval, in a sentence."""
    told = []
    for name, part in each.items():
        slope = (part.get("calibration") or {}).get("slope")
        if slope:
            told.append(f"{name + ' ' if name else ''}{slope[0]:.2f} ({slope[1]:.2f} to {slope[2]:.2f})")
    if not told:
        return ""
    return (
        f" Calibration slope (95% interval): {', '.join(told)}; 1 is right, above it probabilities are not extreme enough,"
        " below it too extreme."
    )


def _regression(found: dict[str, Any], target: str) -> list[Chart]:
    r = found.get("residuals")
    if not r:
        return []
    charts = []
    tips = [
        f"predicted {number(p)}, truth {number(p + e)}, off by {number(e)}"
        for p, e in zip(r["predicted"], r["residual"], strict=True)
    ]
    truth = [p + e for p, e in zip(r["predicted"], r["residual"], strict=True)]
    both = [*truth, *r["predicted"]]
    span = {"low": min(both), "high": max(both)}
    svg = xy(
        "Truth against prediction",
        Axis(f"predicted {target}", **span),
        Axis(f"true {target}", **span),
        [Series("", r["predicted"], truth, 1, "points", tips)],
        diagonal=True,
    )
    charts.append(Chart("Truth against prediction", svg, "On the dotted line the prediction is exact."))
    svg = xy(
        "Residuals",
        Axis(f"predicted {target}"),
        Axis(f"truth minus prediction ({target})"),
        [
            Series("", r["predicted"], r["residual"], 1, "points", tips),
            Series("", [min(r["predicted"]), max(r["predicted"])], [0, 0], 0, "dashed"),
        ],
        legend=False,
    )
    charts.append(Chart("Residuals", svg, "Around nought everywhere: no size of prediction is systematically off."))
    h = r.get("histogram")
    if h:
        svg = histogram(
            "Distribution of the residuals",
            Axis(f"truth minus prediction ({target})"),
            Axis("rows"),
            h["edges"],
            [("residuals", h["counts"], 1)],
        )
        charts.append(Chart("Size of the errors", svg))
    q = r.get("qq")
    if q:
        svg = xy(
            "Normal quantiles",
            Axis("normal quantile (standard deviations)"),
            Axis(f"residual ({target})"),
            [Series("", q["normal"], q["residual"], 1, "points")],
        )
        charts.append(
            Chart(
                "Are the errors normal?",
                svg,
                "A straight line where they are; ends that bend away mean more large errors than a normal distribution has.",
            )
        )
    return charts
