"""A service with a memory: every answer is in the journal before it is given, and every event is known to the next answer."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future

from deploy.events import EventBodies, check_id
from deploy.following import Follower
from deploy.limits import Busy
from deploy.rows import Problems, Row, parsed
from tasks.bundle import Answer, Bundle
from tasks.engine.facts import MISSING
from tasks.journal import Commits, Event, Journal, JournalUnwritable, Prediction
from tasks.journal.digest import digest
from tasks.journal.journal import Appended
from tasks.stage import log

POLL = 0.05  # seconds after which an idle process looks for events
_drawing = threading.Lock()
_drawn = bytearray()  # random bytes by the thousand: asking the system for each name takes longer than the rest of it
WAITS = 5.0  # seconds for a sequence number that a request asks for


class Live:
    """One process's side of the journal.

    Parameters
    ----------
    bundle
        The package, started; its state is brought up to what the journal has.
    where
        The journal (:func:`tasks.journal.journal_url`).
    version
        What answers call the package.
    """

    def __init__(self, bundle: Bundle, where: str, version: str) -> None:
        self.bundle, self.version = bundle, version
        self.commits = Commits(Journal(where, write=True))
        self.journal = Journal(where)
        self.asking = Journal(where)  # for the thread that reads labels
        self.follower = Follower(bundle, self.journal)
        self.bodies = EventBodies(bundle.events or {}, bundle.schema.table)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take in what happened before, and say so where something did."""
        began = time.monotonic()
        self.follower.catch_up()
        if self.follower.seen:
            took = time.monotonic() - began
            log(f"the journal ({self.journal.shown}) is read up to its event {self.follower.seen:,} ({took:.1f} s)")

    def stop(self) -> None:
        """Write what is left, and let go of the journal."""
        if self._task is not None:
            self._task.cancel()
        self.commits.close()
        self.journal.close()
        self.asking.close()

    # What is known ---------------------------------------------------------------------------------------------------
    async def current(self, asked: str | None = None) -> None:
        """Take in what was acknowledged before this request, and at least up to the number that it ``asked`` for.

        Raises
        ------
        Busy
            If the number is not reached in time, or the journal cannot be read.
        """
        self._watch()
        number = 0 if asked is None else _number(asked)
        until = time.monotonic() + WAITS
        try:
            while True:
                while self.follower.step():
                    await asyncio.sleep(0)
                if self.follower.seen >= number or (self.follower.reach() and self.follower.seen >= number):
                    return
                if time.monotonic() > until:
                    raise Busy(
                        f"If-Known: entry {number} of the journal is not known here (only up to {self.follower.seen})"
                    )
                await asyncio.sleep(0.01)
        except JournalUnwritable as error:
            raise Busy(str(error)) from None

    def _watch(self) -> None:
        """Follow also while nobody asks, so that little is left to do when somebody does."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            try:
                while self.follower.step():
                    await asyncio.sleep(0)
            except JournalUnwritable as error:
                log(f"the journal cannot be followed: {error}")
                await asyncio.sleep(1)

    # What is kept ----------------------------------------------------------------------------------------------------
    def before(self, ids: Sequence[str], given: Sequence[object]) -> list[dict[str, object]] | None:
        """The answers that rows with these ids got already; None where there are none yet.

        Raises
        ------
        Problems
            409 where they were given to other rows.
        """
        there = [one for id in ids if (one := self._kept(id)) is not None]
        if not there:
            return None
        if [one.row for one in there] != list(given):
            message = f"Idempotency-Key: {ids[0].partition('/')[0][:80]!r} was the name of a request about other rows"
            raise Problems([{"message": message}], 409)
        return [dict(one.answer) for one in there]

    def batch_before(self, name: str, body: bytes | bytearray) -> list[dict[str, object]] | None:
        """The same of a batch, whose rows are named ``name/0`` and so on."""
        if self._kept(f"{name}/0") is None:  # so that the whole body is parsed of a batch alone that comes again
            return None
        given = parsed(bytes(body))
        listed = given if isinstance(given, list) else [given]
        return self.before([f"{name}/{i}" for i in range(len(listed) + 1)], listed)

    def _kept(self, id: str) -> Prediction | None:
        try:
            return self.journal.prediction(id)
        except JournalUnwritable as error:
            raise Busy(str(error)) from None

    @staticmethod
    def again(before: list[dict[str, object]] | None) -> list[dict[str, object]]:
        """The answers of a name that is taken. Raises :class:`Problems` (410) where they were erased."""
        if before is None:
            raise Problems(
                [{"message": "Idempotency-Key: the answer of this name was erased; name the request anew"}], 410
            )
        return before

    def entry(self, id: str, given: object, row: Row, answer: Answer, sent: dict[str, object], seen: int) -> Prediction:
        """What is kept of an answer to the row ``given``, computed when ``seen`` was known."""
        assert isinstance(given, dict)
        moment = self.bundle.moment(row)
        return Prediction(
            id=id, row=given, answer=sent, key=self._key(given), package=self.bundle.identity,
            version=self.version, scores=answer.scores, decision=answer.decision, threshold=self.bundle.threshold,
            seen=seen, features=digest(answer.features), moment=None if moment == MISSING else moment,
        )  # fmt: skip

    def _key(self, given: dict[str, object]) -> str | None:
        """A row's key, where it was sent and can be read: the model need not ask for it."""
        try:
            return self.bodies.problem.key(given) if self.bodies.problem else None
        except Problems:
            return None

    async def keep(self, events: Sequence[Event] = (), predictions: Sequence[Prediction] = ()) -> Appended:
        """Have entries on disk.

        Raises
        ------
        Busy
            Where that cannot be; then nothing was kept.
        Problems
            422 for a number that JSON has no way to write.
        """
        try:
            done: Future[Appended] = self.commits.append(events, predictions)
        except ValueError:  # in a column that the model does not ask for
            raise Problems([{"message": "a number beyond the largest that can be kept (1.8e308)"}]) from None
        except RuntimeError:
            raise Busy("the service is leaving") from None
        try:
            return await asyncio.shield(asyncio.wrap_future(done))
        except JournalUnwritable as error:
            raise Busy(str(error)) from None

    def about(self) -> dict[str, object]:
        """For ``/readyz``: the last entry that is in the state, and how many events could not be taken in."""
        return {"seen": self.follower.seen, "skipped": self.follower.skipped}

    @staticmethod
    def name(given: str | None) -> str | None:
        """A request's own name, from its header."""
        return None if given is None else check_id(given, "Idempotency-Key")

    @staticmethod
    def new_name() -> str:
        """A name for a request that has none: a UUID of version 7 (RFC 9562), which rises with time."""
        with _drawing:
            if len(_drawn) < 10:
                _drawn.extend(os.urandom(8192))
            drawn = int.from_bytes(_drawn[-10:])
            del _drawn[-10:]
        milliseconds = time.time_ns() // 1_000_000
        return str(
            uuid.UUID(int=milliseconds << 80 | 7 << 76 | (drawn >> 62 & 0xFFF) << 64 | 2 << 62 | drawn & (1 << 62) - 1)
        )


def _number(asked: str) -> int:
    if not asked.isdecimal() or len(asked) > 18:
        raise Problems(
            [{"message": f"If-Known: must be a sequence number that /events gave, found {asked[:40]!r}"}], 400
        )
    return int(asked)
