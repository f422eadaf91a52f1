"""``problem``: what is predicted, of which rows, and by which metric."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tasks.errors import nearest, some
from tasks.implied import EVENTS, MADE_AT
from tasks.kinds import find_kind, kind_names
from tasks.params.base import LEVEL, AsOf, DurationField, Moment, Shared, StrictModel, as_level, refuse
from tasks.params.data import Column, Table


def _kind(value: str) -> str:
    if value not in (names := kind_names()):
        raise PydanticCustomError("literal_error", "", {"expected": some(names, 20)})
    return value


Measure = Literal["any", "none", "count", "sum", "mean", "median", "min", "max", "std", "first", "last", "n_unique"]


MEASURES: tuple[Measure, ...] = get_args(Measure)
_ABOUT: dict[Measure, str] = {
    "any": "whether there is an event: true, or a condition that it must meet",
    "none": "whether there is no event: true, or a condition that none may meet",
    "count": "how many events there are: true, or a condition that they must meet",
    "sum": "the sum of a column, or of an expression over columns",
    "mean": "its mean",
    "median": "its median",
    "min": "its smallest value",
    "max": "its largest value",
    "std": "its standard deviation",
    "first": "its value in the first event",
    "last": "its value in the last event",
    "n_unique": "how many different values it has",
}


class Target(StrictModel):
    """What is predicted: a column as it is, or compared with a number (``above``), or what another table comes to hold.

    With ``from``: a measure of that table's events that share ``by`` with the row and happen in the time ``within``
    after its prediction time. The row's label is known when that time is over. Of a kind of problem that needs no target
    it is :data:`NO_TARGET`, whose column and name are empty.
    """

    column: str = Field(default="", description="the column that is predicted")
    above: float | None = Field(
        default=None, description="1 where the column (with `from`: the measure) is greater than this, else 0"
    )
    name: str = Field(default="", description="name of the derived column; the column's own name unless `above` is set")
    positive: Annotated[str, BeforeValidator(as_level), WithJsonSchema(LEVEL)] | None = Field(
        default=None,
        description="kind: binary: the value that counts as 1; unset: the one whose name says so, else the later",
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

    @classmethod
    def as_written(cls, mapping: dict[str, Any]) -> dict[str, Any]:
        """A column's name, or the mapping, in which a measure is a key of its own."""
        keys = {name: key for name, key in mapping["properties"].items() if name != "measure"}
        measures = {
            name: {
                "type": ["boolean", "string"] if name in EVENTS else "string",
                "description": f"with `from`: {about}",
            }
            for name, about in _ABOUT.items()
        }
        return {"anyOf": [{"type": "string"}, {**mapping, "properties": {**keys, **measures}}]}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
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
            refuse(not self.column, "column: missing; name the column that is predicted, or `from` another table")
            if given or self.measure:
                key = [*given, *self.measure][0]
                raise ValueError(
                    f"{key}: belongs to a target `from` another table's events; name it, or leave this out"
                )
            return self
        refuse(self.column, "column: with `from` the label is made from events; leave one out")
        if self.by is None or self.within is None:
            key = "by" if self.by is None else "within"
            what = "whose events count, as in by: customer" if self.by is None else "for how long, as in within: 30d"
            raise ValueError(f"{key}: missing; with `from` it says {what}.")
        refuse(
            self.made in EVENTS and self.where is not None, f"where: write the condition as {self.made}: {self.where!r}"
        )
        refuse(
            (self.made in EVENTS and self.of is False) or (self.made not in EVENTS and isinstance(self.of, bool)),
            f"{self.made}: expected "
            + ("true or a condition, as in amount > 100" if self.made in EVENTS else "a column, as in sum: amount"),
        )
        refuse(
            self.made in ("any", "none") and self.above is not None,
            f"above: `{self.made}` is yes or no already; leave one out",
        )
        name = self.name or f"{self.events}_{self.made}_within_{self.within}"
        for key in ("name", "column"):  # whoever asks for the label's column finds the derived one
            object.__setattr__(self, key, name)
        return self

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return bool(self.name)

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
        refuse(self.above is not None and self.name == self.column, "name: with `above` it must differ from `column`")
        refuse(
            self.above is not None and self.positive is not None,
            "positive: with `above` the positive class is what lies above; leave one out",
        )
        return self


NO_TARGET = Target.model_construct()


def _midnight(value: object) -> object:
    """A date is its first moment, where :data:`AsOf` takes its last."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) else value


class Snapshots(StrictModel):
    """Rows that no file has: each entity of a table, again and again. It is there once a row of it is known."""

    snapshots: str = Field(description="the table that has the entities, by the columns of problem.target.by")
    every: DurationField = Field(description="how long from one snapshot to the next")
    since: Annotated[AsOf, BeforeValidator(_midnight)] | None = Field(
        default=None, alias="from", description="the first moment; unset: when the tables begin, on a fixed grid"
    )
    until: AsOf | None = Field(default=None, description="no moment after this one")
    active: DurationField | None = Field(
        default=None, description="only while the entity had an event in so long before; unset: for ever"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")] | None = Field(
        default=None, description="name of the table that is made; NAME_snapshots where unset"
    )

    @property
    def table(self) -> str:
        """Name of the table that is made."""
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


class Problem(StrictModel):
    """What is predicted, of which rows, and by which metric."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="the model's name, in the registry and on every page"
    )
    kind: Annotated[str, AfterValidator(_kind)] = Field(description="what kind of answer is predicted")
    rows: Annotated[Annotated[str, Tag("name")] | Annotated[Snapshots, Tag("made")], _NAME_OR_ROWS] = Field(
        alias="table", description="the table whose rows are predicted, or snapshots of another one's entities"
    )
    target: Target = Field(
        default=NO_TARGET,
        validate_default=True,
        description="the column to predict, one compared with a number, or what later events make it (docs/labels.md); "
        "unset where the kind needs none",
    )
    prediction_time: Moment | None = Field(
        default=None,
        description="a feature may use only what was known before this moment; unset with split.kind: time, the "
        "table's event_time, or else its only datetime column",
    )
    metric: str = Field(
        default="", description="what tuning, the choice of a family and the verdict go by; unset: the kind's own first"
    )

    @property
    def table(self) -> str:
        """Name of the table whose rows are predicted."""
        return self.rows if isinstance(self.rows, str) else self.rows.table

    @property
    def snapshots(self) -> Snapshots | None:
        """How the rows are made, where no file has them."""
        return None if isinstance(self.rows, str) else self.rows

    @field_validator("target", mode="wrap")
    @classmethod
    def _wanted(cls, value: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Target:
        """A target where the kind needs one, and none where it does not."""
        kind = info.data.get("kind")  # None where that is a mistake itself
        missing = value is None or (isinstance(value, Target) and not value.given)
        if missing and kind and find_kind(kind).targeted:
            why = "missing; name the column that is predicted, which kind {kind} needs."
            raise PydanticCustomError("missing", why, {"kind": repr(kind)})
        if not missing and kind and not find_kind(kind).targeted:
            why = "kind {kind} has no target; remove this key"
            raise PydanticCustomError("no_target", why, {"kind": repr(kind)})
        return NO_TARGET if missing else check(value)

    @model_validator(mode="after")
    def _metric(self) -> Problem:
        kind = find_kind(self.kind)
        allowed = kind.decisive
        if not self.metric:
            object.__setattr__(self, "metric", allowed[0])
        refuse(
            self.metric not in allowed,
            f"metric: {self.metric!r} is not one of {some(allowed)} (kind {self.kind})."
            + nearest(self.metric, allowed),
        )
        refuse(
            self.target.above is not None and kind.positive is None,
            f"kind: target.above makes a binary target, and kind is {self.kind!r}; set kind: binary",
        )
        refuse(
            self.target.positive is not None and kind.positive is None,
            f"target.positive: only a binary problem has a positive class, and kind is {self.kind!r}",
        )
        refuse(
            self.snapshots and not kind.targeted,
            f"table: the rows of snapshots are made for a target `from` another table, and kind {self.kind!r} has none; "
            "name a table",
        )
        refuse(
            self.snapshots and self.target.events is None,
            "table: snapshots have no column to predict; the target is made `from` another table",
        )
        refuse(
            self.snapshots and self.prediction_time is not None,
            f"prediction_time: that of a snapshot is its own moment, {MADE_AT!r}; leave it out",
        )
        return self
