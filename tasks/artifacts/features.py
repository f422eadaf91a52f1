"""``data/features/summary.json``: what ``features.parquet`` holds."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tasks.artifacts._artifact import Artifact, Number, Part


class FeatureAbout(Part):
    """A feature's name in the plan, what its values are (numeric, categorical or text), and what it means in words."""

    name: str
    kind: str
    description: str = ""


class Summary(Artifact):
    """What ``features.parquet`` holds.

    Attributes
    ----------
    kind, target : of the problem; ``target`` is the column's name.
    classes : names by index, for binary problems the positive one last; empty for numbers.
    features : in the order of the plan.
    rows : by split.
    boundaries : where splits begin: moments in ISO form and ``as_of``, or shares of a random split.
    plan : the plan's hash.
    silent : features that no model gets, with the reason; not given where there are none.
    """

    NAME: ClassVar[str] = "summary.json"

    kind: str
    target: str
    classes: list[str]
    features: list[FeatureAbout]
    rows: dict[str, int]
    boundaries: dict[str, str | Number]
    plan: str
    silent: dict[str, str] = Field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The features' names."""
        return [feature.name for feature in self.features]

    @property
    def kinds(self) -> dict[str, str]:
        """``numeric``, ``categorical`` or ``text`` by feature."""
        return {feature.name: feature.kind for feature in self.features}
