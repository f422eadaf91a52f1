"""Entries as the journal's tables hold them, made before a transaction begins: who has written one wrongly is told at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tasks.journal.entries import Erasure, Event, Known, Prediction

Values = tuple[object, ...]
EVENT = "id, named, entity, body, known, refused"
PREDICTION = "id, moment, entity, package, version, asked, answer, scores, decision, threshold, seen, features"
ERASURE = "seq, at, named, entity, reason, person, events, predictions"


@dataclass(frozen=True)
class EncodedEntries:
    """Entries of one caller, which are stored together or not at all."""

    events: Sequence[Values]
    predictions: Sequence[Values]
    positions: Mapping[str, str]

    @classmethod
    def of(
        cls, events: Sequence[Event], predictions: Sequence[Prediction], positions: Mapping[str, str] | None = None
    ) -> EncodedEntries:
        """Raises ``ValueError`` for what no journal can hold: NaN in JSON, half a character, a text with a NUL."""
        made = cls([_event(e) for e in events], [_prediction(p) for p in predictions], positions or {})
        for values in (*made.events, *made.predictions, *made.positions.items()):
            for value in values:
                if isinstance(value, str):
                    value.encode()
                    if "\0" in value:
                        raise ValueError(f"a NUL character in {value[:80]!r}")
        return made

    def __len__(self) -> int:
        return len(self.events) + len(self.predictions)


def to_text(values: object) -> str:
    """JSON as the journal holds it: numbers read back as the same bits.

    >>> to_text({"a": 0.1, "b": None, "c": "é"})
    '{"a":0.1,"b":null,"c":"é"}'
    """
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def key_of(body: Mapping[str, object], columns: Sequence[str]) -> str | None:
    """What :class:`Event` and :class:`Prediction` name a row by: its key's values as JSON; None of a table without a key.

    >>> key_of({"shop": "a", "day": 1.0, "n": 7.0}, ["shop", "day"]), key_of({"n": 7.0}, [])
    ('["a",1.0]', None)
    """
    return to_text([body[column] for column in columns]) if columns else None


def event_of(row: Values) -> Event:
    """An event from ``seq``, ``received`` and the columns of :data:`EVENT`."""
    seq, received, id, table, key, body, known, refused = row
    return Event(
        table=str(table), body=json.loads(str(body)), key=_text(key), id=_text(id), known=cast(Known, known),
        refused=_text(refused), seq=_whole(seq), received=_whole(received),
    )  # fmt: skip


def prediction_of(row: Values) -> Prediction:
    """A prediction from ``seq``, ``at`` and the columns of :data:`PREDICTION`."""
    seq, at, id, moment, key, package, version, asked, answer, scores, decision, threshold, seen, features = row
    return Prediction(
        id=str(id), row=json.loads(str(asked)), answer=json.loads(str(answer)), key=_text(key), package=str(package),
        version=str(version), scores=tuple(json.loads(str(scores))), decision=float(str(decision)),
        threshold=None if threshold is None else float(str(threshold)), seen=_whole(seen), features=str(features),
        moment=None if moment is None else _whole(moment), seq=_whole(seq), at=_whole(at),
    )  # fmt: skip


def erasure_of(row: Values) -> Erasure:
    """An erasure from the columns of :data:`ERASURE`."""
    seq, at, table, key, reason, by, events, predictions = row
    return Erasure(
        table=str(table), key=str(key), reason=str(reason), by=str(by), events=_whole(events),
        predictions=_whole(predictions), seq=_whole(seq), at=_whole(at),
    )  # fmt: skip


def _event(e: Event) -> Values:
    return (e.id, e.table, e.key, to_text(e.body), e.known, e.refused)


def _prediction(p: Prediction) -> Values:
    threshold = None if p.threshold is None else repr(p.threshold)
    return (
        p.id, p.moment, p.key, p.package, p.version, to_text(p.row), to_text(p.answer), to_text(p.scores), repr(p.decision),
        threshold, p.seen, p.features,
    )  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _whole(value: object) -> int:
    return int(cast(int, value))
