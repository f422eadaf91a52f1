"""``data``: tables, where they come from, their columns, and when a row and its columns become known."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tasks.errors import nearest, some
from tasks.params.base import LEVEL, AsOf, Moment, StrictModel, as_level, refuse
from tasks.values.missing import check_missing
from tasks.values.moments import check_form
from tasks.values.numbers import check_number_form

LEVELS = {"type": "array", "items": LEVEL}
# Texts that count as missing; YAML makes a number or nothing of some of them.
Texts = Annotated[tuple[str, ...], WithJsonSchema({"type": "array", "items": {"type": ["string", "number", "null"]}})]
ColumnKind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]


class Column(StrictModel):
    """A column of a table: its kind, what may stand in it, and how it is written."""

    kind: ColumnKind = Field(description="what its values are; ignore: it is not read")
    nullable: bool = Field(default=True, description="false: a row in which it is missing is rejected")
    min: float | None = Field(default=None, description="numeric: a row with a smaller number is rejected")
    max: float | None = Field(default=None, description="numeric: a row with a larger number is rejected")
    allowed: Annotated[tuple[str, ...], WithJsonSchema(LEVELS)] | None = Field(
        default=None, description="categorical, text: a row with another value is rejected"
    )
    format: str = Field(
        default="iso",
        description="datetime: iso | epoch_s | epoch_ms | epoch_us | excel, or a pattern as in '%d.%m.%Y'; "
        "numeric: one of its numbers as they are written, as in '1.234,50', '$1,234.50' or '12.5%'",
    )
    missing: Annotated[Texts, BeforeValidator(check_missing)] | None = Field(
        default=None,
        description="texts that count as missing, in place of those of data.missing; `usual` in the list: the usual ones too",
    )
    case: Literal["as_written", "lower"] = Field(
        default="as_written", description="categorical: lower takes Yes, YES and yes for one"
    )

    spellings: dict[str, tuple[str, ...]] = Field(
        default={}, description="categorical: {level: other spellings of it}, which count as one, as in {yes: [y, ja]}"
    )

    @classmethod
    def as_written(cls, mapping: dict[str, Any]) -> dict[str, Any]:
        """Its kind alone, or the mapping."""
        return {"anyOf": [mapping["properties"]["kind"], mapping]}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, str):
            return {"kind": value}
        if not isinstance(value, dict) or value.get("kind") != "categorical":
            return value

        def level(one: object) -> object:
            text = as_level(one)
            return text.lower() if value.get("case") == "lower" and isinstance(text, str) else text

        more: dict[str, object] = {}
        if isinstance(value.get("allowed"), list):
            more["allowed"] = [level(one) for one in value["allowed"]]
        if isinstance(given := value.get("spellings"), dict):
            more["spellings"] = {
                level(name): [level(one) for one in texts] if isinstance(texts, list) else texts
                for name, texts in given.items()
            }
        return {**value, **more}

    @model_validator(mode="after")
    def _limits(self) -> Column:
        for name in ("min", "max"):
            refuse(
                getattr(self, name) is not None and self.kind != "numeric",
                f"{name}: only a numeric column has bounds, and kind is {self.kind!r}",
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is above max {self.max:g}, so no value would be allowed")
        refuse(
            self.allowed is not None and self.kind not in ("categorical", "text"),
            f"allowed: only a categorical or text column has a list, and kind is {self.kind!r}",
        )
        refuse(
            self.case != "as_written" and self.kind != "categorical",
            f"case: only a categorical column has one, and kind is {self.kind!r}",
        )
        refuse(
            self.spellings and self.kind != "categorical",
            f"spellings: only a categorical column has them, and kind is {self.kind!r}",
        )
        texts = [text for others in self.spellings.values() for text in others]
        twice = [text for text in texts if texts.count(text) > 1 or text in self.spellings]
        refuse(twice, f"spellings: {some(dict.fromkeys(twice))} would be of two levels")
        refuse(
            self.format != "iso" and self.kind not in ("datetime", "numeric"),
            f"format: only a datetime or numeric column has one, and kind is {self.kind!r}",
        )
        try:
            (check_number_form if self.kind == "numeric" and self.format != "iso" else check_form)(self.format)
        except ValueError as error:
            raise ValueError(f"format: {error}") from None
        return self


ROW = "*"  # in known_at by column: the row itself, and the columns that are not named


def by_column(value: object) -> str:
    """Which form of ``known_at`` this is: of the ``row``, or of single ``columns``."""
    return (
        "columns"
        if isinstance(value, dict) and not {"column"} <= value.keys() <= {"column", "offset_micros"}
        else "row"
    )


KnownField = Annotated[
    Annotated[Moment, Tag("row")] | Annotated[dict[str, Moment], Tag("columns")], Discriminator(by_column)
]


class Query(StrictModel):
    """What a database gives: one of its tables, or the rows of a SELECT. A run takes a snapshot of it at its start."""

    sql: str = Field(
        description="the database's URL as SQLAlchemy takes it; ${NAME} stands for an environment variable"
    )
    query: str | None = Field(default=None, description="a SELECT; or `table`")
    table: str | None = Field(default=None, description="a table's name, as in orders or sales.orders; or `query`")

    @model_validator(mode="after")
    def _one(self) -> Query:
        refuse(
            (self.query is None) == (self.table is None),
            "query: a source in a database has a query or a table, and not both",
        )
        refuse(
            not re.match(r"[A-Za-z][\w+.-]*://|\$\{\w+\}", self.sql),
            "sql: a database's URL, as in postgresql://user@host/name, sqlite:///shop.db or ${SHOP_URL}",
        )
        secret = re.search(r"://[^/@]*?:([^@/]+)@", self.sql) or re.search(
            r"[?&](?:\w*password)=([^&]+)", self.sql, re.I
        )
        refuse(
            secret and not re.fullmatch(r"\$\{\w+\}", secret[1]),
            "sql: a password does not stand in this file. Write ${DB_PASSWORD} in its place and set that in the "
            "environment, or leave it out (PostgreSQL takes PGPASSWORD or ~/.pgpass)",
        )
        return self


class Files(StrictModel):
    """What to do where the files of one table do not fit together."""

    added: Literal["ignore", "refuse"] = Field(
        default="ignore", description="what is done with a column that is not declared and not in every file"
    )
    removed: Literal["empty", "refuse"] = Field(
        default="empty", description="what is done where a file lacks a declared column"
    )
    unfinished: Literal["refuse", "wait"] = Field(
        default="refuse",
        description="what is done with a file that is cut, as one still being written; wait: it is left for the next run",
    )
    twice: Literal["once", "refuse"] = Field(
        default="once", description="what is done with a file whose content another one has too"
    )


JOURNAL = "journal"  # in a source: what services were told of (tasks/journal); a file of that name is written ./journal


def _source_kind(value: object) -> str:
    return "query" if isinstance(value, dict | Query) else "several" if isinstance(value, list | tuple) else "path"


# A file, folder, glob, bundled data set or the journal, a list of them, or what a database gives.
Source = Annotated[
    Annotated[str, Tag("path"), Field(min_length=1)]
    | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Tag("several"), Field(min_length=1)]
    | Annotated[Query, Tag("query")],
    Discriminator(_source_kind),
]


class Table(StrictModel):
    """A table: its source, columns, key, and when its rows happen and become known."""

    source: Source = Field(
        description="a file, folder, glob, bundled data set or `journal`, a list of these, or what a database gives (docs/sources.md)"
    )
    files: Files = Field(default=Files(), description="what to do where the files of one table do not fit together")
    key: tuple[str, ...] = Field(
        default=(),
        description="columns that name a row; rows that share a key are states of one row, or are rejected (corrections)",
    )
    columns: dict[str, Column] = Field(
        min_length=1, description="the columns by name, each with its kind, or with its kind and more"
    )
    event_time: Moment | None = Field(default=None, description="when a row happened")
    known: KnownField | None = Field(
        default=None,
        alias="known_at",
        description="when a row became known; or {column: when}, and the row when it happens",
    )
    outcome: tuple[str, ...] = Field(
        default=(), description="columns that are hidden until the row is known (known_at)"
    )
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
    def journal(self) -> bool:
        """Whether events of the journal are among its rows."""
        return self.source == JOURNAL or (isinstance(self.source, tuple) and JOURNAL in self.source)

    @property
    def at_rest(self) -> str | tuple[str, ...] | Query | None:
        """The source without the journal; None where it is the journal alone."""
        if not self.journal:
            return self.source
        others = tuple(one for one in self.source if one != JOURNAL) if isinstance(self.source, tuple) else ()
        return others[0] if len(others) == 1 else others or None

    @property
    def received(self) -> bool:
        """Whether a row may have been received later than its own columns say that it was known."""
        return self.journal and self.event_time is not None

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


class Data(StrictModel):
    """The tables, and up to which moment they count."""

    as_of: AsOf | None = Field(
        default=None, description="a run sees only what was known then; a date means its end; unset: everything"
    )
    missing: Texts | dict[str, Texts] | None = Field(
        default=None,
        description="texts that count as missing in every column that lists none; or `column: texts`, or `table.column: texts`",
    )
    tables: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")], Table] = Field(
        min_length=1, description="the tables by name"
    )
    max_quarantined: float = Field(
        default=0.05, ge=0, le=1, description="share of rows above which validation stops the run"
    )

    @field_validator("missing", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
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
