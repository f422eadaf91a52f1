"""``data/reports``: what ``dvc metrics`` shows of a run; the page beside it is for people."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tasks.artifacts._artifact import Artifact, Part
from tasks.artifacts.verdict import Word


class AgainstChampion(Part):
    """What the verdict rests on: both values on the compared rows, and the champion's version."""

    version: str | None = None
    champion: float | None = None
    challenger: float | None = None
    difference: float | None = None


class RunMetrics(Artifact):
    """A run in few figures, for tables of runs.

    Attributes
    ----------
    valid, without_model : of ``metric``, on validation rows, and on test rows without a model.
    test : every metric of the chosen model.
    against : where it was compared with a champion.
    drift : the newest rows' state.
    """

    NAME: ClassVar[str] = "metrics.json"

    verdict: Word | None = None
    family: str | None = None
    metric: str | None = None
    valid: float | None = None
    without_model: float | None = None
    test: dict[str, float] = Field(default_factory=dict)
    against: AgainstChampion | None = None
    drift: str | None = None
