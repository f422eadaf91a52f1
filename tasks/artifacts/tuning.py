"""``data/tuning/<family>/``: which features, which parameters, and all trials; ``data/start``: where a search begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue, TypeAdapter

from tasks.artifacts._artifact import Artifact, Bare, Number, Part


class Selection(Artifact):
    """Features ``kept``, in their old order, and why the others were ``dropped``."""

    NAME: ClassVar[str] = "selection.json"

    kept: list[str]
    dropped: dict[str, str] = Field(default_factory=dict)


class CostRule(Part):
    """What ``tuning.goals`` says of a cost: the most that is allowed, and what one unit of it weighs in the metric."""

    at_most: Number | None = None
    weight: Number | None = None


class GoalRule(Part):
    """How one of several trials is chosen: ``within`` is the share of the metric that low costs may take; ``costs`` by name."""

    within: Number | None
    costs: dict[str, CostRule]


def _costs(latency_ms: Number | None, size_kb: Number | None) -> dict[str, Number]:
    both = {"latency_ms": latency_ms, "size_kb": size_kb}
    return {name: cost for name, cost in both.items() if cost is not None}


class FrontPoint(Part):
    """What no other trial (or family) beats in all goals: its metric on held-out rows and its costs."""

    name: str
    value: Number
    latency_ms: Number | None = None
    size_kb: Number | None = None
    chosen: bool

    @property
    def costs(self) -> dict[str, Number]:
        """Its costs by name, as far as they are goals: milliseconds of a row's score, and kB of the stored model."""
        return _costs(self.latency_ms, self.size_kb)


class GoalChoice(Part):
    """The choice among several goals: by which rule, from which ``front`` (the best metric first), and why."""

    rule: GoalRule
    front: list[FrontPoint]
    reason: str


class AutoJudged(Part):
    """What ``auto`` judged its settings on.

    Attributes
    ----------
    rows, folds : how many rows, and folds of one cut.
    pooled : whether training and validation rows were cut into folds together.
    cut_short : whether time sufficed for the first fold only.
    beyond : features that leave the range of the training rows; not given where there are none.
    declared : the ``tuning.split`` that was asked for, if one was.
    """

    rows: int
    folds: int
    pooled: bool
    cut_short: bool
    beyond: list[str] = Field(default_factory=list)
    declared: str | None = None


class Member(Part):
    """One setting in a mix of ``auto``; ``counts`` of the first fold's training rows by class, where they were balanced."""

    family: str
    params: dict[str, JsonValue]
    weight: Number
    value: Number | None = None
    counts: dict[str, list[int]] = Field(default_factory=dict)


def members_of(params: Mapping[str, JsonValue]) -> list[Member]:
    """The members of a mix, from its parameters; none of a single family."""
    return MEMBERS.validate_python(params.get("members", []))


def turns_of(params: Mapping[str, JsonValue]) -> list[dict[str, JsonValue]]:
    """What each turn of a population's winner changed, from its parameters; none of others."""
    return TURNS.validate_python(params.get("turns", []))


MEMBERS, TURNS = TypeAdapter(list[Member]), TypeAdapter(list[dict[str, JsonValue]])


class Best(Artifact):
    """What tuning chose for a family.

    Attributes
    ----------
    params : of the family; with ``turns`` (pbt) or ``members`` (auto) what the winner is made of.
    value : the metric's, on held-out rows.
    trials : how many.
    importance : share of the values' variance by parameter; empty for few trials.
    left_out : training rows that ``tuning.rows`` kept from tuning.
    judged : of ``auto``. goals : where there are several.
    """

    NAME: ClassVar[str] = "best.json"

    family: str
    params: dict[str, JsonValue]
    value: Number
    metric: str
    trials: int
    importance: dict[str, Number] = Field(default_factory=dict)
    left_out: int = 0
    judged: AutoJudged | None = None
    goals: GoalChoice | None = None


class Trial(Part):
    """One setting that was tried.

    Attributes
    ----------
    value : None where it has none; of one that was stopped, the last of ``intermediate``.
    state : ``complete``, ``pruned`` or ``fail``.
    intermediate : values by step.
    family : of ``auto``, whose setting it is.
    latency_ms, size_kb : where they are goals. parent : of pbt, the trial whose state it went on from.
    """

    number: int
    params: dict[str, JsonValue]
    value: Number | None
    state: str
    intermediate: dict[str, Number]
    latency_ms: Number | None = None
    size_kb: Number | None = None
    family: str | None = None
    parent: int | None = None

    @property
    def costs(self) -> dict[str, Number]:
        """Its costs by name, as far as they are goals: milliseconds of a row's score, and kB of the stored model."""
        return _costs(self.latency_ms, self.size_kb)

    @property
    def name(self) -> str:
        """As people call it, counted from 1."""
        return f"trial {self.number + 1}"


class Trials(Bare):
    """All ``trials`` of a search, by number."""

    NAME: ClassVar[str] = "trials.json"

    trials: list[Trial]


class Starts(Bare):
    """A champion's ``params`` by family: where a search begins."""

    NAME: ClassVar[str] = "params.json"

    params: dict[str, list[dict[str, JsonValue]]]
