"""What wrong decisions cost, where ``training.cost`` says what a false alarm and a miss cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.artifacts.columns import TARGET
from tasks.kinds import find_kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


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
    prices : of a false alarm, and of a miss. rows : that were compared. without : an alarm for every row, or for none.
    """

    prices: tuple[float, float]
    rows: int
    challenger: ErrorCounts
    champion: ErrorCounts | None
    without: ErrorCounts

    def per_thousand(self, errors: ErrorCounts) -> float:
        """What the errors cost in a thousand rows.

        >>> counted = ErrorCounts(3, 2)
        >>> Costs((1.0, 5.0), 100, counted, None, counted).per_thousand(counted)
        130.0
        """
        alarm, miss = self.prices
        return 1000 * (alarm * errors.false_alarms + miss * errors.misses) / self.rows


def costs(
    kind: str,
    prices: tuple[float, float],
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
    without = ErrorCounts(alarms, 0) if prices[0] * alarms < prices[1] * misses else ErrorCounts(0, misses)
    return Costs(prices, len(judged), challenger, champion, without)


def _errors(
    kind: str, truth: np.ndarray, judged: pd.DataFrame, who: str, threshold: float | None
) -> ErrorCounts | None:
    names = [f"{who}_score_0", f"{who}_score_1"]
    if not set(names) <= set(judged.columns):
        return None
    alarm = find_kind(kind).decide(judged[names].to_numpy(float), threshold) == 1.0
    return ErrorCounts(int((alarm & ~truth).sum()), int((~alarm & truth).sum()))
