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
from tasks.artifacts import Validation
from tasks.artifacts.folders import VALIDATED
from tasks.errors import visible
from tasks.files import optional_json

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
    ran = sum(o.how == "ran" for o in outcomes.values())
    rows: list[tuple[str, str]] = [("stages", f"{ran} run, {len(outcomes) - ran} cached")]
    data = root / "data"
    if validation := Validation.find(root / VALIDATED):
        accepted, refused = (
            sum(getattr(t, k) for t in validation.tables.values()) for k in ("accepted", "quarantined")
        )
        rows.append(("rows", f"{accepted:,} accepted, {refused:,} quarantined"))
        if validation.as_of:
            rows.append(("as of", validation.as_of))
    choice = optional_json(data / "evaluation" / "choice.json")
    if choice:
        rows.append(("family", str(choice["family"])))
        rows.append(("test", _metrics(optional_json(data / "evaluation" / "metrics.json"), choice)))
    drift = optional_json(data / "drift" / "drift.json")
    if drift:
        rows.append(("drift", str(drift["sentence"])))
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
    return bool((optional_json(root / "data" / "drift" / "drift.json") or {}).get("drifted"))


def _metrics(metrics: object, choice: Mapping[str, object]) -> str:
    """The choice's test metrics; ``metric value`` pairs."""
    test = choice.get("test")
    if isinstance(metrics, dict):
        chosen = metrics.get("choice", {})
        test = chosen.get("test", test) if isinstance(chosen, dict) else test
    if isinstance(test, dict):
        numbers = {k: v for k, v in test.items() if isinstance(v, int | float)}
        return ", ".join(f"{name} {value:.4g}" for name, value in list(numbers.items())[:8])
    return f"{choice['metric']} {test:.4g}" if isinstance(test, int | float) else str(test)


def decisions(rows: list[Decision]) -> str:
    """The history as a table, oldest first."""
    if not rows:
        return "no decisions yet; `refit run` makes the first"
    lines = [f"{'when (UTC)':<20} {'decision':<9} {'version':<8} {'champion':<9} who, why"]
    lines += [
        f"{d.at[:19]:<20} {d.action:<9} {d.version:<8} {d.champion or 'none':<9} {d.by}: {d.reason}" for d in rows
    ]
    return "\n".join(lines)
