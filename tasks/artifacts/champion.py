"""``data/champion/champion.json`` and ``champion.lock``: who is champion, as stages and git know it."""

from __future__ import annotations

from typing import ClassVar

from tasks.artifacts._artifact import LastingArtifact


class ChampionFile(LastingArtifact):
    """The champion that is compared with.

    ``since``: number of the decision that made it champion. ``name``: of the model; None in older files.
    """

    NAME: ClassVar[str] = "champion.json"
    version: str
    package_sha256: str
    since: int = 0
    name: str | None = None


class ChampionLock(LastingArtifact):
    """The champion (no version and no hash: there is none), and the mark of the decision that was followed."""

    NAME: ClassVar[str] = "champion.lock"
    model: str
    version: str | None
    package_sha256: str
    decision: str
