"""A family that Refit does not have, in one file: scikit-learn's Poisson regression, for counts alone, stored in its own form."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks.files import read_json, write_json
from tasks.fitting.base import Curves, Fitted, Job, Notes
from tasks.fitting.space import Number, Settings, Space
from tasks.kinds import NUMBER

NAME = "poisson"
OUTPUTS = (NUMBER,)
LOSSES = ("poisson",)
ALSO = ()
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {"alpha": Number(1e-4, 10.0, 0.1, log=True)}


class Rates:
    """The exponential of a sum over columns."""

    FORMAT: ClassVar[str] = "rates"

    def __init__(self, slopes: list[float], start: float) -> None:
        self.slopes, self.start = slopes, start
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        return np.exp(Z @ np.asarray(self.slopes) + self.start)

    def save(self, folder: Path) -> None:
        write_json(folder / "rates.json", {"slopes": self.slopes, "start": self.start})

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Rates:
        return cls(**read_json(folder / "rates.json"))


FORMATS = {Rates.FORMAT: Rates.load}


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.linear_model import PoissonRegressor

    found = PoissonRegressor(max_iter=300, **params).fit(job.X, job.y, sample_weight=job.weight)
    return Rates(found.coef_.tolist(), float(found.intercept_))
