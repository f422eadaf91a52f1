"""What the command shows: live progress, the summary of a run, the history as a table."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from flows.watcher import Watcher
from tasks.errors import visible

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from flows.node import Outcome
    from flows.standing import Standing
    from tasks.params import Params
    from tasks.registry.history import Decision

SAYS = {"unchanged": "cached", "restored": "cached (restored from the run cache)", "ran": "done"}


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line (standard output by default), control characters written out. A closed pipe or terminal is no error."""
    stream = sys.stdout if stream is None else stream
    try:
        stream.write(visible(text) + "\n")  # one write: threads do not mix
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # for what is still to come, the interpreter's own flush at the end included
        os.close(nowhere)


class Display(Watcher):
    """Progress of a run: a live list on a terminal, plain lines elsewhere. Use as a context manager."""

    def __init__(self, plain: bool) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.params: Params | None = None  # the run's own, from its beginning
        self.notes: list[str] = []
        self._plain = plain
        self._began = time.perf_counter()
        self._lock = threading.Lock()
        self._closed = False
        self._active: dict[str, tuple[float, str]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if not self._plain:
            from rich.live import Live

            self._live = Live(get_renderable=self._render, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back as it was; nothing more is shown."""
        self._closed = True
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def began(self, params: Params) -> None:
        """Keep the run's own parameters, for the summary."""
        self.params = params

    def note(self, text: str) -> None:
        """Show a line about the run now, and keep it for the summary."""
        self.notes.append(text)
        self._show(f"run | {text}")

    def started(self, stage: str) -> None:
        """Show a stage or an effect as at work."""
        with self._lock:
            self._active[stage] = (time.perf_counter(), "")
        self._show(f"{stage} ...")

    def line(self, stage: str, text: str) -> None:
        """Show the newest line of a stage."""
        with self._lock:
            began, _ = self._active.get(stage, (time.perf_counter(), ""))
            self._active[stage] = (began, text)
        self._show(f"{stage} | {text}")

    def ended(self, stage: str, outcome: Outcome) -> None:
        """Show that a stage is done, and how."""
        with self._lock:
            self._active.pop(stage, None)
            self.outcomes[stage] = outcome
        self._show(f"{stage} {SAYS[outcome.how]} ({outcome.seconds:.1f} s)", done=True)

    def failed(self, stage: str, why: str) -> None:
        """Show that a stage failed."""
        with self._lock:
            self._active.pop(stage, None)
        self._show(f"{stage} failed: {why}")

    def _show(self, line: str, done: bool = False) -> None:
        """Print a line, on a live display only that of a stage that is done. A screen that is gone does not end the run."""
        if self._closed:
            return
        if self._live is None:
            say(f"{time.perf_counter() - self._began:6.1f} s  {line}")
        elif done:
            from rich.markup import escape

            with suppress(OSError):
                self._live.console.print(f"[green]✓[/] {escape(visible(line))}", highlight=False)

    def _render(self) -> Text:
        from rich.markup import escape
        from rich.text import Text

        now = time.perf_counter()
        with self._lock:
            lines = [
                f"[cyan]●[/] {escape(stage)} {now - began:.0f} s  [dim]{escape(visible(newest[:100]))}[/]"
                for stage, (began, newest) in self._active.items()
            ]
        return Text.from_markup("\n".join(lines) or f"[dim]starting, {now - self._began:.0f} s[/]")


def summary(
    root: Path, params: Params, standing: Standing | None, outcomes: dict[str, Outcome], notes: Sequence[str] = ()
) -> str:
    """The run in a few lines: rows, family, test metrics, verdict, where everything is, and what is to be noted."""
    from tasks.artifacts import Choice, Drift, Metrics, Validation
    from tasks.artifacts.folders import VALIDATED

    ran = sum(o.how == "ran" for o in outcomes.values())
    rows: list[tuple[str, str]] = [("stages", f"{ran} run, {len(outcomes) - ran} cached")]
    data = root / "data"
    if validated := Validation.find(root / VALIDATED):
        tables = validated.tables
        accepted, quarantined = sum(t.accepted for t in tables.values()), sum(t.quarantined for t in tables.values())
        rows.append(("rows", f"{accepted:,} accepted, {quarantined:,} quarantined"))
        if validated.as_of:
            rows.append(("as of", validated.as_of))
    if choice := Choice.find(data / "evaluation"):
        metrics = Metrics.find(data / "evaluation")
        test = metrics.choice.test if metrics else {choice.metric: choice.test}
        rows.append(("family", choice.family))
        rows.append(("test", _figures(test)))
    if drift := Drift.find(data / "drift"):
        rows.append(("drift", drift.sentence))
    if standing:
        rows.append(("verdict", standing.sentence))
        champion = f"champion: version {standing.champion}" if standing.champion else "no champion yet"
        rows.append(("registry", f"this run: version {standing.version}; {champion}"))
    for label, path in (("report", data / "reports" / "report.html"), ("package", data / "package")):
        if path.exists():
            rows.append((label, os.path.relpath(path)))
    url = os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    rows.append(("UI", url or "prefect server start, then PREFECT_API_URL=http://127.0.0.1:4200/api refit run"))
    if os.environ.get("MLFLOW_TRACKING_URI") is None and standing:
        rows.append(("runs", "mlflow ui --backend-store-uri sqlite:///.refit/mlflow.db"))
    rows += [("note", note) for note in notes]
    width = max(len(label) for label, _ in rows)
    return "\n".join(["", *(f"{label:<{width}}  {text}" for label, text in rows)])


def drifted(root: Path) -> bool:
    """Whether the run's newest rows have drifted, as its page and summary say."""
    from tasks.artifacts import Drift

    found = Drift.find(root / "data" / "drift")
    return bool(found and found.drifted)


def _figures(test: Mapping[str, float | None]) -> str:
    """The choice's first test metrics, as far as they are defined."""
    numbers = [(name, value) for name, value in test.items() if value is not None]
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers[:8])


def decisions(rows: list[Decision]) -> str:
    """The history as a table, oldest first."""
    if not rows:
        return "no decisions yet; `refit run` makes the first"
    lines = [f"{'when (UTC)':<20} {'decision':<9} {'version':<8} {'champion':<9} who, why"]
    lines += [
        f"{d.at[:19]:<20} {d.action:<9} {d.version:<8} {d.champion or 'none':<9} {d.by}: {d.reason}" for d in rows
    ]
    return "\n".join(lines)
