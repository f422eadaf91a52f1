"""A kind of problem that needs no target, and its family, in one file: how unusual a row's columns are together.

A score is what the row is more surprising by under a normal density of all columns than under one of each column by itself,
in nats; without a model it is 0. The test beside it puts this file into ``tasks/kinds`` and ``tasks/families`` of a copy,
and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tasks.artifacts import Curves, Figures, Picture
from tasks.files import read_json, write_json
from tasks.fitting.base import Curves as Losses
from tasks.fitting.base import Fitted, Job, Notes
from tasks.fitting.space import Number, Settings, Space
from tasks.kinds import NUMBER, Decided, Difference, Metric, PairedTest
from tasks.kinds._numbers import Numbers


def row_surprise(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The score is the loss already: a better density is surprised less."""
    return scores


def surprise(y: np.ndarray, scores: np.ndarray, w: np.ndarray | None = None) -> float:
    """Mean of :func:`row_surprise`."""
    return float(np.average(scores, weights=w))


@dataclass(frozen=True)
class SignTest(Difference):
    """Tested by how many rows (or clusters, by their sums) the challenger is less surprised by; ``gains`` (n,)."""

    gains: np.ndarray
    allowed: float

    def units(self, clusters: np.ndarray | None) -> np.ndarray:
        """The gains, or their sums by cluster."""
        if clusters is None:
            return self.gains
        return np.bincount(np.unique(clusters, return_inverse=True)[1], weights=self.gains)

    def test(self, clusters: np.ndarray | None = None) -> PairedTest:
        from scipy.stats import binom

        units, margin = self.units(clusters), self.units(clusters) * 0 + self.allowed
        n, wins, losses = len(units), int((units + margin > 0).sum()), int((units < 0).sum())
        better, worse = float(binom.sf(wins - 1, n, 0.5)), float(binom.sf(losses - 1, n, 0.5))
        figures: dict[str, Figures] = {
            "sign": {"name": "Sign test", "statistic": float(wins), "p": min(1.0, 2 * min(better, worse)), "units": n}
        }
        return PairedTest("sign", figures, better, worse)

    def interval(self, clusters: np.ndarray | None = None) -> tuple[float, float]:
        units = self.units(clusters)
        half = 1.96 * units.std(ddof=1) * np.sqrt(len(units)) / len(self.gains)
        return self.gain - half, self.gain + half


class Outliers(Numbers):
    """The answer is how much more surprising the row is as a whole than column by column."""

    name: ClassVar[str] = "outliers"
    targeted: ClassVar[bool] = False
    loss: ClassVar[str] = "surprise"
    tuning_splits: ClassVar[tuple[str, ...]] = ("holdout", "kfold", "group", "time_series")
    metrics: ClassVar[tuple[str, ...]] = ("surprise",)
    decisive: ClassVar[tuple[str, ...]] = ("surprise",)
    own_metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("surprise", (NUMBER,), -1, "numbers", surprise, "Surprise",
               "mean surprise beyond that of the single columns, in nats; lower is better", "nats",
               without="columns that have nothing to do with each other", row_loss=row_surprise),
    )  # fmt: skip
    constant_name: ClassVar[str] = "each column by itself"
    unit: ClassVar[str] = "nats"
    margin_unit: ClassVar[str] = "nats"
    mean_answer: ClassVar[str] = "mean surprise"
    worst: ClassVar[str] = "The most unusual rows."

    def answer(
        self, scores: tuple[float, ...] | list[float], decision: Any, classes: tuple[str, ...]
    ) -> dict[str, Any]:
        return {"surprise": scores[0]}

    def answer_schema(self, classes: tuple[str, ...]) -> dict[str, Any]:
        return {"surprise": {"type": "number"}}

    def answer_columns(self, scores: np.ndarray, threshold: float | None, classes: tuple[str, ...]) -> dict[str, Any]:
        return {"surprise": scores[:, 0]}

    def constant(self, y_train: np.ndarray, classes: int, n: int) -> np.ndarray:
        return np.zeros(n)

    def row_loss(self, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return row_surprise(y, scores)

    def difference(
        self, metric: str, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, margin: float
    ) -> Difference:
        gains, allowed = champion - challenger, margin * abs(float(champion.mean()))
        gain = float(gains.mean())
        return SignTest(
            float(challenger.mean()), float(champion.mean()), gain, gain + allowed, gains - gain, gains, allowed
        )

    def slice_losses(
        self, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, decided: Decided | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return challenger, champion

    def curves(self, y: np.ndarray, scores: np.ndarray, classes: list[str], cost: tuple[float, float]) -> Curves:
        at = np.linspace(0, 1, 21)
        picture = Picture(
            title="Surprise by rank",
            caption="Of all rows, from the most usual one on.",
            x=("share of the rows", at.tolist()),
            y=("nats", np.quantile(scores, at).tolist()),
        )
        return Curves(own=[picture])

    def adds_up(self, unit: str) -> str:
        return "The parts of a row add up to its surprise."


KIND = Outliers()

NAME = "outliers"
OUTPUTS = (NUMBER,)
LOSSES = ("surprise",)
ALSO = ()
NEEDS = "dense"
HARDWARE = "cpu"


def space(kind: str, rows: int, columns: int) -> Space:
    return {"shrink": Number(0.01, 1.0, 0.1, log=True)}


class Density:
    """A normal density of encoded columns, whose correlations are shrunk."""

    FORMAT: ClassVar[str] = "density"

    def __init__(self, centre: list[float], spread: list[float], correlation: list[list[float]]) -> None:
        self.centre, self.spread, self.correlation = centre, spread, correlation
        self.history: Losses = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        Z = (Z - np.asarray(self.centre)) / np.asarray(self.spread)
        R = np.asarray(self.correlation)
        whole = (Z @ np.linalg.inv(R) * Z).sum(axis=1) + np.linalg.slogdet(R)[1]
        return (whole - (Z * Z).sum(axis=1)) / 2

    def save(self, folder: Path) -> None:
        own = {"centre": self.centre, "spread": self.spread, "correlation": self.correlation}
        write_json(folder / "density.json", own)

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Density:
        return cls(**read_json(folder / "density.json"))


FORMATS = {Density.FORMAT: Density.load}


def fit(params: Settings, job: Job) -> Fitted:
    assert np.isnan(job.y).all()
    centre, spread = job.X.mean(axis=0), job.X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    Z, shrink = (job.X - centre) / spread, float(str(params.get("shrink", 0.1)))
    correlation = (1 - shrink) * (Z.T @ Z) / len(Z) + shrink * np.eye(Z.shape[1])
    return Density(centre.tolist(), spread.tolist(), correlation.tolist())
