"""A run that a schedule made, or Prefect's UI, waits where another is at work in the project.

It says so in its log and in its state. What the other one left is mended and gone on with, however that ended.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

from flows import run_page
from flows.alone import AtWork, Holder, take_lock
from flows.effect_tasks import log
from tasks.errors import RefitError
from tasks.params import load

LOOK = 2.0  # seconds between looks at whether the other one has ended


class Patience:
    """How one run takes the lock; ``waited`` says whether it had to wait for it."""

    def __init__(self) -> None:
        self.waited = False

    def take(self, root: Path) -> TextIO:
        """The walk's lock, as soon as nobody else is at work.

        Raises :class:`RefitError` after ``orchestration.wait_hours``.
        """
        began, told = time.monotonic(), None
        while True:
            try:
                lock = take_lock(root)
            except AtWork as busy:
                hours = load(root / "params.yaml").orchestration.wait_hours
                self._wait(root, busy.who, told, began + 3600 * hours, hours)
                told = busy.who
            else:
                if self.waited:
                    minutes = (time.monotonic() - began) / 60
                    log(f"nobody is at work here any more; goes on after {minutes:.0f} minutes")
                    run_page.state("Running")
                return lock

    def _wait(self, root: Path, who: Holder, told: Holder | None, until: float, hours: float) -> None:
        if time.monotonic() >= until:
            raise RefitError(
                f"{root}: `{who.command}` is still at work here ({who}), and this run has waited {hours:g} hours for it "
                "(orchestration.wait_hours). Stop it, or wait for it and run again; the next scheduled run makes up for this one."
            )
        if who != told:
            self.waited = True
            line = f"waits for `{who.command}` ({who}), which is at work in the project"
            log(line)
            run_page.state("Waiting", line)
        time.sleep(LOOK)
