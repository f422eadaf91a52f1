"""``features``: what features are made of, how they become numbers, and which of them are dropped."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema, model_validator

from tasks.params.base import DurationField, Shared, StrictModel, WindowField


class Lookup(StrictModel):
    """Columns of another table's row with the same key, the newest one known before the prediction time."""

    table: str = Field(description="the table that is looked up")
    on: Shared = Field(description="columns by which its rows belong to a row: a name, names, or `mine: theirs`")
    columns: tuple[str, ...] = Field(min_length=1, description="its columns that become features")
    within: DurationField | None = Field(
        default=None, description="rows that are older count as missing; unset: any age"
    )


_KEY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
BY = {"type": "array", "items": _KEY, "minItems": 1}


class History(StrictModel):
    """Aggregates of a table's earlier events that share a key with the row and were known before its prediction time."""

    table: str = Field(description="the table whose events are aggregated")
    by: Annotated[tuple[tuple[str, ...], ...], WithJsonSchema(BY)] = Field(
        min_length=1, description="keys that an event shares with the row: a column each, or a list of columns"
    )
    windows: tuple[WindowField, ...] = Field(
        min_length=1, description="how far back: 3h, 7d, all, or the last 5 events"
    )
    count: bool = Field(default=True, description="whether the number of events is a feature too")
    columns: dict[str, tuple[str, ...]] = Field(
        default={}, description="what is computed of each column, as in `amount: [mean, max]`"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(value.get("by"), list):
            value = {**value, "by": [[k] if isinstance(k, str) else k for k in value["by"]]}
        return value


class Polynomial(StrictModel):
    """Products of features and their powers."""

    columns: tuple[str, ...] = Field(default=(), description="the features that are multiplied")
    degree: int = Field(default=2, ge=2, le=4, description="how many factors at most")
    interaction_only: bool = Field(default=False, description="leaves out powers of one feature")


class Encode(StrictModel):
    """How features become numbers. What is left out is the family's own way (trees scale nothing)."""

    scale: Literal["standard", "min_max", "robust", "smooth", "power", "log", "quantile", "bins", "none"] = Field(
        default="standard", description="how numbers are scaled"
    )
    bins: int = Field(default=8, ge=2, le=256, description="with scale: bins, how many bins")
    categories: Literal["one_hot", "ordinal", "target", "native"] | None = Field(
        default=None, description="how categories become numbers"
    )
    max_levels: int | None = Field(default=None, ge=1, description="levels of a category beyond these count as rare")
    words: int = Field(default=300, ge=1, description="terms of a text column's TF-IDF")


class Select(StrictModel):
    """Which features to drop, judged on training rows: the ways are applied in this order."""

    correlation: float | None = Field(default=None, gt=0, lt=1, description="drop one of two numbers more alike")
    time_auc: float | None = Field(
        default=None,
        gt=0.5,
        lt=1,
        description="drop features that tell old rows from new ones better than this (area under the ROC curve)",
    )
    univariate: int | None = Field(default=None, ge=1, description="keep this many by mutual information")
    l1: float | None = Field(default=None, gt=0, description="keep what an L1 penalty of this inverse strength keeps")
    importance: int | None = Field(default=None, ge=1, description="keep this many by importance in a forest")
    rfe: int | None = Field(default=None, ge=1, description="keep this many by recursive elimination")
    keep: tuple[str, ...] = Field(default=(), description="features that are never dropped")


# A list, or the word `auto`; the type of what was written decides which of the two it is checked as.
_AUTO_OR_LIST = Discriminator(lambda value: "auto" if isinstance(value, str) else "list")


_Auto = Annotated[Literal["auto"], Tag("auto")]


class Features(StrictModel):
    """What features are made of, and what becomes of them."""

    columns: tuple[str, ...] | Literal["auto"] = Field(
        default="auto", description="columns of the row that become features; auto: all but key, outcome and target"
    )
    dates: dict[str, tuple[str, ...]] = Field(
        default={}, description="parts of time columns that become features, as in `asked: [month, hour]`"
    )
    lookups: Annotated[Annotated[tuple[Lookup, ...], Tag("list")] | _Auto, _AUTO_OR_LIST] = Field(
        default=(),
        description="columns of the newest row of another table that was known by then; auto: of every table whose "
        "key consists of columns of the problem's table",
    )
    history: Annotated[Annotated[tuple[History, ...], Tag("list")] | _Auto, _AUTO_OR_LIST] = Field(
        default=(),
        description="aggregates of earlier events; auto: of every table that shares a key with the problem's table, "
        "in windows by its rhythm",
    )
    transforms: dict[str, str] = Field(
        default={}, description="name: expression over features, as in a - b, a / b, log(a)"
    )
    polynomial: Polynomial | None = Field(default=None, description="products of features, and their powers")
    encode: Encode | None = Field(
        default=None, description="how features become numbers; what is left out is the family's own way"
    )
    select: Select | None = Field(
        default=None, description="which features are dropped before training, judged on training rows alone"
    )
    engine: Literal["local", "spark"] = Field(
        default="local", description="where features are computed; spark trains xgboost as well (the extra spark)"
    )

    @property
    def encoding(self) -> dict[str, Any]:
        """What ``encode`` sets; the rest is each family's own way."""
        return self.encode.model_dump(exclude_unset=True) if self.encode else {}
