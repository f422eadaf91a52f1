"""What problems of one number a row have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tasks.errors import RefitError, some
from tasks.kinds._kind import Decided, Kind, Target
from tasks.kinds._output import NUMBER, Output

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pydantic import JsonValue

    from tasks.artifacts import Curves
    from tasks.kinds._kind import Column


class Numbers(Kind):
    """A model answers a number, and the answer is that number."""

    output: ClassVar[Output] = NUMBER
    loss: ClassVar[str] = "squared"
    constant_name: ClassVar[str] = "mean of the training rows"
    unit: ClassVar[str] = "the target's unit"
    margin_unit: ClassVar[str] = "the target's unit"
    mean_answer: ClassVar[str] = "mean prediction"
    worst: ClassVar[str] = "Worst rows: the largest errors."

    def check(self, labels: pd.Series, where: str) -> None:
        import pandas as pd

        if not pd.api.types.is_numeric_dtype(labels):
            raise RefitError(
                f"{where} holds text such as {some(labels.unique()[:3])}, and problem.kind is {self.name!r}. "
                "Declare the column numeric, or set kind: multiclass."
            )
        if labels.nunique() == 1:
            raise RefitError(
                f"{where} is {labels.iloc[0]:g} in every row; a constant needs no model. Choose another column."
            )

    def read(self, values: pd.Series, target: Target) -> tuple[np.ndarray, list[str]]:
        import numpy as np

        try:
            y = values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise RefitError(
                f"problem.kind: {self.name} needs a numeric target, and {target.name!r} holds {some(values[:3])}"
            ) from None
        if np.isinf(y).any():
            raise RefitError(f"target {target.name!r} is infinite in rows {some(np.flatnonzero(np.isinf(y)).tolist())}")
        return y, []

    def check_train(self, y: np.ndarray, classes: tuple[str, ...], target: str) -> None:
        import numpy as np

        if np.ptp(y) == 0:
            raise RefitError(f"problem.target: {target!r} has one value, {y[0]:g}, in all training rows")

    def check_scores(self, scores: np.ndarray, where: str, remedy: str) -> None:
        """Every finite number is one."""

    def decide(self, scores: np.ndarray, threshold: float | None) -> np.ndarray:
        return scores

    def label(self, decision: float, classes: tuple[str, ...]) -> str | float:
        return float(decision)

    def answer(
        self, scores: tuple[float, ...] | list[float], decision: str | float, classes: tuple[str, ...]
    ) -> dict[str, JsonValue]:
        return {"prediction": scores[0]}

    def answer_schema(self, classes: tuple[str, ...]) -> dict[str, JsonValue]:
        return {"prediction": {"type": "number"}}

    def answer_columns(
        self, scores: np.ndarray, threshold: float | None, classes: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        return {"prediction": scores[:, 0]}

    def constant(self, y_train: np.ndarray, classes: int, n: int) -> np.ndarray:
        import numpy as np

        return np.full(n, y_train.mean())

    def row_loss(self, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return (scores - y) ** 2

    def strata(self, y: np.ndarray, parts: int) -> np.ndarray:
        """Quantiles of the target."""
        import numpy as np
        import pandas as pd

        return np.asarray(pd.qcut(pd.Series(y).rank(method="first"), min(10, len(y) // parts), labels=False).to_numpy())

    def miscalibration(self, y: np.ndarray, scores: np.ndarray) -> float:
        """The absolute bias, as a share of the target's spread."""
        return abs(float((scores - y).mean())) / (float(y.std()) or 1.0)

    def slice_losses(
        self, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, decided: Decided | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Absolute errors."""
        import numpy as np

        return np.abs(challenger - y), np.abs(champion - y)

    def curves(self, y: np.ndarray, scores: np.ndarray, classes: list[str], cost: tuple[float, float]) -> Curves:
        from tasks.artifacts import Curves
        from tasks.metrics.curves import residuals

        return Curves(residuals=residuals(y, scores))

    def adds_up(self, unit: str) -> str:
        return "The parts of a row add up to its prediction."

    def drifting(self, scores: np.ndarray, classes: tuple[str, ...]) -> Column:
        return scores
