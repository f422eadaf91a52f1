"""Several models behind one answer: what a candidate of a project serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.fitting.calibration import Calibration, mixed
from tasks.models.model import Model


@dataclass(frozen=True)
class Mixture:
    """Models and their weights, which sum to 1, in the mean of their scores; ``fixed`` is the mean's own calibration."""

    models: list[Model]
    weights: np.ndarray
    fixed: Calibration | None = None

    @classmethod
    def of(cls, models: list[Model], weights: Sequence[float], fixed: Calibration | None = None) -> Mixture:
        """With weights of any sum."""
        return cls(models, np.asarray(weights, dtype=float) / sum(weights), fixed)

    def mean(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """The scores, from those of each model."""
        return mixed(scores, self.weights, self.fixed)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """``(n, classes)`` probabilities, or ``(n,)`` numbers; float64."""
        return self.mean([m.predict(X) for m in self.models])
