"""``data/evaluation``: what was chosen, and how good it is; the pages beside it stand in :mod:`tasks.artifacts.pages`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue

from tasks.artifacts._artifact import Lasting, LastingArtifact, Part

Values = dict[str, float | None]  # by metric; None: undefined on these rows


class Choice(LastingArtifact):
    """The challenger: its members and their weights, threshold (None: there is none), and values of the ``metric``.

    ``calibration`` is that of several members' mean; ``baseline`` the test value without a model.
    """

    NAME: ClassVar[str] = "choice.json"
    family: str
    members: list[str]
    weights: list[float]
    calibration: dict[str, JsonValue] | None = None
    threshold: float | None
    metric: str
    valid: float
    test: float
    baseline: float | None
    reason: str


class CandidateMetrics(Lasting):
    """Every metric of a candidate, at a threshold of its own."""

    threshold: float | None = None
    valid: Values
    test: Values


class ChoiceMetrics(Lasting):
    """Every metric of the choice, with bootstrap intervals of the test values; ``drawn``: rows, or whole days."""

    family: str
    valid: Values
    test: Values
    test_interval: dict[str, list[float] | None] = Field(default_factory=dict)
    level: float = 0.95
    drawn: str = "rows"


class BaselineMetrics(Lasting):
    """Every metric of the answer that needs no model, and what that is."""

    name: str
    valid: Values
    test: Values


class PairOfFamilies(Part):
    """Whether two families are right equally often, Holm-corrected."""

    first: str
    second: str
    p_holm: float


class AllTogether(Part):
    """Cochran's Q: whether some candidates are right more often than others."""

    test: str
    statistic: float
    df: int
    p: float
    accuracy: dict[str, float]
    pairs: list[PairOfFamilies]


class Metrics(LastingArtifact):
    """What was measured: of each candidate, of the choice, and without a model; ``rows`` by split."""

    NAME: ClassVar[str] = "metrics.json"
    metric: str
    candidates: dict[str, CandidateMetrics]
    choice: ChoiceMetrics
    baseline: BaselineMetrics
    rows: dict[str, int]
    all_together: AllTogether | None = None
