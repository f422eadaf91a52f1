"""Yes or no: one of two classes, of which the second, the positive one, is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import RefitError, nearest, some
from tasks.kinds._classes import SHARE, Classes
from tasks.kinds._kind import Decided, Target, Training
from tasks.kinds._output import TWO, Output, or_half

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pydantic import JsonValue

    from tasks.artifacts import Curves
    from tasks.kinds._kind import Column, Label


class Binary(Classes):
    """The answer is the positive class's probability, the decision whether it reaches a threshold."""

    name: ClassVar[str] = "binary"
    output: ClassVar[Output] = TWO
    usual: ClassVar[bool] = True
    positive: ClassVar[int | None] = 1
    metrics: ClassVar[tuple[str, ...]] = (
        "roc_auc", "average_precision", "log_loss", "brier", "ece", "accuracy", "balanced_accuracy", "precision", "recall",
        "specificity", "f1", "mcc",
    )  # fmt: skip
    decisive: ClassVar[tuple[str, ...]] = ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1")
    glossary: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Threshold", "The probability from which on a row is called positive; chosen on the validation rows."),
        *Classes.glossary,
    )

    def _check_count(self, classes: list[Label], where: str) -> None:
        if len(classes) > 2:
            raise RefitError(
                f"{where} has {len(classes)} classes ({some(classes, 5)}), and problem.kind is 'binary'. "
                "Set kind: multiclass, or compare a number by problem.target.above."
            )

    def _turned(self, classes: list[str], target: Target) -> bool:
        if len(classes) > 2:
            raise RefitError(
                f"problem.kind: binary, but target {target.name!r} has {len(classes)} classes: {some(classes)}. Set kind: multiclass"
            )
        return classes[1] != self._positive(classes, target)

    def _positive(self, classes: list[str], target: Target) -> str:
        """The class that counts as 1: the one declared, else the one whose name says so, else the later one.

        Not the rarer one: that may be another one next week, and the model would predict the opposite. ``refit init``
        looks at the counts once, and writes ``positive``.
        """
        from tasks.values.classes import by_name, named

        written = target.positive
        if written is None:
            return by_name(classes) or classes[1]
        found = named(written, classes)
        if found is None:
            raise RefitError(
                f"problem.target.positive: {written!r} is not one of {some(classes)}." + nearest(written, classes)
            )
        return found

    def remark(self, classes: list[str], target: Target) -> str:
        """Which class is the positive one and why, where nobody said."""
        from tasks.values.classes import by_name

        if target.positive is not None or target.above is not None or target.made in ("any", "none"):
            return ""
        why = "by its name" if by_name(classes) else "the later one in order; their names do not say which is"
        return (
            f"{classes[1]!r} is the positive class ({why}); "
            f"problem.target.positive: {classes[0]!r} would choose the other"
        )

    def threshold(self, scores: np.ndarray, y: np.ndarray, training: Training) -> float | None:
        """As ``training.threshold`` asks."""
        from tasks.metrics.thresholds import best_threshold

        return best_threshold(training.threshold, y, scores[:, 1], training.cost, training.precision)

    def decide(self, scores: np.ndarray, threshold: float | None) -> np.ndarray:
        """0 or 1 (n,): whether the positive class's probability reaches the threshold (None: a half)."""
        return (scores[:, 1] >= or_half(threshold)).astype(float)

    def answer(
        self, scores: tuple[float, ...] | list[float], decision: str | float, classes: tuple[str, ...]
    ) -> dict[str, JsonValue]:
        return {"probability": scores[1], "decision": decision}

    def fixed(self, threshold: float | None) -> dict[str, JsonValue]:
        """The threshold."""
        return {"threshold": threshold}

    def answer_schema(self, classes: tuple[str, ...]) -> dict[str, JsonValue]:
        """Probability, decision and threshold."""
        probability = {**SHARE, "description": f"of class {classes[1]!r}"}
        return {"probability": probability, "decision": {"type": "string", "enum": list(classes)}, "threshold": SHARE}

    def _probabilities(self, scores: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        return {"probability": scores[:, 1]}

    def decided(self, challenger: np.ndarray, champion: np.ndarray, thresholds: tuple[float, float]) -> Decided:
        """Where thresholds were tuned (not both at 0.5), at equal numbers of alarms: the champion's threshold sets the
        number, and the challenger raises its alarm on as many rows, those it scores highest. Otherwise moving a threshold
        alone, without knowing anything better, would look like a gain in accuracy. The labels play no part in it.
        """
        mine, theirs = challenger[:, 1], champion[:, 1]
        said = theirs >= thresholds[1]
        if thresholds == (0.5, 0.5):
            how = "both models at threshold 0.5"
            return Decided((mine >= 0.5).astype(float), said.astype(float), how)
        how = f"both models raise {int(said.sum()):,} alarms on these rows, as the champion's threshold does"
        return Decided(self.alike(challenger, champion, thresholds[1]), said.astype(float), how, equal=True)

    def alike(self, scores: np.ndarray, leading: np.ndarray, threshold: float | None) -> np.ndarray:
        """As many alarms as the leading one raises, on the rows with the highest scores."""
        import numpy as np

        alarms = int(self.decide(leading, threshold).sum())
        said = np.zeros(len(scores))
        said[np.argsort(-scores[:, 1], kind="stable")[:alarms]] = 1.0
        return said

    def curves(self, y: np.ndarray, scores: np.ndarray, classes: list[str], cost: tuple[float, float]) -> Curves:
        """ROC, precision–recall, calibration, thresholds, and the scores by class."""
        from tasks.artifacts import Curves, ScoresByTruth
        from tasks.metrics.curves import calibration, histogram, precision_recall, roc, thresholds

        p = scores[:, 1]
        return Curves(
            roc=roc(y, p),
            precision_recall=precision_recall(y, p),
            calibration=calibration(y, p),
            threshold=thresholds(y, p, cost),
            scores=ScoresByTruth(
                negative=histogram(p[y == 0], limits=(0, 1)),
                positive=histogram(p[y == 1], limits=(0, 1)),
            ),
        )

    def adds_up(self, unit: str) -> str:
        """In log-odds, where they are the unit."""
        if unit == self.unit:
            return super().adds_up(unit)
        return (
            "The parts of a row add up to log-odds, the logarithm of p / (1 − p); 0 is a probability of one half, and "
            "probabilities themselves do not add up so."
        )

    def mean_target(self, target: str, classes: list[str]) -> tuple[str, bool] | None:
        """The share of the positive class."""
        return f"share of {target} = {classes[-1]}", True

    def shown(self, scores: Sequence[float], classes: list[str]) -> tuple[float, int | None]:
        """The positive class's probability."""
        return scores[1], 1

    def drifting(self, scores: np.ndarray, classes: tuple[str, ...]) -> Column:
        """The positive class's probabilities."""
        return scores[:, 1]

    def drift_means(self, columns: tuple[pd.Series, pd.Series], threshold: float | None) -> dict[str, list[float]]:
        """The mean probability, and the share at or above the threshold."""
        shares = {} if threshold is None else {"positive_rate": [float((c >= threshold).mean()) for c in columns]}
        return {**shares, "mean": [float(c.mean()) for c in columns]}


KIND = Binary()
