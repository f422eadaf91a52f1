"""``data/drift/drift.json``: whether the newest rows, and the answers to them, still look like the reference."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AliasChoices, Field

from tasks.artifacts._artifact import Artifact, Part

State = Literal["drifted", "seasonal", "varies", "stable", "unjudged"]  # of a column


class Distribution(Part):
    """Shares of both samples by bin (one edge more) or level."""

    edges: list[float] = Field(default_factory=list)
    levels: list[str] = Field(default_factory=list)
    reference: list[float]
    current: list[float]


class DriftOfColumn(Part):
    """What was found in one column, or in the answers; where these are not judged, ``said`` is why.

    Attributes
    ----------
    test : the check that says most; ``value`` what it measured, by ``measure``.
    statistic : logarithm of the p-value over that of its limit: 1 (``threshold``) and more is drift.
    windows : newest windows that it looked at; ``past_windows`` that it was held against; ``limit`` what it rests on.
    missing : shares in the reference and now. psi : describes, and decides nothing.
    positive_rate, mean : of the answers, in the reference and now. drawn : stands in Evidently's page.
    """

    column: str
    kind: str = ""
    state: State
    drifted: bool | None
    alarms: list[str] = Field(default_factory=list)
    test: str = ""
    measure: str = ""
    value: float | None = None
    statistic: float = 0.0
    threshold: float = 1.0
    p: float | None = None
    windows: int = 0
    past_windows: int = 0
    limit: str = ""
    missing: tuple[float, float] = (0.0, 0.0)
    psi: float | None = None
    said: str | None = None
    distribution: Distribution | None = None
    positive_rate: list[float] | None = None
    mean: list[float] | None = None
    drawn: bool = False


class DriftAlarm(Part):
    """A column that drifted, in which ways, and how, in words."""

    column: str
    kinds: list[str]
    said: str


class DriftWindow(Part):
    """The rows that were looked at, and by which rule; ``since`` and ``until`` their moments (None: they have none)."""

    rule: str
    since: str | None = Field(default=None, validation_alias=AliasChoices("from", "since"), serialization_alias="from")
    until: str | None = Field(default=None, validation_alias=AliasChoices("to", "until"), serialization_alias="to")
    rows: int = 0


class DriftReference(Part):
    """The package that they were held against (``version`` None: the new one), and of how many rows it tells."""

    version: str | None
    package: str
    of: str
    rows: int | None = None
    held_out: int | None = None


class Drift(Artifact):
    """The judgement of all columns and the answers; ``drifted`` None: nothing was judged, and there are no columns.

    Attributes
    ----------
    share : of the columns that drifted; from ``drift_share`` on the whole table has.
    thresholds : where they come from, in words. page_left_out : why Evidently's page could not be drawn.
    columns : drifted ones first, the strongest on top. prediction : the answers.
    """

    NAME: ClassVar[str] = "drift.json"

    state: Literal["drifted", "stable", "no_rows", "unjudged"]
    drifted: bool | None
    share: float | None
    drift_share: float
    alarms: list[DriftAlarm]
    sentence: str
    page_left_out: str | None = None
    thresholds: str = ""
    columns: list[DriftOfColumn]
    prediction: DriftOfColumn | None
    window: DriftWindow
    reference: DriftReference
