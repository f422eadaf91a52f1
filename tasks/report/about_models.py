"""Sections on the candidates: their measures, how they were tuned, how they learnt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup
from pydantic import JsonValue

from tasks.artifacts import Candidate, CandidateMetrics, Choice, FrontPoint, Metrics, Trial, members_of, turns_of
from tasks.errors import some
from tasks.metrics import higher_is_better
from tasks.report.blocks import Block, Cell, Chart, Charts, Prose, Section, Table, text
from tasks.report.charts import Axis, Series, Style, xy
from tasks.report.found import FamilyFiles
from tasks.report.numbers import DASH, counted, meaning, number, plain, title


def candidates(
    choice: Choice | None,
    metrics: Metrics | None,
    files: Mapping[str, FamilyFiles],
) -> Section:
    """All families side by side, the chosen one marked, then those that failed; tuning histories and loss curves."""
    lead = "One candidate per family, each with the best parameters its tuning found. The choice goes by the validation rows; the test rows only judge it."
    measured = metrics.candidates if metrics else {}
    metric = choice.metric if choice else ""
    there = {name: one for name, one in files.items() if one.candidate or one.best or one.trials}
    families = list(dict.fromkeys([*measured, *there]))
    if not families:
        return Section("candidates", "Candidates", lead, missing="no candidate has been trained.")
    chosen = {choice.family, *choice.members} if choice else set()

    def valid_of(name: str) -> float | None:
        made, value = of(name).candidate, measured[name].valid.get(metric) if name in measured else None
        return made.valid.get(metric) if value is None and made else value

    def of(name: str) -> FamilyFiles:
        return there.get(name) or FamilyFiles()

    def order(name: str) -> tuple[float, str]:
        value = valid_of(name)
        return (math.inf if value is None else -value if higher_is_better(metric) else value, name)

    families.sort(key=order)
    extra = [m for m in _shared(measured) if m != metric][:5]
    columns: list[tuple[str, str, str]] = [("Family", "text", "")]
    columns += [
        (f"{title(metric)}, valid", "number", meaning(metric)),
        (f"{title(metric)}, test", "number", meaning(metric)),
    ]
    columns += [(f"{title(m)}, test", "number", meaning(m)) for m in extra]
    columns += [("Trials", "number", "parameter sets tried")]
    rows = []
    for name in families:
        test = measured[name].test if name in measured else {}
        row = [Cell(plain(name), note="chosen" if name in chosen else "")]
        row += [_measure(valid_of(name)), _measure(test.get(metric))]
        row += [_measure(test.get(m)) for m in extra]
        tried = len(of(name).trials)
        row.append(Cell(number(tried) if tried else DASH, sort=tried))
        rows.append(row)
    if metrics:
        base = metrics.baseline
        row = [Cell("No model", note=base.name), _measure(base.valid.get(metric))]
        row += [_measure(base.test.get(m)) for m in (metric, *extra)]
        rows.append([*row, text(None)])
    blocks: list[Block] = [
        Table(columns, rows, "Sorted by the validation value.", [i for i, n in enumerate(families) if n in chosen])
    ]
    verb = {"tune": "tuning", "train": "training"}
    blocks += [
        Prose(f"{plain(name)} failed in {verb[one.failed.stage]} and was left out: {one.failed.why}")
        for name, one in sorted(files.items())
        if one.failed
    ]
    if told := _auto(of("auto")):
        blocks.append(Prose(told))
    for name in families:
        blocks += [*_front(name, of(name), metric), *_last_fit(name, of(name))]
    each = {name: of(name) for name in families}
    blocks.append(_parameters(each))
    blocks += [t for t in (_balance(each), _forms(each, metric)) if t]
    charts = [
        c
        for c in (
            _tuning_chart(there, metric),
            *(_front_chart(n, one, metric) for n, one in each.items()),
            *(
                chart(n, one.candidate)
                for n, one in each.items()
                if one.candidate
                for chart in (_loss_chart, _path_chart)
            ),
        )
        if c
    ]
    if charts:
        blocks.append(Charts(charts))
    reason = f" {choice.reason}" if choice else ""
    missing = "" if measured else "the candidates' metrics are not in data/evaluation."
    return Section("candidates", "Candidates", lead + reason, blocks, missing)


def _measure(value: float | None) -> Cell:
    return Cell(number(value), sort="" if value is None else value)


def _shared(measured: Mapping[str, CandidateMetrics]) -> list[str]:
    """Metrics that every candidate has on the test rows, in the order of the first."""
    all_of = [list(one.test) for one in measured.values()]
    return [m for m in all_of[0] if all(m in names for names in all_of)] if all_of else []


def _parameters(files: Mapping[str, FamilyFiles]) -> Table:
    """What tuning chose for each family; of a mix, for each of its members."""
    rows = []
    for family, one in files.items():
        chosen = one.candidate or one.best
        params = chosen.params if chosen else {}
        members = members_of(params)
        if not members:
            rows.append([Cell(plain(family)), Cell(_params(params))])
            continue
        rows += [
            [Cell(plain(m.family), note=f"{m.weight:.0%} of {plain(family).lower()}"), Cell(_params(m.params))]
            for m in members
        ]
    return Table([("Family", "text", ""), ("Parameters found", "text wide", "")], rows)


def _balance(files: Mapping[str, FamilyFiles]) -> Table | None:
    """What was done about rare classes: training rows of each class before and after, and whether it helped."""
    found = [(f, one.candidate.imbalance) for f, one in files.items() if one.candidate and one.candidate.imbalance]
    if not found:
        return None
    metric = found[0][1].metric
    columns = [
        ("Family", "text", ""),
        ("training.imbalance", "text", ""),
        ("Rows by class, before", "text", "training rows"),
        ("after", "text", "training rows"),
        (f"{title(metric)} with it, valid", "number", meaning(metric)),
        ("without it", "number", meaning(metric)),
        ("Used", "text", ""),
    ]
    rows = []
    for family, one in found:
        used = one.used if one.used != "none" else "no"
        if one.without_it and one.used != "none":
            used = f"by {one.members - len(one.without_it)} of {one.members} members"
        cells = [text(one.asked), text(_by_class(one.before)), text(_by_class(one.after))]
        rows.append([Cell(plain(family)), *cells, _measure(one.with_it), _measure(one.without), text(used)])
    said = (
        "Training rows alone are changed. Ways that change which rows there are are used only where that is better on "
        "validation rows, by the same settings; auto tries each family with and without, and counts the rows of its first fold."
    )
    return Table(columns, rows, said)


def _by_class(counts: dict[str, int]) -> str | None:
    """
    >>> _by_class({"no": 120, "yes": 40})
    'no 120, yes 40'
    """
    if not counts:
        return None
    return ", ".join(f"{name} {number(count)}" for name, count in counts.items())


COSTS = {
    "latency_ms": ("One row, ms", "time of one row's score, features not included, measured in tuning"),
    "size_kb": ("Size, kB", "on disk, as fitted in tuning"),
}


def _last_fit(name: str, files: FamilyFiles) -> list[Prose]:
    """Where several goals were declared: what the model that was fitted on all rows costs."""
    goals, row_ms = files.candidate and files.candidate.goals, files.timing.latency_ms
    if not goals:
        return []
    took = f" and takes {number(row_ms)} ms a row" if row_ms is not None else ""
    said = f"{plain(name)}: fitted on all training rows, {goals.trial} has {number(goals.size_kb)} kB{took}."
    if goals.gone:
        each = ", ".join(f"{one.trial} ({number(one.size_kb)} kB)" for one in goals.gone)
        said += f" Larger than tuning.goals allows, and so passed over: {each}."
    return [Prose(said)]


def _front(name: str, files: FamilyFiles, metric: str) -> list[Prose | Table]:
    """Where several goals were declared: why this trial, and the trials that no other beats in all goals."""
    goals = files.best and files.best.goals
    if not goals:
        return []
    costs = list(goals.rule.costs)
    columns = [(f"{plain(name)}: trial", "text", ""), (f"{title(metric)}, in tuning", "number", meaning(metric))]
    columns += [(COSTS[cost][0], "number", COSTS[cost][1]) for cost in costs]
    rows = [
        [Cell(p.name, note="chosen" if p.chosen else ""), *map(_measure, (p.value, *(p.costs[c] for c in costs)))]
        for p in goals.front
    ]
    said = f"Trials of {plain(name)} that no other beats in all goals of tuning.goals."
    return [
        Prose(f"{plain(name)}: {goals.reason}"),
        Table(columns, rows, said, [i for i, p in enumerate(goals.front) if p.chosen]),
    ]


def _front_chart(name: str, files: FamilyFiles, metric: str) -> Chart | None:
    """All complete trials by their first cost and the metric: the front as a line, the chosen one marked."""
    goals = files.best and files.best.goals
    if not goals or len(goals.front) < 2:
        return None
    cost = next(iter(goals.rule.costs))

    def points(label: str, of: Sequence[FrontPoint | Trial], colour: int, style: Style) -> Series:
        there = [(p.name, p.costs[cost], p.value) for p in of if cost in p.costs and p.value is not None]
        said = [f"{n}: {title(metric)} {number(v, 4)}, {COSTS[cost][0]} {number(c)}" for n, c, v in there]
        return Series(label, [c for _, c, _ in there], [v for _, _, v in there], colour, style, said)

    edge = sorted(goals.front, key=lambda p: p.costs[cost])
    chosen = next(p for p in edge if p.chosen)
    series = [points("all trials", files.trials, 1, "points"), points("front", edge, 2, "line+points")]
    svg = xy(f"Goals of {name}", Axis(COSTS[cost][0]), Axis(title(metric)), series, at=chosen.costs[cost])
    return Chart(f"Goals: {plain(name)}", svg, f"The upright line is {chosen.name}, which the rule chose.")


def _forms(files: Mapping[str, FamilyFiles], metric: str) -> Table | None:
    """Size, work, time of a row and metric of a network's forms side by side, the one that was kept marked."""
    forms = [(f, form) for f, one in files.items() if one.candidate for form in one.candidate.compression]
    if not forms:
        return None
    columns = [
        ("Network", "text", ""),
        ("Form", "text", "full: as it was trained; folded: batch norm and dropout put into the layers"),
        ("Memory, kB", "number", "the network's numbers in memory"),
        ("Size, kB", "number", "on disk"),
        ("Multiply-adds", "number", "for one row, in the layers"),
        ("One row, ms", "number", "median time of one row's score where it was trained, features not included"),
        (f"{title(metric)}, valid", "number", meaning(metric)),
    ]
    rows = [
        [
            Cell(plain(family)),
            Cell(form.variant, note="kept" if form.used else form.why),
            _measure(form.memory_kb),
            _measure(form.size_kb),
            _measure(form.multiply_adds),
            _measure(files[family].timing.row_ms.get(form.variant)),
            _measure(form.metric),
        ]
        for family, form in forms
    ]
    said = (
        "Kept is the form that takes the least memory and whose metric is within training.compression.tolerance of the "
        "full network's. It is the one whose scores are judged above, and served."
    )
    return Table(columns, rows, said, [i for i, (_, form) in enumerate(forms) if form.used])


def _auto(files: FamilyFiles) -> str:
    """What ``auto`` tried, what it judged that on, and what came of it."""
    trials, judged = files.trials, files.best and files.best.judged
    if not trials or not judged:
        return ""
    count = Counter(t.state for t in trials)
    said = [f"Auto tried {counted(len(trials), 'setting')} of {counted(len({t.family for t in trials}), 'family')}."]
    folds, rows = judged.folds, number(judged.rows)
    if folds > 1:
        of = "training and validation rows together"
        if judged.declared:
            of = f"training rows that tuning.split: {judged.declared} holds out"
        said.append(f"It judged {number(count['complete'])} of them on all {folds} folds of the {rows} {of}, each row "
                    "by models that had not seen it.")  # fmt: skip
        if count["pruned"]:
            said.append(f"{_were(count['pruned'])} stopped after one fold.")
    elif judged.cut_short:
        said.append(f"Its time did not suffice for more than the first fold, so {rows} rows judged the settings.")
    else:
        said.append(f"It judged them on {rows} validation rows.")
    if judged.beyond:
        said.append(f"Most of these lie beyond all training rows in {some(judged.beyond, 5)}, so members were chosen by "
                    "fits on older training rows, as far from the validation rows as the test rows will be.")  # fmt: skip
    if count["fail"]:
        said.append(f"{_were(count['fail'])} not finished in time, or failed.")
    members = members_of(files.candidate.params) if files.candidate else []
    if len(members) > 1:
        said.append(f"The candidate is a mix of {len(members)} settings, with weights chosen on the same rows.")
    elif members:
        why = ", the only one judged in full" if count["complete"] == 1 else ": no mix was better"
        said.append(f"The candidate is one setting of {plain(members[0].family)}{why}.")
    if folds > 1 and judged.declared != "time_series":  # of which the members are fitted again
        said.append("What answers is the mean of the models of all folds.")
    return " ".join(said)


def _were(n: int) -> str:
    return f"{number(n)} {'was' if n == 1 else 'were'}"


def _params(params: Mapping[str, JsonValue]) -> Markup | str:
    if not params:
        return DASH
    said = [f"{k} {_said(v)}" for k, v in params.items() if k != "turns"]
    turns = turns_of(params)
    for name in turns[0] if turns else ():  # of a population's winner: the schedule that it was trained with
        path = [_said(turn[name]) for turn in turns]
        if len(set(path)) > 1:
            said = [one for one in said if one.partition(" ")[0] != name] + [f"{name} {' → '.join(path)}"]
    said += [f"{len(turns)} turns"] if turns else []
    return Markup("<span class='mono'>{}</span>").format(", ".join(said))


def _said(value: JsonValue) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tuning_chart(files: Mapping[str, FamilyFiles], metric: str) -> Chart | None:
    """Best value so far by trial, one line per family."""
    series = []
    lower = not higher_is_better(metric)
    for colour, name in enumerate(sorted(files), 1):
        trials = [(t.number + 1, t.value) for t in files[name].trials if t.value is not None and t.state == "complete"]
        best, xs, ys, labels = None, [], [], []
        for i, value in sorted(trials):
            best = value if best is None else min(best, value) if lower else max(best, value)
            xs.append(i)
            ys.append(best)
            labels.append(f"{plain(name)}, trial {i}: {number(value, 4)} (best so far {number(best, 4)})")
        if xs:
            series.append(Series(plain(name), xs, ys, (colour - 1) % 6 + 1, "line+points", labels))
    if not series:
        return None
    svg = xy("Tuning history", Axis("trial", whole=True), Axis(f"best {title(metric)} so far"), series)
    said = (
        f"Best validation value found so far, by complete trial. A line still {'falling' if lower else 'rising'} at its end "
        "would gain from a larger budget."
    )
    auto = files["auto"].best if "auto" in files else None
    if auto and auto.judged and (auto.judged.pooled or auto.judged.beyond) and len(series) > 1:
        said += " Auto was judged in another way: compare no heights with its line."
    return Chart("Tuning history", svg, said)


def _path_chart(name: str, candidate: Candidate) -> Chart | None:
    """Coefficients of a penalised linear model against the penalty, the chosen one marked."""
    path = candidate.path
    if not path:
        return None
    xs = [math.log10(a) for a in path.alpha]
    series = [
        Series(feature, xs, values, i % 6 + 1, "line" if i < 6 else "dashed")
        for i, (feature, values) in enumerate(path.coefficients.items())
    ]
    low, high = math.ceil(xs[0]), math.floor(xs[-1])
    ticks = [(float(p), f"1e{p}") for p in range(low, high + 1)]
    axes = Axis("penalty alpha", xs[0], xs[-1], ticks=ticks), Axis("coefficient")
    svg = xy(f"Coefficient paths of {name}", *axes, series, at=math.log10(path.chosen))
    said = "The largest coefficients, on the encoded features, as the penalty grows; the upright line is the penalty chosen."
    return Chart(f"Coefficient paths: {plain(name)}", svg, said)


def _loss_chart(name: str, candidate: Candidate) -> Chart | None:
    """Loss curves of a candidate that recorded any: training dashed, validation solid."""
    history = {k: v for k, v in candidate.history.items() if len(v) > 1}
    kept = {k: v for k, v in history.items() if "loss" in k or k in ("train", "valid", "validation", "training")}
    kept = kept or dict(list(history.items())[:2])
    if not kept:
        return None
    series = []
    for colour, (label, values) in enumerate(kept.items(), 1):
        train = "train" in label
        series.append(
            Series(label.replace("_", " "), range(1, len(values) + 1), values, colour, "dashed" if train else "line")
        )
    best = None
    valid = next((v for k, v in kept.items() if "valid" in k), None)
    if valid:
        best = min(range(len(valid)), key=lambda i: valid[i]) + 1
    unit = "epoch" if name in ("mlp", "realmlp", "tabm") else "round"
    svg = xy(f"Loss of {name}", Axis(unit, whole=True), Axis("loss"), series)
    said = f"Lowest validation loss at {unit} {best} of {len(valid or ())}." if best else ""
    return Chart(f"Learning: {plain(name)}", svg, said)
