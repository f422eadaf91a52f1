"""Who watches a run: whoever starts one hands in a watcher, which is told its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from flows.expected import Expected
    from flows.node import Outcome
    from flows.standing import Standing
    from tasks.params import Params


class Watcher:
    """Is told what happens in a run, from any thread; this one keeps it to itself. A command's display overrides what it shows."""

    def doing(self, text: str) -> None:
        """What the run is at before its first stage."""

    def began(self, params: Params) -> None:
        """The run began, with these parameters."""

    def expects(self, expected: Expected) -> None:
        """What is before the run: its stages, and which of them are likely to run."""

    def note(self, text: str) -> None:
        """Something about the run as a whole."""

    def started(self, stage: str) -> None:
        """A stage or an effect started."""

    def line(self, stage: str, text: str) -> None:
        """A stage or an effect said something."""

    def ended(self, stage: str, outcome: Outcome) -> None:
        """A stage ended well. Where nothing at all had to run, none of them has started."""

    def failed(self, stage: str, why: str) -> None:
        """A stage failed, and the run goes on without it."""

    def concluded(self, root: Path, standing: Standing | None) -> None:
        """All is done: where the registry stands, None where the DAG was cut down to some stages."""
