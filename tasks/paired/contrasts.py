"""Two models on the same rows: how far apart a metric puts them, and what each row says about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import RefitError
from tasks.kinds import find_kind
from tasks.metrics import find_metric
from tasks.paired import influence
from tasks.paired.tail import MeanTest, mean_test, sums

DECISIONS = ("accuracy", "f1", "f1_macro")


@dataclass(frozen=True)
class Contrast:
    """A metric of two models, and the rows' part in the difference. All arrays may have leading axes.

    ``gain`` is above 0 where the challenger is better, whichever way the metric runs. ``spread`` (..., n) is the
    influence on it, mean 0. ``tested`` (..., n) has mean 0 where the challenger is exactly the margin worse.
    ``low`` and ``high``: the least and the most that a row of ``tested`` could have been, where that is known.
    """

    challenger: np.ndarray
    champion: np.ndarray
    gain: np.ndarray
    spread: np.ndarray
    tested: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def test(self, clusters: np.ndarray | None = None, rows: np.ndarray | None = None) -> MeanTest:
        """Test of the gain (and margin). ``clusters`` (n,): labels of rows that belong together."""
        x = self.tested if clusters is None else sums(self.tested, clusters)
        return mean_test(x, self.low, self.high)

    def se(self, clusters: np.ndarray | None = None) -> np.ndarray:
        """Standard error of the gain."""
        n = self.spread.shape[-1]
        u = self.spread if clusters is None else sums(self.spread, clusters)
        g = u.shape[-1]
        return np.sqrt((u**2).sum(axis=-1) * (g / max(g - 1, 1))) / n


def contrast(
    metric: str,
    kind: str,
    y: np.ndarray,
    challenger: np.ndarray,
    champion: np.ndarray,
    margin: float = 0.0,
    decisions: tuple[np.ndarray, np.ndarray] | None = None,
    equal_alarms: bool = False,
) -> Contrast:
    """Compare two models' scores by ``metric``.

    Parameters
    ----------
    y : (..., n). challenger, champion : (..., n) numbers, or probabilities of the positive class; (..., n, n_classes)
        for more classes.
    margin : how much worse is still acceptable: in the metric's own unit, for losses a share of the champion's.
    decisions : both models' (..., n), for metrics that need them. equal_alarms : whether both raise as many.
    """
    y = np.asarray(y, dtype=float)
    known = find_metric(metric)
    if known is not None and known.row_loss is not None:
        return _of_losses(metric, kind, y, challenger, champion, margin)
    if known is not None and known.needs == "order":
        (one, mine), (two, theirs) = (_ranked(metric, y, np.asarray(s, dtype=float)) for s in (challenger, champion))
    elif metric in DECISIONS:
        if decisions is None:
            raise RefitError(f"{metric} compares decisions; none were given")
        if metric == "f1" and equal_alarms:
            return _equal_alarms(y, decisions, margin)
        (one, mine), (two, theirs) = (_decided(metric, y, np.asarray(s, dtype=float)) for s in decisions)
    else:
        raise RefitError(f"promotion.metric: {metric!r} has no test")
    gain = one - two
    spread = mine - theirs
    return Contrast(one, two, gain, spread, spread + (gain + margin)[..., None])


def asked(kind: str, scores: np.ndarray) -> np.ndarray:
    """Scores (n, k) or (n,) as :func:`contrast` takes them: of a problem with a positive class that class's share alone."""
    positive = find_kind(kind).positive
    return scores if positive is None else scores[:, positive] / scores.sum(axis=1)


def _ranked(metric: str, y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if metric == "roc_auc":
        return influence.roc_auc(y, score)
    if metric == "average_precision":
        return influence.average_precision(y, score)
    return _mean([influence.roc_auc((y == k).astype(float), score[..., k]) for k in judged_classes(y, score.shape[-1])])


def _mean(each: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the classes' values and influences."""
    return np.mean([v for v, _ in each], axis=0), np.mean([i for _, i in each], axis=0)


def judged_classes(y: np.ndarray, classes: int) -> list[int]:
    """Classes with at least two rows of their own, and two of others, in every comparison of ``y`` (..., n)."""
    counts = [np.atleast_1d((y == k).sum(axis=-1)) for k in range(classes)]
    return [k for k, c in enumerate(counts) if c.min() >= 2 and (y.shape[-1] - c.max()) >= 2]


def _decided(metric: str, y: np.ndarray, decisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if metric == "accuracy":
        right = (decisions == y).astype(float)
        value = right.mean(axis=-1)
        return value, right - value[..., None]
    if metric == "f1":
        return influence.f1(y, decisions)
    # the classes that occur: the same ones for both models
    return _mean([influence.f1((y == k).astype(float), (decisions == k).astype(float)) for k in np.unique(y)])


def _equal_alarms(y: np.ndarray, decisions: tuple[np.ndarray, np.ndarray], margin: float) -> Contrast:
    """F1 where both raise as many alarms: it differs as the hits do, and so as the right decisions do.

    How many alarms there are is given, so it adds nothing to the spread.
    """
    one, two = (influence.f1(y, s)[0] for s in decisions)
    right, other = ((s == y).astype(float) for s in decisions)
    bottom = (y + decisions[1]).mean(axis=-1, keepdims=True)
    x = (right - other) / np.where(bottom > 0, bottom, 1.0)
    gain = one - two
    return Contrast(one, two, gain, x - x.mean(axis=-1, keepdims=True), x + margin)


def _of_losses(metric: str, kind: str, y: np.ndarray, challenger: np.ndarray, champion: np.ndarray,
               margin: float) -> Contrast:  # fmt: skip
    """Metrics that are means of the rows' losses, or follow from one.

    The test goes by a difference that is a plain mean of the rows. With a margin m of a root: ``a <= (1 + m) b`` is
    ``a² <= (1 + m)² b²``. R² of both models has the same denominator, so it differs as the squared errors do.
    """
    one, two = influence.losses(metric, y, challenger), influence.losses(metric, y, champion)
    a, b = one.mean(axis=-1, keepdims=True), two.mean(axis=-1, keepdims=True)
    if metric == "rmse":
        root, other = np.sqrt(a), np.sqrt(b)
        both = np.maximum(root + (1 + margin) * other, 1e-300)
        tested = ((1 + margin) ** 2 * two - one) / both
        spread = _halved(two - b, other) - _halved(one - a, root)
        return Contrast(root[..., 0], other[..., 0], (other - root)[..., 0], spread, tested)
    if metric == "r2":
        around = (y - y.mean(axis=-1, keepdims=True)) ** 2
        scale = around.mean(axis=-1, keepdims=True)
        gain = (b - a) / scale
        spread = ((two - one) - gain * around) / scale
        values = (1 - a / scale)[..., 0], (1 - b / scale)[..., 0]
        return Contrast(*values, gain[..., 0], spread, ((two - one) + margin * around) / scale)
    low, high = _reach(metric, kind, challenger, champion, margin)
    return Contrast(
        a[..., 0], b[..., 0], (b - a)[..., 0], (two - b) - (one - a), (1 + margin) * two - one, low, high
    )  # fmt: skip


def _halved(value: np.ndarray, root: np.ndarray) -> np.ndarray:
    return np.divide(value, 2 * root, out=np.zeros_like(value), where=np.broadcast_to(root, value.shape) > 0)


def _reach(metric: str, kind: str, challenger: np.ndarray, champion: np.ndarray,
           margin: float) -> tuple[np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """The least and the most that any row could have told, had it been of another class.

    An overconfident model loses much on rare rows; where none came up, the probabilities still tell how much.
    """
    problem = find_kind(kind)
    if not problem.output.classes:
        return None, None
    alone = problem.positive is not None
    classes = 2 if alone else np.shape(challenger)[-1]
    shape = np.shape(challenger)[: None if alone else -1]
    could = [
        (1 + margin) * influence.losses(metric, np.full(shape, float(k)), champion)
        - influence.losses(metric, np.full(shape, float(k)), challenger)
        for k in range(classes)
    ]
    return np.min([c.min(axis=-1) for c in could], axis=0), np.max([c.max(axis=-1) for c in could], axis=0)
