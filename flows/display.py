"""What the command shows: live progress, the summary of a run, the history as a table."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from flows.expected import Expected, clock
from flows.screen import Line, Screen, is_live, waiting, width
from flows.watcher import Watcher
from tasks.errors import visible

if TYPE_CHECKING:
    from flows.node import Outcome
    from flows.standing import Standing
    from tasks.params import Params
    from tasks.registry.history import Decision

SAYS = {"unchanged": "cached", "restored": "cached (restored from the run cache)", "ran": "done"}
BAR = 30  # columns at most, and as few as a third of that
SIGNS = {"utf": ("●", "✓", "✗", "━", "─"), "": ("*", "+", "x", "#", "-")}  # at work, done, failed, and of the bar


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line (standard output by default), control characters written out. A closed pipe or terminal is no error."""
    stream = sys.stdout if stream is None else stream
    waiting.end()
    try:
        stream.write(visible(text) + "\n")  # one write: threads do not mix
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # for what is still to come, the interpreter's own flush at the end included
        os.close(nowhere)


class Display(Watcher):
    """Progress of a run: drawn at the foot of a terminal, plain lines elsewhere. Use as a context manager."""

    def __init__(self, plain: bool) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.params: Params | None = None  # the run's own, from its beginning
        self.notes: list[str] = []
        self.live = not plain and is_live(sys.stdout)
        encoding = (sys.stdout.encoding or "").lower()
        self._work, self._good, self._bad, *self._bar = SIGNS["utf" if encoding.startswith("utf") else ""]
        self._began = time.perf_counter()
        self._lock = threading.Lock()
        self._closed = False
        self._doing = "starting"
        self._expected: Expected | None = None
        self._active: dict[str, tuple[float, str]] = {}
        self._over: set[str] = set()  # stages that have ended, well or not
        self._screen = Screen(sys.stdout, self._block) if self.live else None

    def __enter__(self) -> Display:
        if self._screen is not None:
            self._screen.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back as it was; nothing more is shown."""
        self._closed = True
        if self._screen is not None:
            self._screen.stop()

    def doing(self, text: str) -> None:
        """Show what the run is at before its first stage."""
        self._doing = text
        if self._screen is not None:
            self._screen.draw()
        else:
            self._show(text, "")

    def began(self, params: Params) -> None:
        """Keep the run's own parameters, for the summary."""
        self.params = params

    def expects(self, expected: Expected) -> None:
        """Say what is before the run, and count from now on."""
        self._expected = expected
        self._show(expected.sentence(), "note")

    def note(self, text: str) -> None:
        """Show a line about the run now, and keep it for the summary."""
        self.notes.append(text)
        self._show(f"run | {text}", "")

    def started(self, stage: str) -> None:
        """Show a stage or an effect as at work; effects come one after another."""
        with self._lock:
            if self._expected is not None and stage not in self._expected.needs:
                self._active.clear()
            self._active[stage] = (time.perf_counter(), "")
        self._show(f"{stage} ...", "")

    def line(self, stage: str, text: str) -> None:
        """Show the newest line of a stage."""
        with self._lock:
            began, _ = self._active.get(stage, (time.perf_counter(), ""))
            self._active[stage] = (began, text)
        self._show(f"{stage} | {text}", "")

    def ended(self, stage: str, outcome: Outcome) -> None:
        """Show that a stage is done, and how."""
        with self._lock:
            self._active.pop(stage, None)
            self._over.add(stage)
            self.outcomes[stage] = outcome
        self._show(f"{stage} {SAYS[outcome.how]} ({outcome.seconds:.1f} s)", "good")

    def failed(self, stage: str, why: str) -> None:
        """Show that a stage failed."""
        with self._lock:
            self._active.pop(stage, None)
            self._over.add(stage)
        self._show(f"{stage} failed: {why}", "bad")

    def _show(self, line: str, kind: str) -> None:
        """Print a line; on a live display only one of some ``kind``: ``good``, ``bad`` or ``note``."""
        if self._closed:
            return
        if self._screen is None:
            say(f"{time.perf_counter() - self._began:6.1f} s  {line}")
        elif kind == "note":
            self._screen.show([("", line)])
        elif kind:
            self._screen.show([(kind, self._good if kind == "good" else self._bad), ("", f" {line}")])

    def _block(self, room: int) -> list[Line]:
        """The foot of the terminal: what is at work, and how far the run is."""
        now = time.perf_counter()
        with self._lock:
            active, over = dict(self._active), set(self._over)
        lines: list[Line] = [
            [("work", self._work), ("", f" {stage} {clock(now - began)}  "), ("dim", newest)]
            for stage, (began, newest) in active.items()
        ]
        return [*lines, self._progress(room, {stage: now - began for stage, (began, _) in active.items()}, over)]

    def _progress(self, room: int, running: Mapping[str, float], over: set[str]) -> Line:
        passed = clock(time.perf_counter() - self._began)
        if self._expected is None:
            return [("dim", f"{passed}  {self._doing}")]
        count = len(self._expected.needs)
        text = f" {len(over | running.keys() & self._expected.needs.keys())} of {count} stages  {passed}"
        left = self._expected.left(over, running)
        if left and len(over) < count and width(more := f"  about {clock(left)} left") <= room - width(text):
            text += more
        wide = min(BAR, room - width(text))
        if wide < BAR // 3:
            return [("", text.strip())]
        full = wide * len(over) // max(count, 1)
        return [("good", self._bar[0] * full), ("dim", self._bar[1] * (wide - full)), ("", text)]


def summary(
    root: Path,
    params: Params,
    standing: Standing | None,
    outcomes: dict[str, Outcome],
    notes: Sequence[str] = (),
    wide: int | None = None,
) -> str:
    """The run in a few lines: rows, family, test metrics, verdict, where everything is, and what is to be noted.

    ``wide``: columns of the terminal, where long lines are to be broken for one.
    """
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
    return "\n".join(["", *rows_of(rows, wide)])


def rows_of(rows: Sequence[tuple[str, str]], wide: int | None) -> list[str]:
    """Labels with their texts, a line each, broken below each other where a terminal has so many columns.

    >>> rows_of([("rows", "3 accepted"), ("verdict", "Keep the champion")], 20)
    ['rows     3 accepted', 'verdict  Keep the', '         champion']
    """
    indent = max(len(label) for label, _ in rows) + 2
    lines = [f"{label:<{indent}}{text}" for label, text in rows]
    if wide is None:
        return lines
    broken = [
        textwrap.wrap(visible(one), wide - 1, subsequent_indent=" " * indent, break_on_hyphens=False) for one in lines
    ]
    return [line for several in broken for line in several]


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
