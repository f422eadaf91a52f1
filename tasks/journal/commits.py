"""Many callers, few commits: entries that come while one commit is being written go together in the next."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError

from tasks.journal.encoded import EncodedEntries
from tasks.journal.entries import Event, Prediction
from tasks.journal.journal import Appended, Journal

MOST = 10_000  # entries of one commit, where no single caller has more
_Waiting = tuple[EncodedEntries, "Future[Appended]"]


class Commits:
    """A thread that writes to a journal, which is its alone from now on. A caller's entries are stored together or not at all.

    >>> import tempfile
    >>> with Commits(Journal(tempfile.mkdtemp() + "/journal.db", write=True)) as commits:
    ...     commits.append([Event("orders", {"id": 1}, key="[1]")]).result().seq
    1
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="refit-journal", daemon=True)
        self._thread.start()

    def append(
        self,
        events: Sequence[Event] = (),
        predictions: Sequence[Prediction] = (),
        positions: Mapping[str, str] | None = None,
    ) -> Future[Appended]:
        """What :meth:`Journal.append` gives, or raises, once the entries are on disk.

        A future that is cancelled changes nothing: what was handed over is written.

        Raises
        ------
        ValueError
            For an entry that no journal can hold.
        RuntimeError
            After :meth:`close`.
        """
        done: Future[Appended] = Future()
        encoded = EncodedEntries.of(events, predictions, positions)
        with self._closing:
            if self._closed:
                raise RuntimeError("these commits are closed")
            self._queue.put((encoded, done))
        return done

    def close(self) -> None:
        """Write what was given, and end; the journal is closed too."""
        with self._closing:
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._journal.close()

    def __enter__(self) -> Commits:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        given: _Waiting | None
        while (given := self._queue.get()) is not None:
            batch, size = [given], len(given[0])
            with contextlib.suppress(queue.Empty):
                while size < MOST and (given := self._queue.get_nowait()) is not None:
                    batch.append(given)
                    size += len(given[0])
            self._commit(batch)
            if given is None:
                return

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            appended = self._journal.append_all([encoded for encoded, _ in batch])
        except (
            Exception
        ) as error:  # the database's trouble, so everybody's: one after the other would only wait for it longer
            for _, done in batch:
                with contextlib.suppress(InvalidStateError):  # whoever waited has gone
                    done.set_exception(error)
            return
        for (_, done), one in zip(batch, appended, strict=True):
            with contextlib.suppress(InvalidStateError):
                done.set_result(one)
