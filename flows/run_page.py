"""What Prefect's UI shows of a run, on a server that stays: its name, its state, how far it is, and its pages (:mod:`flows.pages`).

A temporary server ends with the run, so nothing is written there. Nothing of this can fail a run: what the server does not take is
told in the log.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flows import pages
from flows.pages import day
from flows.promotion import VERDICT
from flows.watcher import Watcher
from tasks.artifacts import Metrics, Validation, Verdict
from tasks.artifacts.folders import VALIDATED
from tasks.errors import first_line
from tasks.params import parse_moment

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from prefect.client.schemas.objects import State

    from flows.expected import Expected
    from flows.node import Outcome
    from flows.standing import Standing
    from tasks.params import Params


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
            from prefect.artifacts import create_markdown_artifact, create_table_artifact

            validated, verdict = Validation.find(root / VALIDATED), Verdict.find(root / VERDICT)
            at = parse_moment(validated.as_of) if validated and validated.as_of else None
            version = standing.version if standing else None
            about = {
                "report": (pages.report, f"How good {self._model} is and by what, in short, and where the report is."),
                "drift": (pages.drift, f"Which columns of {self._model} have drifted, and where the whole page is."),
            }
            for page, (write, description) in about.items():
                if text := write(root, self._params, version):
                    create_markdown_artifact(text, key=key(self._model, page), description=description)
            if standing is None or verdict is None:
                return
            create_markdown_artifact(
                pages.verdict(root, self._params, at, standing, verdict),
                key=key(self._model, "verdict"),
                description=f"What was decided about version {standing.version} of {self._model}, and why.",
            )
            if rows := pages.figures(verdict, Metrics.find(root / "data" / "evaluation")):
                text = f"Version {standing.version} of {self._model}: on its test rows, and where the verdict compares."
                create_table_artifact(rows, key=key(self._model, "metrics"), description=text)
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


def key(model: str, what: str) -> str:
    """An artifact's key, for which Prefect takes lower-case letters, digits and dashes.

    >>> key("Late_flights", "verdict")
    'late-flights-verdict'
    """
    return f"{re.sub('[^a-z0-9]+', '-', model.lower()).strip('-')}-{what}"


def _rename(name: str) -> None:
    from prefect import get_client

    from flows.due import this_run

    run = this_run()
    if run is not None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, name=name)


def state(name: str, message: str | None = None) -> None:
    """Show a name of its own for the state of this run, which goes on running, and what it says; nothing outside of a run."""
    from prefect import get_client
    from prefect.states import Running

    from flows.due import this_run

    run = this_run()
    if run is None:
        return
    with _told(), get_client(sync_client=True) as client:
        now = client.read_flow_run(run.id).state
        if (
            now is not None and now.is_running()
        ):  # not where somebody stops it; its place among the runs at once is kept
            shown: State = Running(name=name, message=message, state_details=now.state_details)
            client.set_flow_run_state(run.id, shown, force=True)


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
