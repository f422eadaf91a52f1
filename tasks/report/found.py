"""What the stages left for the page: one value with the files' types; what is not there is None."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import JsonValue

from tasks.artifacts import (
    Best,
    Candidate,
    Choice,
    Confusion,
    Curves,
    Drift,
    Explanation,
    Failed,
    Leaks,
    Learning,
    LeftOut,
    Manifest,
    Metrics,
    NotableRows,
    Past,
    Receipt,
    Slices,
    Summary,
    Timing,
    Trial,
    Validation,
    Verdict,
)
from tasks.report.coming import Awaited
from tasks.report.costs import Costs

Json = dict[str, JsonValue]


@dataclass(frozen=True)
class Periods:
    """Rows and labels over time.

    Attributes
    ----------
    unit : ``day``, ``week``, ``30 days`` or ``year``.
    edges : ISO moments where the k periods begin, and where the last ends (k + 1).
    rows : by split, rows of each period (k). labelled : of these, rows with a label (k).
    target : mean of the labels (k); None where there are none.
    """

    unit: str
    edges: list[str]
    rows: dict[str, list[int]]
    target: list[float | None]
    labelled: list[int]


@dataclass(frozen=True)
class FamilyFiles:
    """What tuning and training left of a family; ``failed`` where it failed."""

    candidate: Candidate | None = None
    best: Best | None = None
    trials: list[Trial] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)
    failed: Failed | None = None


@dataclass(frozen=True)
class ProblemAbout:
    """What the page is about: the problem's name, its kind, and the target's column."""

    name: str
    kind: str
    target: str


@dataclass(frozen=True)
class ChampionFiles:
    """The champion's package, as the comparison found it; ``made_from``: how many rows it was made from."""

    version: str
    bundle: Manifest | None = None
    receipt: Receipt | None = None
    plan: Json | None = None
    made_from: int | None = None


@dataclass(frozen=True)
class RowNames:
    """What a row is called: the ``columns`` of its key, and their values by its place in the validated table."""

    columns: list[str]
    by_row: dict[int, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What stands above such names."""
        return ", ".join(self.columns) or "Row"

    def of(self, row: int) -> str:
        """The row's key, or its place where it has none."""
        return self.by_row.get(row, str(row))


@dataclass(frozen=True)
class RunFiles:
    """All that the page is made of.

    ``families`` by name; ``alpha`` of ``promotion``; ``left_out`` by what could not be computed for the page, why;
    ``identity`` is the package's hash, ``dag`` the parsed ``dvc.yaml``; ``made_from``: how many rows the package was made
    from; ``approval``: whether a person has to approve a promotion.
    """

    problem: ProblemAbout
    alpha: float = 0.05
    validated: Validation | None = None
    features: Summary | None = None
    periods: Periods | None = None
    plan: Json | None = None
    leaks: Leaks | None = None
    families: dict[str, FamilyFiles] = field(default_factory=dict)
    choice: Choice | None = None
    metrics: Metrics | None = None
    curves: Curves | None = None
    confusion: Confusion | None = None
    slices: Slices | None = None
    rows: NotableRows | None = None
    explain: Explanation | None = None
    learning: Learning | None = None
    left_out: LeftOut | None = None
    verdict: Verdict | None = None
    drift: Drift | None = None
    receipt: Receipt | None = None
    bundle: Manifest | None = None
    identity: str | None = None
    dag: Json | None = None
    made_from: int | None = None
    approval: bool = False
    champion: ChampionFiles | None = None
    past: Past | None = None
    costs: Costs | None = None
    awaited: Awaited | None = None
    names: RowNames = field(default_factory=lambda: RowNames([]))
