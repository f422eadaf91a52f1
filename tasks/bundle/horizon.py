"""From when a package can answer, and what it knows until when: whether a row's moment lies where its history reaches.

A package keeps the events that its windows can see from ``answers_from`` on; an earlier row would find its windows cut
off, so it is refused. It knows nothing that was learned after ``known_until``, by table; a later row is answered, with a
warning that names table and age. A table is too old (``stale``) for a row when the shortest of its windows would see
nothing of what is known: a window of 3h after 3 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from tasks.engine import Plan
from tasks.engine.facts import MISSING, Events

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RowTiming:
    """What a row's moment means for its answer.

    ``refused`` says why there is none (empty: there is one), ``ages`` by how many µs each table's knowledge ends before
    the row, ``stale`` which of them are too old, and ``warnings`` tells of all of them in words.
    """

    refused: str = ""
    ages: Mapping[str, int] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


FINE = RowTiming()


@dataclass(frozen=True)
class Horizon:
    """All moments in µs since 1970. ``answers_from`` None: rows of any time are answered.

    ``patience``: how much older than a row a table may be, by table; None: its windows have no end.
    """

    answers_from: int | None = None
    known_until: dict[str, int] = field(default_factory=dict)
    patience: Mapping[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, start: str | None, known_until: Mapping[str, str]) -> Horizon:
        """What ``bundle.json`` says (``answers_from``, ``known_until``), and how old the plan's windows let a table be."""
        until = {name: parse(moment) for name, moment in known_until.items()}
        return cls(None if start is None else parse(start), until, shortest_windows(plan))

    @property
    def start(self) -> str | None:
        """``answers_from`` as ``bundle.json`` has it: an ISO moment in UTC."""
        return None if self.answers_from is None else show(self.answers_from)

    @property
    def ends(self) -> dict[str, str]:
        """``known_until`` as ``bundle.json`` has it: ISO moments in UTC."""
        return {name: show(moment) for name, moment in self.known_until.items()}

    @property
    def _soonest(self) -> int | None:
        return min(self.known_until.values(), default=None)

    def learn(self, table: str, moment: int) -> None:
        """Something of a table became known at a moment (µs); no matter where the table has none."""
        if moment > self.known_until.get(table, moment):
            self.known_until[table] = moment

    def within(self, patience: int) -> Horizon:
        """The same, with every table too old after as many µs, whatever its windows are."""
        return replace(self, patience=dict.fromkeys(self.known_until, patience))

    def check(self, t: int) -> RowTiming:
        """Judge a row's prediction time (µs; the engine's MISSING: the row has none, and sees no history)."""
        if t == MISSING:
            return FINE
        if self.answers_from is not None and t < self.answers_from:
            return RowTiming(refused=self._early(t))
        if self._soonest is None or t <= self._soonest:
            return FINE
        ages = {name: t - until for name, until in self.known_until.items() if until < t}
        stale = tuple(name for name, age in ages.items() if self.too_old(name, age))
        return RowTiming("", ages, stale, tuple(self._late(name, age, name in stale) for name, age in ages.items()))

    def too_old(self, table: str, age: int) -> bool:
        """Whether what is known of a table is too old for a row that is ``age`` µs later."""
        limit = self.patience.get(table)
        return limit is not None and age > limit

    def _early(self, t: int) -> str:
        assert self.answers_from is not None
        return (
            f"the row's time {show(t)} is before answers_from, {show(self.answers_from)}: this package keeps the history "
            "that rows from then on need, so an earlier row's features would be wrong. `refit predict` answers it from the "
            "project's whole tables."
        )

    def _late(self, table: str, age: int, stale: bool) -> str:
        said = f"{table!r}: known until {show(self.known_until[table])}, {span(age)} before this row"
        limit = self.patience.get(table)
        return said + (f"; too old to rely on (at most {span(limit)})" if stale and limit is not None else "")


def parse(moment: str) -> int:
    """µs since 1970 of an ISO moment with its zone. Raises ValueError for what is none."""
    found = datetime.fromisoformat(moment)
    if found.tzinfo is None:
        raise ValueError(f"{moment!r} names no zone")
    gone = found - _EPOCH
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


def show(t: int) -> str:
    """µs since 1970 as an ISO moment in UTC.

    >>> show(1_383_264_000_000_000)
    '2013-11-01T00:00:00Z'
    """
    return (_EPOCH + timedelta(microseconds=t)).isoformat().replace("+00:00", "Z")


def span(micros: int) -> str:
    """A length of time as people say it, to two units.

    >>> span(10_800_000_000), span(90_061_000_000), span(1_500_000), span(20)
    ('3h', '1d 1h', '1s', 'less than 1s')
    """
    left, parts = micros // 1_000_000, list[str]()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "less than 1s"


def shortest_windows(plan: Plan) -> dict[str, int | None]:
    """The shortest window that ends (µs), by the name of each table with times that features ask; None: none does."""
    found: dict[str, int | None] = {}
    for _, recipe in plan.asking:
        table = plan.tables.get(recipe.table)
        if table is None or table.event_time is None:
            continue
        micros, other = recipe.span.micros, found.get(table.name)
        found[table.name] = other if micros is None else micros if other is None else min(micros, other)
    return found


def newest_known(plan: Plan, name: str, frame: pd.DataFrame) -> int | None:
    """The newest moment (µs) at which an event of the table became known; None where there is no event."""
    facts = Events(plan.tables[name], frame)
    counts = (facts.event != MISSING) & (facts.known != MISSING)
    return int(facts.known[counts].max()) if np.any(counts) else None


def derived(plan: Plan, golden: Iterable[int], history: Mapping[str, pd.DataFrame]) -> Horizon:
    """The horizon of a package that does not state it: older ones kept what their earliest golden row needs, no more.

    ``golden`` are the prediction times of its golden rows, ``history`` its tables.
    """
    ends = {name: newest_known(plan, name, frame) for name, frame in history.items()}
    times = [t for t in golden if t != MISSING]
    until = {name: end for name, end in ends.items() if plan.tables[name].event_time is not None and end is not None}
    windows = shortest_windows(plan)
    cut = not plan.children and any(limit is not None for limit in windows.values())  # else tables were kept whole
    return Horizon(min(times, default=None) if cut else None, until, windows)
