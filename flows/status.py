"""How a project stands: ``refit status``. Champion, last verdict, drift, next schedule, and what a run would do.

What needs no library comes first, so that it can be shown at once; DVC is asked last.
"""

from __future__ import annotations

import base64
import json
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.errors import RefitError, first_line
from tasks.registry.history import minute

if TYPE_CHECKING:
    from pydantic import JsonValue

    from flows.outlook import Outlook
    from tasks.params import Params
    from tasks.registry.history import Decision

T = TypeVar("T")
WAIT = 2.0  # seconds for an answer of a Prefect server
REASONS = 3  # of an outlook that are named in its line
LABEL = 9  # width of a row's label


@dataclass(frozen=True)
class Champion:
    """What is in service: its version, since when, and who or what decided why.

    ``family`` and ``metrics`` (of its own test rows, when it was made) are those of its package; empty where no copy of
    that is in the project.
    """

    version: str
    since: str
    by: str
    reason: str
    package_sha256: str
    family: str = ""
    metrics: Mapping[str, JsonValue] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        from flows.notebook import table

        test = self.metrics.get("test")
        measured = (
            [(str(self.metrics.get("metric")), f"{test:.4g} on its test rows")] if isinstance(test, float) else []
        )
        rows = [("family", self.family)] if self.family else []
        rows += [*measured, ("since", minute(self.since)), ("decided by", self.by), ("why", self.reason)]
        return table(rows, caption=f"champion: version {self.version}")


@dataclass(frozen=True)
class PastVerdict:
    """A verdict that a run gave: about which version, in a sentence, over how many rows, and which version was champion then on."""

    at: str
    version: str
    verdict: str
    sentence: str
    rows: int | None
    champion: str | None


@dataclass(frozen=True)
class Timetable:
    """When the Prefect server runs the project: its cron lines, and the next moment where one is planned already."""

    crons: tuple[str, ...]
    next: str | None = None
    remark: str = ""


def champion_of(root: Path, past: list[Decision]) -> Champion | None:
    """The champion that the decisions made; None where there is none."""
    from flows.packages import local_copy
    from tasks.artifacts import Manifest
    from tasks.registry.history import current_champion

    made = current_champion(past)
    if made is None:
        return None
    folder = local_copy(root, made.package_sha256)
    package = None if folder is None else Manifest.read(folder)
    return Champion(
        version=str(made.champion),
        since=made.at,
        by=made.by,
        reason=made.reason,
        package_sha256=made.package_sha256,
        family=package.family if package else "",
        metrics=package.metrics if package else {},
    )


def verdicts_of(past: list[Decision]) -> list[PastVerdict]:
    """The verdicts among decisions, oldest first; what a person decided is none."""
    return [
        PastVerdict(d.at, d.version, str(d.evidence["verdict"]), d.reason, d.evidence.get("n"), d.champion)
        for d in past
        if "verdict" in d.evidence
    ]


class Status:
    """How the project in ``root`` stands; each part is looked at when it is asked for."""

    def __init__(self, root: Path) -> None:
        from tasks.params import load

        self.root = root.resolve()
        self.params: Params = load(self.root / "params.yaml")

    def decisions(self) -> list[Decision]:
        """All decisions about the model. Raises :class:`RefitError` where the history is not the project's."""
        from flows.champions import decisions

        return decisions(self.root, self.params.problem.name, None)

    def outlook(self) -> Outlook:
        """What a run would do. Raises :class:`RefitError` where that cannot be told."""
        from flows.outlook import outlook

        return outlook(self.root, self.params)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Label and text of each line; those that take longer come last."""
        yield from self.quick()
        if os.environ.get("PREFECT_API_URL"):
            yield "schedule", _scheduled(lambda: schedule(self.params.problem.name, self.root))
        try:
            yield "next run", _outlook(self.outlook())
        except RefitError as error:
            yield "next run", first_line(error)

    def quick(self) -> Iterator[tuple[str, str]]:
        """The rows for which neither a server nor DVC is asked."""
        from flows.alone import at_work

        problem = self.params.problem
        yield "problem", f"{problem.name}: {problem.target.name} ({problem.kind}, by {problem.metric})"
        try:
            past = self.decisions()
        except RefitError as error:
            yield "champion", first_line(error)
        else:
            champion, verdicts = champion_of(self.root, past), verdicts_of(past)
            yield "champion", _champion(champion, verdicts) if champion else "none yet; `refit run` makes the first"
            if verdicts:
                yield "verdict", f"{minute(verdicts[-1].at)}, version {verdicts[-1].version}. {verdicts[-1].sentence}"
        yield from self._files()
        if (who := at_work(self.root)) is not None:
            yield "at work", f"`{who.command}` is at work here ({who})"

    def _files(self) -> Iterator[tuple[str, str]]:
        """What the newest run left."""
        from tasks.artifacts import Drift, Validation
        from tasks.artifacts.folders import VALIDATED

        if validated := Validation.find(self.root / VALIDATED):
            accepted = sum(table.accepted for table in validated.tables.values())
            quarantined = sum(table.quarantined for table in validated.tables.values())
            until = f" as of {minute(validated.as_of)}" if validated.as_of else ""
            yield "data", f"{accepted:,} rows accepted, {quarantined:,} quarantined{until}"
        if drift := Drift.find(self.root / "data" / "drift"):
            yield "drift", drift.sentence

    def as_json(self) -> dict[str, Any]:
        """The same for programs; what cannot be told is null, with the reason in ``errors``."""
        from tasks.artifacts import Drift

        errors: dict[str, str] = {}

        def told(name: str, look: Callable[[], T]) -> T | None:
            try:
                return look()
            except RefitError as error:
                errors[name] = str(error)
                return None

        past = told("champion", self.decisions) or []
        champion, verdicts, drift = (
            champion_of(self.root, past),
            verdicts_of(past),
            Drift.find(self.root / "data" / "drift"),
        )
        plan = told("next_run", self.outlook)
        named = bool(os.environ.get("PREFECT_API_URL"))
        planned = told("schedule", lambda: schedule(self.params.problem.name, self.root)) if named else None
        return {
            "problem": self.params.problem.name,
            "champion": asdict(champion) if champion else None,
            "verdict": asdict(verdicts[-1]) if verdicts else None,
            "drift": {"state": drift.state, "drifted": drift.drifted, "sentence": drift.sentence} if drift else None,
            "schedule": asdict(planned) if planned else None,
            "next_run": asdict(plan) if plan else None,
            "errors": errors,
        }


def lines(rows: Iterator[tuple[str, str]], width: int | None) -> Iterator[str]:
    """Rows as lines, each as soon as it is known; ``width``: of the terminal, None where there is none."""
    for label, text in rows:
        whole = f"{label:<{LABEL}} {text}"
        indent = " " * (LABEL + 1)
        yield from textwrap.wrap(whole, max(width, 40), subsequent_indent=indent) if width else [whole]


def _champion(one: Champion, verdicts: list[PastVerdict]) -> str:
    family = f" ({one.family})" if one.family else ""
    why = "" if any(one.reason == verdict.sentence for verdict in verdicts) else f": {one.reason}"
    return f"version {one.version}{family} since {minute(one.since)}, by {one.by}{why}"


def _outlook(plan: Outlook) -> str:
    """What a run would do in a line, with the first reasons."""
    reasons = list(dict.fromkeys(reason for one in plan.due for reason in one.why))
    more = f" and {len(reasons) - REASONS} more" if len(reasons) > REASONS else ""
    why = f": {'; '.join(reasons[:REASONS])}{more} (`refit run --explain`)" if reasons else ""
    return plan.sentence() + why


# The schedule ---------------------------------------------------------------------------------------------------------


def _scheduled(look: Callable[[], Timetable | None]) -> str:
    try:
        found = look()
    except RefitError as error:
        return first_line(error)
    if found is None:
        return "none on this server (`refit deploy`)"
    crons = ", ".join(found.crons) or "no cron line"
    return f"{crons}{f'; next {minute(found.next)}' if found.next else ''}{found.remark}"


def schedule(name: str, root: Path) -> Timetable | None:
    """When Prefect's server runs the project; None where it does not. Its interface is asked, since Prefect takes a second to load.

    Raises :class:`RefitError` where the server does not answer.
    """
    deployment = _ask(f"/deployments/name/retrain/{name}")
    if deployment is None:
        return None
    found = [one for one in deployment.get("schedules", []) if one.get("active")]
    crons = [
        f"{one['schedule'].get('cron', one['schedule'])} ({one['schedule'].get('timezone') or 'UTC'})" for one in found
    ]
    planned = _ask("/deployments/get_scheduled_flow_runs", {"deployment_ids": [deployment["id"]], "limit": 1}) or []
    where = (deployment.get("parameters") or {}).get("root")
    remark = f"; for the folder {where}" if where not in (None, str(root)) else ""
    remark += "; paused" if deployment.get("paused") else ""
    return Timetable(tuple(crons), planned[0]["expected_start_time"] if planned else None, remark)


def _ask(path: str, body: dict[str, Any] | None = None) -> Any:
    """What Prefect's server answers; None for what it does not have."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    url = os.environ["PREFECT_API_URL"].rstrip("/")
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    elif secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url + path, data, headers), timeout=WAIT) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code == 404:
            return None
        raise RefitError(f"PREFECT_API_URL: {url} answers {error.code} {error.reason}.") from None
    except (OSError, ValueError) as error:
        raise RefitError(
            f"PREFECT_API_URL: {url} does not answer ({getattr(error, 'reason', None) or error})."
        ) from None
