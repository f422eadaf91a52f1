"""The sources of the tables, seen from outside the stages: what the DAG depends on, and snapshots of databases.

``dvc.yaml`` has to name every source, or DVC would not notice a change; :func:`list_sources` keeps it so. A stage asks
neither a database nor the journal: :func:`take` writes what they give to ``data/sources``, and the hash of that file is
the dependency.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flows import journal_source
from tasks.artifacts import RawManifest
from tasks.artifacts.folders import RAW, SOURCES
from tasks.errors import RefitError, first_line, nearest, some
from tasks.extras import install
from tasks.files import replacing
from tasks.ingest import snapshots
from tasks.ingest.files import PACKED, check_watched, fixed_folder, is_bundled, is_pattern, unlisted, watched
from tasks.journal import JournalUnwritable
from tasks.params import JOURNAL, Params, Query, load

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine

BATCH = 50_000  # rows asked of a database at a time


class Unreachable(RefitError):
    """A database that did not answer: trying again may help."""

    mistake = False


# What the DAG depends on -----------------------------------------------------------------------------------


def list_sources(root: Path, params: Params | None = None) -> list[str]:
    """Have the stage ``ingest`` of ``dvc.yaml`` depend on every source of ``params.yaml``; returns a line where it changed.

    A file that was a source when the tables were read last, and is none any more, is taken out. Other dependencies stay.
    """
    from ruamel.yaml import YAML

    path = root / "dvc.yaml"
    if not path.exists():
        raise RefitError(f"{root}: no dvc.yaml here. Change to the project's folder, or run `refit init`.")
    text = path.read_text(encoding="utf-8")
    declared = params or load(root / "params.yaml")
    deps = _ingests(YAML(typ="safe").load(text))
    if deps is None:
        return []  # a DAG that reads its tables in another way
    for says in absent(root, declared):
        raise RefitError(says)
    lacking, dropped = unlisted(declared, text, root), former(root, declared)
    gone = [dep for dep in deps if isinstance(dep, str) and dropped(os.path.normpath(dep))]
    if not lacking and not gone:
        return []
    yaml = YAML(typ="rt")  # keeps the comments, and takes ten times as long
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    tree = yaml.load(text)
    deps = tree["stages"]["ingest"]["deps"]
    for dep in gone:
        deps.remove(dep)
    deps.extend(lacking)
    with replacing(path) as beside:
        yaml.dump(tree, beside)
    changes = [
        *([f"depends on {', '.join(lacking)}"] if lacking else []),
        *([f"no longer on {', '.join(gone)}"] if gone else []),
    ]
    return [f"dvc.yaml: stage ingest now {', '.join(changes)}"]


def _ingests(tree: Any) -> list[Any] | None:
    """The dependencies of the stage ``ingest``; None where there is no such stage, or it lists none."""
    stage = ((tree or {}).get("stages") or {}).get("ingest")
    deps = stage.get("deps") if isinstance(stage, dict) else None
    return deps if isinstance(deps, list) else None


def absent(root: Path, params: Params) -> Iterator[str]:
    """A line for each source that is not there. Raises :class:`RefitError` for one that cannot be watched."""
    for name, paths in watched(params, root).items():
        for path in paths:
            if not os.path.exists(root / path) and os.path.dirname(path) != SOURCES.as_posix():
                at = os.path.dirname(os.path.normpath(root / path))
                near = nearest(os.path.basename(path), os.listdir(at)) if os.path.isdir(at) else ""
                yield f"data.tables.{name}.source: {path}: no such file or folder in {root}.{near}"


def former(root: Path, params: Params) -> Callable[[str], bool]:
    """Whether a dependency is what the tables of the last run were read from, or a snapshot, and no source of ``params``."""
    try:
        manifest = RawManifest.find(root / RAW)
    except RefitError:  # damaged, or of another version: the next run writes it anew
        manifest = None
    tables = manifest.tables if manifest else {}
    old = {os.path.normpath(one) for name, table in tables.items() for one in _of_manifest(name, table.source)}
    now = {os.path.abspath(root / one) for paths in watched(params, root).values() for one in paths}
    folder = SOURCES.as_posix()
    return lambda dep: (dep in old or os.path.dirname(dep) == folder) and os.path.abspath(root / dep) not in now


def _of_manifest(name: str, source: str | list[str] | dict[str, str]) -> list[str]:
    """What had to be watched of a source as the manifest names it."""
    if isinstance(source, dict):
        return [snapshots.path_of(name).as_posix()]
    paths = [source] if isinstance(source, str) else list(source)
    return [
        snapshots.path_of_events(name).as_posix()
        if path == JOURNAL
        else fixed_folder(path)
        if glob.has_magic(path)
        else path
        for path in paths
    ]


# A first look ----------------------------------------------------------------------------------------------


def look(root: Path, data: str, query: str | None) -> tuple[str | dict[str, str], Path, pa.Table | None]:
    """What ``refit init`` is given: the source to declare, a path to call it by, and its columns where it is no single file.

    Raises :class:`RefitError` where nothing can be read, or no run could watch it.
    """
    from tasks.ingest.tables import columns_of

    if re.match(r"[A-Za-z][\w+.-]*://|\$\{", data):
        if query is None:
            raise RefitError("--query: a database's URL needs one, a SELECT or a table's name.")
        source = {"sql": data, ("query" if re.search(r"\s", query.strip()) else "table"): query.strip()}
        try:
            asked = Query.model_validate(source)
        except ValueError as error:
            mistakes = [str(one["msg"]).removeprefix("Value error, ") for one in error.errors()]  # type: ignore[attr-defined]
            raise RefitError(f"--data: {'; '.join(mistakes)}.") from None
        with connected(data, "--data", root) as connection:
            table = read(connection, asked, "--query")
        return source, root / (asked.table or "rows"), table
    if query is not None:
        raise RefitError(f"--query: is asked of a database, and --data is {data!r}. Leave it out, or give a URL.")
    data = f"./{data}" if data == JOURNAL else data
    if is_bundled(data) or is_pattern(data) or os.path.isdir(data):
        check_watched(data, root)
        return data, Path(fixed_folder(data) if is_pattern(data) else data.partition(":")[2] or data), columns_of(data)
    if data.lower().endswith(PACKED):
        return data, Path(data).with_suffix(""), columns_of(data)
    return data, Path(data), None


# Snapshots -------------------------------------------------------------------------------------------------


def queries(params: Params) -> dict[str, Query]:
    """The tables that come from a database."""
    return {name: table.source for name, table in params.data.tables.items() if isinstance(table.source, Query)}


def asked(params: Params) -> bool:
    """Whether a run has to take a snapshot at its start."""
    return bool(queries(params) or journal_source.of_journal(params))


def take(root: Path, params: Params) -> Iterator[str]:
    """Take a snapshot of every table that a database or the journal gives; yields a line about each.

    Tables of one database are read in one transaction, so that they fit together. A snapshot's bytes depend on the rows
    alone: they are put in the order of the table's key, then of all columns. One that came out the same is left alone.

    Raises
    ------
    Unreachable
        If the database does not answer.
    RefitError
        If the URL, the driver or the query is wrong, or there are no rows.
    """
    wanted = queries(params)
    for url in dict.fromkeys(source.sql for source in wanted.values()):
        here = {name: source for name, source in wanted.items() if source.sql == url}
        with connected(url, next(iter(here)), root) as connection:
            for name, source in here.items():
                table = ordered(read(connection, source, f"data.tables.{name}.source"), params.data.tables[name].key)
                new = _write(root / snapshots.path_of(name), table, source)
                yield f"{name}: {table.num_rows:,} rows from {params.data.tables[name].shown}" + (
                    "" if new else ", as before"
                )
    try:
        yield from journal_source.take_events(root, params)
    except JournalUnwritable as error:
        raise Unreachable(str(error)) from None


@contextmanager
def connected(url: str, table: str, root: Path | None = None) -> Iterator[Connection]:
    """A connection that only reads, within one transaction."""
    from sqlalchemy.exc import DBAPIError

    where = table if table.startswith("--") else f"data.tables.{table}.source.sql"
    engine = _engine(url, where, root)
    try:
        options: dict[str, str | bool] = {"stream_results": True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        try:
            connection = engine.connect().execution_options(**options)
        except DBAPIError as error:
            raise Unreachable(f"{where}: {url} does not answer ({first_line(error)}).") from None
        with connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            yield connection
    finally:
        engine.dispose()


def _engine(url: str, where: str, root: Path | None) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        made = make_url(filled(url, where))
        if made.drivername in ("postgresql", "postgres"):
            made = made.set(drivername="postgresql+psycopg")
        if made.get_backend_name() == "sqlite" and made.database not in (None, "", ":memory:"):
            path = Path(root or Path.cwd(), str(made.database))
            if not path.is_file():  # SQLite would make an empty one
                raise RefitError(f"{where}: {url}: no such file {made.database!r}.")
            made = made.set(database=str(path))
        return create_engine(made)
    except (ArgumentError, NoSuchModuleError) as error:
        raise RefitError(
            f"{where}: {url} is no URL of a database that SQLAlchemy knows ({first_line(error)})."
        ) from None
    except ModuleNotFoundError as error:
        remedy = install("postgres") if error.name == "psycopg" else f"pip install {error.name}"
        raise RefitError(f"{where}: {url} needs the driver {error.name!r}: `{remedy}`.") from None


def filled(url: str, where: str) -> str:
    """The URL with its environment variables; in the part before ``@`` their signs are escaped."""
    lacking = [name for name in re.findall(r"\$\{(\w+)\}", url) if name not in os.environ]
    if lacking:
        raise RefitError(f"{where}: {url} names {some(lacking)}, which the environment does not have. Set it.")
    person = re.match(r"[^/]*://[^/]*@", url)
    until = person.end() if person else 0

    def value(match: re.Match[str]) -> str:
        plain = os.environ[match[1]]
        return quote(plain, safe="") if match.start() < until else plain

    return re.sub(r"\$\{(\w+)\}", value, url)


def read(connection: Connection, source: Query, where: str) -> pa.Table:
    """All rows of a table or SELECT, in Arrow's types: numbers, decimals, dates, times and booleans as they are; the rest as text."""
    import pyarrow as pa
    from sqlalchemy import MetaData, Table, select
    from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

    try:
        if source.table is not None:
            schema, _, name = source.table.rpartition(".")
            declared = Table(name, MetaData(), autoload_with=connection, schema=schema or None)
            result = connection.execute(select(declared))
        else:
            plain = connection.execution_options(no_parameters=True)  # a % or : in it is its own
            result = plain.exec_driver_sql(str(source.query).strip().rstrip(";"))
        if not result.returns_rows:
            raise RefitError(f"{where}.query: gives no rows; expected a SELECT, found {str(source.query)[:80]!r}.")
        names = [str(n) for n in result.keys()]  # noqa: SIM118 (a result is no mapping)
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise RefitError(f"{where}.query: gives the column {some(twice)} more than once. Name them apart with AS.")
        values: list[list[Any]] = [[] for _ in names]
        for rows in result.partitions(BATCH):
            for column, given in zip(values, zip(*rows, strict=True), strict=True):
                column.extend(given)
    except NoSuchTableError:
        raise RefitError(f"{where}.table: there is no table {source.table!r}.") from None
    except DBAPIError as error:
        raise RefitError(f"{where}: the database refused ({first_line(error)}).") from None
    except SQLAlchemyError as error:
        raise RefitError(f"{where}: {first_line(error)}") from None
    if not values or not values[0]:
        raise RefitError(f"{where}: gave no rows.")
    return pa.table({name: as_arrow(column) for name, column in zip(names, values, strict=True)})


def as_arrow(values: list[Any]) -> pa.Array:
    """One column of a database in Arrow's types; moments with a zone in UTC, and what has no type of its own as text.

    >>> from decimal import Decimal
    >>> as_arrow([Decimal("1.50"), None]).type, as_arrow([{"b": 1, "a": None}]).to_pylist()
    (Decimal128Type(decimal128(3, 2)), ['{"a": null, "b": 1}'])
    """
    import datetime
    import decimal

    import pyarrow as pa

    kinds = {type(v) for v in values if v is not None}
    if not kinds:
        return pa.nulls(len(values), pa.string())
    try:
        if kinds <= {bool} or kinds <= {int} or kinds <= {str} or kinds == {datetime.date}:
            return pa.array(values)
        if kinds <= {int, float}:
            return pa.array(values, pa.float64())
        if kinds <= {int, decimal.Decimal}:
            return pa.array([None if v is None else decimal.Decimal(v) for v in values])
        if kinds == {datetime.datetime}:
            zoned = any(v is not None and v.tzinfo is not None for v in values)
            return pa.array(values, pa.timestamp("us", "UTC" if zoned else None))
    except (
        pa.ArrowInvalid,
        OverflowError,
        pa.ArrowTypeError,
    ):  # a whole number or decimal beyond Arrow's, a decimal NaN
        pass
    return pa.array([None if v is None else as_text(v) for v in values], pa.string())


def as_text(value: object) -> str:
    """A value without a type of its own here as text: records and lists as JSON, bytes in hexadecimal."""
    import json

    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def ordered(table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """The rows in the order of the key, then of all columns: a database promises none."""
    first = [c for c in key if c in table.column_names]
    return table.sort_by([(c, "ascending") for c in [*first, *(c for c in table.column_names if c not in first)]])


def _write(path: Path, table: pa.Table, source: Query) -> bool:
    """Write a snapshot with the source it is of; returns whether it differs from the one that was there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({snapshots.ORIGIN: snapshots.origin(source)}), sink, compression="zstd"
    )
    made = sink.getvalue().to_pybytes()
    if path.exists() and path.read_bytes() == made:
        return False
    with replacing(path) as beside:
        beside.write_bytes(made)
    return True
