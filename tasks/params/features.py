"""``features``: what features are made of, how they become numbers, and which of them are dropped."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tasks.params.base import DurationField, Shared, StrictModel, WindowField


class Lookup(StrictModel):
    """Columns of another table's row with the same key, the newest one known before the prediction time."""

    table: str
    on: Shared
    columns: tuple[str, ...] = Field(min_length=1)
    within: DurationField | None = None


class History(StrictModel):
    """Aggregates of a table's earlier events that share a key with the row and were known before its prediction time."""

    table: str
    by: tuple[tuple[str, ...], ...] = Field(min_length=1)
    windows: tuple[WindowField, ...] = Field(min_length=1)
    count: bool = True
    columns: dict[str, tuple[str, ...]] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(value.get("by"), list):
            value = {**value, "by": [[k] if isinstance(k, str) else k for k in value["by"]]}
        return value


class Polynomial(StrictModel):
    """Products of features and their powers."""

    columns: tuple[str, ...] = ()
    degree: int = Field(default=2, ge=2, le=4)
    interaction_only: bool = False


class Encode(StrictModel):
    """How features become numbers. What is left out is the family's own way (trees scale nothing)."""

    scale: Literal["standard", "min_max", "robust", "smooth", "power", "log", "quantile", "bins", "none"] = "standard"
    bins: int = Field(default=8, ge=2, le=256, description="scale: bins: how many")
    categories: Literal["one_hot", "ordinal", "target", "native"] | None = None
    max_levels: int | None = Field(default=None, ge=1, description="levels of a category beyond these count as rare")
    words: int = Field(default=300, ge=1, description="terms of a text column's TF-IDF")


class Select(StrictModel):
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


class Features(StrictModel):
    """What features are made of, and what becomes of them."""

    columns: tuple[str, ...] | Literal["auto"] = "auto"
    dates: dict[str, tuple[str, ...]] = Field(default={})
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
