"""The first screen, for whoever decides: what was decided and by which rule, what changed, the trend, and what comes next."""

from __future__ import annotations

from markupsafe import Markup

from tasks.artifacts import Verdict
from tasks.kinds import find_kind
from tasks.metrics import higher_is_better
from tasks.report import trend
from tasks.report.blocks import Block, Cell, Charts, Facts, Head, Panel, Panels, Prose, Steps, Table
from tasks.report.changes import side_by_side
from tasks.report.coming import decides, rhythm
from tasks.report.found import RunFiles
from tasks.report.numbers import counted, day, number, percent, title

WORDS = {"promote": "Promote", "keep": "Keep the champion", "inconclusive": "Inconclusive"}


def head(found: RunFiles) -> Head:
    """The page's first screen."""
    verdict = found.verdict
    drawn = _trend(found)
    changed, spent, worth, coming = _changed(found), _spent(found), _worth(found), _next(found)
    columns = ((changed, spent, worth), (coming, drawn)) if drawn else ((changed, spent), (coming, worth))
    sides = [[panel for panel in column if panel] for column in columns]
    blocks: list[Block] = [Panels(sides[0], sides[1])] if any(sides) else []
    if verdict is None:
        said = "No verdict yet: the comparison with the champion has not been run."
        return Head("No verdict", "none", said, blocks=blocks)
    word = WORDS[verdict.verdict] if verdict.champion or verdict.verdict != "keep" else "Not promoted"
    return Head(
        word, verdict.verdict, _headline(verdict, found.approval), verdict.sentence, _about(found, verdict), blocks
    )


def _headline(verdict: Verdict, approval: bool) -> str:
    """What was decided, and why, in plain words."""
    champion = f"Version {verdict.champion.version}" if verdict.champion else ""
    if verdict.verdict == "promote":
        what = f"The new model takes over from {champion.lower()}" if champion else "The first model goes into service"
        return f"{what}, if a person approves." if approval else f"{what}."
    what = f"{champion} stays in service" if champion else "No model goes into service yet"
    return f"{what}: {_why_not(verdict)}."


def _why_not(verdict: Verdict) -> str:
    failed = [one for one in verdict.guardrails if not one.passed]
    if verdict.suspicions and verdict.verdict == "inconclusive":
        return "a column may give the answer away"
    if failed and verdict.verdict == "keep":
        return "the new model breaks a limit that was set"
    if verdict.challenger and verdict.champion and verdict.challenger.package_sha256 == verdict.champion.package_sha256:
        return "this run made the same model again"
    if not verdict.evidence.metric:
        return "the two models cannot be compared"
    if verdict.verdict == "keep":
        return "the new model is worse"
    better = "which model is better" if verdict.champion else "whether the new one is better than none"
    return f"it is too early to tell {better}"


def _about(found: RunFiles, verdict: Verdict) -> list[tuple[str, str]]:
    """Who decided by what, and which data and version this is about."""
    said = [("Decided by", _rule(verdict.rule))]
    if verdict.verdict == "promote":
        said.append(("Approval", "a person has to approve" if found.approval else "none is needed"))
    if verdict.champion:
        since = _since(found, verdict.champion.version)
        said.append(("In service so far", f"version {verdict.champion.version}{since}"))
    else:
        said.append(("In service so far", "no model; this is the first model"))
    return said


def _rule(rule: str) -> str:
    """The rule that decided, in a sentence.

    >>> _rule("superiority; at most 5%"), _rule("no champion: better than chance, one-sided 0.05")
    ('the rule “superiority” of params.yaml: at most 5%', 'the rule for a first model: better than chance, one-sided 0.05')
    """
    if rule.startswith("no champion: "):
        return f"the rule for a first model: {rule.removeprefix('no champion: ')}"
    if rule in ("identical packages", "no comparison", ""):
        return f"no test ({rule or 'none was needed'})"
    name, _, rest = rule.partition("; ")
    return f"the rule “{name.replace('_', ' ')}” of params.yaml" + (f": {rest}" if rest else "")


def _since(found: RunFiles, version: str | None) -> str:
    """From which run on a version is champion, by the data's time."""
    decisions = found.past.decisions if found.past else []
    made = next((d for d in reversed(decisions) if d.champion == version and d.action != "keep"), None)
    if made is None or made.measured.as_of is None:
        return ""
    return f", since the run on data up to {day(made.measured.as_of)}"


def _changed(found: RunFiles) -> Panel | None:
    table = side_by_side(found)
    what = f"What changed since version {found.champion.version}" if found.champion else "The new model"
    return Panel(what, [table]) if table.rows else None


def _spent(found: RunFiles) -> Panel | None:
    """What errors cost on the judged rows: without a model, the champion's and the new model's."""
    costs = found.costs
    if costs is None:
        return None
    prices, verdict = costs.prices, found.verdict
    without = "an alarm on every row" if costs.without.misses == 0 else "no alarm at all"
    chosen = "figure strong" if verdict and verdict.verdict == "promote" else "figure"
    both = [("Without a model", "figure", ""), ("New model", chosen, "")]
    errors = [costs.without, costs.challenger]
    other = "deciding without a model"
    if found.champion and costs.champion:
        both.insert(1, (f"Version {found.champion.version}", "figure", "in service"))
        errors.insert(1, costs.champion)
        other = f"those of version {found.champion.version}"
    rows = [
        [Cell("In all", note=f"on the {number(costs.rows)} judged rows"), *(Cell(prices.say(prices.of(e))) for e in errors)],
        [Cell("Per row"), *(Cell(prices.say(costs.per_row(e))) for e in errors)],
        [
            Cell("False alarms", note=f"{prices.say(prices.alarm)} each"),
            *(Cell(number(e.false_alarms), note=without if e is costs.without else "") for e in errors),
        ],
        [Cell("Misses", note=f"{prices.say(prices.miss)} each"), *(Cell(number(e.misses)) for e in errors)],
    ]  # fmt: skip
    saved = prices.of(costs.beside) - prices.of(costs.challenger)
    much = f"{prices.say(abs(saved))} {'less' if saved > 0 else 'more'} than" if saved else "as much as"
    by = f" The verdict goes by {title(verdict.evidence.metric)}." if verdict and verdict.evidence.metric else ""
    said = f"On these rows the new model’s errors cost {much} {other}.{by}"
    return Panel("What errors cost", [Prose(said), Table([("", "text", ""), *both], rows, sortable=False)])


def _trend(found: RunFiles) -> Panel | None:
    verdict = found.verdict
    if verdict is None or not verdict.evidence.metric:
        return None
    metric = verdict.evidence.metric
    as_of = found.validated.as_of if found.validated else None
    now = trend.of_run(verdict, as_of, verdict.verdict == "promote" and not found.approval)
    points = [*trend.of_history(found.past, metric), *([now] if now else [])]
    drawn = trend.chart(points, metric)
    return Panel("The trend", [Charts([drawn])]) if drawn else None


def _worth(found: RunFiles) -> Panel | None:
    """How good the new model is, beside what needs no model."""
    facts: list[tuple[str, str, str]] = []
    metrics, confusion = found.metrics, found.confusion
    if confusion:
        counts, classes = confusion.counts, confusion.classes
        total = sum(map(sum, counts)) or 1
        right = sum(counts[i][i] for i in range(len(classes)))
        often = max(range(len(classes)), key=lambda i: sum(counts[i]))
        facts.append(("Right decisions", percent(right / total), f"{number(right)} of {number(total)} test rows"))
        facts.append(
            (f"Always “{classes[often]}”", percent(sum(counts[often]) / total), "would be right without a model")
        )
        if find_kind(found.problem.kind).positive is not None:
            (_, false), (missed, hit) = counts
            name = classes[1]
            facts.append(
                (
                    f"“{name}” found",
                    percent(hit / (hit + missed) if hit + missed else None),
                    f"{number(hit)} of {number(hit + missed)} rows",
                )
            )
            facts.append(("False alarms", number(false), f"of {number(false + hit)} rows called “{name}”"))
    elif metrics:
        for name in list(metrics.choice.test)[:3]:
            value, without = metrics.choice.test[name], metrics.baseline.test.get(name)
            if value is not None:
                facts.append((title(name), number(value), f"without a model {number(without)}"))
    return Panel("How good the new model is", [Facts(facts)]) if facts else None


def _next(found: RunFiles) -> Panel | None:
    """What happens without anybody's doing, then what somebody should look at."""
    verdict = found.verdict
    if verdict is None:
        return None
    items: list[str | Markup] = []
    if verdict.verdict == "promote":
        if found.approval:
            items.append(
                Markup(
                    "A person has to approve: in the Prefect UI, or by <code>refit promote VERSION --reason …</code>."
                )
            )
        else:
            items.append(
                "The package is checked once more. Then it becomes champion, unless it was rolled back before."
            )
        if verdict.champion:
            back = "<code>refit rollback --reason …</code> brings version {} back at any time."
            items.append(Markup(back).format(verdict.champion.version))
        items.append("The next run compares its model with this one, on rows that neither has seen.")
    elif verdict.champion:
        more = " What the rows said so far is kept." if verdict.verdict == "inconclusive" else ""
        items.append(f"Nothing changes for those who use version {verdict.champion.version}.{more}")
        items.append(decides(verdict.champion.version, found.approval))
    else:
        items.append(decides(None, found.approval))
    items += [found.awaited.sentence()] if found.awaited else []
    as_of = found.validated.as_of if found.validated else None
    items += [said] if (said := rhythm(found.past, as_of)) else []
    items += _to_look_at(found, verdict)
    return Panel("What happens next", [Steps(items)])


def _to_look_at(found: RunFiles, verdict: Verdict) -> list[str | Markup]:
    items: list[str | Markup] = []
    if verdict.suspicions:
        what = f"{counted(len(verdict.suspicions), 'column')} may give the answer away"
        items.append(Markup('{}, which holds the promotion back: see <a href="#leaks">Leaks</a>.').format(what))
    items += [f"A guardrail failed: {one.said}." for one in verdict.guardrails if not one.passed]
    needed = verdict.evidence.rows_needed
    if verdict.verdict == "inconclusive" and needed and list(needed.values())[-1] > (verdict.n or 0):
        (difference, rows), metric = list(needed.items())[-1], verdict.evidence.metric
        gap = f"{100 * float(difference):g} points" if metric == "accuracy" else difference
        gap = gap if higher_is_better(metric) else percent(float(difference), 0)  # a share of the champion's
        items.append(f"A difference of {gap} in {title(metric)} would show after about {number(rows)} labelled rows.")
    if found.drift and found.drift.drifted:
        items.append(Markup('The newest rows look different: see <a href="#drift">Drift</a>.'))
    weak = [s for s in found.slices.weak if s.p_holm is not None and s.p_holm < found.alpha and s.direction == "worse"] if found.slices else []  # fmt: skip
    if weak:
        where = ", ".join(f"{k} {v}" for k, v in weak[0].where.items())
        items.append(
            Markup('The new model is weaker than it says where {}: see <a href="#slices">Slices</a>.').format(where)
        )
    failed = [name for name, files in found.families.items() if files.failed]
    if failed:
        items.append(
            Markup('{} failed and was left out: see <a href="#candidates">Candidates</a>.').format(
                counted(len(failed), "family")
            )
        )
    return items
