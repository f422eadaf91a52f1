"""``data/evaluation``: values for the report's pages, which decide nothing. What could not be computed is left out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AliasChoices, Field, JsonValue

from tasks.artifacts._artifact import Artifact, Number, Part

Value = str | Number | None  # of a feature; None: missing


class Roc(Part):
    """False and true positive rates, and the threshold of each point."""

    fpr: list[float]
    tpr: list[float]
    threshold: list[float]


class PrecisionRecall(Part):
    """Precision and recall by threshold; ``prevalence`` is the share of positives."""

    recall: list[float]
    precision: list[float]
    threshold: list[float]
    prevalence: float


class Reliability(Part):
    """What was said and what happened, by groups of equal size; ``slope`` and ``intercept`` as ``[value, low, high]``."""

    predicted: list[float]
    observed: list[float]
    low: list[float]
    high: list[float]
    rows: list[int]
    slope: list[float] | None = None
    intercept: list[float] | None = None


class Thresholds(Part):
    """What each threshold would do; ``cost`` is the mean cost of a row."""

    threshold: list[float]
    precision: list[float]
    recall: list[float]
    f1: list[float]
    cost: list[float]


class Histogram(Part):
    """Counts in bins: one more edge than counts."""

    edges: list[float]
    counts: list[int]


class ScoresByTruth(Part):
    """Scores of the rows of either class."""

    negative: Histogram
    positive: Histogram


class NormalQuantiles(Part):
    """Residuals by the normal quantiles of their ranks."""

    normal: list[float]
    residual: list[float]


class Residuals(Part):
    """Truth minus prediction, by prediction."""

    predicted: list[float]
    residual: list[float]
    histogram: Histogram
    qq: NormalQuantiles


class Picture(Part):
    """A picture that a kind of problem brings itself: points, with the name of each axis."""

    title: str
    caption: str
    x: tuple[str, list[Number]]
    y: tuple[str, list[Number]]


class Curves(Artifact):
    """Points of the curves that a kind of problem brings: of its positive class, or by class; or of numbers."""

    NAME: ClassVar[str] = "curves.json"

    roc: Roc | dict[str, Roc] = Field(default_factory=dict)
    precision_recall: PrecisionRecall | dict[str, PrecisionRecall] = Field(default_factory=dict)
    calibration: Reliability | dict[str, Reliability] = Field(default_factory=dict)
    threshold: Thresholds | None = None
    scores: ScoresByTruth | None = None
    residuals: Residuals | None = None
    own: list[Picture] = Field(default_factory=list)


class Confusion(Artifact):
    """Rows by true class (lists) and decision (within them)."""

    NAME: ClassVar[str] = "confusion.json"

    classes: list[str]
    counts: list[list[int]]


class SliceResult(Part):
    """One part of the test rows, in numbers (:func:`tasks.evaluate.slices.describe`), and how it was judged.

    Attributes
    ----------
    promised : the loss that right probabilities have. number : of the class that it is about. r2 : within the part.
    where : value or band, by feature. fault : ``level`` or ``skill``; direction : ``worse`` or ``better``.
    p : None where it was not tested; ``p_holm`` corrected for all tests of its list.
    """

    rows: int
    share: float
    metric: float | None
    predicted: float
    observed: float
    loss: float
    loss_elsewhere: float | None
    promised: float | None = None
    promised_elsewhere: float | None = None
    skill: float | None
    skill_elsewhere: float | None
    number: int | None = Field(
        default=None, validation_alias=AliasChoices("class", "number"), serialization_alias="class"
    )
    accuracy: float | None = None
    r2: float | None = None
    where: dict[str, str] = Field(default_factory=dict)
    fault: str | None = None
    direction: str | None = None
    p: float | None = None
    p_holm: float | None = None


class Slices(Artifact):
    """Declared parts of the test rows, and weak ones that were found."""

    NAME: ClassVar[str] = "slices.json"

    metric: str
    classes: list[str]
    declared: list[SliceResult]
    weak: list[SliceResult]


class NotableRow(Part):
    """One row worth a look: its place in the validated table, the truth (None of a problem without a target), the score or
    scores, and its features."""

    row: int
    truth: str | Number | None
    score: float | list[float]
    features: dict[str, Value]


class NotableRows(Artifact):
    """Rows that the model got most wrong, and (of classes) those it was least certain about."""

    NAME: ClassVar[str] = "rows.json"

    worst: list[NotableRow]
    least_certain: list[NotableRow] = Field(default_factory=list)


class ShapError(Part):
    """How far off single contributions may be: ``exact``, or ``sampled`` with standard errors in the unit.

    ``stated`` and ``within``: the error that was aimed at, as a share of the answers' ``spread``, and the share of rows
    that reached it. ``walks``: fewest and most.
    """

    kind: str
    stated: float | None = None
    spread: float | None = None
    largest: float | None = None
    typical: float | None = None
    within: float | None = None
    walks: list[int] = Field(default_factory=list)
    background: int | None = None
    predictions: int | None = None


class FeatureValues(Part):
    """A feature's values of the shown rows, and their contributions."""

    feature: str
    value: list[Value]
    shap: list[float]


class Contribution(Part):
    """What one feature's value adds to a row's answer, and its standard error."""

    feature: str
    value: Value
    shap: float
    error: float | None = None


class ExplainedRow(Part):
    """One row taken apart, for the ``output`` that it raises most: ``base`` and all contributions add up to ``total``."""

    row: int
    output: int
    base: float
    total: float
    answer: float | None = None
    contributions: list[Contribution]
    others: float


class PartialDependence(Part):
    """Mean answer by one feature's value, a list an output."""

    feature: str
    values: list[Value]
    mean: list[list[float]]


class Surface(Part):
    """Scores over two numeric features."""

    features: list[str]
    x: list[float]
    y: list[float]
    score: list[list[float]]


class Explanation(Artifact):
    """Why the chosen model says what it says (:func:`tasks.evaluate.explain.explain`)."""

    NAME: ClassVar[str] = "explain.json"

    method: str
    explainer: str
    unit: str
    rows_explained: int
    base: list[float]
    space: str
    error: ShapError
    importance: dict[str, float]
    importance_error: dict[str, float | None] = Field(default_factory=dict)
    summary: list[FeatureValues]
    rows: list[ExplainedRow]
    partial_dependence: list[PartialDependence]
    surface: Surface | None


class Figure(Part):
    """A metric's value on ``rows`` rows, and its standard error."""

    value: float
    error: float
    rows: int


class FitDiagnosis(Part):
    """Bias and variance: which of them is the trouble (``kind``), the figures, and sentences."""

    kind: str
    metric: str
    train: Figure
    valid: Figure
    test: Figure
    baseline: float
    said: list[str]


class CurvePoint(Part):
    """The metric when fitted on ``rows`` rows, what that gained on the point before, and the gain's standard error."""

    rows: int
    train: float | None
    valid: float
    gain: float | None = None
    gain_error: float | None = None


class LearningCurve(Part):
    """The validation metric by training rows; ``fitted`` is the family that was fitted, ``newest``: the newest rows were."""

    family: str
    fitted: str
    metric: str
    points: list[CurvePoint]
    rows: int
    newest: bool


class LossCurve(Part):
    """A loss by step, from 1."""

    step: list[int]
    value: list[Number | None]


class TriedValue(Part):
    """A parameter's value in one trial, and what the trial reached."""

    value: JsonValue
    metric: Number


class Learning(Artifact):
    """What limits the chosen model; loss curves and what each trial reached, by family."""

    NAME: ClassVar[str] = "learning.json"

    diagnosis: FitDiagnosis | None
    learning_curve: LearningCurve
    loss: dict[str, dict[str, LossCurve]]
    validation_curves: dict[str, dict[str, list[TriedValue]]]


class LeftOut(Artifact):
    """Why some of these could not be computed."""

    NAME: ClassVar[str] = "left_out.json"

    rows: str | None = None
    curves: str | None = None
    slices: str | None = None
    confusion: str | None = None
    learning: str | None = None
    explain: str | None = None
