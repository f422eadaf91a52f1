"""What wrong decisions cost, where ``training.cost`` says what a false alarm and a miss cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.artifacts import Confusion, Manifest
from tasks.artifacts.columns import TARGET
from tasks.artifacts.folders import CHAMPION, PACKAGE, VERDICT
from tasks.files import read_table
from tasks.kinds import find_kind
from tasks.report.numbers import number

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from tasks.params import Params


@dataclass(frozen=True)
class Prices:
    """What a false alarm and a miss cost, in a ``unit`` that may be empty."""

    alarm: float
    miss: float
    unit: str = ""

    def of(self, errors: ErrorCounts) -> float:
        """What the errors cost in all.

        >>> Prices(1.0, 5.0).of(ErrorCounts(3, 2))
        13.0
        """
        return self.alarm * errors.false_alarms + self.miss * errors.misses

    def say(self, amount: float) -> str:
        """An amount with its unit.

        >>> Prices(1.0, 5.0, "EUR").say(1250.0), Prices(1.0, 5.0).say(0.25)
        ('1\u202f250\xa0EUR', '0.250')
        """
        told = number(int(amount) if float(amount).is_integer() else amount)
        return f"{told}\xa0{self.unit}" if self.unit else told


@dataclass(frozen=True)
class ErrorCounts:
    """Wrong decisions of one way to decide."""

    false_alarms: int
    misses: int


@dataclass(frozen=True)
class Costs:
    """Wrong decisions of both models on the compared rows, each at its own threshold, and of the best that needs no model.

    Attributes
    ----------
    rows : that were compared. without : an alarm for every row, or for none.
    """

    prices: Prices
    rows: int
    challenger: ErrorCounts
    champion: ErrorCounts | None
    without: ErrorCounts

    @property
    def beside(self) -> ErrorCounts:
        """The champion's errors; without a champion those of no model."""
        return self.champion or self.without

    def per_row(self, errors: ErrorCounts) -> float:
        """What the errors cost by compared row."""
        return self.prices.of(errors) / self.rows


def prices_of(params: Params) -> Prices | None:
    """The prices by which a threshold is chosen; None where it goes by something else."""
    training = params.training
    return Prices(*training.cost, params.evaluation.cost_unit) if training.threshold == "cost" else None


def by_row(confusion: Confusion, prices: Prices) -> float:
    """What the errors of a table of decisions cost by row.

    >>> by_row(Confusion(classes=["no", "yes"], counts=[[6, 2], [1, 1]]), Prices(1.0, 5.0))
    0.7
    """
    (right, alarms), (misses, found) = confusion.counts
    return prices.of(ErrorCounts(alarms, misses)) / (right + alarms + misses + found)


def of_run(root: Path, prices: Prices | None) -> Costs | None:
    """What the errors of a project's newest verdict cost; None without prices, or where nothing was compared."""
    made, file = Manifest.find(root / PACKAGE), root / VERDICT / "predictions.parquet"
    if prices is None or made is None or not file.is_file():
        return None
    champion = Manifest.find(root / CHAMPION / PACKAGE.name)
    return costs(made.kind, prices, read_table(file), (made.threshold, champion.threshold if champion else None))


def costs(
    kind: str,
    prices: Prices,
    judged: pd.DataFrame,
    thresholds: tuple[float | None, float | None],
) -> Costs | None:
    """Count the errors on the compared rows.

    ``judged`` is the verdict's ``predictions.parquet``, ``thresholds`` the challenger's and the champion's. None where
    the kind has no alarms, or nothing was scored.
    """
    if find_kind(kind).positive is None or not len(judged):
        return None
    truth = judged[TARGET].to_numpy(float) == 1.0
    challenger, champion = (
        _errors(kind, truth, judged, who, at) for who, at in zip(("challenger", "champion"), thresholds, strict=True)
    )
    if challenger is None:
        return None
    alarms, misses = int((~truth).sum()), int(truth.sum())
    without = ErrorCounts(alarms, 0) if prices.alarm * alarms < prices.miss * misses else ErrorCounts(0, misses)
    return Costs(prices, len(judged), challenger, champion, without)


def _errors(
    kind: str, truth: np.ndarray, judged: pd.DataFrame, who: str, threshold: float | None
) -> ErrorCounts | None:
    names = [f"{who}_score_0", f"{who}_score_1"]
    if not set(names) <= set(judged.columns):
        return None
    alarm = find_kind(kind).decide(judged[names].to_numpy(float), threshold) == 1.0
    return ErrorCounts(int((alarm & ~truth).sum()), int((~alarm & truth).sum()))
