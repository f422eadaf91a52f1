"""``data/models/<family>/``: what was fitted, how long a row takes, and why a family failed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue

from tasks.artifacts._artifact import Artifact, Number, Part


class Balance(Part):
    """What was done about rare classes.

    Attributes
    ----------
    asked, used : the way that ``training.imbalance`` names, and the one in the model.
    before, after : training rows by class.
    with_it, without : ``metric`` of the validation rows with the way and without it.
    without_it, members : of ``auto``: members on the real rows, and how many members there are.
    """

    asked: str
    used: str
    metric: str
    before: dict[str, int] = Field(default_factory=dict)
    after: dict[str, int] = Field(default_factory=dict)
    with_it: Number | None = Field(default=None, alias="with")
    without: Number | None = None
    without_it: list[str] = Field(default_factory=list)
    members: int = 0


class Sized(Part):
    """A trial, fitted on all rows, and its size."""

    trial: str
    size_kb: Number


class LastFit(Part):
    """Where several goals were declared: the ``trial`` that was fitted, its size then, and those too large (``gone``)."""

    trial: str
    size_kb: Number
    gone: list[Sized]


class NetworkForm(Part):
    """A form of a network; ``why`` it was not made, and then there are no figures.

    Attributes
    ----------
    size_kb, memory_kb : on disk, and of its numbers in memory. multiply_adds : for one row. metric : on validation rows.
    """

    variant: str
    size_kb: Number | None
    memory_kb: Number | None
    multiply_adds: Number | None
    metric: Number | None
    used: bool
    why: str


class CoefficientPath(Part):
    """Coefficients of a penalised linear model by feature, at each penalty ``alpha``, and the penalty ``chosen``."""

    alpha: list[Number]
    chosen: Number
    coefficients: dict[str, list[Number]]


class Candidate(Artifact):
    """A family, fitted.

    Attributes
    ----------
    valid : metrics of the validation rows.
    features, dropped : what it gets, and why it does not get the others.
    notes : what the fit decided, by family (``rounds``, ``path``, …). history : loss curves by name.
    compression : forms of a compressed network; empty for others.
    """

    NAME: ClassVar[str] = "candidate.json"

    family: str
    params: dict[str, JsonValue]
    metric: str
    valid: dict[str, float | None]
    features: list[str]
    dropped: dict[str, str]
    notes: dict[str, JsonValue]
    history: dict[str, list[float]]
    imbalance: Balance | None = None
    goals: LastFit | None = None
    compression: list[NetworkForm]

    @property
    def path(self) -> CoefficientPath | None:
        """How coefficients change with the penalty, where the fit noted it."""
        return CoefficientPath.model_validate(self.notes["path"]) if "path" in self.notes else None


class Timing(Artifact):
    """Milliseconds a row, measured where it ran: ``latency_ms`` where that is a goal, ``row_ms`` by form or model."""

    NAME: ClassVar[str] = "timing.json"

    latency_ms: float | None = None
    row_ms: dict[str, float] = Field(default_factory=dict)


class Failed(Artifact):
    """Why a run goes on without a family, which failed in the stage ``tune`` or ``train``. Recorded nowhere."""

    NAME: ClassVar[str] = "failed.json"

    family: str
    stage: str
    why: str
