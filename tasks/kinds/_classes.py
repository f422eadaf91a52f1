"""What problems of classes have in common, two or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import RefitError, some
from tasks.kinds._kind import Decided, Kind, Target

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pydantic import JsonValue

    from tasks.artifacts import Curves
    from tasks.kinds._kind import Column, Label

PER_CLASS = 3  # train, validate and test each need one
TINY = 1e-9
SHARE: dict[str, JsonValue] = {"type": "number", "minimum": 0, "maximum": 1}


class Classes(Kind):
    """Rows belong to classes, and scores are their probabilities."""

    loss: ClassVar[str] = "log"
    calibrated: ClassVar[bool] = True
    balanced: ClassVar[bool] = True
    constant_name: ClassVar[str] = "class shares of the training rows"
    unit: ClassVar[str] = "probability"
    margin_unit: ClassVar[str] = "log-odds"
    mean_answer: ClassVar[str] = "mean probability"
    worst: ClassVar[str] = "Worst rows: the least probability for what was true."
    glossary: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Discordant pairs", "Rows that only one of the two models gets right. McNemar's test looks at these alone."),
    )

    def check(self, labels: pd.Series, where: str) -> None:
        import pandas as pd

        counts = labels.value_counts()
        classes = counts.index.tolist()
        if len(counts) == 1:
            raise RefitError(
                f"{where} has only the class {classes[0]!r} in all {len(labels)} rows; "
                "a model needs at least two. Choose another column, or bring rows of other classes."
            )
        if len(counts) > len(labels) / 2:
            number = pd.api.types.is_numeric_dtype(labels)
            raise RefitError(
                f"{where} has {len(counts)} different values in {len(labels)} rows, so most would be alone in their class. "
                + ("For a quantity set problem.kind: regression." if number else "Choose a column whose values repeat.")
            )
        self._check_count(classes, where)
        rare = counts[counts < PER_CLASS].index.tolist()
        if rare:
            raise RefitError(
                f"{where}: fewer than {PER_CLASS} rows of class {some(rare, 5)}; a class needs one in each of training, "
                "validation and test. Leave these rows out, join rare classes, or bring more rows."
            )

    def _check_count(self, classes: list[Label], where: str) -> None:
        """Refuse more classes than the kind has."""

    def read(self, values: pd.Series, target: Target) -> tuple[np.ndarray, list[str]]:
        import numpy as np

        from tasks.values.levels import level

        labels = values.dropna().unique()
        ordered = sorted(labels, key=lambda v: (isinstance(v, str), v))
        classes = [level(v) or str(v) for v in ordered]
        if len(classes) < 2:
            raise RefitError(
                f"target {target.name!r} has one class only ({some(classes)}) among {int(values.notna().sum())} labelled "
                "rows; there is nothing to tell apart. Check problem.target and data.as_of"
            )
        if self._turned(classes, target):
            classes, ordered = classes[::-1], ordered[::-1]
        index = {v: i for i, v in enumerate(ordered)}
        return values.map(index).to_numpy(dtype=np.float64, na_value=np.nan), classes

    def _turned(self, classes: list[str], target: Target) -> bool:
        """Whether classes stand in the other order."""
        return False

    def check_train(self, y: np.ndarray, classes: tuple[str, ...], target: str) -> None:
        import numpy as np

        if len(classes) > len(y):
            raise RefitError(
                f"problem.target: {target!r} has {len(classes)} classes and {len(y)} training rows; "
                "is it a number? Then set problem.kind: regression"
            )
        counts = np.bincount(y.astype(int), minlength=len(classes))
        if (counts > 0).sum() < 2:
            only = classes[int(counts.argmax())]
            raise RefitError(f"problem.target: {target!r} has one class, {only!r}, in all training rows")
        absent = [c for c, n in zip(classes, counts, strict=True) if n == 0]
        if absent:
            raise RefitError(
                f"problem.target: the classes {some(absent)} have no training row; "
                "drop their rows, join them with another class, or give the train split more"
            )

    def check_scores(self, scores: np.ndarray, where: str, remedy: str) -> None:
        import numpy as np

        off = (scores < 0).any(axis=1) | (np.abs(scores.sum(axis=1) - 1) > 1e-6)
        if off.any():
            raise RefitError(f"{where}: {int(off.sum()):,} rows are no probabilities (0 to 1, summing to 1). {remedy}")

    def decide(self, scores: np.ndarray, threshold: float | None) -> np.ndarray:
        return scores.argmax(axis=1).astype(float)

    def label(self, decision: float, classes: tuple[str, ...]) -> str | float:
        return classes[int(decision)]

    def answer(
        self, scores: tuple[float, ...] | list[float], decision: str | float, classes: tuple[str, ...]
    ) -> dict[str, JsonValue]:
        return {"probabilities": dict(zip(classes, scores, strict=True)), "decision": decision}

    def answer_schema(self, classes: tuple[str, ...]) -> dict[str, JsonValue]:
        each: dict[str, JsonValue] = {"type": "object", "required": list(classes), "additionalProperties": SHARE}
        return {"probabilities": each, "decision": {"type": "string", "enum": list(classes)}}

    def answer_columns(
        self, scores: np.ndarray, threshold: float | None, classes: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        import numpy as np

        decided = self.decide(scores, threshold).astype(int)
        return self._probabilities(scores, classes) | {"decision": np.array(classes, dtype=object)[decided]}

    def _probabilities(self, scores: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        return {f"probabilities.{c}": scores[:, i] for i, c in enumerate(classes)}

    def constant(self, y_train: np.ndarray, classes: int, n: int) -> np.ndarray:
        import numpy as np

        shares = np.bincount(y_train.astype(np.int64), minlength=classes) / len(y_train)
        return np.tile(shares, (n, 1))

    def row_loss(self, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        import numpy as np

        picked = scores[np.arange(len(y)), y.astype(int)]
        return np.asarray(-np.log(np.clip(picked, TINY, 1.0)))

    def decided(self, challenger: np.ndarray, champion: np.ndarray, thresholds: tuple[float, float]) -> Decided:
        one, two = (self.decide(scores, None) for scores in (challenger, champion))
        return Decided(one, two, "the most probable class")

    def miscalibration(self, y: np.ndarray, scores: np.ndarray) -> float:
        """The expected calibration error."""
        from tasks.metrics.classification import ece

        return ece(y, scores)

    def slice_losses(
        self, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, decided: Decided | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """1 where the decision is wrong."""
        assert decided is not None
        return (decided.challenger != y).astype(float), (decided.champion != y).astype(float)

    def curves(self, y: np.ndarray, scores: np.ndarray, classes: list[str], cost: tuple[float, float]) -> Curves:
        """One curve a class, that class against the others."""
        from tasks.artifacts import Curves
        from tasks.metrics.curves import calibration, precision_recall, roc

        parts = {name: ((y == k).astype(float), scores[:, k]) for k, name in enumerate(classes)}
        parts = {name: part for name, part in parts.items() if 0 < part[0].sum() < len(y)}
        return Curves(
            roc={name: roc(*part) for name, part in parts.items()},
            precision_recall={name: precision_recall(*part) for name, part in parts.items()},
            calibration={name: calibration(*part) for name, part in parts.items()},
        )

    def adds_up(self, unit: str) -> str:
        if unit == self.unit:
            return "The parts of a row add up to the probability that the model answers."
        return (
            "The parts of a row add up to a class's logarithm of probability, up to a constant of the row (before the "
            "softmax); probabilities themselves do not add up so."
        )

    def mean_target(self, target: str, classes: list[str]) -> tuple[str, bool] | None:
        return None

    def shown(self, scores: Sequence[float], classes: list[str]) -> tuple[float, int | None]:
        top = max(range(len(scores)), key=lambda k: scores[k])
        return scores[top], top

    def drifting(self, scores: np.ndarray, classes: tuple[str, ...]) -> Column:
        import pandas as pd

        return pd.array([classes[i] for i in scores.argmax(axis=1)], dtype="str")

    def drift_means(self, columns: tuple[pd.Series, pd.Series], threshold: float | None) -> dict[str, list[float]]:
        return {}
