"""``data/leaks/leaks.json``: what looks as if it gave the target away."""

from __future__ import annotations

from typing import ClassVar

from tasks.artifacts._artifact import Artifact, Part


class Suspicion(Part):
    """One column that seems to know the outcome.

    Attributes
    ----------
    column : what ``promotion.accept`` names (``table.column`` of other tables); ``columns`` all that the feature reads.
    strength : area under the ROC curve, or R², of the feature alone; None where labels or times gave it away.
    certain : whether chance cannot explain it.
    said : the suspicion in words, to stand after the column's name.
    """

    column: str
    columns: list[str]
    feature: str
    kind: str
    strength: float | None
    certain: bool
    said: str


class Leaks(Artifact):
    """``suspicions``, the strongest first; in words what was ``checked``, and the ``limits`` of the look."""

    NAME: ClassVar[str] = "leaks.json"

    suspicions: list[Suspicion]
    checked: list[str]
    limits: list[str]
