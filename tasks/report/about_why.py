"""Sections on why the model says what it says, and on what would make it better."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from tasks.artifacts import ExplainedRow, Explanation, Learning, PartialDependence, Summary
from tasks.artifacts.pages import Value
from tasks.kinds import find_kind
from tasks.report.blocks import Block, Cell, Chart, Charts, Prose, Section, Table
from tasks.report.charts import Axis, Series, short, xy
from tasks.report.found import RowNames
from tasks.report.numbers import counted, number, percent, plain, title

SWARM = 10


def why(found: Explanation | None, kind: str, classes: list[str], called: RowNames) -> Section:
    """SHAP summary, partial dependence, and single rows taken apart."""
    lead = "What moves the chosen model's answers, on test rows. This explains the model, not the world: a feature that it leans on need not be a cause."
    if not found:
        return Section(
            "why", "Why it says so", lead, missing="no explanation in data/evaluation (evaluation.explain is off)."
        )
    charts = [_swarm(found)] if found.summary else []
    charts += [c for c in (_dependence(p, kind, classes) for p in found.partial_dependence) if c]
    blocks: list[Block] = [Charts(charts)] if charts else []
    if found.rows:
        blocks.append(_rows(found, kind, classes, called))
    if blocks:
        blocks.append(Prose(f"{found.space} {_exactness(found)}".strip()))
    return Section("why", "Why it says so", lead, blocks, "" if blocks else "the explanation is empty.")


def drivers(found: Explanation | None, features: Summary | None) -> Section | None:
    """The features that move the answers most, in words, with each one's share of all that moves them."""
    lead = "How much each feature has to do with the new model's answers, as a share of all that moves them. It need not be a cause."
    if not found or not found.importance:
        return None
    about = {f.name: f.description for f in features.features} if features else {}
    total = sum(found.importance.values()) or 1.0
    top = sorted(found.importance.items(), key=lambda kv: (-kv[1], kv[0]))[:SWARM]
    most = top[0][1] or 1.0
    rows = [
        [
            Cell(about.get(name) or name, note=name if about.get(name) else "", sort=about.get(name) or name),
            Cell(percent(value / total, 0), sort=value, bar=max(value, 0.0) / most),
        ]
        for name, value in top
    ]
    columns = [
        ("Feature", "text", ""),
        ("Share", "number bars", "of all that moves the answers"),
    ]
    rest = len(found.importance) - len(top)
    said = f"The {len(top)} strongest of {counted(len(found.importance), 'feature')}." if rest > 0 else ""
    return Section("drivers", "What moves the answers", lead, [Table(columns, rows, said)])


def _swarm(found: Explanation) -> Chart:
    """Every row's SHAP value per feature; colour says whether the row's value is low or high for the feature."""
    features = found.summary[:SWARM]
    groups: dict[int, tuple[list[float], list[float], list[str]]] = {c: ([], [], []) for c in (0, 1, 2)}
    for at, feature in enumerate(features):
        level = len(features) - 1 - at
        ranks = _ranks(feature.value)
        seen: dict[int, int] = {}
        for value, shap, rank in zip(feature.value, feature.shap, ranks, strict=True):
            # Equal contributions are spread upwards and downwards in turn, so that their number shows.
            slot = round(shap * 400 / (max(map(abs, feature.shap)) or 1.0))
            seen[slot] = count = seen.get(slot, 0) + 1
            shift = min((count // 2) * 0.06, 0.36) * (1 if count % 2 else -1)
            colour = 0 if rank is None else 2 if rank > 0.5 else 1
            said = "missing" if value is None else number(value) if isinstance(value, int | float) else str(value)
            xs, ys, tips = groups[colour]
            xs.append(shap)
            ys.append(level + shift)
            tips.append(f"{feature.feature} = {said}: {_signed(shap)}")
    names = {1: "low value", 2: "high value", 0: "category or missing"}
    series = [Series(names[c], *groups[c][:2], c, "points", groups[c][2]) for c in (1, 2, 0) if groups[c][0]]
    marks = [(float(len(features) - 1 - i), short(f.feature, 20)) for i, f in enumerate(features)]
    x, y = Axis(f"SHAP value ({found.unit})"), Axis("", -0.6, len(features) - 0.4, ticks=marks)
    svg = xy("SHAP values by feature", x, y, series, at=0.0, height=330)
    return Chart(
        "What moves the answers",
        svg,
        "One dot per row and feature: to the right of nought it raises the answer, to the left it lowers it.",
    )


def _exactness(found: Explanation) -> str:
    """How the values were found, over which rows, and how far off they may be."""
    error = found.error
    over = f" {number(found.rows_explained)} rows were explained." if found.rows_explained else ""
    if error.typical is None or error.largest is None or error.within is None or error.stated is None:
        how = {"tree": "by the trees' own formula", "linear": "by the linear formula", "exact": "over all coalitions of features"}  # fmt: skip
        said = how.get(found.explainer)
        return f"The values are exact ({said}).{over}" if said else over.strip()
    spread = error.spread or 1.0
    said = (
        f"The model could only be asked, so the values are drawn ({number(error.predictions)} predictions, "
        f"{number(error.background)} background rows): a single one has a standard error of {number(error.typical)} "
        f"as a rule and {number(error.largest)} at most, in {found.unit}"
    )
    said += f" ({error.typical / spread:.1%} and {error.largest / spread:.1%} of the answers' standard deviation)."
    if error.within < 1:
        said += f" The budget was not enough for {error.stated:.0%} in {1 - error.within:.0%} of the rows."
    return f"{said} A row's values add up exactly all the same.{over}"


def _ranks(values: Sequence[Value]) -> list[float | None]:
    """Share of the numbers below each one; None for what is no number."""
    numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    place = {v: i / max(len(numbers) - 1, 1) for i, v in enumerate(numbers)}
    return [place.get(v) if isinstance(v, int | float) else None for v in values]


def _dependence(found: PartialDependence, kind: str, classes: list[str]) -> Chart | None:
    """Mean answer of the model by one feature's value."""
    name, values, means = found.feature, found.values, found.mean
    if not values or not means:
        return None
    numbers = [v for v in values if isinstance(v, int | float)]
    numeric = len(numbers) == len(values)
    xs = numbers if numeric else range(len(values))
    ticks = () if numeric else [(float(i), short(str(v), 6)) for i, v in enumerate(values)]
    labels = classes if len(means) > 1 and classes else [""] * len(means)
    series = []
    for colour, (label, line) in enumerate(zip(labels, means, strict=False), 1):
        tips = [
            f"{label + ': ' if label else ''}{name} = {number(v) if numeric else v}: {number(m)}"
            for v, m in zip(values, line, strict=True)
        ]
        series.append(Series(label, xs, line, (colour - 1) % 6 + 1, "line" if numeric else "points", tips))
    answer = find_kind(kind).mean_answer
    svg = xy(f"Partial dependence on {name}", Axis(short(name, 44), ticks=ticks), Axis(answer), series[:6])
    return Chart(short(name, 40), svg, "Mean answer if every row had this value.")


def _rows(found: Explanation, kind: str, classes: list[str], called: RowNames) -> Table:
    """Rows worth a look, with what pushed each answer."""
    rows, asked = [], find_kind(kind).positive
    for entry in found.rows:
        said = ", ".join(
            f"{c.feature} {_value(c.value)} ({_signed(c.shap)}{_doubt(c.error)})" for c in entry.contributions[:5]
        )
        who = classes[entry.output if asked is None else asked] if classes else ""
        rows.append(
            [
                Cell(called.of(entry.row), sort=None if called.columns else entry.row),
                Cell(number(entry.base)),
                Cell(number(entry.total), note=_answer(entry, found, who)),
                Cell(said),
            ]
        )
    sampled = found.error.kind == "sampled"
    columns = [
        (called.title, "text", "the row's key" if called.columns else "its place in the validated table"),
        ("Starts at", "number", "mean answer"),
        ("Ends at", "number", f"in {found.unit}"),
        ("Largest contributions", "text wide", "± two standard errors, where they are drawn" if sampled else ""),
    ]
    return Table(
        columns,
        rows,
        f"The worst and least certain rows taken apart, in {found.unit}.",
    )


def _answer(entry: ExplainedRow, found: Explanation, who: str) -> str:
    """Of which class it is, and its probability where the parts add up to something else."""
    if not who:
        return ""
    if found.unit == "probability" or entry.answer is None:
        return f"for {who}"
    return f"for {who}: probability {number(entry.answer)}"


def _doubt(error: float | None) -> str:
    return f" ± {2 * error:.2g}" if error else ""


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


def _value(value: Value) -> str:
    return "missing" if value is None else f"= {value:.4g}" if isinstance(value, float) else f"= {value}"


def learning(found: Learning | None) -> Section | None:
    """Bias and variance in words, the learning curve, and the validation curves of the leading family."""
    if not found:
        return None
    lead = "Where the remaining error comes from: too stiff a model, too few rows, or noise."
    blocks: list[Block] = [Prose(said) for said in found.diagnosis.said] if found.diagnosis else []
    charts = []
    curve = found.learning_curve
    points = curve.points
    if len(points) > 1:
        measure = title(curve.metric)
        series = []
        trained = [(p.rows, p.train) for p in points if p.train is not None]
        for colour, key, kept in ((1, "train", trained), (2, "valid", [(p.rows, p.valid) for p in points])):
            if kept:
                tips = [f"{plain(key)}: {number(v, 4)} with {n:,} rows" for n, v in kept]
                xs, ys = [math.log10(n) for n, _ in kept], [v for _, v in kept]
                series.append(Series(plain(key), xs, ys, colour, "line+points", tips))
        ticks = [(math.log10(p.rows), f"{p.rows / 1000:.3g}k" if p.rows >= 1000 else str(p.rows)) for p in points]
        svg = xy("Learning curve", Axis("training rows (logarithmic)", ticks=ticks), Axis(measure), series)
        same = curve.fitted == curve.family
        what = "The same family" if same else f"Its leading member, {plain(curve.fitted)},"
        which = "the newest of" if curve.newest else "random samples of"
        said = f"{what} fitted on {which} the {number(curve.rows)} training rows"
        said += "." if curve.newest else "; a smaller size is the mean of three samples."
        charts.append(Chart(f"Learning curve: {plain(curve.family)}", svg, said))
    tried = found.validation_curves.get(curve.family, {})
    for name, values in list(tried.items())[:5]:
        numeric = [(p.value, p.metric) for p in values if isinstance(p.value, int | float)]
        if len({v for v, _ in numeric}) > 1:
            dots = Series("", [v for v, _ in numeric], [m for _, m in numeric], 1, "points")
            svg = xy(f"Trials by {name}", Axis(name), Axis(title(curve.metric)), [dots])
            charts.append(Chart(Markup("Trials by <code>{}</code>").format(name), svg))
    if charts:
        blocks.append(Charts(charts))
    return Section("learning", "What limits it", lead, blocks) if blocks else None
