"""What Prefect's UI shows under a run's *Artifacts*, in Markdown: the verdict, and what the report and the page of drift say first.

A browser follows no link from a server's page to a file. Where MLflow is a server the whole pages are there, and linked; else the
text says where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts import Drift, Explanation, Metrics, Slices, Summary, Verdict
from tasks.artifacts.folders import FEATURES
from tasks.params import parse_moment
from tasks.registry.tracking import Registry, tracking_uri
from tasks.report.numbers import percent, title

if TYPE_CHECKING:
    from flows.standing import Standing
    from tasks.params import Params

REPORT, DRIFT = "data/reports/report.html", "data/drift/drift.html"
MOST = 20  # drifted columns that are listed
STRONGEST = 8  # features that are listed
Row = dict[str, str]


def verdict(root: Path, params: Params, at: datetime | None, standing: Standing, of: Verdict) -> str:
    """The verdict in Markdown: what was decided, what it rests on, what was to hold besides, and what comes next."""
    from flows.ahead import ahead

    champion = f"version {standing.champion}" if standing.champion else "none yet"
    word = "waits for approval" if standing.waiting else of.verdict
    about = [
        ("This run", f"version {standing.version}{f' ({of.challenger.family})' if of.challenger else ''}"),
        ("Champion now", champion),
        *([("As of", day(at))] if at else []),
        *([("Rows judged", f"{of.n:,}")] if of.n is not None else []),
    ]
    if spent := _spent(root, params):
        about.append(("Cost of errors", spent))
    if drift := Drift.find(root / "data" / "drift"):
        about.append(("Drift", drift.sentence))
    text = [f"# {params.problem.name}: {word}", "", standing.sentence, "", *_listed(about)]
    if of.guardrails:
        checks = [(one.name, f"{'holds' if one.passed else 'does not hold'}: {one.said}") for one in of.guardrails]
        text += ["", "## Guardrails", "", *_listed(checks)]
    if of.warnings:
        text += ["", "## Warnings", "", *(f"- {_line(line)}" for line in of.warnings)]
    text += ["", "## What happens next", "", *(f"- {line}" for line in ahead(root, params, standing.champion))]
    return "\n".join(text)


def _spent(root: Path, params: Params) -> str:
    """What errors cost on the judged rows, where they have a price."""
    from tasks.report.costs import of_run, prices_of

    costs = of_run(root, prices_of(params))
    if costs is None:
        return ""
    who = "the champion" if costs.champion else "deciding without a model"
    mine, other = (costs.prices.say(costs.prices.of(errors)) for errors in (costs.challenger, costs.beside))
    by_row = costs.prices.say(costs.per_row(costs.challenger))
    return f"{mine} on the judged rows, {by_row} a row; {who}: {other}"


def report(root: Path, params: Params, version: str | None) -> str | None:
    """What the report says first, and where it is; None without one."""
    if not (root / REPORT).exists():
        return None
    evaluation, name = root / "data" / "evaluation", params.problem.name
    text = [
        f"# {name}: the report{f' of version {version}' if version else ''}",
        "",
        *_where(root, REPORT, name, version),
    ]
    if metrics := Metrics.find(evaluation):
        one = metrics.metric
        without = _number(metrics.baseline.test.get(one)) or "nothing"
        said = f"{title(one)} {_with_interval(metrics, one)} on the test rows, and {without} without a model."
        text += ["", f"{metrics.choice.family}: {said}"]
    explanation, features = Explanation.find(evaluation), Summary.find(root / FEATURES)
    if explanation and explanation.importance:
        about = {one.name: one.description for one in features.features} if features else {}
        total = sum(explanation.importance.values()) or 1.0
        first = sorted(explanation.importance.items(), key=lambda one: (-one[1], one[0]))[:STRONGEST]
        rows = [(about.get(feature) or feature, percent(value / total, 0)) for feature, value in first]
        text += ["", "## What moves the answers", "", *_table(("feature", "share"), rows)]
    slices = Slices.find(evaluation)
    weak = (
        [one for one in slices.weak if one.direction == "worse" and (one.p_holm or 1) < params.promotion.alpha]
        if slices
        else []
    )
    if slices and weak:
        parts = [(_part(one.where), f"{one.rows:,}", _number(one.metric)) for one in weak[:STRONGEST]]
        text += ["", "## Where it is weaker than it says", "", *_table(("part", "rows", title(slices.metric)), parts)]
    return "\n".join(text)


def _part(where: Mapping[str, str]) -> str:
    return ", ".join(f"{column} {value}" for column, value in where.items())


def _with_interval(metrics: Metrics, name: str) -> str:
    """A metric of the choice on the test rows, and between which values it may lie."""
    interval = metrics.choice.test_interval.get(name)
    about = f" ({_number(interval[0])} to {_number(interval[1])})" if interval else ""
    return f"{_number(metrics.choice.test.get(name))}{about}"


def drift(root: Path, params: Params, version: str | None) -> str | None:
    """What the page of drift says first, and where it is; None where nothing was judged."""
    measured, name = Drift.find(root / "data" / "drift"), params.problem.name
    if measured is None or measured.drifted is None:
        return None
    window, of = measured.window, measured.reference
    moments = [day(parse_moment(one)) for one in (window.since, window.until) if one]
    about = [
        ("Rows looked at", f"{window.rows:,}{f', {moments[0]} to {moments[-1]}' if moments else ''}"),
        ("Held against", f"version {of.version}" if of.version else "this run's own model"),
    ]
    text = [
        f"# {name}: {'drift' if measured.drifted else 'no drift'}",
        "",
        measured.sentence,
        "",
        *_listed(about),
    ]
    if measured.alarms:
        rows = [(one.column, one.said) for one in measured.alarms[:MOST]]
        text += ["", "## What drifted", "", *_listed(rows)]
        if more := len(measured.alarms) - MOST:
            text += ["", f"and {more} more columns"] if more > 0 else []
    if (root / DRIFT).exists():
        text += ["", *_where(root, DRIFT, name, version)]
    return "\n".join(text)


def _where(root: Path, path: str, model: str, version: str | None) -> list[str]:
    """A link to the whole page where MLflow is a server, and where the page lies."""
    page, link = Path(path), None
    if version is not None and tracking_uri(root).startswith("http"):
        link = Registry(root).link(model, version, f"{page.parent.name}/{page.name}")
    said = (
        "The whole page, with charts, is on the machine of the project until the next run. Open it in a browser there:"
    )
    if link:
        said = f"[The whole page]({link}), with charts, is in MLflow. Until the next run it is on the machine of the project, too:"
    return [said, "", "```", str(root / page), "```"]


def figures(verdict: Verdict, metrics: Metrics | None) -> list[Row]:
    """The metric that decides, challenger against champion on the same rows, then every metric on the run's own test rows."""
    of, rows = verdict.evidence, []
    if of.metric and of.challenger is not None:
        beside = ("champion", of.champion) if of.champion is not None else ("no model", of.baseline)
        row = {"metric": title(of.metric), "rows": "judged", "this run": _number(of.challenger)}
        row |= {"beside": beside[0], "its value": _number(beside[1])}
        row["difference"] = _number(of.difference)
        if of.interval is not None:
            row["difference"] += f" ({_number(of.interval[0])} to {_number(of.interval[1])})"
        rows.append(row)
    for name, value in metrics.choice.test.items() if metrics else ():
        if metrics and value is not None:
            row = {"metric": title(name), "rows": "test", "this run": _with_interval(metrics, name)}
            rows.append(
                row | {"beside": "no model", "its value": _number(metrics.baseline.test.get(name)), "difference": ""}
            )
    return rows


def _listed(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What may be long, a line each: the cells of Prefect's tables do not wrap."""
    for name, text in entries:
        yield f"- **{_line(name)}**: {_line(text)}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, tuple("---" for _ in head), *rows):
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    return _line(text.replace("|", "\\|"))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def day(at: datetime) -> str:
    """A moment to the minute, the end of a day as that day.

    >>> from tasks.params import parse_moment
    >>> day(parse_moment("2026-11-02")), day(parse_moment("2026-11-02T05:00:00Z"))
    ('2026-11-02', '2026-11-02 05:00')
    """
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute, at.second) == (23, 59, 59) else f"{at:%Y-%m-%d %H:%M}"
