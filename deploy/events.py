"""What clients tell of: events of tables and labels, as bodies of requests, read and checked by the package's own contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from pydantic_core import to_json as as_json

from deploy.batches import MOST_PROBLEMS
from deploy.rows import Mistake, Problems, Row, RowReader, remark
from tasks.artifacts import EventMoment, EventTable
from tasks.bundle.rows import to_json
from tasks.engine.source import moment
from tasks.errors import nearest, some
from tasks.journal import Event, Journal, Known
from tasks.journal.encoded import to_text

OWN = frozenset({"table", "row", "id", "known"})  # of an event
OF_LABELS = frozenset({"id", "key", "values", "known"})
LONGEST = 200  # characters of an id
KNOWN: tuple[Known, ...] = ("receipt", "given")
Given = Mapping[str, object]


class EventReader:
    """Reads events of one table.

    A row that cannot be read is refused; one that the data contract does not let into training (a number out of its
    bounds, a text that is not allowed) is kept with the reason, as a stage keeps such rows of files in quarantine.
    """

    def __init__(self, name: str, about: EventTable) -> None:
        self.name, self.about = name, about
        self.rows = RowReader(about.row)
        self._fields = list(about.row.fields)
        self._checked = [f for f in self._fields if f.min is not None or f.max is not None or f.allowed is not None]

    def event(self, given: object, id: str | None, known: Known) -> Event:
        """One event. Raises :class:`Problems`."""
        read = self.rows.row(given)
        row: dict[str, object] = {f.name: read.get(f.name) for f in self._fields}
        if mistakes := list(self._moments(row)):
            raise Problems(mistakes)
        body = to_json(row, self._fields)
        reasons = "; ".join(found for f in self._checked if (found := remark(f, read.get(f.name))))
        return Event(self.name, body, self._key(body), id, known, reasons or None)

    def key(self, given: Given) -> str | None:
        """The key of a row that may lack other columns, as the journal has it; None where it lacks part of it.

        Raises :class:`Problems` for a value that cannot be read.
        """
        columns = self.about.key
        if not columns or any(name not in given for name in columns):
            return None
        fields = [f for f in self._fields if f.name in columns]
        if len(fields) < len(columns):
            return None
        values = {f.name: self.rows.value(f.name, given[f.name]) for f in fields}
        return self._key(to_json(values, fields))

    def _key(self, body: Given) -> str | None:
        values = [body.get(name) for name in self.about.key]
        return to_text(values) if values and None not in values else None

    def _moments(self, row: Given) -> Iterator[Mistake]:
        happened, known = (self._moment(row, when) for when in (self.about.event_time, self.about.known_at))
        if happened is not None and known is not None and known < happened:
            assert self.about.known_at is not None
            column = self.about.known_at.column
            yield {"message": f"{column!r}: the event would be known before it happened", "field": column}
        for name in self.about.key:
            if row.get(name) is None:
                yield {"message": f"{name!r} must be there: it is part of the row's key", "field": name}

    @staticmethod
    def _moment(row: Given, when: EventMoment | None) -> int | None:
        value = None if when is None else row.get(when.column)
        return None if when is None or value is None else moment(value, when.column, "event") + when.offset


class EventBodies:
    """Reads the bodies of ``POST /events`` and ``POST /labels`` into events for the journal.

    Parameters
    ----------
    tables
        What an event of each table looks like.
    problem
        The problem's table.
    """

    def __init__(self, tables: Mapping[str, EventTable], problem: str) -> None:
        self.readers = {name: EventReader(name, about) for name, about in tables.items()}
        self.problem = self.readers.get(problem)
        self.problem_name = problem

    def events(self, given: Iterable[object], name: str | None) -> Iterator[Event]:
        """Each event of a request, ``name`` being its idempotency key. Raises :class:`Problems` that name the row."""
        yield from _each(given, lambda i, one: self._event(one, _id_of(one, name, i)))

    def _event(self, given: object, id: str | None) -> Event:
        one = _object(given, OWN, "an event")
        table = one.get("table")
        if not isinstance(table, str) or table not in self.readers:
            found = "is missing" if table is None else f"{str(table)[:80]!r} is none"
            near = nearest(table, self.readers) if isinstance(table, str) else ""
            raise Problems(
                [{"message": f"'table' must be one of {some(self.readers)}; {found}.{near}", "field": "table"}]
            )
        if "row" not in one:
            raise Problems([{"message": "'row' is missing: the event's columns as a JSON object", "field": "row"}])
        return self.readers[table].event(one["row"], id, _known(one))

    def labels(self, given: Iterable[object], name: str | None, journal: Journal) -> Iterator[Event]:
        """The rows of predictions, completed by what is known now. Raises :class:`Problems` that name the row."""
        yield from _each(given, lambda i, one: self._label(one, _part(name, i), journal))

    def _label(self, given: object, id: str | None, journal: Journal) -> Event:
        reader = self.problem
        outcome = reader.about.outcome if reader else []
        if reader is None or not outcome:
            raise Problems([{"message": f"{self.problem_name!r} has no column that becomes known later; its labels are made of "
                             "events of other tables: send these to /events"}])  # fmt: skip
        one = _object(given, OF_LABELS, "a label")
        values = one.get("values")
        if not isinstance(values, dict) or not values:
            raise Problems([{"message": f"'values' must be a JSON object of columns of {self.problem_name!r} that are known now, "
                             f"as of {some(outcome)}", "field": "values"}])  # fmt: skip
        if ("id" in one) == ("key" in one):
            raise Problems([{"message": "a label names its prediction by 'id', or its row by 'key', and not by both"}])
        if "id" in one:
            found = journal.prediction(str(one["id"])) if isinstance(one["id"], str) else None
            named = f"'id': there is no prediction {str(one['id'])[:80]!r} in the journal"
        else:
            key = reader.key(one["key"]) if isinstance(one["key"], dict) else None
            found = journal.last_of(key) if key is not None else None
            named = (
                f"'key': there is no prediction of a row with it in the journal ({some(reader.about.key)} name a row)"
            )
        if found is None:
            raise Problems([{"message": named, "field": "id" if "id" in one else "key"}])
        return reader.event({**_missing(reader, found.row), **found.row, **values}, id, _known(one))


def _missing(reader: EventReader, row: Given) -> Row:
    """Columns that the model does not ask for, where they were not sent with the row."""
    return {f.name: None for f in reader.about.row.fields if f.name not in row}


def _each(given: Iterable[object], read: Callable[[int, object], Event]) -> Iterator[Event]:
    problems: list[Mistake] = []
    for i, one in enumerate(given):
        try:
            event = read(i, one)
        except Problems as found:
            problems += [cast(Mistake, {**entry, "row": i}) for entry in found.errors]
            if len(problems) >= MOST_PROBLEMS:
                break
        else:
            if not problems:
                yield event
    if problems:
        raise Problems(problems[:MOST_PROBLEMS])


def _object(given: object, names: frozenset[str], what: str) -> Given:
    if not isinstance(given, dict):
        raise Problems(
            [
                {
                    "message": f"{what} is a JSON object of {some(sorted(names))}, found {as_json(given)[:40].decode(errors='replace')}"
                }
            ]
        )
    for name in given:
        if name not in names:
            raise Problems(
                [{"message": f"{name[:80]!r} is not part of {what}." + nearest(name[:80], names), "field": name[:80]}]
            )
    return cast(Given, given)


def _known(given: Given) -> Known:
    known = given.get("known", "receipt")
    if known not in KNOWN:
        raise Problems(
            [{"message": f"'known' must be one of {some(KNOWN)}, found {str(known)[:40]!r}", "field": "known"}]
        )
    return cast(Known, known)


def _id_of(given: object, name: str | None, place: int) -> str | None:
    own = given.get("id") if isinstance(given, dict) else None
    if own is None:
        return _part(name, place)
    return check_id(own, "'id'")


def _part(name: str | None, place: int) -> str | None:
    """The id of one entry of a request that has a name."""
    return None if name is None else f"{name}/{place}"


def check_id(given: object, what: str) -> str:
    """An id as it is kept. Raises :class:`Problems`."""
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST or not given.isprintable():
        raise Problems(
            [{"message": f"{what} must be a text of 1 to {LONGEST} printable characters", "field": what.strip("'")}]
        )
    return given
