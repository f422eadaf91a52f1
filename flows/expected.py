"""What a run has before it: its stages, which of them are likely to run, and how long that takes by their last times."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lasted import lasted

if TYPE_CHECKING:
    from flows.dag import Dag


@dataclass(frozen=True)
class Expected:
    """Stages in order with those that each needs, those that are due, and seconds that stages took when they ran last.

    A stage whose output comes out as it was leaves those after it undone, though they are due here.
    """

    needs: Mapping[str, tuple[str, ...]]
    due: frozenset[str]
    seconds: Mapping[str, float]
    parallel: int

    def left(self, ended: Collection[str] = (), running: Mapping[str, float] | None = None) -> float | None:
        """Seconds until every due stage has ended, where ``running`` ones have so many behind them.

        The longest chain of stages that wait for each other, or all of them side by side, whichever takes longer. None where the
        time of one is not known.
        """
        todo = [name for name in self.needs if name in self.due and name not in ended]
        if any(name not in self.seconds for name in todo):
            return None
        each = {name: max(self.seconds[name] - (running or {}).get(name, 0.0), 0.0) for name in todo}
        until: dict[str, float] = {}
        for name in todo:
            until[name] = each[name] + max((until.get(need, 0.0) for need in self.needs[name]), default=0.0)
        return max([*until.values(), sum(each.values()) / self.parallel])

    def sentence(self) -> str:
        """The same in a line."""
        if not self.due:
            return f"{len(self.needs)} stages, none of them to run"
        seconds = self.left()
        about = "" if seconds is None else f", about {clock(seconds)} by their last times"
        return f"{len(self.due)} of {len(self.needs)} stages to run{about}"


def expected(dag: Dag, parallel: int) -> Expected:
    """What a run that is about to begin has before it."""
    from dvc.exceptions import DvcException

    due: set[str] = set()
    for name, node in dag.nodes.items():
        try:
            if due.intersection(node.needs) or dag.changed(name):
                due.add(name)
        except DvcException:  # whoever runs it says what is wrong
            due.add(name)
    needs = {name: node.needs for name, node in dag.nodes.items()}
    return Expected(needs, frozenset(due), lasted(dag.root), parallel)


def clock(seconds: float) -> str:
    """A length of time as a clock shows it.

    >>> clock(4.4), clock(75), clock(3671)
    ('0:04', '1:15', '1:01:11')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
