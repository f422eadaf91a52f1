"""Whether the package's history reaches to the moments asked for: rows refused or warned of, and what the log, ``/readyz``
and the metrics say of its age."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypedDict

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from deploy.rows import Mistake, Problems, Row
from tasks.bundle import Bundle
from tasks.bundle.horizon import Horizon, show, span
from tasks.errors import RefitError, some
from tasks.params import WHEN_STALE
from tasks.stage import log
from tasks.values.durations import Duration

STALE, STALE_AFTER = "REFIT_STALE", "REFIT_STALE_AFTER"  # serving.stale and serving.stale_after, for the workers


class HistoryState(TypedDict):
    """For ``/readyz``: from when rows are answered, until when each table is known, how old that is, and which are too old."""

    answers_from: str | None
    known_until: dict[str, str]
    age_seconds: dict[str, float]
    stale: list[str]


class Timely:
    """What a served package says of a row's moment.

    Parameters
    ----------
    bundle
        The package.
    refuse
        Whether a row is refused (503) for which a table is too old, instead of answered with a warning.
    after
        How old is too old, for every table; None: what the shortest of its windows says.
    """

    def __init__(self, bundle: Bundle, refuse: bool = False, after: Duration | None = None) -> None:
        self.bundle = bundle
        self.refuse = refuse
        self.horizon: Horizon = bundle.horizon if after is None else bundle.horizon.within(after.micros)
        self.field = bundle.plan.time.column if bundle.plan.time else None
        self._told: set[str] = set()

    @classmethod
    def of(cls, bundle: Bundle, env: Mapping[str, str] = os.environ) -> Timely:
        """As the environment says, which `refit serve` fills from ``serving.stale`` and ``serving.stale_after``."""
        way, after = env.get(STALE) or "warn", env.get(STALE_AFTER)
        if way not in WHEN_STALE:
            raise RefitError(f"{STALE}: {way!r} is not one of {some(WHEN_STALE)}")
        try:
            return cls(bundle, way == "refuse", Duration.read(after) if after else None)
        except ValueError as error:
            raise RefitError(f"{STALE_AFTER}: {error}; found {after!r}") from None

    def admit(self, row: Row) -> list[str]:
        """Warnings of tables whose knowledge ends before the row.

        Raises
        ------
        Problems
            422 for a row before ``answers_from``; 503 for one that a table is too old for, where such are refused.
        """
        timing = self.horizon.check(self.bundle.moment(row))
        if timing.refused:
            raise Problems([self._entry(timing.refused)])
        for table in timing.ages:
            if table not in self._told:
                self._told.add(table)
                log(f"a row is later than what is known of {table!r} (until {show(self.horizon.known_until[table])}); "
                    "such rows are warned of, and this line comes once")  # fmt: skip
        if timing.stale and self.refuse:
            messages = [text for text, table in zip(timing.warnings, timing.ages, strict=True) if table in timing.stale]
            raise Problems([self._entry(f"{text} (serving.stale: refuse)") for text in messages], 503)
        return list(timing.warnings)

    def _entry(self, message: str) -> Mistake:
        return {"message": message} if self.field is None else {"message": message, "field": self.field}

    def about(self, now: float | None = None) -> HistoryState:
        """For ``/readyz``: from when rows are answered, and how old each table's knowledge is by the clock."""
        start, ages = self.horizon.answers_from, self.ages(now)
        return {
            "answers_from": None if start is None else show(start),
            "known_until": {name: show(until) for name, until in self.horizon.known_until.items()},
            "age_seconds": ages,
            "stale": [name for name, age in ages.items() if self.horizon.too_old(name, int(age * 1e6))],
        }

    def ages(self, now: float | None = None) -> dict[str, float]:
        """Seconds from what is known of each table to now."""
        now = time.time() if now is None else now
        return {name: round(now - until / 1e6, 3) for name, until in self.horizon.known_until.items()}

    def tell(self) -> None:
        """Say in the log what the package knows, and what is too old for rows of today."""
        known = self.about()
        if known["answers_from"] is not None:
            log(f"rows are answered from {known['answers_from']} on")
        for name, until in known["known_until"].items():
            old = " (too old for rows of now)" if name in known["stale"] else ""
            log(f"{name!r}: known until {until}, {span(int(known['age_seconds'][name] * 1e6))} ago{old}")


class HasTimely(Protocol):
    """Whatever answers requests by a package."""

    timely: Timely


class HistoryAge(Collector):
    """``refit_history_age_seconds{table}``: the clock minus what is known of a table, whenever it is scraped.

    The same for all workers, so it is never summed over them.
    """

    def __init__(self, served: Callable[[], HasTimely | None]) -> None:
        self.served = served

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metric without values, which needs no package."""
        return [self._family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metric now, a value for each table; none while no package is served."""
        family, served = self._family(), self.served()
        for table, age in (served.timely.ages() if served is not None else {}).items():
            family.add_metric([table], age)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        meaning = "Seconds since the newest fact that is known of a table."
        return GaugeMetricFamily("refit_history_age_seconds", meaning, labels=["table"])
