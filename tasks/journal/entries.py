"""What the journal holds: events and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# When an event counts as known: not before it was received, or as its own columns say (what was known elsewhere before).
Known = Literal["receipt", "given"]


@dataclass(frozen=True)
class Event:
    """A row of a table as it became known: a new one, or another state of the row whose key it has.

    Parameters
    ----------
    table
        The table's name in ``params.yaml``.
    body
        The whole row as JSON values (:func:`tasks.bundle.rows.to_json`); a missing value is None.
    key
        The values of the table's key as JSON (:func:`tasks.journal.key_of`); None where the table has none.
    id
        What names the event for its sender: one of the same table with an id that is there already is the same event, and not
        stored again.
    known
        Whether it counts from its receipt at the earliest, or from the moment that its own columns say.
    refused
        Why the data contract does not let the row into training or features; None where it does.
    seq, received
        Its place in the journal, and when it was received (µs since 1970); the journal gives both.
    """

    table: str
    body: Mapping[str, object]
    key: str | None = None
    id: str | None = None
    known: Known = "receipt"
    refused: str | None = None
    seq: int = 0
    received: int = 0


@dataclass(frozen=True)
class Prediction:
    """An answer that was given.

    Parameters
    ----------
    id
        What names it: the client's idempotency key, or a UUID of version 7.
    row
        The row as it was received, as JSON.
    answer
        The answer as it was sent, as JSON.
    key
        The values of the problem table's key as JSON, where the row has them; else None.
    package, version
        The identity of the package that answered, and what its answers call it.
    scores, decision, threshold
        The model's scores, what was decided, and by which threshold, where there is one.
    seen
        The last sequence number that its features had seen.
    features
        SHA-256 of its features (:func:`tasks.journal.digest.digest`).
    moment
        The row's prediction time, µs since 1970; None where it has none.
    seq, at
        Its place in the journal, and when it was written (µs since 1970); the journal gives both.
    """

    id: str
    row: Mapping[str, object]
    answer: Mapping[str, object]
    key: str | None
    package: str
    version: str
    scores: tuple[float, ...]
    decision: float
    threshold: float | None
    seen: int
    features: str
    moment: int | None
    seq: int = 0
    at: int = 0


@dataclass(frozen=True)
class Erasure:
    """That a row was erased: its events, and predictions of it, keep their places and are read by nobody any more.

    ``key`` is the SHA-256 of the key's text; ``by`` says who did it; ``events`` and ``predictions`` how many there were.
    ``seq`` and ``at`` (µs since 1970) are given by the journal.
    """

    table: str
    key: str
    reason: str
    by: str
    events: int
    predictions: int
    seq: int = 0
    at: int = 0
