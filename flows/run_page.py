"""What Prefect's UI shows of a run, on a server that stays: its name, how far it is, its verdict and figures, where its pages lie.

A temporary server ends with the run, so nothing is written there. Nothing of this can fail a run: what the server does not take is
told in the log.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flows.promotion import VERDICT
from flows.watcher import Watcher
from tasks.artifacts import Drift, Metrics, Validation, Verdict
from tasks.artifacts.folders import VALIDATED
from tasks.errors import first_line
from tasks.params import parse_moment

if TYPE_CHECKING:
    from uuid import UUID

    from flows.expected import Expected
    from flows.node import Outcome
    from flows.standing import Standing
    from tasks.params import Params

PAGES = {"report": "data/reports/report.html", "drift": "data/drift/drift.html"}
Row = dict[str, str]


class OnServer(Watcher):
    """Passes on what it is told, and keeps the run's page in Prefect's UI; ``stages`` is how many there are."""

    def __init__(self, other: Watcher, params: Params, as_of: str | None, stages: int) -> None:
        self._other, self._params, self._stages, self._done = other, params, stages, 0
        self._model = params.problem.name
        at = params.data.as_of if as_of is None else parse_moment(as_of)
        self._progress: UUID | None = None
        self._lock = threading.Lock()
        with _told():
            from prefect.artifacts import create_progress_artifact

            _rename(run_name(self._model, at))
            about = f"Stages of {self._model} that are done."
            made = create_progress_artifact(0.0, key=key(self._model, "progress"), description=about)
            self._progress = cast("UUID", made)  # of a call outside of async code

    def began(self, params: Params) -> None:
        """Pass it on."""
        self._other.began(params)

    def doing(self, text: str) -> None:
        """Pass it on."""
        self._other.doing(text)

    def expects(self, expected: Expected) -> None:
        """Pass it on."""
        self._other.expects(expected)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._other.note(text)

    def started(self, stage: str) -> None:
        """Pass it on."""
        self._other.started(stage)

    def line(self, stage: str, text: str) -> None:
        """Pass it on."""
        self._other.line(stage, text)

    def ended(self, stage: str, outcome: Outcome) -> None:
        """Pass it on, and show how far the run is."""
        self._other.ended(stage, outcome)
        self._step()

    def failed(self, stage: str, why: str) -> None:
        """Pass it on, and show how far the run is."""
        self._other.failed(stage, why)
        self._step()

    def _step(self) -> None:
        with self._lock, _told():
            from prefect.artifacts import update_progress_artifact

            self._done += 1
            if self._progress is not None:
                share = min(1.0, self._done / max(self._stages, 1))
                update_progress_artifact(self._progress, progress=round(100 * share, 1))

    def concluded(self, root: Path, standing: Standing | None) -> None:
        """Pass it on, and show the end: verdict and figures, links to the pages, and the verdict in the run's name."""
        self._other.concluded(root, standing)
        with _told():
            from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

            validated, verdict = Validation.find(root / VALIDATED), Verdict.find(root / VERDICT)
            at = parse_moment(validated.as_of) if validated and validated.as_of else None
            for page, path in PAGES.items():
                if (root / path).exists():
                    link, what = (root / path).as_uri(), f"{page} of {self._model}"
                    about = f"In the folder of the project, until the next run: {root / path}"
                    create_link_artifact(link, what, key=key(self._model, page), description=about)
            if standing is None or verdict is None:
                return
            create_markdown_artifact(
                page_of(root, self._params, at, standing, verdict),
                key=key(self._model, "verdict"),
                description=standing.sentence,
            )
            if rows := figures(verdict, Metrics.find(root / "data" / "evaluation")):
                about = (
                    f"Version {standing.version} of {self._model}: on its test rows, and where the verdict compares."
                )
                create_table_artifact(rows, key=key(self._model, "metrics"), description=about)
            _rename(run_name(self._model, at, "unapproved" if standing.waiting else verdict.verdict))


def watching(other: Watcher, params: Params, as_of: str | None, stages: int) -> Watcher:
    """The watcher of a run, which also keeps its page where the server stays."""
    return OnServer(other, params, as_of, stages) if os.environ.get("PREFECT_API_URL") else other


def run_name(model: str, at: datetime | None, word: str = "") -> str:
    """A run's name: the problem, as of when, and at its end the verdict.

    >>> from datetime import datetime, UTC
    >>> run_name("late", datetime(2026, 11, 2, 5, tzinfo=UTC), "promote")
    'late, as of 2026-11-02 05:00: promote'
    """
    when = f", as of {day(at)}" if at else ""
    return f"{model}{when}{f': {word}' if word else ''}"


def day(at: datetime) -> str:
    """A moment to the minute, the end of a day as that day.

    >>> from tasks.params import parse_moment
    >>> day(parse_moment("2026-11-02")), day(parse_moment("2026-11-02T05:00:00Z"))
    ('2026-11-02', '2026-11-02 05:00')
    """
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute, at.second) == (23, 59, 59) else f"{at:%Y-%m-%d %H:%M}"


def key(model: str, what: str) -> str:
    """An artifact's key, for which Prefect takes lower-case letters, digits and dashes.

    >>> key("Late_flights", "verdict")
    'late-flights-verdict'
    """
    return f"{re.sub('[^a-z0-9]+', '-', model.lower()).strip('-')}-{what}"


def page_of(root: Path, params: Params, at: datetime | None, standing: Standing, verdict: Verdict) -> str:
    """The verdict in Markdown: what was decided, what it rests on, what was to hold besides, and what comes next."""
    from flows.ahead import ahead

    champion = f"version {standing.champion}" if standing.champion else "none yet"
    rows = [
        ("verdict", "waits for approval" if standing.waiting else verdict.verdict),
        ("this run", f"version {standing.version}{f' ({verdict.challenger.family})' if verdict.challenger else ''}"),
        ("champion now", champion),
        *([("as of", day(at))] if at else []),
        *([("rows judged", f"{verdict.n:,}")] if verdict.n is not None else []),
    ]
    if spent := _spent(root, params):
        rows.append(("cost of errors", spent))
    if drift := Drift.find(root / "data" / "drift"):
        rows.append(("drift", drift.sentence))
    text = [f"# {params.problem.name}: {rows[0][1]}", "", standing.sentence, "", *_table(("", ""), rows)]
    if verdict.guardrails:
        checks = [(one.name, "holds" if one.passed else "does not hold", one.said) for one in verdict.guardrails]
        text += ["", "## Guardrails", "", *_table(("guardrail", "", "what was found"), checks)]
    if verdict.warnings:
        text += ["", "## Warnings", "", *(f"- {_cell(line)}" for line in verdict.warnings)]
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


def figures(verdict: Verdict, metrics: Metrics | None) -> list[Row]:
    """The metric that decides, challenger against champion on the same rows, then every metric on the run's own test rows."""
    of, rows = verdict.evidence, []
    if of.metric and of.challenger is not None:
        beside = ("champion", of.champion) if of.champion is not None else ("no model", of.baseline)
        row = {"metric": of.metric, "rows": "judged", "this run": _number(of.challenger)}
        row |= {"beside": beside[0], "its value": _number(beside[1])}
        row["difference"] = _number(of.difference)
        if of.interval is not None:
            row["difference"] += f" ({_number(of.interval[0])} to {_number(of.interval[1])})"
        rows.append(row)
    for name, value in (metrics.choice.test if metrics else {}).items():
        if value is not None:
            empty = {"beside": "", "its value": "", "difference": ""}
            rows.append({"metric": name, "rows": "test", "this run": _number(value), **empty})
    return rows


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, tuple("---" for _ in head), *rows):
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _rename(name: str) -> None:
    from prefect import get_client

    from flows.due import this_run

    run = this_run()
    if run is not None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, name=name)


@contextmanager
def _told() -> Iterator[None]:
    """What the server does not take, and a file that cannot be read, is no failure of the run."""
    import httpx
    from prefect.exceptions import PrefectException

    from flows.effect_tasks import log
    from tasks.errors import RefitError

    try:
        yield
    except (httpx.HTTPError, PrefectException, RefitError, OSError) as error:
        log(f"warning: not shown in Prefect's UI: {first_line(error)}")
