"""``data/verdict/verdict.json``: what is decided about the challenger, with everything that it rests on.

And ``data/champion/promotion.json``: what the promotion policy remembers from one look to the next.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from tasks.artifacts._artifact import Artifact, Lasting, LastingArtifact, Number, Part
from tasks.artifacts.leaks import Suspicion

Word = Literal["promote", "keep", "inconclusive"]
TestFigure = str | Number | list[Number] | None
Figures = dict[str, TestFigure]  # of one test: name, statistic, p, and what else it says


class Contender(Lasting):
    """One of the two packages that are compared; ``version`` is the champion's alone."""

    version: str | None = None
    package_sha256: str
    family: str


class Accuracies(Part):
    """Shares of right decisions, and in words how these were taken."""

    challenger: float
    champion: float
    judged: str


class Discordance(Part):
    """Rows by who is right."""

    both_right: int
    challenger_alone: int
    champion_alone: int
    both_wrong: int


class AsServed(Part):
    """A model's decisions at its own threshold: share of right ones, and (two classes) of alarms."""

    accuracy: float
    positive_share: float | None = None


class BothServed(Part):
    """Both models' decisions as the service gives them."""

    challenger: AsServed
    champion: AsServed


class ComparedRows(Part):
    """How many test rows there are of each sort (:mod:`tasks.compare.unseen`)."""

    test: int
    unseen: int
    fresh: int
    new: int
    compared: int


class Evidence(Lasting):
    """The numbers that decide; nothing where no score was looked at.

    Attributes
    ----------
    p : against no model, where there is no champion; ``baseline`` what was reached without one.
    difference : challenger minus champion, in the metric's own direction; ``interval`` of 95%.
    rows_needed : rows after which a single test would show a difference, by the difference.
    level : of error that this look may spend; ``worse_level`` for the claim that the challenger is worse.
    """

    metric: str = ""
    decided_by: str = ""
    p: float | None = None
    challenger: float | None = None
    champion: float | None = None
    baseline: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    judged: str = ""
    accuracy: Accuracies | None = None
    table: Discordance | None = None
    as_served: BothServed | None = None
    better_rows: float | None = None
    rows_needed: dict[str, int] = Field(default_factory=dict)
    p_better: float | None = None
    p_worse: float | None = None
    look: int | None = None
    worse_level: float | None = None
    log_e_value: float | None = None
    confidence: float | None = None
    decisive: bool | None = None
    rows: ComparedRows | None = None


class GuardrailResult(Part):
    """What had to hold besides: its limit, what was found (None: not told), and both in words."""

    name: str
    limit: Number
    found: Number | None
    passed: bool
    said: str


class Sums(Part):
    """The bets so far: right and wrong answers as ``counts`` (challenger alone, champion alone, neither alone), or normal
    scores of p-values, added up. ``unit``: rows of the first part, by which later ones are weighed."""

    counts: list[int] | None = None
    better: float = 0.0
    worse: float = 0.0
    squares: float = 0.0
    unit: int = 0


class FirstBet(Part):
    """The p-values of a challenger's first look."""

    better: float
    worse: float


class ChallengerBets(Part):
    """Bets on one challenger that go on where it is compared again with this champion, on this claim.

    ``look``: its number, with the levels that it was given then.
    """

    look: int
    level: float
    worse_level: float
    first: FirstBet
    challenger: str
    champion: str
    claim: str
    sums: Sums


class LineBets(Part):
    """Bets on a line of challengers (``challenger`` None), compared with this champion on this claim for so many weeks."""

    challenger: None
    champion: str
    claim: str
    weeks: int
    sums: Sums


class PolicyState(Artifact):
    """What the policy must remember.

    Attributes
    ----------
    looks : how many challengers have been judged.
    promoted, candidates : the numbers of the looks that promoted, or had p <= 0.5.
    counted_until : (only after an upgrade) the newest row that format 1 had counted.

    What others put beside these is kept.
    """

    NAME: ClassVar[str] = "promotion.json"
    model_config = ConfigDict(extra="allow")

    format: Literal[2]
    looks: int
    promoted: list[int]
    candidates: list[int]
    process: ChallengerBets | LineBets | None  # that go on
    counted_until: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_format_1(cls, value: JsonValue) -> JsonValue:
        """Format 1 kept its bets by other sums, so they are closed; looks, promotions and candidates go on counting."""
        if not isinstance(value, dict) or value.get("format") != 1:
            return value
        found = {"promoted": [], "candidates": [], **value, "format": 2, "process": None}
        until = found.pop("seen_until", None)
        return found if until is None else {**found, "counted_until": until}

    def without(self, look: int | None) -> PolicyState:
        """The same, where a look earned no promotion after all."""
        return self.model_copy(update={"promoted": [k for k in self.promoted if k != look]})


class RowTimes(Artifact):
    """Milliseconds that single rows took, sorted, where a guardrail limits them; they differ from run to run."""

    NAME: ClassVar[str] = "timing.json"

    row_ms: list[float]


class Verdict(LastingArtifact):
    """What is decided, and why.

    Attributes
    ----------
    rule : by which it was decided; ``policy`` as ``params.yaml`` had it.
    n : rows compared. tests : figures by test.
    why, warnings : further sentences. suspicions, accepted : leaks, open and accepted ones.
    """

    NAME: ClassVar[str] = "verdict.json"
    verdict: Word
    sentence: str
    rule: str = ""
    champion: Contender | None = None
    challenger: Contender | None = None
    n: int | None = None
    tests: dict[str, Figures] = Field(default_factory=dict)
    evidence: Evidence = Field(default_factory=Evidence)
    why: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    guardrails: list[GuardrailResult] = Field(default_factory=list)
    policy: dict[str, JsonValue] = Field(default_factory=dict)
    state: PolicyState | None = None
    suspicions: list[Suspicion] = Field(default_factory=list)
    accepted: list[Suspicion] = Field(default_factory=list)
