"""A kind of problem that Refit does not have, in one file: how often something happens, by Poisson deviance.

The test beside it puts this file into ``tasks/kinds`` of a copy, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tasks.artifacts import Curves, Picture
from tasks.errors import RefitError
from tasks.kinds import NUMBER, Metric
from tasks.kinds._numbers import Numbers

if TYPE_CHECKING:
    import pandas as pd


def row_deviance(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Twice the log-likelihood that a perfect model has more: ``2 (y log(y / p) - y + p)``, of 0 events ``2 p``."""
    p = np.maximum(p, 1e-9)
    return 2 * (np.where(y > 0, y * np.log(np.maximum(y, 1e-9) / p), 0.0) - y + p)


def deviance(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean of :func:`row_deviance`."""
    return float(np.average(row_deviance(y, p), weights=w))


class Count(Numbers):
    """The answer is the expected number of events."""

    name: ClassVar[str] = "count"
    loss: ClassVar[str] = "poisson"
    splits: ClassVar[tuple[str, ...]] = ("random",)
    metrics: ClassVar[tuple[str, ...]] = ("poisson_deviance", "mae", "rmse", "bias")
    decisive: ClassVar[tuple[str, ...]] = ("poisson_deviance", "mae")
    own_metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("poisson_deviance", (NUMBER,), -1, "numbers", deviance, "Poisson deviance",
               "twice the log-likelihood that a perfect model has more; lower is better",
               without="the mean of the training rows", row_loss=row_deviance),
    )  # fmt: skip
    margin_unit: ClassVar[str] = "the logarithm of the count"
    mean_answer: ClassVar[str] = "mean expected count"
    worst: ClassVar[str] = "Worst rows: the counts that were expected least."
    glossary: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Expected count", "How often it happens in the mean of such rows."),
    )

    def check(self, labels: pd.Series, where: str) -> None:
        super().check(labels, where)
        if (labels < 0).any():
            raise RefitError(f"{where} has negative values, and problem.kind is 'count'.")

    def check_scores(self, scores: np.ndarray, where: str, remedy: str) -> None:
        if (scores < 0).any():
            raise RefitError(f"{where}: {int((scores < 0).sum()):,} expected counts are negative. {remedy}")

    def answer(
        self, scores: tuple[float, ...] | list[float], decision: Any, classes: tuple[str, ...]
    ) -> dict[str, Any]:
        return {"expected": scores[0]}

    def answer_schema(self, classes: tuple[str, ...]) -> dict[str, Any]:
        return {"expected": {"type": "number", "minimum": 0}}

    def answer_columns(self, scores: np.ndarray, threshold: float | None, classes: tuple[str, ...]) -> dict[str, Any]:
        return {"expected": scores[:, 0]}

    def row_loss(self, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return row_deviance(y, scores)

    def curves(self, y: np.ndarray, scores: np.ndarray, classes: list[str], cost: tuple[float, float]) -> Curves:
        parts = np.array_split(np.argsort(scores, kind="stable"), 10)
        x, real = ([float(values[part].mean()) for part in parts] for values in (scores, y))
        caption = "Means of tenths of the rows."
        picture = Picture(title="Counted against expected", caption=caption, x=("expected", x), y=("counted", real))
        return super().curves(y, scores, classes, cost).model_copy(update={"own": [picture]})

    def adds_up(self, unit: str) -> str:
        if unit == self.unit:
            return super().adds_up(unit)
        return "The parts of a row add up to the logarithm of the expected count."


KIND = Count()
