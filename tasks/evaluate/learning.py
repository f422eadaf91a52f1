"""How certain the chosen candidate's figures are, how it does on its own training rows, and when fitted on fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.artifacts import CurvePoint, Figure
from tasks.errors import RefitError
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.metrics import measure, measurer
from tasks.metrics.intervals import resamples
from tasks.models import fit_family
from tasks.models.mixture import Mixture
from tasks.stored import by_parts

SAMPLE = 20_000  # training rows on which the fitted model is measured, and rows that a standard error is taken from
MOST = 20_000  # training rows of the largest refit
WATCHED = 5_000  # validation rows that early stopping of a refit looks at
STEPS = (1 / 16, 1 / 4, 1.0)
DRAWS = 3  # random samples of each smaller size
STRETCHES = 40  # of time, drawn as wholes
TIMES = 200


@dataclass(frozen=True)
class Gauge:
    """How scores are measured: a metric of a kind of problem, at a threshold; ``seed`` of what is drawn."""

    metric: str
    kind: str
    threshold: float | None
    seed: int

    def value(self, y: np.ndarray, scores: np.ndarray) -> float:
        """The metric."""
        return measure(self.metric, y, scores, self.kind, self.threshold)


def errors(by: Gauge, y: np.ndarray, scores: Sequence[np.ndarray], time: pd.Series | None = None) -> np.ndarray:
    """Covariance (k, k) of one metric's values for ``k`` scores of the same rows, by the bootstrap.

    With ``time`` (n,) 40 stretches of it are drawn instead of single rows, for rows of one day have much in common.
    Of many rows a sample gives the covariance, scaled.
    """
    n, seed = len(y), by.seed
    at = np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False)) if n > SAMPLE else np.arange(n)
    groups = None
    if time is not None and len(at) >= 2 * STRETCHES:
        order = np.argsort(time.to_numpy()[at], kind="stable")
        groups = np.empty(len(at), dtype=np.int64)
        groups[order] = np.arange(len(at)) * STRETCHES // len(at)
    each = [measurer(by.metric, by.kind, y[at], s[at], by.threshold) for s in scores]
    values = np.array([[m(w) for m in each] for w in resamples(len(at), TIMES, seed, groups)])
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < TIMES / 2:
        return np.full((len(scores), len(scores)), np.inf)
    return np.atleast_2d(np.cov(values, rowvar=False)) * len(at) / n


def figure(by: Gauge, y: np.ndarray, scores: np.ndarray, time: pd.Series | None = None) -> Figure:
    """The metric on these rows, with its standard error; ``time`` as in :func:`errors`."""
    variance = errors(by, y, [scores], time)[0, 0]
    return Figure(value=by.value(y, scores), error=float(np.sqrt(variance)), rows=len(y))


def on_training_rows(
    mixture: Mixture, X: pd.DataFrame, y: np.ndarray, by: Gauge, time: pd.Series | None = None
) -> Figure:
    """The metric on (a sample of) the rows that the model was fitted on."""
    at = np.arange(len(X))
    if len(X) > SAMPLE:
        at = np.sort(np.random.default_rng(by.seed).choice(len(X), SAMPLE, replace=False))
    return figure(by, y[at], mixture.predict(X.iloc[at]), None if time is None else time.iloc[at])


def order_of(y: np.ndarray, kind: str, time: pd.Series | None, seed: int) -> np.ndarray:
    """Positions (n,) so that the first ``m`` of them are a fair sample of size ``m``: the newest rows where ``time`` is
    given, else rows drawn at random, of each class its share.

    >>> order_of(np.array([0, 0, 0, 0, 1, 1.0]), "binary", None, 0)[:3] >= 4
    array([False,  True, False])
    """
    if time is not None:
        return np.argsort(time.to_numpy(), kind="stable")[::-1]
    rng = np.random.default_rng(seed)
    if not find_kind(kind).output.classes:
        return rng.permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        at = np.flatnonzero(y == label)
        place[at] = (rng.permutation(len(at)) + 0.5) / len(at)
    return np.argsort(place, kind="stable")


def learning_curve(family: str, settings: Settings, fold: Fold, setup: Setup, by: Gauge, full: np.ndarray | None,
                   times: tuple[pd.Series, pd.Series] | None = None) -> list[CurvePoint]:  # fmt: skip
    """The validation metric by number of training rows, with what each step gained and that gain's standard error.

    Refits use at most 20,000 rows, so that they cost seconds: the newest ones where ``times`` (of training and
    validation rows) are given, else random ones, of the smaller sizes three samples. A size on which the family cannot
    be fitted (too few rows, or one class) is left out. ``full`` are the validation scores of the candidate itself, the
    last point; None where it is made in another way (folds), and so is no point of the same curve. Refits are
    calibrated as the candidate is.
    """
    X, y, X_valid, y_valid = fold
    kind, seed = setup.kind, setup.seed
    most = min(MOST, len(X))
    watched = order_of(y_valid, kind, times[1] if times else None, seed)[:WATCHED]
    points: list[CurvePoint] = []
    reached: list[list[float]] = []  # by each draw of a point
    found: list[list[np.ndarray]] = []
    for size in sorted({round(most * step) for step in STEPS}):
        if size < 20 or (size == len(X) and full is not None):
            continue
        scores, own = [], []
        for draw in range(1 if times or size == len(X) else DRAWS):
            at = np.sort(order_of(y, kind, times[0] if times else None, seed + draw)[:size])
            part, truth = X.iloc[at], y[at]
            if find_kind(kind).output.classes and len(np.unique(truth)) < setup.classes:
                continue
            try:
                small = Fold(part, truth, X_valid.iloc[watched], y_valid[watched])
                model = fit_family(family, settings, small, setup)
            except RefitError:
                continue
            scores.append(by_parts(model.predict, X_valid))
            own.append(by.value(truth, model.predict(part)))
        values = [by.value(y_valid, s) for s in scores]
        if scores and np.isfinite([*values, *own]).all():
            points.append(CurvePoint(rows=size, train=float(np.mean(own)), valid=float(np.mean(values))))
            reached.append(values)
            found.append(scores)
    if full is not None:
        value = by.value(y_valid, full)
        points.append(CurvePoint(rows=len(X), train=None, valid=value))
        reached.append([value])
        found.append([full])
    if not points:
        return []
    every = [s for each in found for s in each]
    covariance = errors(by, y_valid, every, times[1] if times else None)
    return _with_gains(points, reached, covariance)


def _with_gains(points: list[CurvePoint], reached: list[list[float]], covariance: np.ndarray) -> list[CurvePoint]:
    """The points with what each gained on the one before; ``reached`` are values of their draws, in ``covariance``'s order.

    A gain is uncertain by the validation rows, which all points share, and by the training rows drawn.
    """
    out = []
    start = 0
    for number, point in enumerate(points):
        gain = error = None
        if number:
            old, new = reached[number - 1], reached[number]
            weight = np.zeros(len(covariance))
            weight[start : start + len(old)] = -1 / len(old)
            weight[start + len(old) : start + len(old) + len(new)] = 1 / len(new)
            variance = sum(float(np.var(v, ddof=1)) / len(v) for v in (old, new) if len(v) > 1)
            gain = point.valid - points[number - 1].valid
            if np.isfinite(covariance).all():
                error = float(np.sqrt(max(0.0, float(weight @ covariance @ weight)) + variance))
            start += len(old)
        out.append(point.model_copy(update={"gain": gain, "gain_error": error}))
    return out
