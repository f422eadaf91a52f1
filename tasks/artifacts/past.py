"""``data/champion/past.json``: what was decided about the model before this run, for the page that people read."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.artifacts._artifact import Lasting, LastingArtifact


class Measured(Lasting):
    """What a run measured when it was judged, as its decision keeps it; what an older decision does not say is empty.

    Attributes
    ----------
    as_of : the run saw what was known then. family : of the challenger.
    metric : by which the models were compared, on ``rows`` rows.
    challenger, champion : its values on these rows; no champion: None.
    challenger_cost, champion_cost : what their errors cost by row, in the unit of ``training.cost``; None: not counted.
    drifted : whether the newest rows had drifted; None: not judged. ``drifted_columns``: how many columns had.
    """

    as_of: str | None = None
    family: str = ""
    metric: str = ""
    rows: int | None = None
    challenger: float | None = None
    champion: float | None = None
    interval: tuple[float, float] | None = None  # of 95%, of the difference
    drifted: bool | None = None
    drifted_columns: int | None = None
    challenger_cost: float | None = None
    champion_cost: float | None = None


class PastDecision(Lasting):
    """A decision about the model: what was done about ``version``, by whom, and which version is champion from then on."""

    number: int
    action: Literal["promote", "rollback", "keep", "adopt"]
    version: str
    champion: str | None
    by: str
    measured: Measured = Field(default_factory=Measured)


class Past(LastingArtifact):
    """Decisions, oldest first. Without the moments at which they were taken: the page's time is that of the data."""

    NAME: ClassVar[str] = "past.json"
    decisions: list[PastDecision]
