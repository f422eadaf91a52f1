"""Sections on single decisions of the chosen model: the confusion matrix, slices, and rows worth a look."""

from __future__ import annotations

from tasks.artifacts import Choice, Confusion, Curves, NotableRow, NotableRows, SliceResult, Slices
from tasks.kinds import find_kind
from tasks.report.blocks import Block, Cell, Chart, Charts, Facts, Prose, Section, Table
from tasks.report.charts import Axis, Series, histogram, share, xy
from tasks.report.found import RowNames
from tasks.report.marks import matrix
from tasks.report.numbers import DASH, meaning, number, p_value, percent, plain, title


def decisions(kind: str, choice: Choice | None, found: Confusion | None, curves: Curves | None) -> Section | None:
    """The confusion matrix at the threshold in force, and what another threshold would do."""
    problem = find_kind(kind)
    if not problem.output.classes:
        return None
    lead = "What the model decides on the test rows, against what was true."
    if not found:
        return Section("decisions", "Decisions", lead, missing="the confusion matrix is not in data/evaluation.")
    classes, counts = found.classes, found.counts
    shown = classes[:12]
    table = [row[: len(shown)] for row in counts[: len(shown)]]
    threshold = choice.threshold if choice else None
    blocks: list[Block] = []
    facts = []
    if threshold is not None:
        facts.append(("Threshold", number(threshold), f"a row is called {classes[-1]} from this probability on"))
    total = sum(map(sum, counts))
    right = sum(counts[i][i] for i in range(len(classes)))
    often = max(range(len(classes)), key=lambda i: sum(counts[i]))
    without = percent(sum(counts[often]) / total if total else None)
    said = f"{number(right)} of {number(total)} rows; always “{classes[often]}” would be right in {without}"
    facts.append(("Right decisions", percent(right / total if total else None), said))
    if problem.positive is not None:
        (_, fp), (fn, tp) = counts
        name = classes[1]
        facts.append(
            (
                "Precision",
                percent(tp / (tp + fp) if tp + fp else None),
                f"of {number(tp + fp)} rows called “{name}” are",
            )
        )
        facts.append(
            (
                "Recall",
                percent(tp / (tp + fn) if tp + fn else None),
                f"of {number(tp + fn)} rows that are “{name}” are found",
            )
        )
    blocks.append(Facts(facts))
    caption = "Rows are the truth, columns the decision; the shade is the share of the true class."
    if len(classes) > len(shown):
        caption += f" The first {len(shown)} of {len(classes)} classes."
    charts = [Chart("Confusion matrix", matrix("Confusion matrix", shown, table), caption)]
    if problem.positive is not None and curves:
        charts += _threshold_charts(curves, threshold, classes)
    blocks.append(Charts(charts))
    return Section("decisions", "Decisions", lead, blocks)


def _threshold_charts(found: Curves, threshold: float | None, classes: list[str]) -> list[Chart]:
    """Scores by truth, and what other thresholds would do; the one in force as an upright line."""
    charts = []
    if scores := found.scores:
        groups = []
        for name, one, colour in ((classes[0], scores.negative, 0), (classes[1], scores.positive, 2)):
            total = sum(one.counts) or 1
            groups.append((f"truth: {name}", [c / total for c in one.counts], colour))
        svg = histogram(
            "Scores by truth",
            Axis(f"probability of {classes[1]}", 0, 1),
            Axis("share of the class's rows", percent=True),
            scores.negative.edges,
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
    if moved := found.threshold:
        lines = (("precision", moved.precision), ("recall", moved.recall), ("f1", moved.f1))
        series = [Series(plain(k), moved.threshold, values, i) for i, (k, values) in enumerate(lines, 1)]
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


def slices(found: Slices | None, alpha: float) -> Section:
    """Parts of the test rows: weak ones that were found, then the declared ones."""
    lead = (
        "The same model on parts of the test rows. Rows that are hard by nature are no fault of the model, so errors are "
        "not compared. A part is worse where what happens differs from what the model says, more than on the other rows: "
        "in the mean (level), or because the differences that it makes between rows are not there (skill). Weak parts "
        "are searched for on the validation rows and tested on the test rows, so that the search does not flatter itself."
    )
    if not found or not (found.weak or found.declared):
        missing = "no part gave rise to suspicion, or none is large enough to be tested (30 rows)."
        return Section("slices", "Slices", lead, missing=missing if found else "data/evaluation has no slices.")
    blocks: list[Block] = []
    weak = ("suspected part", "Suspected parts, the most certain first.", found.weak)
    for what, caption, entries in (weak, ("declared part", "Declared parts.", found.declared)):
        if entries:
            told = _slices_table(entries, found.metric, caption, alpha, found.classes)
            blocks += [Prose(_slices_said(entries, what, alpha)), told]
    return Section("slices", "Slices", lead, blocks)


def _judged(entry: SliceResult, alpha: float) -> str:
    """``worse`` or ``better`` than the other rows beyond chance, else nothing."""
    beyond = entry.p_holm is not None and entry.p_holm < alpha
    return str(entry.direction) if beyond else ""


def _slices_said(entries: list[SliceResult], what: str, alpha: float) -> str:
    counted = f"{len(entries)} {what}{'s' if len(entries) != 1 else ''}"
    said = []
    for word in ("worse", "better"):
        count = sum(_judged(e, alpha) == word for e in entries)
        if count:
            said.append(
                f"{count} of {counted} {'is' if count == 1 else 'are'} {word} than the other rows beyond chance."
            )
    if said:
        return " ".join(said)
    if len(entries) == 1:
        return f"The one {what} is in line: what differs may be chance."
    return f"None of the {counted} differs from the other rows by more than chance explains."


def _verdict(entry: SliceResult, alpha: float, classes: list[str]) -> Cell:
    """The judgement of a part, and what it rests on."""
    word = _judged(entry, alpha)
    if entry.p_holm is None:
        return Cell("not tested", note="too few rows in it, or beside it")
    if not word:
        return Cell("in line")
    which = entry.number
    of = f"{classes[which]} " if which is not None and which < len(classes) else ""
    if entry.fault == "skill":
        said = "differences between rows are " + ("not there as said" if word == "worse" else "there as said, or more")
    elif word == "better":
        said = f"{of}comes closer to what is said"
    else:
        above = entry.observed > entry.predicted
        happens = "happens " + ("more" if above else "less") + " often than said"
        number = "truth lies " + ("above" if above else "below") + " the prediction"
        said = f"{of}{number if entry.promised is None else happens}"
    return Cell(word, tone="warn" if word == "worse" else "good", note=said)


def _slices_table(entries: list[SliceResult], metric: str, caption: str, alpha: float, classes: list[str]) -> Table:
    rows = []
    promised = entries[0].promised is not None
    for s in entries:
        which = s.number
        of = f"of {classes[which]}" if which is not None and which < len(classes) else ""
        row = [
            Cell(", ".join(f"{k} {v}" for k, v in s.where.items())),
            Cell(number(s.rows), sort=s.rows, note=percent(s.share)),
            Cell(number(s.metric), sort=s.metric if s.metric is not None else -1),
            Cell(f"{number(s.predicted)} → {number(s.observed)}", sort=s.observed - s.predicted, note=of),
            Cell(
                DASH if s.skill is None else percent(s.skill, 0),
                sort=s.skill if s.skill is not None else -1,
                note="" if s.skill_elsewhere is None else f"elsewhere {percent(s.skill_elsewhere, 0)}",
            ),
        ]
        if s.promised is not None:
            row.append(Cell(number(s.loss), sort=s.loss - s.promised, note=f"promised {number(s.promised)}"))
        else:
            row.append(Cell(number(s.r2), sort=s.r2 if s.r2 is not None else -1))
        row += [Cell(p_value(s.p_holm), sort=s.p_holm if s.p_holm is not None else 2)]
        rows.append([*row, _verdict(s, alpha, classes)])
    columns = [
        ("Part", "text", ""),
        ("Rows", "number", ""),
        (title(metric), "number", meaning(metric)),
        ("Said → happened", "number", "level: mean prediction and mean truth of the part"),
        (
            "Skill",
            "number",
            "share of the differences between predictions that the truth bears out: 100% if they are right",
        ),
    ]
    if promised:
        columns += [("Squared error", "number", "and the one that the probabilities promise if they are right")]
    else:
        columns += [("R² within", "number", "below 0 the mean of the part would be the better prediction")]
    columns += [("p, corrected", "number", "Holm's correction over all tests of the table"), ("", "text", "")]
    return Table(columns, rows, caption, search="Search the slices" if len(rows) > 14 else "")


def errors(found: NotableRows | None, kind: str, classes: list[str], shown: list[str], called: RowNames) -> Section:
    """Worst and least certain rows by their key, with the values of the features in ``shown``."""
    problem = find_kind(kind)
    lead = "Single test rows worth a look"
    lead += ": where the model was sure and wrong, and where it could not decide." if problem.targeted else "."
    if not found or not (found.worst or found.least_certain):
        return Section("errors", "Errors", lead, missing="no error analysis in data/evaluation.")
    blocks: list[Block] = []
    asked = None if problem.positive is None or not classes else classes[problem.positive]
    for caption, entries in ((problem.worst, found.worst), ("Least certain rows.", found.least_certain)):
        if entries:
            names = [f for f in shown if f in entries[0].features][:6]
            columns = [
                (called.title, "text", "the row's key" if called.columns else "its place in the validated table"),
                *([("Truth", "text", "")] if problem.targeted else []),
                ("Said", "number", "" if asked is None else f"probability of {asked}"),
            ]
            columns += [
                (
                    f,
                    "number" if all(isinstance(e.features.get(f), int | float | None) for e in entries) else "text",
                    "",
                )
                for f in names
            ]
            said = caption if asked is None else f"{caption} Said: the probability of {asked}."
            blocks.append(Table(columns, [_error_row(e, kind, classes, names, called) for e in entries], said))
    return Section("errors", "Errors", lead, blocks)


def _error_row(entry: NotableRow, kind: str, classes: list[str], names: list[str], called: RowNames) -> list[Cell]:
    score = entry.score
    problem = find_kind(kind)
    shown, top = problem.shown(score if isinstance(score, list) else [score], classes)
    if top is None:
        said, truth = Cell(number(shown), sort=shown), number(entry.truth)
    else:
        note = "" if problem.positive is not None or not classes else f"for {classes[top]}"
        said, truth = Cell(percent(shown), sort=shown, note=note), str(entry.truth)
    values = []
    for name in names:
        value = entry.features.get(name)
        values.append(
            Cell(DASH if value is None else f"{value:.6g}" if isinstance(value, float) else str(value), sort=value)
        )
    place = None if called.columns else entry.row
    own = [Cell(called.of(entry.row), sort=place), *([Cell(truth)] if problem.targeted else [])]
    return [*own, said, *values]
