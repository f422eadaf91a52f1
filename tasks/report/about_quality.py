"""Sections on how good the chosen model is: curves, decisions, slices, errors."""

from __future__ import annotations

from typing import Any

from tasks.report.about_models import value_of
from tasks.report.blocks import Cell, Chart, Charts, Facts, Prose, Section, Table
from tasks.report.charts import Axis, Series, histogram, matrix, xy
from tasks.report.numbers import DASH, meaning, number, p_value, percent, plain, title

SHARE = {"low": 0.0, "high": 1.0}


def curves(
    kind: str, target: str, metrics: dict[str, Any] | None, found: dict[str, Any] | None
) -> Section:
    """Measures with intervals, and the curves of the kind of problem."""
    lead = "The chosen model on the test rows, which no candidate has seen."
    blocks: list[Any] = []
    measured = (metrics or {}).get("choice") or {}
    if measured:
        blocks.append(_metrics_table(measured))
    charts: list[Chart] = []
    if found:
        charts = _regression(found, target) if kind == "regression" else _classification(found, kind)
    if charts:
        blocks.append(Charts(charts))
    missing = "" if charts else "the curves are not in data/evaluation."
    return Section("quality", "How good it is", lead, blocks, missing)


def _metrics_table(measured: dict[str, Any]) -> Table:
    test, valid = measured.get("test", {}), measured.get("valid", {})
    rows = []
    for name in dict.fromkeys([*test, *valid]):
        if value_of(test.get(name)) is None and value_of(valid.get(name)) is None:
            continue
        bounds = (measured.get("test_interval") or {}).get(name)
        rows.append(
            [
                Cell(title(name), note=meaning(name)),
                Cell(number(value_of(test.get(name)), 4), sort=value_of(test.get(name))),
                Cell(f"{number(bounds[0], 4)} to {number(bounds[1], 4)}" if bounds else DASH),
                Cell(number(value_of(valid.get(name)), 4), sort=value_of(valid.get(name))),
            ]
        )
    columns = [
        ("Measure", "text", ""),
        ("Test", "number", ""),
        ("95% interval", "number", "bootstrap over the test rows"),
        ("Validation", "number", ""),
    ]
    return Table(
        columns,
        rows,
        "A test value well below its validation value means that the choice was fitted to the validation rows.",
    )


def _classification(found: dict[str, Any], kind: str) -> list[Chart]:
    """ROC, precision–recall, calibration; for binary also scores by truth and the effect of the threshold."""
    each = {"": found} if kind == "binary" else {
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
                    c.get("low", ()) if kind == "binary" else (),
                    c.get("high", ()) if kind == "binary" else (),
                )
            )
    if roc:
        svg = xy(
            "ROC curve",
            Axis("false positive rate (share of negatives)", **SHARE),
            Axis("true positive rate (share of positives)", **SHARE),
            roc,
            diagonal=True,
        )
        charts.append(
            Chart(
                "ROC curve", svg, "How many positives are found for how many false alarms. The dotted line is guessing."
            )
        )
    if pr:
        prevalence = (found.get("precision_recall") or {}).get("prevalence") if kind == "binary" else None
        series = list(pr)
        if prevalence is not None:
            series[0] = Series("model", *(getattr(pr[0], k) for k in ("x", "y", "colour", "style", "labels")))
            series.append(Series("guessing", [0, 1], [prevalence] * 2, 0, "dashed"))
        svg = xy(
            "Precision–recall curve",
            Axis("recall (share of positives found)", **SHARE),
            Axis("precision (share of flagged)", **SHARE),
            series,
        )
        charts.append(
            Chart("Precision and recall", svg, "What share of the flagged rows is right, as more positives are found.")
        )
    if cal:
        svg = xy(
            "Calibration",
            Axis("probability given (mean of a tenth of the rows)", **SHARE),
            Axis("share that happened", **SHARE),
            cal,
            diagonal=True,
        )
        charts.append(
            Chart(
                "Calibration",
                svg,
                "On the dotted line, of the rows given 30% exactly 30% turn out positive."
                + (" The band is the 95% interval." if kind == "binary" else ""),
            )
        )
    if kind == "binary":
        charts += _binary_extras(found)
    return charts


def _binary_extras(found: dict[str, Any]) -> list[Chart]:
    charts = []
    scores = found.get("scores") or {}
    if {"negative", "positive"} <= set(scores):
        groups = []
        for name, colour in (("negative", 0), ("positive", 2)):
            counts = scores[name]["counts"]
            total = sum(counts) or 1
            groups.append((f"truth {name}", [c / total for c in counts], colour))
        svg = histogram(
            "Scores by truth",
            Axis("probability given", 0, 1),
            Axis("share of the class's rows", percent=True),
            scores["negative"]["edges"],
            groups,
        )
        charts.append(Chart("Scores by truth", svg, "The less the two overlap, the better the model separates them."))
    moved = found.get("threshold")
    if moved:
        series = [
            Series(plain(k), moved["threshold"], moved[k], i)
            for i, k in ((1, "precision"), (2, "recall"), (3, "f1"))
            if k in moved
        ]
        svg = xy("Effect of the threshold", Axis("threshold (probability)", **SHARE), Axis("value", **SHARE), series)
        charts.append(
            Chart(
                "What the threshold does",
                svg,
                "Precision, recall and F1 if a row were flagged from this probability on.",
            )
        )
    return charts


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


def decisions(kind: str, choice: dict[str, Any] | None, found: dict[str, Any] | None) -> Section | None:
    """The confusion matrix at the threshold in force."""
    if kind == "regression":
        return None
    lead = "What the model decides on the test rows, against what was true."
    if not found:
        return Section("decisions", "Decisions", lead, missing="the confusion matrix is not in data/evaluation.")
    classes, counts = [str(c) for c in found["classes"]], found["counts"]
    shown = classes[:12]
    table = [row[: len(shown)] for row in counts[: len(shown)]]
    threshold = (choice or {}).get("threshold")
    blocks: list[Any] = []
    facts = []
    if threshold is not None:
        facts.append(("Threshold", number(threshold), f"a row is called {classes[-1]} from this probability on"))
    total = sum(map(sum, counts))
    right = sum(counts[i][i] for i in range(len(classes)))
    facts.append(
        ("Right decisions", percent(right / total if total else None), f"{number(right)} of {number(total)} rows")
    )
    if kind == "binary":
        (_, fp), (fn, tp) = counts
        facts.append(("Precision", percent(tp / (tp + fp) if tp + fp else None), f"of {number(tp + fp)} flagged rows"))
        facts.append(("Recall", percent(tp / (tp + fn) if tp + fn else None), f"of {number(tp + fn)} positive rows"))
    blocks.append(Facts(facts))
    caption = "Rows are the truth, columns the decision; the shade is the share of the true class."
    if len(classes) > len(shown):
        caption += f" The first {len(shown)} of {len(classes)} classes."
    blocks.append(Charts([Chart("Confusion matrix", matrix("Confusion matrix", shown, table), caption)]))
    return Section("decisions", "Decisions", lead, blocks)


def slices(found: dict[str, Any] | None, alpha: float) -> Section:
    """Parts of the test rows: weak ones that were found, then the declared ones."""
    lead = (
        "The same model on parts of the test rows. Weak parts are searched for on the validation rows and tested on the "
        "test rows, so that the search does not flatter itself; p-values are corrected for the number of parts."
    )
    if not found or not (found.get("weak") or found.get("declared")):
        return Section("slices", "Slices", lead, missing="no slice was large enough, or data/evaluation has none.")
    blocks: list[Any] = []
    for key, caption in (("weak", "Weak parts, the most certain first."), ("declared", "Declared parts.")):
        entries = found.get(key) or []
        if entries:
            blocks += [
                Prose(_slices_said(entries, key, alpha)),
                _slices_table(entries, found.get("metric", ""), caption, alpha),
            ]
    return Section("slices", "Slices", lead + f" Loss: {found.get('loss', 'squared error')}.", blocks)


def _slices_said(entries: list[dict[str, Any]], key: str, alpha: float) -> str:
    worse = sum(e["p_holm"] < alpha and e["loss"] > (e["loss_elsewhere"] or 0) for e in entries)
    what = "suspected part" if key == "weak" else "declared part"
    plural = "s" if len(entries) != 1 else ""
    if not worse:
        return f"None of the {len(entries)} {what}{plural} is worse than chance explains."
    return f"{worse} of {len(entries)} {what}{plural} {'is' if worse == 1 else 'are'} worse than the other rows beyond chance."


def _slices_table(entries: list[dict[str, Any]], metric: str, caption: str, alpha: float) -> Table:
    rows = []
    said = "predicted" in entries[0]
    for s in entries:
        worse = s["p_holm"] < alpha and s["loss"] > (s["loss_elsewhere"] or 0)
        row = [
            Cell(", ".join(f"{k} {v}" for k, v in s["where"].items())),
            Cell(number(s["rows"]), sort=s["rows"], note=percent(s["share"])),
            Cell(number(s["loss"]), sort=s["loss"], note=f"elsewhere {number(s['loss_elsewhere'])}"),
            Cell(number(s["metric"]), sort=s["metric"] if s["metric"] is not None else -1),
        ]
        if said:
            row.append(Cell(f"{number(s['predicted'])} → {number(s['observed'])}", sort=s["predicted"] - s["observed"]))
        row += [
            Cell(p_value(s["p_holm"]), sort=s["p_holm"]),
            Cell("worse" if worse else "in line", tone="warn" if worse else ""),
        ]
        rows.append(row)
    columns = [
        ("Part", "text", ""),
        ("Rows", "number", ""),
        ("Loss", "number", ""),
        (title(metric), "number", meaning(metric)),
    ]
    columns += [("Said → happened", "number", "mean prediction and mean truth of the part")] if said else []
    columns += [("p, corrected", "number", "Holm's correction over all parts of the table"), ("", "text", "")]
    return Table(columns, rows, caption, search="Search the slices" if len(rows) > 14 else "")


def errors(found: dict[str, Any] | None, kind: str, classes: list[str], shown: list[str]) -> Section:
    """Worst and least certain rows, with the values of the features in ``shown``."""
    lead = "Single test rows worth a look: where the model was sure and wrong, and where it could not decide."
    if not found or not any(found.values()):
        return Section("errors", "Errors", lead, missing="no error analysis in data/evaluation.")
    blocks: list[Any] = []
    captions = {"worst": "Worst rows: the least probability for what was true.", "least_certain": "Least certain rows."}
    if kind == "regression":
        captions["worst"] = "Worst rows: the largest errors."
    for name, entries in found.items():
        if entries:
            names = [f for f in shown if f in entries[0]["features"]][:6]
            columns = [
                ("Row", "number", "position in the validated table"),
                ("Truth", "text", ""),
                ("Said", "number", ""),
            ]
            columns += [
                (
                    f,
                    "number" if all(isinstance(e["features"].get(f), int | float | None) for e in entries) else "text",
                    "",
                )
                for f in names
            ]
            blocks.append(
                Table(columns, [_error_row(e, kind, classes, names) for e in entries], captions.get(name, plain(name)))
            )
    return Section("errors", "Errors", lead, blocks)


def _error_row(entry: dict[str, Any], kind: str, classes: list[str], names: list[str]) -> list[Cell]:
    score = entry["score"]
    if kind == "regression":
        said = Cell(number(score), sort=score)
        truth = number(entry["truth"])
    else:
        top = len(classes) - 1 if kind == "binary" else max(range(len(score)), key=lambda k: score[k])
        said = Cell(percent(score[top]), sort=score[top], note=f"for {classes[top]}")
        truth = str(entry["truth"])
    values = []
    for name in names:
        value = entry["features"].get(name)
        values.append(
            Cell(DASH if value is None else f"{value:.6g}" if isinstance(value, float) else str(value), sort=value)
        )
    return [Cell(str(entry["row"]), sort=entry["row"]), Cell(truth), said, *values]
