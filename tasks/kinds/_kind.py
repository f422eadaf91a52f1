"""What a kind of problem answers for: its target, scores, decisions, answers, comparison, and its part of the report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from tasks.kinds._metric import Metric
from tasks.kinds._output import Output

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pydantic import JsonValue

    from tasks.artifacts import Curves
    from tasks.kinds._difference import Difference

    Column = np.ndarray | pd.api.extensions.ExtensionArray  # of numbers, or of text
    Label = str | float | bool


USUAL_LOSSES = ("log", "squared")  # that every family can be fitted by, where its OUTPUTS have a use for them


class Target(Protocol):
    """What a kind reads of ``problem.target``."""

    @property
    def name(self) -> str: ...
    @property
    def positive(self) -> str | None: ...
    @property
    def above(self) -> float | None: ...
    @property
    def made(self) -> str | None: ...


class Training(Protocol):
    """What a kind reads of ``training``."""

    @property
    def threshold(self) -> str: ...
    @property
    def cost(self) -> tuple[float, float]: ...
    @property
    def precision(self) -> float: ...


@dataclass(frozen=True)
class Decided:
    """Both models' decisions on the same rows, as class indexes (n,), and how they were taken, in words.

    ``equal``: both models were made to raise as many alarms.
    """

    challenger: np.ndarray
    champion: np.ndarray
    how: str
    equal: bool = False


class Kind(ABC):
    """One kind of problem. A module of this package holds one, as ``KIND``.

    Arrays: ``y`` float64 (n,), class indexes or numbers; ``scores`` (n, classes) or (n,), see :class:`Output`.
    Without a target ``y`` is NaN in every row, and losses, metrics and pictures come from the scores alone.

    Attributes
    ----------
    name : as ``problem.kind`` says it: the module's name.
    targeted : whether ``problem.target`` is needed; where it is not, there must be none. Then nothing is looked for that is
        about labels (leaks, slices, drift of the target), and :meth:`check`, :meth:`read` and :meth:`check_train` are not
        asked.
    output : what a model gives for a row.
    loss : what a family has to be able to fit it by (its ``LOSSES``).
    metrics : names of all its metrics, in the order in which they are shown; ``decisive`` those that ``problem.metric``
        may be, the default first; ``own_metrics`` those that the common table lacks.
    usual : whether a problem of this output is of this kind, where no more is known of it.
    positive : index of the class whose probability is asked for, and which a threshold decides; None where there is none.
    calibrated, balanced : whether ``training.calibration`` and ``training.imbalance`` have a meaning for it.
    splits, tuning_splits : what ``split.kind`` and ``tuning.split`` may be.
    constant_name : the answer that needs no model, in words.
    unit, margin_unit, mean_answer, worst : for the report: what answers, and the margins that models add up, are measured
        in, what a mean answer is called, and the caption of the worst rows.
    glossary : terms that only such a report uses.
    """

    name: ClassVar[str]
    targeted: ClassVar[bool] = True
    output: ClassVar[Output]
    loss: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    decisive: ClassVar[tuple[str, ...]]
    own_metrics: ClassVar[tuple[Metric, ...]] = ()
    usual: ClassVar[bool] = False
    positive: ClassVar[int | None] = None
    calibrated: ClassVar[bool] = False
    balanced: ClassVar[bool] = False
    splits: ClassVar[tuple[str, ...]] = ("random", "time")
    tuning_splits: ClassVar[tuple[str, ...]] = ("holdout", "kfold", "stratified", "group", "time_series")
    constant_name: ClassVar[str]
    unit: ClassVar[str]
    margin_unit: ClassVar[str]
    mean_answer: ClassVar[str]
    worst: ClassVar[str]
    glossary: ClassVar[tuple[tuple[str, str], ...]] = ()

    # The target ----------------------------------------------------------------------------------------------
    @abstractmethod
    def check(self, labels: pd.Series, where: str) -> None:
        """Refuse labels (none missing) that no model can learn; ``where`` begins each message.

        Raises
        ------
        RefitError
            If they are constant, or no target of this kind.
        """

    @abstractmethod
    def read(self, values: pd.Series, target: Target) -> tuple[np.ndarray, list[str]]:
        """The target as float64 (n,), NaN where missing, and the names of its classes (none of a number).

        Raises
        ------
        RefitError
            As :meth:`check`.
        """

    def remark(self, classes: list[str], target: Target) -> str:
        """What was decided about the target that ``params.yaml`` does not say; empty where nothing was."""
        return ""

    @abstractmethod
    def check_train(self, y: np.ndarray, classes: tuple[str, ...], target: str) -> None:
        """Refuse training rows from which nothing can be learnt."""

    # Scores and decisions ------------------------------------------------------------------------------------
    @abstractmethod
    def check_scores(self, scores: np.ndarray, where: str, remedy: str) -> None:
        """Refuse finite scores (n, k) that cannot be this kind's."""

    def threshold(self, scores: np.ndarray, y: np.ndarray, training: Training) -> float | None:
        """The decision threshold by ``training.threshold``, from validation rows; None where there is none."""
        return None

    @abstractmethod
    def decide(self, scores: np.ndarray, threshold: float | None) -> np.ndarray:
        """Decisions as float64 (n,), as in ``__target__``: a class's index, or the number."""

    @abstractmethod
    def label(self, decision: float, classes: tuple[str, ...]) -> str | float:
        """A decision as people write it: the class's name, or the number."""

    # Answers -------------------------------------------------------------------------------------------------
    @abstractmethod
    def answer(
        self, scores: tuple[float, ...] | list[float], decision: str | float, classes: tuple[str, ...]
    ) -> dict[str, JsonValue]:
        """The part of one row's answer, as JSON, that differs from row to row; ``decision`` as :meth:`label` gives it."""

    def fixed(self, threshold: float | None) -> dict[str, JsonValue]:
        """The part of every answer that is the same for all rows."""
        return {}

    @abstractmethod
    def answer_schema(self, classes: tuple[str, ...]) -> dict[str, JsonValue]:
        """JSON Schema of :meth:`answer` and :meth:`fixed`, by property."""

    @abstractmethod
    def answer_columns(
        self, scores: np.ndarray, threshold: float | None, classes: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """:meth:`answer` of many rows as columns, from ``scores`` (n, k)."""

    def answered(self, threshold: float | None, classes: tuple[str, ...]) -> dict[str, type]:
        """The columns that answers to many rows have (:meth:`answer_columns` and :meth:`fixed`), and what each holds."""
        import numpy as np

        scores = self.constant(np.zeros(1), len(classes), 1).reshape(1, -1)
        columns = self.answer_columns(scores, threshold, classes)
        own: dict[str, type] = {name: str if values.dtype == object else float for name, values in columns.items()}
        return own | dict.fromkeys(self.fixed(threshold), float)

    # Without a model, and what is lost -----------------------------------------------------------------------
    @abstractmethod
    def constant(self, y_train: np.ndarray, classes: int, n: int) -> np.ndarray:
        """The scores of ``n`` rows that need no model."""

    @abstractmethod
    def row_loss(self, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The loss (n,) of each row by which models are mixed; smaller is better."""

    def strata(self, y: np.ndarray, parts: int) -> np.ndarray:
        """A stratum's number (n,) a row, over which folds are even, where there are ``parts`` of them."""
        return y

    # Two models on the same rows -----------------------------------------------------------------------------
    def difference(
        self, metric: str, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, margin: float
    ) -> Difference | None:
        """How two models' scores of the same rows differ by ``metric``, and how that is tested.

        ``margin``: how much worse is still acceptable, in the metric's unit, for losses a share of the champion's.
        None: in the usual way, by each row's part in the metric or by right and wrong decisions
        (:mod:`tasks.compare.usual`).
        """
        return None

    def decided(self, challenger: np.ndarray, champion: np.ndarray, thresholds: tuple[float, float]) -> Decided | None:
        """Both models' decisions, taken so that they can be compared; None where answers are no decisions."""
        return None

    def alike(self, scores: np.ndarray, leading: np.ndarray, threshold: float | None) -> np.ndarray:
        """A candidate's decisions (n,) as :meth:`decided` takes them beside the ``leading`` one's at its threshold."""
        return self.decide(scores, threshold)

    @abstractmethod
    def miscalibration(self, y: np.ndarray, scores: np.ndarray) -> float:
        """How far scores are off in the mean, as a share: what ``promotion.guardrails.calibration`` limits."""

    @abstractmethod
    def slice_losses(
        self, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, decided: Decided | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both models' losses (n,), by which they are held against each other in slices."""

    # The report, and what drifts -----------------------------------------------------------------------------
    @abstractmethod
    def curves(self, y: np.ndarray, scores: np.ndarray, classes: list[str], cost: tuple[float, float]) -> Curves:
        """Points of its curves, of which the report draws ``roc``, ``precision_recall``, ``calibration``, ``threshold``,
        ``scores`` and ``residuals``; and ``own``, any other pictures.
        """

    @abstractmethod
    def adds_up(self, unit: str) -> str:
        """In which space SHAP values of ``unit`` add up, in a sentence."""

    def mean_target(self, target: str, classes: list[str]) -> tuple[str, bool] | None:
        """What a mean of the target is called, and whether it is a share; None where it means nothing."""
        return f"mean of {target}", False

    def shown(self, scores: Sequence[float], classes: list[str]) -> tuple[float, int | None]:
        """Of one row's scores the one that is shown, and the index of its class (None: of a number)."""
        return scores[0], None

    @abstractmethod
    def drifting(self, scores: np.ndarray, classes: tuple[str, ...]) -> Column:
        """The answers as one column (n,): of float64, or of text."""

    def drift_means(self, columns: tuple[pd.Series, pd.Series], threshold: float | None) -> Mapping[str, list[float]]:
        """Means of the reference's and the new answers (as :meth:`drifting` gives them), by what they are means of."""
        return {"mean": [float(side.mean()) for side in columns]}
