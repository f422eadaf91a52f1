"""What is known of a metric. :mod:`tasks.metrics.table` has the table of them; a kind may bring its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tasks.kinds._output import Output

if TYPE_CHECKING:
    import numpy as np

Measurer = Callable[["np.ndarray | None"], float]
Needs = Literal["order", "probabilities", "decisions", "numbers"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name : as in ``params.yaml`` and in files.
    outputs : of which models' answers it is a metric.
    sign : 1 where higher is better, -1 where lower is, 0 where it is best at 0.
    needs : what it is computed from, which says how ``function`` is called. With ``y`` (n,), the scores and row weights
        (n,) or None: ``probabilities`` and ``numbers``. With ``y`` and the scores, for a function of the weights, so that
        many resamples sort but once: ``order``. With the table of true class (rows) against decision: ``decisions``.
    title, meaning : for tables and pictures. within : its name within a sentence.
    unit : ``share`` (of 1), ``nats``, ``target`` (the target's own), or nothing.
    without : in words, what can be said without a model, which a first model has to beat; empty where the metric cannot
        decide.
    row_loss : the loss (..., n) of each row, from ``y`` (..., n) and scores, of which the metric is the mean, or follows
        from it; None where it has no such form. ``y`` and scores may have leading axes, and scores of two classes be
        the positive one's alone.
    constant : the number that is best without features, from the training rows' targets; None: their mean.
    """

    name: str
    outputs: tuple[Output, ...]
    sign: int
    needs: Needs
    function: Callable[..., Any]
    title: str
    meaning: str = ""
    unit: str = ""
    within: str = ""
    without: str = ""
    row_loss: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    constant: Callable[[np.ndarray], float] | None = None

    def measurer(self, y: np.ndarray, scores: np.ndarray, decided: np.ndarray | None = None) -> Measurer:
        """A function of row weights; ``decided`` (n,) are class indexes, for metrics of decisions."""
        import numpy as np

        if self.needs == "order":
            return self.function(y, scores)
        if self.needs != "decisions":
            return lambda w: self.function(y, scores, w)
        assert decided is not None
        classes = scores.shape[1]
        cell = y.astype(np.int64) * classes + decided.astype(np.int64)

        def of_table(w: np.ndarray | None) -> float:
            table = np.bincount(cell, weights=w, minlength=classes * classes).reshape(classes, classes)
            return self.function(table.astype(float))

        return of_table
