"""Typed parameters: the only reader of ``params.yaml``.

:func:`load` parses once and returns a frozen :class:`Params`. Every mistake in the file is
collected and raised as one :class:`~tasks.errors.RefitError` that names, for each: the line, the
key's path, what was found, what is allowed and, for a misspelt key or name, the nearest valid one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tasks.crosscheck import mistakes
from tasks.errors import RefitError, nearest, some
from tasks.explain import explain
from tasks.implied import EVENTS, MADE_AT, complete
from tasks.kinds import find_kind, kind_names
from tasks.listed import family_names
from tasks.values.durations import Duration as Duration
from tasks.values.durations import Span
from tasks.values.levels import level
from tasks.values.missing import check_missing
from tasks.values.moments import check_form
from tasks.values.numbers import check_number_form

START = (
    "REFIT_START"  # in the environment of a run's stages: the folder that holds these files as the run began with them
)
AT_START = {"params.yaml": "params.yaml", "dvc.yaml": "dag.yaml"}  # DVC would take a second dvc.yaml for another DAG


def _window(value: Any) -> str:
    return str(Span(str(value)))


DurationField = Annotated[Duration, BeforeValidator(Duration.read)]
WindowField = Annotated[str, BeforeValidator(_window)]


def _level(value: Any) -> Any:
    """A class or category as tables name it: 5 and 5.0 are "5"."""
    return level(value) if isinstance(value, str | int | float | date) else value


def _kind(value: str) -> str:
    if value not in (names := kind_names()):
        raise PydanticCustomError("literal_error", "", {"expected": some(names, 20)})
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, serialize_by_alias=True)


ColumnKind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]


class Moment(_Strict):
    """A column with times, plus an offset. Written ``column``, ``column - 2h`` or ``column + 1d``."""

    column: str
    offset_micros: int = 0

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"\s*(\S+?(?: +[^\s+-]\S*?)*?)\s*(?:([+-])\s*(\d+(?:\.\d+)?[smhdw]))?\s*", value)
        if not match:
            raise ValueError("a moment is a column, or a column plus or minus a duration, as in 'departs_at - 2h'")
        column, sign, span = match.groups()
        micros = Duration.read(span).micros if span else 0
        return {"column": column, "offset_micros": -micros if sign == "-" else micros}


def parse_moment(value: Any) -> datetime:
    """Read an ``as_of``: a date means the end of that day; without a zone it is UTC.

    >>> parse_moment("2013-11-30").isoformat()
    '2013-11-30T23:59:59.999999+00:00'
    """
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a moment is a date or an ISO time, as in 2013-10-31 or 2013-10-31T18:00:00Z") from None
        if not isinstance(value, datetime):
            value = datetime.combine(value, time.max)
    if not isinstance(value, datetime):
        raise ValueError('a moment is a date or an ISO time in quotes, as in "2013-10-31"')
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


AsOf = Annotated[datetime, BeforeValidator(parse_moment)]


def _shared(value: Any) -> Any:
    """Columns of a row and those of another table that they are equal to: a name, names, or ``{mine: theirs}``."""
    if isinstance(value, str):
        return {value: value}
    return {c: c for c in value} if isinstance(value, list | tuple) else value


Shared = Annotated[dict[str, str], BeforeValidator(_shared), Field(min_length=1)]
Measure = Literal["any", "none", "count", "sum", "mean", "median", "min", "max", "std", "first", "last", "n_unique"]
MEASURES: tuple[Measure, ...] = get_args(Measure)


class Target(_Strict):
    """What is predicted: a column as it is, or compared with a number (``above``), or what another table comes to hold.

    With ``from``: a measure of that table's events that share ``by`` with the row and happen in the time ``within``
    after its prediction time. The row's label is known when that time is over.
    """

    column: str = ""
    above: float | None = Field(default=None, description="binary target: 1 where the column is greater than this")
    name: str = Field(default="", description="name of the derived column; the column's own name unless `above` is set")
    positive: Annotated[str | None, BeforeValidator(_level)] = Field(
        default=None, description="binary: the value that counts as 1"
    )
    events: str | None = Field(default=None, alias="from", description="the table whose later events make the label")
    by: Shared | None = Field(default=None, description="columns by which its events belong to a row")
    within: DurationField | None = Field(default=None, description="how long after the prediction time they count")
    late: DurationField | None = Field(
        default=None, description="how long after they happened they may become known; later ones count in no label"
    )
    where: str | None = Field(default=None, description="a condition on the events that a measure of a column takes")
    measure: dict[Measure, bool | str] = Field(
        default={}, description="what is measured, and of which events or column"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"column": value}
        if not isinstance(value, dict) or "from" not in value:
            return value
        measure = {key: value[key] for key in MEASURES if key in value}
        if len(measure) != 1 and "measure" not in value:
            other = [key for key in value if key not in ("from", "by", "within", "late", "where", "above", "name")]
            near = "" if measure else "".join(nearest(str(key), MEASURES) for key in other)
            raise ValueError(f"from: name one measure of {some(MEASURES, 20)}, as in any: true or sum: amount.{near}")
        return {**{k: v for k, v in value.items() if k not in measure}, **({"measure": measure} if measure else {})}

    @model_validator(mode="after")
    def _later(self) -> Target:
        given = [key for key in ("by", "within", "late", "where") if getattr(self, key) is not None]
        if self.events is None:
            if not self.column:
                raise ValueError("column: missing; name the column that is predicted, or `from` another table")
            if given or self.measure:
                key = [*given, *self.measure][0]
                raise ValueError(
                    f"{key}: belongs to a target `from` another table's events; name it, or leave this out"
                )
            return self
        if self.column:
            raise ValueError("column: with `from` the label is made from events; leave one out")
        if self.by is None or self.within is None:
            key = "by" if self.by is None else "within"
            what = "whose events count, as in by: customer" if self.by is None else "for how long, as in within: 30d"
            raise ValueError(f"{key}: missing; with `from` it says {what}.")
        if self.made in EVENTS and self.where is not None:
            raise ValueError(f"where: write the condition as {self.made}: {self.where!r}")
        if (self.made in EVENTS and self.of is False) or (self.made not in EVENTS and isinstance(self.of, bool)):
            raise ValueError(
                f"{self.made}: expected "
                + ("true or a condition, as in amount > 100" if self.made in EVENTS else "a column, as in sum: amount")
            )
        if self.made in ("any", "none") and self.above is not None:
            raise ValueError(f"above: `{self.made}` is yes or no already; leave one out")
        name = self.name or f"{self.events}_{self.made}_within_{self.within}"
        for key in ("name", "column"):  # whoever asks for the label's column finds the derived one
            object.__setattr__(self, key, name)
        return self

    @property
    def made(self) -> Measure | None:
        """The measure of a label from events; None of another target."""
        return next(iter(self.measure), None)

    @property
    def of(self) -> bool | str:
        """What the measure is of: a condition on the events or True, else a column or an expression over columns."""
        return next(iter(self.measure.values()))

    @property
    def compared(self) -> float | None:
        """The number that the column itself is compared with; a label from events is compared when it is made."""
        return self.above if self.events is None else None

    @model_validator(mode="after")
    def _name(self) -> Target:
        if self.events is not None:
            return self
        if not self.name:
            object.__setattr__(self, "name", self.column if self.above is None else f"{self.column}_above")
        if self.above is not None and self.name == self.column:
            raise ValueError("name: with `above` it must differ from `column`")
        if self.above is not None and self.positive is not None:
            raise ValueError("positive: with `above` the positive class is what lies above; leave one out")
        return self


def _midnight(value: Any) -> Any:
    """A date is its first moment, where :data:`AsOf` takes its last."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) else value


class Snapshots(_Strict):
    """Rows that no file has: each entity of a table, again and again. It is there once a row of it is known."""

    snapshots: str = Field(description="the table that has the entities, by the columns of problem.target.by")
    every: DurationField
    since: Annotated[datetime, BeforeValidator(parse_moment), BeforeValidator(_midnight)] | None = Field(
        default=None, alias="from", description="the first moment; unset: when the tables begin, on a fixed grid"
    )
    until: AsOf | None = Field(default=None, description="no moment after this one")
    active: DurationField | None = Field(
        default=None, description="only while the entity had an event in so long before; unset: for ever"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")] | None = Field(
        default=None, description="of the table that is made; NAME_snapshots where unset"
    )

    @property
    def table(self) -> str:
        return self.name or f"{self.snapshots}_snapshots"

    def made(self, there: Table, by: Iterable[str]) -> Table:
        """The table that snapshots of the entities ``by`` which columns make, of those of the table ``there``."""
        columns = {name: there.columns[name].model_copy(update={"nullable": False}) for name in by}
        columns[MADE_AT] = Column(kind="datetime", nullable=False)
        source, when = f"snapshots of {self.snapshots}", Moment(column=MADE_AT)
        made = Table(source=source, key=(*by, MADE_AT), columns=columns, event_time=when)
        made._snapshots = True
        return made


# A name or a mapping; the type of what was written decides which of the two it is checked as.
_NAME_OR_ROWS = Discriminator(lambda value: "made" if isinstance(value, dict | Snapshots) else "name")


class Problem(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    kind: Annotated[str, AfterValidator(_kind)]
    rows: Annotated[Annotated[str, Tag("name")] | Annotated[Snapshots, Tag("made")], _NAME_OR_ROWS] = Field(
        alias="table", description="the table whose rows are predicted, or snapshots of another one's entities"
    )
    target: Target
    prediction_time: Moment | None = Field(
        default=None,
        description="unset with split.kind time: the table's event_time, or else its only datetime column, no outcome",
    )
    metric: str = ""

    @property
    def table(self) -> str:
        """Name of the table whose rows are predicted."""
        return self.rows if isinstance(self.rows, str) else self.rows.table

    @property
    def snapshots(self) -> Snapshots | None:
        """How the rows are made, where no file has them."""
        return None if isinstance(self.rows, str) else self.rows

    @model_validator(mode="after")
    def _metric(self) -> Problem:
        kind = find_kind(self.kind)
        allowed = kind.decisive
        if not self.metric:
            object.__setattr__(self, "metric", allowed[0])
        if self.metric not in allowed:
            raise ValueError(
                f"metric: {self.metric!r} is not one of {some(allowed)} (kind {self.kind})."
                + nearest(self.metric, allowed)
            )
        if self.target.above is not None and kind.positive is None:
            raise ValueError(f"kind: target.above makes a binary target, and kind is {self.kind!r}; set kind: binary")
        if self.target.positive is not None and kind.positive is None:
            raise ValueError(f"target.positive: only a binary problem has a positive class, and kind is {self.kind!r}")
        if self.snapshots and self.target.events is None:
            raise ValueError("table: snapshots have no column to predict; the target is made `from` another table")
        if self.snapshots and self.prediction_time is not None:
            raise ValueError(f"prediction_time: that of a snapshot is its own moment, {MADE_AT!r}; leave it out")
        return self


class Column(_Strict):
    kind: ColumnKind
    nullable: bool = True
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None
    format: str = Field(
        default="iso",
        description="datetime: iso | epoch_s | epoch_ms | epoch_us | excel, or a pattern as in '%d.%m.%Y'; "
        "numeric: one of its numbers as they are written, as in '1.234,50', '$1,234.50' or '12.5%'",
    )
    missing: Annotated[tuple[str, ...], BeforeValidator(check_missing)] | None = Field(
        default=None, description="texts that count as missing, in place of those of data.missing; `usual`: those and"
    )
    case: Literal["as_written", "lower"] = Field(
        default="as_written", description="categorical: lower takes Yes, YES and yes for one"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and value.get("kind") == "categorical" and isinstance(value.get("allowed"), list):
            lower = value.get("case") == "lower"
            allowed = [_level(one) for one in value["allowed"]]
            return {**value, "allowed": [one.lower() if lower and isinstance(one, str) else one for one in allowed]}
        return value

    @model_validator(mode="after")
    def _limits(self) -> Column:
        for name in ("min", "max"):
            if getattr(self, name) is not None and self.kind != "numeric":
                raise ValueError(f"{name}: only a numeric column has bounds, and kind is {self.kind!r}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is above max {self.max:g}, so no value would be allowed")
        if self.allowed is not None and self.kind not in ("categorical", "text"):
            raise ValueError(f"allowed: only a categorical or text column has a list, and kind is {self.kind!r}")
        if self.case != "as_written" and self.kind != "categorical":
            raise ValueError(f"case: only a categorical column has one, and kind is {self.kind!r}")
        if self.format != "iso" and self.kind not in ("datetime", "numeric"):
            raise ValueError(f"format: only a datetime or numeric column has one, and kind is {self.kind!r}")
        try:
            (check_number_form if self.kind == "numeric" and self.format != "iso" else check_form)(self.format)
        except ValueError as error:
            raise ValueError(f"format: {error}") from None
        return self


ROW = "*"  # in known_at by column: the row itself, and the columns that are not named


def by_column(value: Any) -> str:
    """Which form of ``known_at`` this is: of the ``row``, or of single ``columns``."""
    return (
        "columns"
        if isinstance(value, dict) and not {"column"} <= value.keys() <= {"column", "offset_micros"}
        else "row"
    )


KnownField = Annotated[
    Annotated[Moment, Tag("row")] | Annotated[dict[str, Moment], Tag("columns")], Discriminator(by_column)
]


class Query(_Strict):
    """What a database gives: one of its tables, or the rows of a SELECT. A run takes a snapshot of it at its start."""

    sql: str = Field(
        description="the database's URL as SQLAlchemy takes it; ${NAME} stands for an environment variable"
    )
    query: str | None = Field(default=None, description="a SELECT")
    table: str | None = Field(default=None, description="a table's name, as in orders or sales.orders")

    @model_validator(mode="after")
    def _one(self) -> Query:
        if (self.query is None) == (self.table is None):
            raise ValueError("query: a source in a database has a query or a table, and not both")
        if not re.match(r"[A-Za-z][\w+.-]*://|\$\{\w+\}", self.sql):
            raise ValueError(
                "sql: a database's URL, as in postgresql://user@host/name, sqlite:///shop.db or ${SHOP_URL}"
            )
        secret = re.search(r"://[^/@]*?:([^@/]+)@", self.sql) or re.search(
            r"[?&](?:\w*password)=([^&]+)", self.sql, re.I
        )
        if secret and not re.fullmatch(r"\$\{\w+\}", secret[1]):
            raise ValueError(
                "sql: a password does not stand in this file. Write ${DB_PASSWORD} in its place and set that in the "
                "environment, or leave it out (PostgreSQL takes PGPASSWORD or ~/.pgpass)"
            )
        return self


class Files(_Strict):
    """What to do where the files of one table do not fit together."""

    added: Literal["ignore", "refuse"] = Field(
        default="ignore", description="a column that is not declared and not in every file"
    )
    removed: Literal["empty", "refuse"] = Field(default="empty", description="a declared column that a file lacks")
    unfinished: Literal["refuse", "wait"] = Field(
        default="refuse", description="a file that is cut, as one still being written; wait: left for the next run"
    )
    twice: Literal["once", "refuse"] = Field(default="once", description="a file whose content another one has too")


def _source_kind(value: Any) -> str:
    return "query" if isinstance(value, dict | Query) else "several" if isinstance(value, list | tuple) else "path"


# A file, folder, glob or bundled data set, a list of them, or what a database gives.
Source = Annotated[
    Annotated[str, Tag("path"), Field(min_length=1)]
    | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Tag("several"), Field(min_length=1)]
    | Annotated[Query, Tag("query")],
    Discriminator(_source_kind),
]


class Table(_Strict):
    source: Source
    files: Files = Files()
    key: tuple[str, ...] = ()
    columns: dict[str, Column] = Field(min_length=1)
    event_time: Moment | None = None
    known: KnownField | None = Field(
        default=None,
        alias="known_at",
        description="when a row became known; or {column: when}, and the row when it happens",
    )
    outcome: tuple[str, ...] = ()
    corrections: Literal["states", "later", "reject"] | None = Field(
        default=None,
        description="rows that share a key: states of one row, by the moment each became known; only the row of the "
        "later file; or none of them. Unset: states where the source is several files, else reject",
    )
    _made: tuple[str, ...] = PrivateAttr(())
    _snapshots: bool = PrivateAttr(False)

    @property
    def shown(self) -> str:
        """The source as messages call it."""
        if isinstance(self.source, str):
            return self.source
        if isinstance(self.source, Query):
            return f"{self.source.sql} ({self.source.table or 'query'})"
        return ", ".join(self.source[:3]) + (f" and {len(self.source) - 3} more" if len(self.source) > 3 else "")

    @property
    def snapshots(self) -> bool:
        """Whether no source has its rows, since the stage validate makes them (:class:`Snapshots`)."""
        return self._snapshots

    @model_validator(mode="after")
    def _outcomes(self) -> Table:
        object.__setattr__(self, "outcome", tuple(dict.fromkeys([*self.outcome, *self.later])))
        return self

    @property
    def known_at(self) -> Moment | None:
        """When a row became known, but for the columns of :attr:`later`; None: when it happened."""
        return self.known.get(ROW) if isinstance(self.known, dict) else self.known

    @property
    def later(self) -> dict[str, Moment]:
        """When single columns become known, where that is not with the row. A key may name several: ``a, b``."""
        named = self.known if isinstance(self.known, dict) else {}
        moments: dict[str, Moment] = {}
        for text, when in named.items():
            names = [text] if text in self.columns else [part.strip() for part in text.split(",")]
            moments |= dict.fromkeys([name for name in names if name != ROW], when)
        return moments

    @property
    def row_known(self) -> Moment | None:
        """When a row became known: as ``known_at`` says, or when it happened where that names columns only; None: unsaid."""
        return self.known_at or (self.event_time if isinstance(self.known, dict) else None)

    def outcome_known(self, column: str) -> Moment | None:
        """When an outcome becomes known to who waits for it; None where the table does not say."""
        return self.later.get(column, self.row_known) if column in self.outcome else None

    @property
    def given(self) -> dict[str, Column]:
        """The columns that its source has: all but a label that is made from other tables."""
        return {name: column for name, column in self.columns.items() if name not in self._made}

    def with_made(self, name: str, kind: ColumnKind, known: Moment) -> Table:
        """The table with one more outcome, which is made here and becomes known at a moment of its own."""
        all_known = {**({ROW: self.known} if isinstance(self.known, Moment) else self.known or {}), name: known}
        copy = self.model_copy(
            update={
                "columns": {**self.columns, name: Column(kind=kind)},
                "known": all_known,
                "outcome": tuple(dict.fromkeys([*self.outcome, name])),
            }
        )
        copy._made = (*self._made, name)
        return copy

    @property
    def moments(self) -> list[str]:
        """Columns that may say when a row was there to be predicted: times that are no outcome."""
        return [name for name, c in self.columns.items() if c.kind == "datetime" and name not in self.outcome]

    @property
    def moment(self) -> Moment | None:
        """The moment of a row where there is no choice: its event_time, or its only time; None where there is one."""
        if self.event_time and self.event_time.column not in self.outcome:
            return self.event_time
        return Moment(column=self.moments[0]) if len(self.moments) == 1 else None


class Data(_Strict):
    as_of: AsOf | None = None
    missing: tuple[str, ...] | dict[str, tuple[str, ...]] | None = Field(
        default=None,
        description="texts that count as missing in every column that lists none; or `column: texts`, or `table.column: texts`",
    )
    tables: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")], Table] = Field(min_length=1)
    max_quarantined: float = Field(
        default=0.05, ge=0, le=1, description="share of rows above which validation stops the run"
    )

    @field_validator("missing", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {str(name): check_missing(listed) for name, listed in value.items()}
        return value if value is None else check_missing(value)

    @model_validator(mode="after")
    def _missing(self) -> Data:
        """Each column knows what is missing in it."""
        by_column = self.missing if isinstance(self.missing, dict) else {}
        named = set(by_column)
        for table_name, table in self.tables.items():
            for name, column in table.columns.items():
                key = f"{table_name}.{name}" if f"{table_name}.{name}" in by_column else name
                named.discard(key)
                if column.missing is None and self.missing is not None:
                    object.__setattr__(column, "missing", by_column.get(key) if by_column else self.missing)
        if named:
            columns = [name for table in self.tables.values() for name in table.columns]
            raise ValueError(f"missing: {some(sorted(named))} is no column." + nearest(min(named), columns))
        return self

    @property
    def missing_everywhere(self) -> tuple[str, ...] | None:
        """The texts for every column that lists none; None: the usual ones."""
        return self.missing if isinstance(self.missing, tuple) else None


class Lookup(_Strict):
    """Columns of another table's row with the same key, the newest one known before the prediction time."""

    table: str
    on: Shared
    columns: tuple[str, ...] = Field(min_length=1)
    within: DurationField | None = None


class History(_Strict):
    """Aggregates of a table's earlier events that share a key with the row and were known before its prediction time."""

    table: str
    by: tuple[tuple[str, ...], ...] = Field(min_length=1)
    windows: tuple[WindowField, ...] = Field(min_length=1)
    count: bool = True
    columns: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("by"), list):
            value = {**value, "by": [[k] if isinstance(k, str) else k for k in value["by"]]}
        return value


class Polynomial(_Strict):
    columns: tuple[str, ...] = ()
    degree: int = Field(default=2, ge=2, le=4)
    interaction_only: bool = False


class Encode(_Strict):
    """How features become numbers. What is left out is the family's own way (trees scale nothing)."""

    scale: Literal["standard", "min_max", "robust", "smooth", "power", "log", "quantile", "bins", "none"] = "standard"
    bins: int = Field(default=8, ge=2, le=256, description="scale: bins: how many")
    categories: Literal["one_hot", "ordinal", "target", "native"] | None = None
    max_levels: int | None = Field(default=None, ge=1, description="levels of a category beyond these count as rare")
    words: int = Field(default=300, ge=1, description="terms of a text column's TF-IDF")


class Select(_Strict):
    """Which features to drop, judged on training rows: the ways are applied in this order."""

    correlation: float | None = Field(default=None, gt=0, lt=1, description="drop one of two numbers more alike")
    time_auc: float | None = Field(default=None, gt=0.5, lt=1, description="drop what tells old rows from new ones")
    univariate: int | None = Field(default=None, ge=1, description="keep this many by mutual information")
    l1: float | None = Field(default=None, gt=0, description="keep what an L1 penalty of this inverse strength keeps")
    importance: int | None = Field(default=None, ge=1, description="keep this many by importance in a forest")
    rfe: int | None = Field(default=None, ge=1, description="keep this many by recursive elimination")
    keep: tuple[str, ...] = Field(default=(), description="features that are never dropped")


# A list, or the word `auto`; the type of what was written decides which of the two it is checked as.
_AUTO_OR_LIST = Discriminator(lambda value: "auto" if isinstance(value, str) else "list")
_Auto = Annotated[Literal["auto"], Tag("auto")]


class Features(_Strict):
    columns: tuple[str, ...] | Literal["auto"] = "auto"
    dates: dict[str, tuple[str, ...]] = {}
    lookups: Annotated[Annotated[tuple[Lookup, ...], Tag("list")] | _Auto, _AUTO_OR_LIST] = Field(
        default=(), description="auto: every table whose key consists of columns of the problem's table"
    )
    history: Annotated[Annotated[tuple[History, ...], Tag("list")] | _Auto, _AUTO_OR_LIST] = Field(
        default=(), description="auto: the events of every table that shares a key with the problem's table"
    )
    transforms: dict[str, str] = Field(
        default={}, description="name: expression over features, as in a - b, a / b, log(a)"
    )
    polynomial: Polynomial | None = None
    encode: Encode | None = None
    select: Select | None = None
    engine: Literal["local", "spark"] = "local"

    @property
    def encoding(self) -> dict[str, Any]:
        """What ``encode`` sets; the rest is each family's own way."""
        return self.encode.model_dump(exclude_unset=True) if self.encode else {}


class Split(_Strict):
    kind: Literal["time", "random"] = "random"
    valid: DurationField | float = 0.2
    test: DurationField | float = 0.2
    salt: str = Field(default="", description="random: another salt, another division; never change it without need")
    by: tuple[str, ...] = Field(
        default=(), description="columns of the problem table whose equal values stay in one part, and in one fold"
    )

    @model_validator(mode="after")
    def _sizes(self) -> Split:
        for name in ("valid", "test"):
            value = getattr(self, name)
            if self.kind == "time" and not isinstance(value, Duration) and not 0 < value < 0.5:
                raise ValueError(
                    f"{name}: a time split needs a duration such as 30d, or a share of the rows between 0 and 0.5"
                )
            if self.kind == "random" and (isinstance(value, Duration) or not 0 < float(value) < 0.5):
                raise ValueError(f"{name}: a random split needs a share between 0 and 0.5")
        return self


class FamilyParams(_Strict):
    """One model family: overrides of the tuning budget, fixed parameters, and search space."""

    trials: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    params: dict[str, Any] = {}
    space: dict[str, Any] = {}


class Cost(_Strict):
    """What a goal besides the metric may cost: a limit, a price, or neither (then as little as goes for a small loss)."""

    at_most: float | None = Field(default=None, gt=0, description="what is dearer is never chosen")
    weight: float | None = Field(default=None, gt=0, description="how much of the metric one unit is worth")


class MetricGoal(_Strict):
    within: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="how much worse, as a share of the best, the metric of what costs less may be",
    )


class Goals(_Strict):
    """What tuning weighs against the metric, and by which rule it chooses (``tasks/goals.py``)."""

    metric: MetricGoal = MetricGoal()
    latency_ms: Cost | None = Field(default=None, description="of one row's score, features not included")
    size_kb: Cost | None = Field(default=None, description="of the stored model")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _decides(self) -> Goals:
        costs = self.costs
        if not costs:
            raise ValueError(
                "name latency_ms or size_kb, with at_most or weight where you like; the metric is one anyway"
            )
        if any(cost.weight for cost in costs.values()):
            if self.metric.within is not None:
                raise ValueError(
                    "metric.within: a weight says already what a loss of the metric is worth; leave one out"
                )
            for name, cost in costs.items():
                if cost.weight is None and cost.at_most is None:
                    raise ValueError(f"{name}: needs weight or at_most, since another goal has a weight")
        return self

    @property
    def costs(self) -> dict[str, Cost]:
        """The goals besides the metric, by name."""
        both = {"latency_ms": self.latency_ms, "size_kb": self.size_kb}
        return {name: cost for name, cost in both.items() if cost is not None}

    @property
    def rule(self) -> dict[str, Any]:
        """As :mod:`tasks.goals` takes it."""
        return {"within": self.metric.within, "costs": {name: cost.model_dump() for name, cost in self.costs.items()}}


SEVERAL = ("nsga2", "tpe", "random", "grid")  # samplers that look for a front, or by no goal at all


class Tuning(_Strict):
    sampler: Literal["grid", "random", "tpe", "gp", "nsga2", "cmaes", "hill_climbing", "pbt", "strategies"] = "gp"
    pruner: Literal["none", "median", "halving", "hyperband"] = "none"
    trials: int = Field(default=20, ge=1)
    seconds: float = Field(default=60, gt=0, description="per family")
    rows: int | None = Field(default=None, ge=100, description="tune on this many of the newest training rows")
    warm_start: bool = Field(default=True, description="begin with the champion's parameters")
    workers: int = Field(default=1, ge=1, description="trials of one family at once")
    split: Literal["holdout", "kfold", "stratified", "group", "time_series"] = "holdout"
    folds: int = Field(default=3, ge=2, le=20)
    gap: DurationField | None = Field(default=None, description="time_series: time left out before each held-out part")
    group: str | None = Field(default=None, description="group: the feature whose values stay together")
    goals: Goals | None = Field(default=None, description="what counts besides the metric; with sampler: nsga2 always")

    @model_validator(mode="after")
    def _agree(self) -> Tuning:
        if (self.split == "group") != (self.group is not None):
            raise ValueError("split: group and group: FEATURE need each other")
        if self.gap is not None and self.split != "time_series":
            raise ValueError("gap: only split: time_series leaves one")
        if self.goals is not None and self.sampler not in SEVERAL:
            if "sampler" in self.model_fields_set:
                raise ValueError(
                    f"goals: sampler {self.sampler!r} goes by the metric alone; set one of {some(SEVERAL)}"
                )
            object.__setattr__(self, "sampler", "nsga2")
        if self.sampler == "nsga2" and self.goals is None:
            object.__setattr__(self, "goals", Goals(latency_ms=Cost(), size_kb=Cost()))
        if self.goals is not None and self.pruner != "none":
            raise ValueError("pruner: with several goals (or sampler: nsga2) no pruner can judge; set pruner: none")
        return self


class Compression(_Strict):
    """Smaller forms of trained networks; kept is the one that takes the least memory among those good enough."""

    families: tuple[str, ...] = Field(
        default=(), description="those that are compressed; unset: all of models, which must all be able to"
    )
    prune: float | None = Field(
        default=None, gt=0, lt=1, description="share of each hidden layer's units that are removed, the least important"
    )
    quantise: bool = Field(
        default=False, description="hidden layers large enough to be quicker so become 8-bit integers"
    )
    tolerance: float = Field(
        default=0.005, ge=0, lt=1, description="how much worse the metric may become, as a share of its value"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Compression:
        if self.prune is None and not self.quantise:
            raise ValueError("name what to do: prune: 0.5, or quantise: true, or both; or remove compression")
        return self


class Training(_Strict):
    imbalance: Literal["none", "class_weight", "smote", "adasyn", "under_sample", "smote_tomek"] = Field(
        default="none", description="of classes: weights, or other training rows where validation rows gain by them"
    )
    calibration: Literal["auto", "none", "sigmoid", "isotonic", "temperature"] = Field(
        default="auto",
        description="of probabilities, on rows that the model has not seen; auto: the less the fewer these are",
    )
    threshold: Literal["half", "best_f1", "cost", "precision"] = "best_f1"
    cost: tuple[float, float] = Field(default=(1.0, 1.0), description="cost of a false positive, of a false negative")
    precision: float = Field(default=0.5, gt=0, lt=1)
    ensembles: tuple[Literal["voting", "blending", "stacking", "greedy", "bagged"], ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="most that a stage's process should hold; larger tables are read from disk, or refused",
    )
    compression: Compression | None = None


class Evaluation(_Strict):
    """What is looked at besides the metrics."""

    slices: tuple[str, ...] = Field(default=(), description="features whose values are always reported one by one")
    explain: bool = Field(default=True, description="SHAP values and partial dependence of the chosen model")


class Guardrails(_Strict):
    """What a challenger must not do, however good it is otherwise; an absent one is not checked."""

    slice_drop: float | None = Field(
        default=None, ge=0, description="largest loss of accuracy (regression: share of MAE) in any slice"
    )
    slices: tuple[str, ...] = Field(default=(), description="columns of the problem table that make the slices")
    calibration: float | None = Field(default=None, ge=0, description="largest rise of the expected calibration error")
    latency_ms: float | None = Field(
        default=None, gt=0, description="largest time of one row's answer, features included"
    )
    size_mb: float | None = Field(default=None, gt=0, description="largest size of the package")


class Promotion(_Strict):
    metric: str = Field(default="", description="the metric that decides; the problem's own where unset")
    rule: Literal["superiority", "non_inferiority"] = "superiority"
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    margin: float = Field(
        default=0.0, ge=0, lt=1, description="non_inferiority: how much worse is still acceptable, in the metric's unit"
    )
    control: Literal["anytime", "each_run"] = "anytime"
    evidence: Literal["challenger", "line"] = Field(
        default="challenger",
        description="judge each challenger by itself, or the line of them since the champion took office",
    )
    error: Literal["familywise", "fdr"] = "familywise"
    fdr: Literal["lord", "saffron"] = "lord"
    cluster: tuple[str, ...] = Field(
        default=(), description="columns of the problem table (or day) whose equal values are not independent"
    )
    accept: tuple[str, ...] = Field(
        default=(), description="columns (table.column of other tables) that look like a leak, and are known in time"
    )
    approval: bool = Field(default=False, description="wait for a person in the Prefect UI before promoting")
    guardrails: Guardrails = Guardrails()

    @model_validator(mode="after")
    def _fits(self) -> Promotion:
        if self.rule == "non_inferiority" and self.margin == 0:
            raise ValueError(
                "rule non_inferiority needs a margin above 0, as in margin: 0.005 (half a point of accuracy)"
            )
        if self.rule == "superiority" and self.margin != 0:
            raise ValueError("margin counts only with rule: non_inferiority; set the rule, or remove the margin")
        if self.error == "fdr" and (self.control == "each_run" or self.evidence == "line"):
            raise ValueError(
                "error: fdr judges each challenger over many looks; it needs control: anytime, evidence: challenger"
            )
        if self.guardrails.slice_drop is not None and not self.guardrails.slices:
            raise ValueError("guardrails.slice_drop needs guardrails.slices: the columns that make the slices")
        return self


class Limits(_Strict):
    """What the service takes on; what is beyond is refused, with the bound."""

    row_mb: float = Field(default=1, gt=0, le=64, description="MiB of a row: of /predict's body, and in a batch")
    batch_mb: float = Field(default=64, gt=0, le=4096, description="MiB of a batch's body")
    batch_rows: int = Field(default=1000, ge=1, le=1_000_000, description="rows of a batch")
    patience: float = Field(
        default=15, gt=0, le=3600, description="seconds for a body to come, and one more for each 256 KiB of it"
    )


WhenStale = Literal["warn", "refuse"]
WHEN_STALE: tuple[WhenStale, ...] = get_args(WhenStale)


class Serving(_Strict):
    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1)
    stale: WhenStale = Field(
        default="warn",
        description="a row so late that what is known of a table is too old for it: answered with a warning, or refused (503)",
    )
    stale_after: DurationField | None = Field(
        default=None, description="how old is too old, for every table; unset: what the shortest of its windows says"
    )
    linger: float = Field(
        default=2,
        ge=0,
        le=600,
        description="seconds after SIGTERM, SIGINT or SIGHUP for which requests are still taken, and /readyz is 503",
    )
    grace: float = Field(
        default=20, ge=1, le=3600, description="seconds after those for which what was taken is finished"
    )
    limits: Limits = Limits()


class Monitoring(_Strict):
    window: DurationField | None = Field(
        default=None, description="the newest rows that drift looks at; 7d where unset"
    )
    drift_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of drifted columns from which on the whole table is said to have drifted",
    )
    false_alarms: float = Field(
        default=1, gt=0, le=52, description="a year that the whole table may raise by chance; fewer see less"
    )
    rows: int = Field(default=50_000, ge=1000, description="of a window that are looked at, drawn where there are more")
    least_rows: int = Field(default=30, ge=10, description="fewer new rows are not judged")
    alarm: Literal["tell", "exit"] = Field(
        default="tell", description="exit: a run that finds drift ends with exit status 3, after everything is done"
    )


class Orchestration(_Strict):
    retries: int = Field(default=1, ge=0)
    retry_seconds: float = Field(default=2, ge=0)
    parallel: int = Field(default=2, ge=1, description="stages that may run at once")
    pools: dict[str, str] = {}
    no_gpu: Literal["cpu", "wait"] = "cpu"
    exchange: Literal["folder", "remote"] = Field(
        default="folder", description="workers share the project's folder, or only its DVC remote"
    )
    tuners: int = Field(
        default=1,
        ge=1,
        le=64,
        description="workers that share one search (exchange: remote, and REFIT_STUDIES_URL on each)",
    )

    @model_validator(mode="after")
    def _shared_searches(self) -> Orchestration:
        if self.tuners > 1 and not (self.pools and self.exchange == "remote"):
            raise ValueError(
                f"tuners: {self.tuners} workers can share a search only where each has its own checkout: set pools, and "
                "exchange: remote; else leave tuners out (tuning.workers is for one machine)"
            )
        return self


class Params(_Strict):
    """All of ``params.yaml``."""

    seed: int = Field(default=42, ge=0, lt=2**31)
    problem: Problem
    data: Data
    features: Features = Features()
    split: Split = Split()
    models: dict[str, FamilyParams] = Field(min_length=1)
    tuning: Tuning = Tuning()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    promotion: Promotion = Promotion()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()
    orchestration: Orchestration = Orchestration()

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:
        """A section that is present but empty (``logistic:``) means its defaults."""
        if not isinstance(value, dict):
            return value
        value = {k: v for k, v in value.items() if v is not None}
        if isinstance(value.get("models"), dict):
            value["models"] = {k: {} if v is None else v for k, v in value["models"].items()}
        return value

    @model_validator(mode="after")
    def _across(self) -> Params:
        complete(self)
        table = self.data.tables.get(self.problem.table)
        if self.split.kind == "time" and not self.problem.prediction_time and table and table.moment:
            timed = self.problem.model_copy(update={"prediction_time": table.moment})
            object.__setattr__(self, "problem", timed)
        wrong = mistakes(self, family_names())
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


def parse(tree: Any, source: str = "params.yaml") -> Params:
    """Check a parsed YAML tree. Raises :class:`RefitError` with every mistake, one a line."""
    if not isinstance(tree, dict):
        raise RefitError(f"{source}: expected a mapping with the sections {some(Params.model_fields, 20)}")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise RefitError(explain(error, tree, source, Params)) from None


def at_start(name: str) -> Path:
    """Where ``params.yaml`` or ``dvc.yaml`` is to be read: as the run began with it, else in the working directory."""
    folder = os.environ.get(START)
    return Path(folder, AT_START[name]) if folder else Path(name)


def load(path: str | Path | None = None) -> Params:
    """Read and check ``params.yaml``; by default the run's own (:func:`at_start`).

    Raises
    ------
    RefitError
        If the file is missing, is not YAML, or holds a mistake; all mistakes are listed.
    """
    shown = Path("params.yaml" if path is None else path)
    try:
        text = (at_start("params.yaml") if path is None else shown).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RefitError(f"{shown}: no such file. Run `refit init --data FILE --target COLUMN` to write one.") from None
    except UnicodeDecodeError:
        raise RefitError(f"{shown}: not UTF-8. Save it as UTF-8.") from None
    return loads(text, str(shown))


def loads(text: str, path: str) -> Params:
    """Check the text of a ``params.yaml``; ``path`` is what messages call it. Raises :class:`RefitError` as :func:`load`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        tree = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise RefitError(f"{path}{at}: not valid YAML: {getattr(error, 'problem', error)}") from None
    return parse(tree, path)
