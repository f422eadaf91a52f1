"""Sections on single decisions of the chosen model: the confusion matrix, slices, and rows worth a look."""

from __future__ import annotations

from typing import Any

from tasks.report.blocks import Cell, Chart, Charts, Facts, Prose, Section, Table
from tasks.report.charts import Axis, Series, histogram, share, xy
from tasks.report.marks import matrix
from tasks.report.numbers import DASH, meaning, number, p_value, percent, plain, title


def decisions(
    kind: str, choice: dict[str, Any] | None, found: dict[str, Any] | None, curves: dict[str, Any] | None
) -> Section | None:
    """The confusion matrix at the threshold in force, and what another threshold would do."""
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
    charts = [Chart("Confusion matrix", matrix("Confusion matrix", shown, table), caption)]
    if kind == "binary":
        charts += _threshold_charts(curves or {}, threshold)
    blocks.append(Charts(charts))
    return Section("decisions", "Decisions", lead, blocks)


def _threshold_charts(found: dict[str, Any], threshold: float | None) -> list[Chart]:
    """Scores by truth, and what other thresholds would do; the one in force as an upright line."""
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
            at=threshold,
        )
        charts.append(
            Chart(
                "Scores by truth",
                svg,
                "The less the two overlap, the better the model separates them; the upright line is the threshold.",
            )
        )
    moved = found.get("threshold")
    if moved:
        series = [
            Series(plain(k), moved["threshold"], moved[k], i)
            for i, k in ((1, "precision"), (2, "recall"), (3, "f1"))
            if k in moved
        ]
        svg = xy(
            "Effect of the threshold",
            share("threshold (probability)"),
            share("value"),
            series,
            at=threshold,
        )
        charts.append(
            Chart(
                "What the threshold does",
                svg,
                "Precision, recall and F1 if a row were flagged from this probability on.",
            )
        )
    return charts


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
    if kind == "binary" and classes:
        captions = {k: f"{v} Said: the probability of {classes[-1]}." for k, v in captions.items()}
    if kind == "regression":
        captions["worst"] = "Worst rows: the largest errors."
    for name, entries in found.items():
        if entries:
            names = [f for f in shown if f in entries[0]["features"]][:6]
            columns = [
                ("Row", "number", "position in the validated table"),
                ("Truth", "text", ""),
                ("Said", "number", f"probability of {classes[-1]}" if kind == "binary" and classes else ""),
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
        top = 1 if kind == "binary" else max(range(len(score)), key=lambda k: score[k])
        said = Cell(
            percent(score[top]), sort=score[top], note="" if kind == "binary" or not classes else f"for {classes[top]}"
        )
        truth = str(entry["truth"])
    values = []
    for name in names:
        value = entry["features"].get(name)
        values.append(
            Cell(DASH if value is None else f"{value:.6g}" if isinstance(value, float) else str(value), sort=value)
        )
    return [Cell(str(entry["row"]), sort=entry["row"]), Cell(truth), said, *values]
