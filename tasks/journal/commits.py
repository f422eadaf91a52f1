"""Many callers, few commits: entries that come while one commit is being written go together in the next."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from tasks.journal.entries import Event, Prediction
from tasks.journal.journal import Appended, Journal

MOST = 10_000  # entries of one commit


@dataclass
class _Waiting:
    events: Sequence[Event]
    predictions: Sequence[Prediction]
    positions: Mapping[str, str]
    done: Future[Appended] = field(default_factory=Future)


class Commits:
    """A thread that writes to a journal. A caller's entries are stored together or not at all.

    >>> import tempfile
    >>> with Commits(Journal(tempfile.mkdtemp() + "/journal.db", write=True)) as commits:
    ...     commits.append([Event("orders", {"id": 1}, key="[1]")]).result().seq
    1
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="refit-journal", daemon=True)
        self._thread.start()

    def append(
        self,
        events: Sequence[Event] = (),
        predictions: Sequence[Prediction] = (),
        positions: Mapping[str, str] | None = None,
    ) -> Future[Appended]:
        """What :meth:`Journal.append` gives, or raises, once the entries are on disk."""
        waiting = _Waiting(events, predictions, positions or {})
        self._queue.put(waiting)
        return waiting.done

    def close(self) -> None:
        """Write what was given, and end."""
        self._queue.put(None)
        self._thread.join()
        self.journal.close()

    def __enter__(self) -> Commits:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            if first is None:
                return
            batch, size = [first], len(first.events) + len(first.predictions)
            with contextlib.suppress(queue.Empty):
                while size < MOST:
                    another = self._queue.get_nowait()
                    if another is None:
                        ended = True
                        break
                    batch.append(another)
                    size += len(another.events) + len(another.predictions)
            self._commit(batch)

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            appended = self.journal.append(
                [e for one in batch for e in one.events],
                [p for one in batch for p in one.predictions],
                {source: position for one in batch for source, position in one.positions.items()},
            )
        except Exception as error:
            if len(batch) > 1:  # one caller's entries may be what is wrong
                for one in batch:
                    self._commit([one])
                return
            with contextlib.suppress(InvalidStateError):  # whoever waited has gone
                batch[0].done.set_exception(error)
            return
        for one in batch:
            with contextlib.suppress(InvalidStateError):
                one.done.set_result(appended)
