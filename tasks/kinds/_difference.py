"""How far two models are apart on the same rows, and how sure that is: what a verdict asks of any comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from tasks.artifacts import Figures


@dataclass(frozen=True)
class PairedTest:
    """A test of a difference.

    ``decided_by`` is the key in ``figures`` (all that the verdict shows of it: ``name``, ``statistic``, ``p`` and more) of
    the test that decides. One-sided p-values: ``p_better`` is small where the challenger is better (than the margin allows),
    ``p_worse`` where it is worse, whatever the margin. ``counts``: rows where the challenger alone is right, the champion
    alone, or neither alone; None where that is not what decides.
    """

    decided_by: str
    figures: dict[str, Figures]
    p_better: float
    p_worse: float
    counts: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Difference(ABC):
    """Two models compared by one metric on the same ``n`` rows.

    ``clusters`` (n,), where they are given, are labels of rows that belong together and count as one.

    Attributes
    ----------
    challenger, champion : each one's metric.
    gain : above 0 where the challenger is better, whichever way the metric runs; ``beyond`` where it is better than the
        margin allows.
    spread : (n,) each row's influence on the gain, of mean 0.
    """

    challenger: float
    champion: float
    gain: float
    beyond: float
    spread: np.ndarray

    @abstractmethod
    def test(self, clusters: np.ndarray | None = None) -> PairedTest:
        """The test that decides."""

    @abstractmethod
    def interval(self, clusters: np.ndarray | None = None) -> tuple[float, float]:
        """The gain's interval of 95%."""

    def beside(self, seed: int, clusters: np.ndarray | None = None, named: str = "") -> dict[str, Figures]:
        """Tests that stand beside it and decide nothing, by their keys; ``named`` says what rows of a cluster share."""
        return {}
