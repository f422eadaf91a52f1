"""The journal from the command line: events from files and streams, what there is, a copy, and what is to be forgotten."""

from __future__ import annotations

import gzip
import json
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.errors import RefitError, nearest, some
from tasks.journal import Appended, Event, Journal, JournalUnwritable, Known, journal_url

if TYPE_CHECKING:
    import pandas as pd

    from deploy.events import EventReader
    from tasks.params import Params, Table

BATCH = 5_000  # events of one commit, so that others who write need not wait long
SHOWN = 20  # mistakes that are told
LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
OFFSET = "offset"  # of a stream's line: its place in the stream
AGAIN = 1.0  # seconds until a journal that could not be used is tried again
CHUNK = 1 << 20


# What there is --------------------------------------------------------------------------------------------------------
def about(root: Path) -> dict[str, object]:
    """What there is in the project's journal, for programs."""
    with Journal(journal_url(root)) as journal:
        found = journal.about()
        return {
            "where": journal.shown,
            **asdict(found),
            "first": None if found.first is None else _iso(found.first),
            "last": None if found.last is None else _iso(found.last),
            "erasures": [{**asdict(one), "at": _iso(one.at)} for one in journal.erasures()],
        }


def lines(found: Mapping[str, object]) -> Iterator[str]:
    """The same in words."""
    if not found["journal"]:
        yield f"there is no journal yet ({found['where']}); `refit serve` and `refit events` make one"
        return
    size = cast(int, found["bytes"]) / 1e6
    yield f"journal      {found['where']}, {size:,.1f} MB, last entry {found['seq']:,}"
    if found["first"]:
        yield f"since        {found['first']}; the last one {found['last']}"
    refused = cast("dict[str, int]", found["refused"])
    for table, count in cast("dict[str, int]", found["events"]).items():
        bad = f", {refused[table]:,} of them not as the data contract wants them" if table in refused else ""
        yield f"events       {table}: {count:,}{bad}"
    for version, count in cast("dict[str, int]", found["predictions"]).items():
        yield f"predictions  version {version}: {count:,}"
    for one in cast("list[dict[str, object]]", found["erasures"]):
        yield (
            f"erased       {one['at']} by {one['by']}: {one['events']:,} events and {one['predictions']:,} predictions of a row "
            f"of {one['table']} ({one['reason']})"
        )


def backup(root: Path, path: Path) -> str:
    """Copy the journal while it is written to; says so."""
    with Journal(journal_url(root)) as journal:
        seq = journal.backup(path)
    return f"{path}: the journal up to entry {seq:,}, {path.stat().st_size / 1e6:,.1f} MB"


def erase(root: Path, table: str, key: str, reason: str) -> str:
    """Blank the events of a row, and the predictions of it where it is the problem table's; says so.

    Raises :class:`RefitError` for a table without a key, for a key that is none, and where there is nothing of it.
    """
    from flows.hand import person
    from tasks.params import load

    if not reason.strip():
        raise RefitError("--reason: say why in a few words; it is kept in the journal.")
    params = load(root / "params.yaml")
    reader, problem = _reader(params, table), params.problem.table
    with _writing(root) as journal:
        made = journal.erase(table, _key(reader, key), reason.strip(), person(), predictions=table == problem)
    return (
        f"{made.events:,} events and {made.predictions:,} predictions are blank now (entry {made.seq:,} of the journal says why). A "
        "service that is running forgets them when it is started again; files, packages and copies of the journal have to be seen to "
        "by themselves."
    )


def _key(reader: EventReader, text: str) -> str:
    """A key as events have it, from JSON: an object of its columns, a list of their values, or the value of its only column."""
    from deploy.rows import Problems

    columns = reader.about.key
    if not columns:
        raise RefitError(
            f"--table {reader.name}: has no key (data.tables.{reader.name}.key), so no row of it has a name"
        )
    try:
        given = json.loads(text)
    except ValueError:
        given = text
    if not isinstance(given, dict):
        values = given if isinstance(given, list) else [given]
        given = dict(zip(columns, values, strict=True)) if len(values) == len(columns) else {}
    try:
        key = reader.key(given) if given.keys() == set(columns) else None
    except Problems as problems:
        raise RefitError(f"--key: {problems}") from None
    if key is None:
        raise RefitError(
            f"--key: must be JSON with the values of {some(columns)}, as in '{json.dumps(dict.fromkeys(columns, 1))}', found {text!r}"
        )
    return key


# From a file ----------------------------------------------------------------------------------------------------------
@dataclass
class Imported:
    """What became of a file's rows."""

    table: str
    rows: int = 0
    stored: int = 0
    refused: int = 0
    last: int = 0

    def lines(self) -> Iterator[str]:
        """The same in words."""
        there = self.rows - self.stored
        yield f"{self.stored:,} events of {self.table} stored" + (f", {there:,} were there already" if there else "")
        if self.refused:
            yield f"{self.refused:,} of the file are not as the data contract wants them: they go to quarantine, not to features"


def import_file(root: Path, path: Path, table: str, known: str) -> Imported:
    """Store every row of a file (CSV, Parquet or JSON lines) as an event of a table, or none.

    A row's id is the file's SHA-256 and its number, so that the same file is stored once.

    Raises
    ------
    RefitError
        For a file that cannot be read, and with each row that cannot be one of the table; then nothing was stored.
    """
    from tasks.files import sha256
    from tasks.params import load

    if known not in ("given", "receipt"):
        raise RefitError(f"--known: must be 'given' or 'receipt', found {known!r}.")
    if not path.is_file():
        raise RefitError(f"{path}: no such file.")
    params = load(root / "params.yaml")
    reader = _reader(params, table)
    digest = sha256(path)
    rows = _lines_of(path) if path.name.lower().endswith(LINES) else _rows_of(path, table, params.data.tables[table])
    events = _events(path, rows, reader, digest, cast(Known, known))
    made = Imported(table, rows=len(events), refused=sum(e.refused is not None for e in events))
    with _writing(root) as journal:
        for at in range(0, len(events), BATCH):
            appended = journal.append(events[at : at + BATCH])
            made.stored, made.last = made.stored + appended.stored, appended.seq
    return made


def _events(
    path: Path, rows: Iterator[tuple[int, object]], reader: EventReader, digest: str, known: Known
) -> list[Event]:
    from deploy.rows import Problems

    events: list[Event] = []
    mistakes: list[str] = []
    wrong = 0
    for number, given in rows:
        try:
            if isinstance(given, Problems):
                raise given
            events.append(reader.event(given, f"{digest}:{number}", known))
        except Problems as problems:
            wrong += 1
            mistakes += [f"row {number}: {entry['message']}" for entry in problems.errors][: SHOWN - len(mistakes)]
    if wrong:
        more = [f"and more, of {wrong:,} rows in all"] if len(mistakes) == SHOWN and wrong > 1 else []
        raise RefitError("\n".join([f"{path}: cannot be taken in, so nothing of it was stored.", *mistakes, *more]))
    if not events:
        raise RefitError(f"{path}: has no rows.")
    return events


def _lines_of(path: Path) -> Iterator[tuple[int, object]]:
    """The rows of a file of JSON lines, with their numbers from 1; of a line that is no JSON what is wrong with it."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _parsed(line)
    except (EOFError, gzip.BadGzipFile) as error:
        raise RefitError(f"{path}: cannot be unpacked: {error}. Write it again.") from None


def _parsed(line: bytes) -> object:
    from deploy.rows import Problems, parsed

    try:
        return parsed(line)
    except Problems as problems:
        return problems


def _rows_of(path: Path, name: str, table: Table) -> Iterator[tuple[int, object]]:
    """The rows of a table's file as the stage ``ingest`` reads it; of a row with a value that cannot be read what is wrong with it."""
    from deploy.rows import Problems
    from tasks.ingest.several import names_of
    from tasks.ingest.tables import ingest, read_source
    from tasks.profile.names import locate

    table = table.model_copy(update={"source": str(path)})
    there = names_of(read_source(name, table).contents)
    late = {
        column for column in table.outcome if locate(column, there) is None
    }  # they come with another state of the row
    table = table.model_copy(update={"columns": {c: spec for c, spec in table.columns.items() if c not in late}})
    read = ingest(name, table)
    unread: dict[int, list[dict[str, str]]] = {}
    for row, column, value, why in read.problems[["row", "column", "value", "why"]].itertuples(index=False):
        unread.setdefault(int(row), []).append({"message": f"{column!r}: {value!r} {why}", "field": str(column)})
    columns = {column: _values(read.frame[column]) for column in read.frame}
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        if row in unread:
            yield row + 1, Problems(unread[row])  # type: ignore[arg-type]
        else:
            yield row + 1, dict(zip(columns, values, strict=True))


def _values(column: pd.Series) -> list[object]:
    """A column's values as Python has them; None where one is missing."""
    there = column.notna()
    values = column.dt.to_pydatetime() if hasattr(column, "dt") and column.dtype.kind == "M" else column.tolist()
    return [value if known else None for value, known in zip(values, there, strict=True)]


# From a stream --------------------------------------------------------------------------------------------------------
@dataclass
class Followed:
    """What became of a stream's lines."""

    table: str
    stored: int = 0
    there: int = 0
    skipped: int = 0
    wrong: int = 0
    position: int | None = None

    def line(self) -> str:
        """The same in words."""
        parts = [f"{self.stored:,} events of {self.table} stored"]
        parts += [f"{self.there:,} were there already"] if self.there else []
        parts += [f"{self.skipped:,} skipped, at or below the stored offset"] if self.skipped else []
        parts += [f"{self.wrong:,} lines refused"] if self.wrong else []
        return ", ".join(parts) + (
            "" if self.position is None else f"; the stream is read up to offset {self.position}"
        )


class Stop(Exception):
    """Somebody asked to end while nothing was under way."""


class Stream:
    """A stream's lines, in batches of what is there; ends at the stream's end, or when :meth:`stop` was called.

    What :meth:`stop` breaks off is waiting, never the work on a batch.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._rest = b""
        self._ended = self._stopped = self._waits = False

    def stop(self, *_: object) -> None:
        """A signal's handler."""
        self._stopped = True
        if self._waits:
            raise Stop

    def wait(self, seconds: float) -> None:
        """Wait for a moment. Raises :class:`Stop`."""
        self._wait(lambda: time.sleep(seconds))

    def batches(self) -> Iterator[list[bytes]]:
        """Lines as they come, without their ends; at most :data:`BATCH` at a time."""
        lines: list[bytes] = []
        while not self._ended:
            try:
                self._wait(lambda: select.select([self._number], [], []))
            except Stop:
                if lines:
                    yield lines
                return
            lines += self._read()
            while lines and (len(lines) >= BATCH or not self._more()):
                yield lines[:BATCH]
                lines = lines[BATCH:]

    def _more(self) -> bool:
        return not self._ended and bool(select.select([self._number], [], [], 0)[0])

    def _read(self) -> list[bytes]:
        chunk = os.read(self._number, CHUNK)
        self._ended = not chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if self._ended and self._rest:
            lines.append(self._rest)
        return [line for line in lines if line.strip()]

    def _wait(self, waiting: Callable[[], object]) -> None:
        self._waits = True
        try:
            if self._stopped:
                raise Stop
            waiting()
        finally:
            self._waits = False


def follow(root: Path, table: str, source: str | None, stream: Stream, tell: Callable[[str], None]) -> Followed:
    """Store every line of a stream of JSON as an event of a table, and go on where it was left.

    A line that cannot be one is told of and left out. Where the journal cannot be used, its lines wait until it can.

    Parameters
    ----------
    source
        What names the stream, whose position is kept with its events; None: the table's name.
    tell
        Is told what goes wrong, a line at a time.

    Raises
    ------
    RefitError
        If it is stopped while lines wait that could not be stored.
    """
    from tasks.params import load

    named = source or table
    followed = Followed(table)
    with _writing(root) as journal:
        position = journal.position(named)
        followed.position = None if position is None else int(position)
        parser = _StreamReader(_reader(load(root / "params.yaml"), table), named, followed, tell)
        for batch in stream.batches():
            events = [event for line in batch if (event := parser.event(line)) is not None]
            positions = {} if followed.position is None else {named: str(followed.position)}
            stored = _stored(journal, events, positions, stream, tell)
            followed.stored += stored.stored
            followed.there += len(events) - stored.stored
    return followed


def _stored(
    journal: Journal, events: Sequence[Event], positions: Mapping[str, str], stream: Stream, tell: Callable[[str], None]
) -> Appended:
    told = False
    while True:
        try:
            appended = journal.append(events, positions=positions)
        except JournalUnwritable as error:
            if not told:
                tell(f"{error} {len(events):,} events wait for it.")
            told = True
        else:
            if told:
                tell("the journal can be used again")
            return appended
        try:
            stream.wait(AGAIN)
        except Stop:
            raise RefitError(
                f"stopped while {len(events):,} events waited for the journal; they are not stored"
            ) from None


class _StreamReader:
    """A stream's lines to events; keeps count of what is left out, and of the place in the stream."""

    def __init__(self, reader: EventReader, source: str, followed: Followed, tell: Callable[[str], None]) -> None:
        self._reader, self._source, self._followed, self._tell = reader, source, followed, tell
        self._counts = OFFSET not in reader.rows.fields  # else it is a column like the others
        self._line = 0

    def event(self, line: bytes) -> Event | None:
        """None where there is nothing to store: the line is known, or was told of."""
        import uuid

        from deploy.rows import Problems

        self._line += 1
        place, id = f"line {self._line}", str(uuid.uuid4())  # a name of its own, should it have to be sent twice
        try:
            given = _parsed(line)
            if isinstance(given, Problems):
                raise given
            if self._counts and isinstance(given, dict) and OFFSET in given:
                offset = given.pop(OFFSET)
                if type(offset) is not int:
                    raise Problems(
                        [{"message": f"{OFFSET!r} must be a whole number, found {offset!r}", "field": OFFSET}]
                    )
                if self._followed.position is not None and offset <= self._followed.position:
                    self._followed.skipped += 1
                    return None
                self._followed.position = offset
                place, id = f"offset {offset}", f"{self._source}:{offset}"
            return self._reader.event(given, id, "receipt")
        except Problems as problems:
            self._followed.wrong += 1
            for entry in problems.errors:
                self._tell(f"{place}: {entry['message']}")
            return None


# Both -----------------------------------------------------------------------------------------------------------------
def _reader(params: Params, table: str) -> EventReader:
    """Reads events of a table of ``params.yaml``. Raises :class:`RefitError` where there is none of that name."""
    from deploy.events import EventReader
    from tasks.package.schema import events

    declared, found = params.data.tables, events(params).tables
    if table in declared and table not in found:
        raise RefitError(
            f"--table {table}: its rows are made by the stage validate (snapshots), so no event is one of them."
        )
    if table not in found:
        raise RefitError(
            f"--table {table}: is no table of params.yaml, which has {some(found)}.{nearest(table, found)}"
        )
    return EventReader(table, found[table])


def _writing(root: Path) -> Journal:
    return Journal(journal_url(root), write=True)


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
