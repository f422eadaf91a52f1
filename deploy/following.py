"""Follows the journal: what was acknowledged anywhere is known to the next answer here."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Sequence
from functools import cached_property

from tasks.bundle import Bundle
from tasks.errors import RefitError, first_line
from tasks.journal import Event, Journal
from tasks.stage import log

PAGE = 2_000  # entries read at a time
SLICE = 100  # events taken in at a stretch, between which requests are answered


class Follower:
    """Brings a package's online state up to date. ``lock`` is held while the state is read or changed.

    ``seen``: every event up to this sequence number is in the state.
    """

    def __init__(self, bundle: Bundle, journal: Journal) -> None:
        self.bundle, self.journal = bundle, journal
        self.lock = threading.RLock()
        self.seen = 0
        self.skipped = 0
        self._read = 0
        self._pending: deque[Event] = deque()

    @property
    def behind(self) -> bool:
        """Whether there is something to take in; where the journal may have grown, it is read."""
        if not self._pending and self.journal.changed():
            self._fetch()
        return bool(self._pending)

    def reach(self) -> bool:
        """Whether every entry that the journal has now is in the state; else there is something to take in."""
        until = self.journal.seq
        if not self._pending:
            self._fetch()
        if self._pending:
            return False
        self.seen = max(self.seen, until)
        return True

    def step(self) -> bool:
        """Take in a slice of what is there; whether there is more."""
        if not self.behind:
            return False
        taken = [self._pending.popleft() for _ in range(min(SLICE, len(self._pending)))]
        with self.lock:
            for table, events in itertools.groupby(taken, key=lambda event: event.table):
                self._take_in(table, list(events))
            self.seen = taken[-1].seq
        if not self._pending:
            self._fetch()
        return bool(self._pending)

    def catch_up(self) -> None:
        """Take in everything that is there now."""
        while self.step():
            pass

    def _fetch(self) -> None:
        self._pending.extend(itertools.islice(self.journal.events(self._read), PAGE))
        if self._pending:
            self._read = self._pending[-1].seq

    @cached_property
    def _id(self) -> str:
        return self.journal.id

    def _take_in(self, table: str, events: Sequence[Event]) -> None:
        told = [event for event in events if event.refused is None and event.body]
        try:
            if known := [event for event in told if not self.bundle.covers(event, self._id)]:
                self.bundle.take_in(table, known)
        except RefitError as error:
            if len(told) == 1:  # one event must not stop what comes after it
                self.skipped += 1
                log(f"event {told[0].seq} of {table!r} was not taken in: {first_line(error)}")
                return
            for one in told:
                self._take_in(table, [one])
